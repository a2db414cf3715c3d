"""Uses a folder of `just web RUN` in headless Chromium and compares its answers with the service's.

Usage: check_web.py [--int8] PROGRAM RUN FOLDER PICTURES [FOLDER for screenshots]

PROGRAM is the built `offramp`, RUN a run folder with `policy.json` and `calibrate.json`, FOLDER what
`just web RUN` made of it, PICTURES as for check_page.py.

`offramp serve` and the browser compute the same plan, that of FOLDER. For 40 pictures, through the policy,
through every exit and at three places of the curve: class, exit and cost are the same at all exits, and
probabilities differ by at most 1e-4 (sums of floats in another order). With `--int8`, a plan in bytes, a value may be
rounded to the byte beside it, from which the rest of the network follows: pictures that are answered
otherwise are counted, and more than one in twenty is a failure. A large JPEG, which the service and the
browser decode with programs of their own, may differ by 0.02. Damaged plans and other bad input must be
errors in words. Then the page itself, as a person would use it.
"""

import base64
import functools
import http.server
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import service
from check_page import budget, camera, damaged, differing, keyboard, look, only_its_own_host, show, uploads
from chromium import VIEWS, chromium, must_be_silent, open_view
from pictures import pictures
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = 40
UPLOADED = 5
TOLERANCE = 1e-4
# Of answers of a plan in bytes that have another class or exit.
OTHERWISE = 0.05

ASK = """
const [query, base64, done] = arguments;
const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
window.offramp("v1/predict?" + query, {body: new Blob([bytes])})
  .then((said) => done(said.predictions[0]), (error) => done({error: error.message}));
"""

MODEL = "const done = arguments[0]; window.offramp('v1/models').then((said) => done(said.models[0]));"


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def ask(driver, query, path):
    """The page's answer about a picture."""
    picture = base64.b64encode(path.read_bytes()).decode()
    found = driver.execute_async_script(ASK, query, picture)
    assert "error" not in found, (path, found)
    return found


def decided(answer):
    """What must not differ at all: the answer's and each exit's class and cost, and the exit taken."""
    return [[said[name] for name in ("label", "class", "exit", "macs")] for said in (answer, *answer["trace"])]


def distance(found, expected):
    """Largest difference of a probability: the answer's, each exit's, the likeliest classes'."""
    def probabilities(answer):
        return [said["confidence"] for said in (answer, *answer["trace"])] + [said["probability"] for said in answer["top_k"]]
    return max(abs(a - b) for a, b in zip(probabilities(found), probabilities(expected), strict=True))


class Tally:
    """Answers of the browser beside those of the service."""

    def __init__(self):
        self.asked, self.largest, self.others = 0, 0, []

    def add(self, query, path, found, expected):
        self.asked += 1
        if decided(found) == decided(expected):
            self.largest = max(self.largest, distance(found, expected))
        else:
            self.others.append((query, path.name, found, expected))

    def judge(self, bytes_, tolerance=TOLERANCE):
        allowed = OTHERWISE * self.asked if bytes_ else 0
        assert len(self.others) <= allowed, (len(self.others), self.others[0])
        assert bytes_ or self.largest <= tolerance, self.largest

    def __str__(self):
        same = self.asked - len(self.others)
        return f"{same} of {self.asked} answers the same, probabilities of these within {self.largest:.1e}"


def same_answers(driver, url, paths, bytes_):
    """Every question of the service's that the page can ask."""
    model = driver.execute_async_script(MODEL)
    curve = model["curve"]
    # Whole MACs: the service's curve is that of `calibrate.json` too.
    places = [curve[0], curve[len(curve) // 2], curve[-1]]
    questions = ["", *(f"exit={exit['exit']}" for exit in model["exits"]), *(f"max_macs={budget(p)}" for p in places)]
    whole = Tally()
    for question in questions:
        tally, exits = Tally(), []
        for path in paths:
            query = f"{question}&trace=true&top_k=5"
            expected = service.ask(url, query, path)
            found = ask(driver, query, path)
            for t in (tally, whole):
                t.add(query, path, found, expected)
            exits.append(found["exit"])
        taken = ", ".join(f"{exits.count(k)} at exit {k}" for k in sorted(set(exits)))
        print(f"{question or 'policy.json'}: {tally} ({taken})")
    print(f"the browser beside the service, {len(questions)} questions about {len(paths)} pictures: {whole}")
    whole.judge(bytes_)


def predicts(program, run, plan, url, paths):
    """The service's own answers are those of `offramp predict`."""
    said = subprocess.run(
        [program, "predict", run, "--plan", plan, "--json", *paths], check=True, capture_output=True, text=True)
    for path, native in zip(paths, json.loads(said.stdout)["predictions"], strict=True):
        served = service.ask(url, "", path)
        assert all(served[name] == native[name] for name in ("label", "exit", "macs")), (path, served, native)
        assert abs(served["confidence"] - native["confidence"]) < 1e-6, (path, served, native)
    print(f"the service beside `offramp predict`: {len(paths)} answers the same")


def other_sizes(driver, url, folder, bytes_):
    """A picture that both must shrink, without loss and with it."""
    canvas = """
      const c = document.createElement('canvas'); [c.width, c.height] = [451, 300];
      const g = c.getContext('2d'), d = g.createImageData(451, 300);
      for (let i = 0; i < d.data.length; i += 4) {
        const x = i / 4 % 451, y = i / 4 / 451 | 0;
        d.data.set([x / 2 + 40 * Math.sin(y / 9), y / 2 + 60 * Math.sin(x / 20), 128 + 90 * Math.sin(x * y / 900), 255], i);
      }
      g.putImageData(d, 0, 0);
      return c.toDataURL(arguments[0], 0.9).split(',')[1];"""
    for kind, tolerance in (("png", TOLERANCE), ("jpeg", 0.02)):
        path = folder / f"large.{kind}"
        path.write_bytes(base64.b64decode(driver.execute_script(canvas, f"image/{kind}")))
        tally = Tally()
        tally.add(kind, path, *(answer("trace=true", path) for answer in
                                (functools.partial(ask, driver), functools.partial(service.ask, url))))
        print(f"451 x 300 {kind}: {tally}")
        if not bytes_:
            tally.judge(bytes_, tolerance)


# A module of its own, so that the page's goes on.
DAMAGE = """
const done = arguments[0];
(async () => {
  const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
  const plan = await bytes("network.plan");
  const { instance: { exports: n } } = await WebAssembly.instantiate(await bytes("offramp.wasm"));
  const ask = (name, input, ...numbers) => {
    const at = n.inbox(input.length);
    new Uint8Array(n.memory.buffer).set(input, at);
    const length = n[name](...numbers);
    return JSON.parse(new TextDecoder().decode(new Uint8Array(n.memory.buffer, n.outbox(), length)));
  };
  const text = (t) => new TextEncoder().encode(t);
  const said = [], must = (what, answer) => said.push([what, answer.error ?? null]);
  must("no network", ask("next", text("")));
  for (const length of [0, 7, 63, 64, 1000, plan.length - 1]) must("cut at " + length, ask("load_plan", plan.slice(0, length)));
  for (let at = 0; at < plan.length; at += Math.ceil(plan.length / 40)) {
    if (at > 35 && at < 64) continue;
    const damaged = plan.slice(); damaged[at] ^= 0x10;
    must("damaged at " + at, ask("load_plan", damaged));
  }
  ask("load_plan", plan);
  for (const json of ["", "{", '{"name": 3}', '{"name": "x", "policy": "{}"}', '{"other": 1}', "\\xff"]) must("run " + json, ask("load_run", text(json)));
  for (const json of ["{", '{"exit": 99}', '{"exit": -1}', '{"max_macs": 1}', '{"exit": 0, "max_macs": 1e9}', '{"policy": {"kind": "confidence", "thresholds": [0.5]}}']) must("choice " + json, ask("choose", text(json)));
  for (const [size, w, h] of [[0, 0, 0], [16, 0, 4], [16, 2, 3], [16, 65536, 65536], [15, 2, 2], [4, 4294967295, 1]]) must(`picture ${size} ${w} ${h}`, ask("begin", new Uint8Array(size), w, h));
  ask("begin", new Uint8Array(4), 1, 1);
  return { said, whole: ask("next", text("")).exit, room: n.inbox(4294967295) };
})().then(done, (error) => done({ trap: String(error) }));
"""


def bad_input(driver):
    found = driver.execute_async_script(DAMAGE)
    assert "trap" not in found, found["trap"]
    silent = [what for what, error in found["said"] if not error]
    assert not silent, silent
    assert found["whole"] == 0 and found["room"] == 0, found
    print(f"bad input: {len(found['said'])} cases, each an error in words, and then an answer")



def look_at_page(driver, page, paths, folder, screenshots):
    """The page as a person would use it; the answers expected are the module's own."""
    _, width, height, scheme = VIEWS[0]
    open_view(driver, page, width, height, scheme)
    WebDriverWait(driver, 60).until(lambda d: d.find_element(By.ID, "slider").is_enabled())
    curve = driver.execute_async_script(MODEL)["curve"]
    module = functools.partial(ask, driver)
    picture = differing(curve, paths, module)
    for view in VIEWS:
        look(driver, page, view, curve, picture, module)
        if screenshots and view[0] == "light":
            show(driver, view, screenshots / "web.png", folder, curve, module)
    uploads(driver, curve, paths[:UPLOADED], module)
    keyboard(driver)
    camera(driver)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--int8"]
    bytes_ = "--int8" in sys.argv
    program, run, folder, source = arguments[0], *map(Path, arguments[1:4])
    screenshots = Path(arguments[4]) if len(arguments) > 4 else None
    plan = folder / "network.plan"
    page = serve(folder)
    with (tempfile.TemporaryDirectory() as temporary, chromium() as driver,
          service.service(program, run, "--plan", plan) as url):
        temporary = Path(temporary)
        paths = pictures(source, PICTURES, temporary)
        look_at_page(driver, page, paths, temporary, screenshots)
        predicts(program, run, plan, url, paths)
        same_answers(driver, url, paths, bytes_)
        other_sizes(driver, url, temporary, bytes_)
        bad_input(driver)
        damaged(driver)
        only_its_own_host(driver, page)
        must_be_silent(driver)
        print("nothing on the console, no other host asked")


if __name__ == "__main__":
    main()
