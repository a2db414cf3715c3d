"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const file = at("file"), slider = at("slider"), image = at("image"), camera = at("camera");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let model = null, budgets = [], chosen = null, key = "", turn = 0, stream = null;

  const macs = (n) => (n >= 1e9 ? (n / 1e9).toFixed(2) + " G" : n >= 1e6 ? (n / 1e6).toFixed(2) + " M" : (n / 1e3).toFixed(1) + " k");
  const percent = (p, digits = 1) => (100 * p).toFixed(digits) + "\u00a0%";
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Without a service web/wasm.js answers instead.
  async function call(path, options = {}) {
    if (window.offramp) return window.offramp(path, options);
    const headers = { ...options.headers, ...(key && { authorization: "Bearer " + key }) };
    const reply = await fetch(path, { ...options, headers });
    if (reply.status === 401) at("key-field").hidden = false;
    const said = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new Error(said.message || "the service answered " + reply.status);
    return said;
  }

  const complain = (error) => { at("error").textContent = error ? String(error.message || error) : ""; };

  async function start() {
    try {
      const { models } = await call("v1/models");
      complain();
      const choice = at("model");
      choice.replaceChildren(...models.map((m) => new Option(m.name, m.name)));
      at("model-choice").hidden = models.length < 2;
      choice.onchange = () => { show(models.find((m) => m.name === choice.value)); ask(); };
      show(models[0]);
    } catch (error) {
      at("model-facts").textContent = "There is no network.";
      complain(error);
    }
  }

  // The slider moves over the calibrated curve; a model without one offers its exits.
  function show(found) {
    model = found;
    const last = model.exits.at(-1);
    at("model-name").textContent = model.name;
    at("model-facts").textContent =
      `${model.classes.length} classes of ${model.dataset}, ${model.exits.length} exits, images of ${model.image_size[1]} × ${model.image_size[0]} pixels, ${macs(last.macs)} MACs in all`;
    budgets = model.curve.length
      ? model.curve.map((p) => ({ query: "max_macs=" + Math.ceil(p.mean_macs), macs: p.mean_macs, top1: p.top1, leave: p.exit_fractions }))
      : model.exits.map((e) => ({ query: "exit=" + e.exit, macs: e.macs, top1: e.top1, leave: model.exits.map((o) => Number(o.exit === e.exit)) }));
    at("cost-name").textContent = model.curve.length ? "Mean multiply-accumulates" : "Multiply-accumulates";
    at("curve-remark").textContent = model.curve.length
      ? "Accuracy against mean cost, thresholds fitted on validation images, scored on test images."
      : "This model has no calibrated curve (calibrate.json): each place is an exit at which all images leave.";
    slider.max = String(budgets.length - 1);
    slider.value = String(Math.floor((budgets.length - 1) / 2));
    slider.disabled = false;
    budget();
  }

  function budget() {
    const here = budgets[Number(slider.value)], whole = model.exits.at(-1).macs;
    const right = here.top1 === undefined ? "not recorded" : here.top1.toFixed(2) + " %";
    at("cost").textContent = macs(here.macs);
    at("share").textContent = percent(here.macs / whole);
    at("accuracy").textContent = right;
    at("leave").textContent = here.leave.map((f, k) => `${k}:\u00a0${percent(f, 0)}`).join(", ");
    slider.setAttribute("aria-valuetext", `${macs(here.macs)} multiply-accumulates, right: ${right}`);
    draw(here);
  }

  function draw(here) {
    const known = budgets.filter((b) => b.top1 !== undefined);
    at("curve").replaceChildren();
    if (known.length < 2) return;
    const [w, h, left, pad] = [400, 170, 52, 28];
    const range = (list) => [Math.min(...list), Math.max(...list)];
    const [x0, x1] = range(known.map((b) => b.macs)), [y0, y1] = range(known.map((b) => b.top1));
    const x = (b) => left + ((b.macs - x0) / (x1 - x0 || 1)) * (w - left - pad);
    const y = (b) => h - pad - 8 - ((b.top1 - y0) / (y1 - y0 || 1)) * (h - 2 * pad);
    const ns = "http" + "://www.w3.org/2000/svg";
    const put = (tag, attributes, text) => {
      const element = document.createElementNS(ns, tag);
      Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
      if (text !== undefined) element.textContent = text;
      svg.append(element);
    };
    const svg = document.createElementNS(ns, "svg");
    svg.setAttribute("viewBox", `0 0 ${w} ${h}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `Accuracy from ${y0.toFixed(1)} to ${y1.toFixed(1)} percent for ${macs(x0)} to ${macs(x1)} multiply-accumulates`);
    put("polyline", { class: "path", points: known.map((b) => `${x(b)},${y(b)}`).join(" ") });
    known.forEach((b) => put("circle", { class: b === here ? "dot here" : "dot", cx: x(b), cy: y(b), r: b === here ? 6 : 2.5 }));
    put("text", { x: left, y: h - 6 }, macs(x0));
    put("text", { x: w - pad, y: h - 6, "text-anchor": "end" }, macs(x1) + " MACs");
    put("text", { x: 6, y: y({ top1: y1 }) + 4 }, y1.toFixed(1) + " %");
    put("text", { x: 6, y: y({ top1: y0 }) + 4 }, y0.toFixed(1) + " %");
    at("curve").append(svg);
  }

  function take(blob) {
    if (!blob) return;
    chosen = blob;
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    image.alt = "The image asked about" + (blob.name ? ": " + blob.name : "");
    image.hidden = false;
    at("hint").textContent = "Another one: drop it, paste it, or";
    ask();
  }

  async function ask(reveal = true) {
    if (!chosen || !model) return;
    const mine = ++turn;
    at("answer").setAttribute("aria-busy", "true");
    try {
      const query = `trace=true&top_k=5&model=${encodeURIComponent(model.name)}&${budgets[Number(slider.value)].query}`;
      const said = await call("v1/predict?" + query, {
        method: "POST",
        headers: { "content-type": "application/octet-stream" },
        body: chosen,
      });
      if (mine !== turn) return;
      complain();
      await answer(said.predictions[0], mine, reveal && !still.matches);
    } catch (error) {
      if (mine !== turn) return;
      at("said").textContent = "No answer.";
      at("exits").replaceChildren();
      at("top").hidden = true;
      complain(error);
    } finally {
      if (mine === turn) at("answer").removeAttribute("aria-busy");
    }
  }

  // Exits come in the rhythm of their cost, stretched so that one can follow; times measured on a busy machine
  // say less.
  async function answer(said, mine, reveal) {
    at("exits").replaceChildren();
    at("top").hidden = true;
    const whole = said.trace.at(-1);
    let before = 0;
    for (const exit of said.trace) {
      if (reveal) {
        at("said").textContent = `Exit ${exit.exit} …`;
        await pause((900 * (exit.macs - before)) / whole.macs);
        if (mine !== turn) return;
      }
      before = exit.macs;
      at("exits").append(row(exit, said));
    }
    at("said").textContent = `${said.class}, ${percent(said.confidence)} sure, at exit ${said.exit}: ${macs(said.macs)} MACs, ${percent(said.macs / whole.macs, 0)} of the whole network, ${said.ms.toFixed(1)} ms ${window.offramp ? "in this browser" : "with the queue"}.`;
    at("likeliest").replaceChildren(...said.top_k.map((c) => {
      const tr = make("tr"), th = make("th", "", c.class);
      th.scope = "row";
      tr.append(th, make("td", "", percent(c.probability)));
      return tr;
    }));
    at("top").hidden = false;
  }

  function row(exit, said) {
    const li = make("li", exit.exit === said.exit ? "taken" : exit.exit > said.exit ? "beyond" : "");
    const note = exit.exit === said.exit ? " – the answer" : exit.exit > said.exit ? " – would not have been computed" : "";
    const bar = make("div", "bar"), fill = make("i");
    fill.style.width = 100 * exit.confidence + "%";
    bar.setAttribute("aria-hidden", "true");
    bar.append(fill);
    li.dataset.exit = exit.exit;
    li.append(make("span", "", "Exit " + exit.exit), make("span", "what", `${exit.class}, ${percent(exit.confidence)}${note}`), bar,
      make("span", "price", `${macs(exit.macs)} MACs, ${exit.ms.toFixed(2)} ms alone`));
    return li;
  }

  async function openCamera() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      return complain("The camera cannot be used: " + (error.message || error.name || error));
    }
    complain();
    camera.srcObject = stream;
    await camera.play();
    cameraOpen(true);
    at("take").focus();
  }

  function cameraOpen(open) {
    camera.hidden = at("take").hidden = at("close-camera").hidden = !open;
    at("open-camera").hidden = open;
    image.hidden = open || !chosen;
  }

  function closeCamera() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = camera.srcObject = null;
    cameraOpen(false);
    at("open-camera").focus();
  }

  function shoot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [camera.videoWidth, camera.videoHeight];
    canvas.getContext("2d").drawImage(camera, 0, 0);
    canvas.toBlob((blob) => { closeCamera(); take(blob); }, "image/png");
  }

  let later;
  slider.oninput = () => {
    budget();
    clearTimeout(later);
    later = setTimeout(() => ask(false), 120);
  };
  // Emptied, so that the same file can be chosen again after another image.
  file.onchange = () => {
    take(file.files[0]);
    file.value = "";
  };
  at("open-camera").onclick = openCamera;
  at("close-camera").onclick = closeCamera;
  at("take").onclick = shoot;
  at("use-key").onclick = () => { key = at("key").value.trim(); start(); };
  const drop = at("drop");
  for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => take(event.dataTransfer.files[0]));
  document.addEventListener("paste", (event) => take([...event.clipboardData.files].find((f) => f.type.startsWith("image/"))));
  start();
})();
