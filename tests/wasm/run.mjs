// Runs a Rust test program for WebAssembly in Node: `cargo test` calls it as its runner.
//
// Programs for wasm32-unknown-unknown have no standard output and no arguments. A test that fails is a
// trap, and the names of the functions on the stack say which one. Programs for wasm32-wasip1 print as
// everywhere.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const path = process.argv[2];
const module = await WebAssembly.compile(await readFile(path));
const names = WebAssembly.Module.imports(module).map((i) => i.module);
if (names.includes("wasi_snapshot_preview1")) {
  const wasi = new WASI({ version: "preview1", args: process.argv.slice(2) });
  process.exit(wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject())));
}
const { exports } = await WebAssembly.instantiate(module, {});
const begin = performance.now();
try {
  const code = exports.main(0, 0);
  if (code !== 0) throw new Error(`the tests end with code ${code}`);
} catch (error) {
  const frames = String(error.stack).split("\n").filter((line) => line.includes("tests"));
  console.error(`a test failed: ${error.message}\n${frames.join("\n") || error.stack}`);
  process.exit(1);
}
console.log(`${path}: all tests pass (${((performance.now() - begin) / 1000).toFixed(1)} s)`);
