// Runs a Rust test program for wasm32-unknown-unknown in Node: `cargo test` calls it as its runner.
//
// That target has no standard output and no arguments. A test that fails is a trap, and the names of
// the functions on the stack say which one.
import { readFile } from "node:fs/promises";

const path = process.argv[2];
const bytes = await readFile(path);
const module = await WebAssembly.compile(bytes);
const missing = WebAssembly.Module.imports(module);
if (missing.length) {
  console.error(`${path} imports ${missing.map((i) => i.module + "." + i.name).join(", ")}`);
  process.exit(1);
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
