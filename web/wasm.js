"use strict";
// What the page asks when there is no service: answers "v1/models" and "v1/predict" as the service does,
// computed by offramp.wasm. The functions of the module are described in crates/deploy/web/src/lib.rs.
(() => {
  // More pixels are shrunk by the browser before the network's own rule of size is applied.
  const MOST_PIXELS = 16e6;
  const BLOCKS = 40, BLOCK_MS = 3;

  let network = null, model = null, turn = Promise.resolve();

  async function file(name) {
    const reply = await fetch(name);
    if (!reply.ok) throw new Error(`${name}: the server answered ${reply.status}`);
    return reply;
  }

  async function open() {
    const [code, plan, run] = await Promise.all([
      file("offramp.wasm").then((reply) => reply.arrayBuffer()),
      file("network.plan").then((reply) => reply.arrayBuffer()),
      file("run.json").then((reply) => reply.json()),
    ]);
    const texts = await Promise.all(run.files.map(async (name) => [name.replace(".json", ""), await (await file(name)).text()]));
    const files = Object.fromEntries(texts);
    const dataset = files.model && JSON.parse(files.model).dataset;
    delete files.model;
    const module = await WebAssembly.compile(code).catch((error) => {
      throw new Error("this browser cannot run the network, which needs WebAssembly with SIMD: " + error.message);
    });
    const { exports } = await WebAssembly.instantiate(module);
    network = exports;
    ask("load_plan", new Uint8Array(plan));
    model = ask("load_run", JSON.stringify({ name: run.name, dataset, ...files }));
    model.notes.forEach((note) => console.warn(note));
    time();
    return { models: [model] };
  }

  // Calls a function of the module: bytes or text into its inbox, JSON out of its outbox.
  function ask(name, input = "", ...numbers) {
    if (!network) throw new Error("the network is not loaded");
    const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
    let said;
    try {
      const at = network.inbox(bytes.length);
      if (at === 0) throw new Error(`there is no memory for ${bytes.length} bytes`);
      new Uint8Array(network.memory.buffer).set(bytes, at);
      const length = network[name](...numbers);
      said = new TextDecoder().decode(new Uint8Array(network.memory.buffer, network.outbox(), length));
    } catch (error) {
      // A trap leaves the module in the middle of something.
      if (error instanceof WebAssembly.RuntimeError) network = null;
      throw network ? error : new Error("the network has failed; load the page again: " + error.message);
    }
    const answer = JSON.parse(said);
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  // Milliseconds of one image alone up to each exit: the fastest of some blocks, since something else may
  // run meanwhile, of several images each, since clocks of browsers are coarse.
  function time() {
    const grey = new Uint8Array(4).fill(128), blocks = model.exits.map(() => []);
    for (let block = -1; block < BLOCKS; block++) {
      const spent = model.exits.map(() => 0);
      let images = 0;
      while (spent.at(-1) < BLOCK_MS) {
        ask("begin", grey, 1, 1);
        const begin = performance.now();
        for (let k = 0; k < spent.length; k++) {
          ask("next");
          spent[k] += performance.now() - begin;
        }
        images++;
      }
      // The first one is slower: the browser is still compiling.
      if (block >= 0) spent.forEach((ms, k) => blocks[k].push(ms / images));
    }
    model.exits.forEach((exit, k) => { exit.ms = Math.min(...blocks[k]); });
  }

  // As the program reads images: turned as the camera noted, colour profiles left alone.
  async function pixels(blob) {
    const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" };
    let bitmap = await createImageBitmap(blob, options).catch(() => {
      throw new Error("this is no image that the browser can read");
    });
    const all = bitmap.width * bitmap.height;
    if (all > MOST_PIXELS) {
      const scale = Math.sqrt(MOST_PIXELS / all), side = (n) => Math.max(1, Math.floor(n * scale));
      const size = { resizeWidth: side(bitmap.width), resizeHeight: side(bitmap.height), resizeQuality: "high" };
      const large = bitmap;
      bitmap = await createImageBitmap(large, size);
      large.close();
    }
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  async function predict(query, blob) {
    const { data, width, height } = await pixels(blob);
    const wish = new URLSearchParams(query), choice = {};
    for (const name of ["max_macs", "exit"]) if (wish.has(name)) choice[name] = Number(wish.get(name));
    if (wish.has("policy")) choice.policy = JSON.parse(wish.get("policy"));
    const { policy } = ask("choose", JSON.stringify(choice));
    ask("begin", data, width, height);
    const trace = [];
    let ms = 0, taken = null;
    for (;;) {
      const begin = performance.now(), { stops, top_k, ...exit } = ask("next");
      if (exit.exit === undefined) break;
      const took = performance.now() - begin;
      ms += took;
      trace.push({ ...exit, ms: model.exits[exit.exit].ms });
      if (stops) taken = { ...exit, ms, waited_ms: 0, top_k: top_k.slice(0, Number(wish.get("top_k") ?? 5)) };
      if (taken && wish.get("trace") !== "true") break;
      // A segment of a large network takes long enough to be noticed.
      if (took > 20) await new Promise((done) => setTimeout(done));
    }
    return { model: model.name, policy, predictions: [{ ...taken, trace }] };
  }

  // One question at a time: the module looks at one image.
  window.offramp = (path, options = {}) => {
    const [name, query] = path.split("?");
    const work = () => (name === "v1/models" ? open() : predict(query, options.body));
    return (turn = turn.then(work, work));
  };
})();
