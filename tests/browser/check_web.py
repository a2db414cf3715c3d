"""Uses a folder of `just web RUN` in headless Chromium and compares its answers with the program's.

Usage: check_web.py PROGRAM RUN FOLDER PICTURES [FOLDER for screenshots]

PROGRAM is the built `offramp`, FOLDER what `just web RUN` made, PICTURES a file of records of CIFAR-100
(`test.bin`). Needs Debian's packages chromium and chromium-driver, and selenium 4.

For 40 pictures, for every exit and at both ends of the curve: class and exit are those of `offramp predict
--json`, probabilities differ by at most 1e-4. A large JPEG, which the program and the browser decode with
programs of their own, may differ by 0.02. Damaged plans and other bad input must be errors in words. Then
the page itself, as a person would use it.
"""

import base64
import functools
import http.server
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from check_page import NAMELESS, VIEWS, answered, browser, camera, damaged, keyboard, only_its_own_host, slide, text
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = 40
TOLERANCE = 1e-4

ASK = """
const [query, base64, done] = arguments;
const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
window.offramp("v1/predict?" + query, {body: new Blob([bytes])})
  .then((said) => done(said.predictions[0]), (error) => done({error: error.message}));
"""

MODEL = "const done = arguments[0]; window.offramp('v1/models').then((said) => done(said.models[0]));"

# When each exit appeared, in milliseconds.
WATCH = """
const list = document.getElementById('exits'); window.seen = [];
new MutationObserver((changes) => changes.forEach((c) => c.addedNodes.forEach(() => window.seen.push(performance.now()))))
  .observe(list, {childList: true});
"""


def budget(point):
    """Whole MACs, as the page asks."""
    return -int(-point["mean_macs"] // 1)


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def write_png(path, planes, side=32):
    import struct
    import zlib

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    red, green, blue = (planes[c * side * side:][:side * side] for c in range(3))
    rows = b"".join(
        b"\0" + b"".join(bytes(pixel) for pixel in zip(*(plane[y * side:][:side] for plane in (red, green, blue))))
        for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def test_pictures(file, folder):
    """Pictures spread over the file, 3074 bytes a record: two labels, three planes."""
    records = file.read_bytes()
    count = len(records) // 3074
    paths = []
    for i in range(PICTURES):
        record = records[i * (count // PICTURES) * 3074:][:3074]
        paths.append(folder / f"{i:02}.png")
        write_png(paths[-1], record[2:])
    return paths


def predict(program, run, paths, *options):
    said = subprocess.run(
        [program, "predict", run, *options, "--json", *paths], check=True, capture_output=True, text=True)
    return json.loads(said.stdout)["predictions"]


def ask(driver, query, path):
    picture = base64.b64encode(path.read_bytes()).decode()
    return driver.execute_async_script(ASK, query, picture)


def compare(driver, query, paths, expected, tolerance=TOLERANCE):
    """Largest difference of a probability."""
    largest = 0
    for path, native in zip(paths, expected, strict=True):
        found = ask(driver, query, path)
        assert "error" not in found, (path, found)
        for name in ("label", "class", "exit", "macs"):
            assert found[name] == native[name], (query, path.name, name, found, native)
        largest = max(largest, abs(found["probability"] - native["confidence"]))
    assert largest <= tolerance, (query, largest)
    return largest


def policy_file(run, folder, thresholds):
    """The run's policy with other thresholds, as a file for the program."""
    policy = json.loads((run / "policy.json").read_text())
    policy["policy"]["thresholds"] = policy["expected"]["thresholds"] = thresholds
    path = folder / "policy.json"
    path.write_text(json.dumps(policy))
    return path


def same_answers(driver, program, run, paths, folder):
    taken = predict(program, run, paths)
    largest = compare(driver, "", paths, taken)
    print(f"policy.json: {len(paths)} pictures, exits {[t['exit'] for t in taken]}, probabilities within {largest:.1e}")
    for exit in driver.execute_async_script(MODEL)["exits"]:
        native = predict(program, run, paths, "--exit", str(exit["exit"]))
        largest = compare(driver, f"exit={exit['exit']}", paths, native)
        print(f"exit {exit['exit']}: within {largest:.1e}, {exit['ms']:.2f} ms a picture in the browser")
    rows = json.loads((run / "calibrate.json").read_text())["rows"]
    rows.sort(key=lambda row: row["mean_macs"])
    for row in (rows[0], rows[len(rows) // 2], rows[-1]):
        policy = policy_file(run, folder, row["thresholds"])
        native = predict(program, run, paths, "--policy", policy)
        largest = compare(driver, f"max_macs={budget(row)}", paths, native)
        mean = sum(n["macs"] for n in native) / len(native)
        print(f"{row['mean_macs'] / 1e6:.1f} M MACs: within {largest:.1e}, these pictures cost {mean / 1e6:.1f} M")


def other_sizes(driver, program, run, folder):
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
        largest = compare(driver, "", [path], predict(program, run, [path]), tolerance)
        print(f"451 x 300 {kind}: within {largest:.1e}")


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


def look(driver, url, name, width, height, scheme, picture, screenshots):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    driver.get(url)
    WebDriverWait(driver, 60).until(lambda d: d.find_element(By.ID, "slider").is_enabled())
    nameless = driver.execute_script(NAMELESS)
    assert not nameless, nameless
    driver.execute_script(WATCH)
    driver.find_element(By.ID, "file").send_keys(str(picture))
    _, _, exits = answered(driver)
    times = driver.execute_script("return window.seen")
    assert len(times) == len(exits) > 1, (times, exits)
    assert times[-1] - times[0] > 200, f"the exits come all at once: {times}"
    assert not text(driver, "error"), text(driver, "error")
    last = int(driver.find_element(By.ID, "slider").get_attribute("max"))
    first, final = ends(driver, last, picture)
    assert first[0] != final[0], "the slider changes no number"
    assert first[1] < final[1], f"the slider changes no exit: {first}, {final}"
    print(f"{name}: exit {first[1]} at {first[0][0]} MACs, exit {final[1]} at {final[0][0]} MACs")
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, f"{name}: the page is {wide} pixels wide, the screen {width}"
    if screenshots and name != "dark":
        slide(driver, last // 2)
        driver.execute_script("scrollTo(0, 0)")
        answered(driver)
        size = driver.execute_script("return document.documentElement.scrollHeight")
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": size})
        time.sleep(0.5)  # the last exit is still being faded in
        driver.save_screenshot(str(screenshots / ("web.png" if name == "light" else f"web-{name}.png")))


def ends(driver, last, picture):
    """What the page says with the slider at its two ends: what the module itself says there."""
    curve = driver.execute_async_script(MODEL)["curve"]
    found = []
    for place in (0, last):
        numbers = slide(driver, place)
        expected = ask(driver, f"max_macs={budget(curve[place])}&trace=true", picture)
        begin, middle = f"{expected['class']}, ", f"at exit {expected['exit']}:"
        said, taken, exits = answered(driver, lambda state: state["said"].startswith(begin) and middle in state["said"])
        for shown, exit in zip(exits, expected["trace"], strict=True):
            assert exit["class"] in shown and f"{100 * exit['probability']:.1f} %" in shown, (shown, exit)
        found.append((numbers, taken))
    return found


def differing(program, run, paths, folder):
    """A picture that the two ends of the curve answer at different exits."""
    rows = sorted(json.loads((run / "calibrate.json").read_text())["rows"], key=lambda row: row["mean_macs"])
    answers = []
    for row in (rows[0], rows[-1]):
        policy = policy_file(run, folder, row["thresholds"])
        answers.append(predict(program, run, paths, "--policy", policy))
    for path, cheap, dear in zip(paths, *answers):
        if cheap["exit"] == 0 and dear["exit"] > cheap["exit"]:
            return path
    raise AssertionError("no picture leaves earlier at the cheap end")


def main():
    program, run, folder, records = sys.argv[1], *map(Path, sys.argv[2:5])
    screenshots = Path(sys.argv[5]) if len(sys.argv) > 5 else None
    url = serve(folder)
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        paths = test_pictures(records, temporary)
        picture = differing(program, run, paths, temporary)
        driver = browser()
        driver.set_script_timeout(60)
        try:
            for view in VIEWS:
                look(driver, url, *view, picture, screenshots)
            same_answers(driver, program, run, paths, temporary)
            other_sizes(driver, program, run, temporary)
            bad_input(driver)
            keyboard(driver)
            camera(driver)
            damaged(driver)
            only_its_own_host(driver, url)
            said = driver.get_log("browser")
            assert not said, said
            print("nothing on the console, no other host asked")
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
