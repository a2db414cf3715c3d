"""Uses the service's page in headless Chromium as a person would, by mouse and by keyboard.

Usage: check_page.py URL [FOLDER for screenshots [PICTURE that the ends of the curve answer differently]]

Needs Debian's packages chromium and chromium-driver, and selenium 4 (tests/python/requirements.txt).
Fails when the console says anything, when another host is asked, when a control has no name, when the
answer on the page is not the one of the API, when the slider changes neither numbers nor exit, or when
the page is wider than the screen.
"""

import json
import struct
import sys
import tempfile
import urllib.request
import zlib
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

VIEWS = [
    ("light", 1280, 1000, "light"),
    ("dark", 1280, 1000, "dark"),
    ("phone", 390, 844, "light"),
]

# Accessible names as far as a page without labels by other means has them.
NAMELESS = """
return [...document.querySelectorAll('button, input, select, a, video:not([hidden])')].filter(e => {
  const label = [...(e.labels || [])].map(l => l.textContent).join('');
  return !(e.getAttribute('aria-label') || label || e.textContent || '').trim();
}).map(e => e.outerHTML);
"""


# When each exit came: they answer one after another, and no look from outside is quick enough to tell.
WATCH = """
window.came = [];
new MutationObserver(() => {
  const count = document.querySelectorAll('#exits li').length;
  if (count > window.came.length) window.came.push([count, performance.now()]);
}).observe(document.getElementById('exits'), {childList: true});
"""


def browser():
    options = webdriver.ChromeOptions()
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    ):
        options.add_argument(argument)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def png(colour, side=32):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\0" + bytes(colour) * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def text(driver, name):
    return driver.find_element(By.ID, name).text


def api(url, query, picture):
    request = urllib.request.Request(f"{url}v1/predict?{query}", data=picture, headers={"content-type": "application/octet-stream"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["predictions"][0]


# One look at the page; a new answer may replace elements at any time.
STATE = """
const exits = [...document.querySelectorAll('#exits li')];
const taken = document.querySelector('#exits li.taken');
return {said: document.getElementById('said').innerText, exits: exits.map(e => e.innerText),
        shares: exits.map(e => e.querySelector('.bar i').clientWidth / e.querySelector('.bar').clientWidth),
        taken: taken && Number(taken.dataset.exit), busy: document.getElementById('answer').ariaBusy};
"""


def answered(driver, ready=lambda state: True):
    """Waits for a whole answer; returns its sentence, the exit taken and what the exits say."""
    def done(driver):
        state = driver.execute_script(STATE)
        whole = state["exits"] and "sure, at exit" in state["said"] and not state["busy"]
        return state if whole and ready(state) else None
    state = WebDriverWait(driver, 20).until(done)
    for shown, share in zip(state["exits"], state["shares"], strict=True):
        percent = float(shown.split(" %")[0].split()[-1])
        assert abs(100 * share - percent) < 1.5, f"a bar of {share} for {percent} %"
    return state["said"], state["taken"], state["exits"]


def slide(driver, place):
    """By the keyboard alone."""
    slider = driver.find_element(By.ID, "slider")
    slider.send_keys(Keys.HOME)
    for _ in range(place):
        slider.send_keys(Keys.ARROW_RIGHT)
    numbers = [text(driver, name) for name in ("cost", "share", "accuracy", "leave")]
    assert slider.get_attribute("aria-valuetext").startswith(numbers[0]), numbers
    return numbers


def look(driver, url, name, width, height, scheme, screenshots, picture):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    driver.get(url)
    WebDriverWait(driver, 20).until(lambda d: d.find_element(By.ID, "slider").is_enabled())
    nameless = driver.execute_script(NAMELESS)
    assert not nameless, nameless

    driver.execute_script(WATCH)
    driver.find_element(By.ID, "file").send_keys(str(picture))
    said, exit_taken, exits = answered(driver)
    came = driver.execute_script("return window.came")
    assert [count for count, _ in came] == list(range(1, len(exits) + 1)), came
    times = [time for _, time in came]
    assert len(exits) > 1 and all(a < b for a, b in zip(times, times[1:])), came
    assert not text(driver, "error"), text(driver, "error")
    last = int(driver.find_element(By.ID, "slider").get_attribute("max"))

    with urllib.request.urlopen(f"{url}v1/model") as reply:
        curve = json.load(reply)["curve"]
    # What the page says is what the API says, at both ends of the slider and in between.
    found = {}
    for place in sorted({0, last // 2, last}):
        numbers = slide(driver, place)
        chosen = f"max_macs={-int(-curve[place]['mean_macs'] // 1)}" if curve else f"exit={place}"
        expected = api(url, f"{chosen}&trace=true", picture.read_bytes())
        sentence = f"at exit {expected['exit']}:"
        said, exit_taken, exits = answered(
            driver, lambda state: state["said"].startswith(f"{expected['class']}, ") and sentence in state["said"])
        assert exit_taken == expected["exit"], (place, said, expected)
        for shown, exit in zip(exits, expected["trace"], strict=True):
            assert exit["class"] in shown and f"{100 * exit['probability']:.1f} %" in shown, (shown, exit)
        found[place] = (numbers, exit_taken)
    first, final = found[0], found[last]
    assert first[0] != final[0], "the slider changes no number"
    assert first[1] < final[1], f"the slider changes no exit: {found}"
    print(f"{name}: exit {first[1]} at {first[0][0]} MACs, exit {final[1]} at {final[0][0]} MACs, as the API says")

    wide = driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, f"{name}: the page is {wide} pixels wide, the screen {width}"
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light"), (name, ground)
    if screenshots:
        slide(driver, last // 2)
        driver.execute_script("scrollTo(0, 0)")
        answered(driver)
        size = driver.execute_script("return document.documentElement.scrollHeight")
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "height": size})
        driver.save_screenshot(str(screenshots / f"serve-{name}.png"))


def damaged(driver):
    """A file that is no picture is refused in words, and the next picture works."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(b"no picture")
        file.flush()
        driver.find_element(By.ID, "file").send_keys(file.name)
        WebDriverWait(driver, 20).until(lambda d: text(d, "error"))
        assert "picture" in text(driver, "error"), text(driver, "error")
    # Chromium notes every answer of 4xx on the console; this one was asked for.
    noted = [entry for entry in driver.get_log("browser") if "422" not in entry["message"]]
    assert not noted, noted


def camera(driver):
    """Chromium's make-believe camera, by the keyboard."""
    before = text(driver, "said")
    driver.find_element(By.ID, "open-camera").send_keys(Keys.ENTER)
    take = driver.find_element(By.ID, "take")
    WebDriverWait(driver, 20).until(lambda d: take.is_displayed() and d.switch_to.active_element == take)
    WebDriverWait(driver, 20).until(lambda d: d.execute_script("return document.getElementById('camera').videoWidth > 0"))
    take.send_keys(Keys.ENTER)
    said, _, _ = answered(driver, lambda state: state["said"] != before)
    assert driver.switch_to.active_element.get_attribute("id") == "open-camera"
    print(f"camera: {said}")


def keyboard(driver):
    """Every control can be reached with the tab key, in the order of the page."""
    driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    reached = []
    for _ in range(12):
        # To the browser, not to an element: a field for files takes keys for a name.
        ActionChains(driver).send_keys(Keys.TAB).perform()
        reached.append(driver.switch_to.active_element.get_attribute("id"))
    places = [reached.index(name) for name in ("file", "open-camera", "slider")]
    assert places == sorted(places), reached
    live = driver.execute_script("return document.getElementById('said').getAttribute('role') === 'status'")
    assert live, "answers are not announced"
    print("keyboard: " + ", ".join(name for name in reached if name))


def only_its_own_host(driver, url):
    host = urlsplit(url).netloc
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked = urlsplit(message["params"]["request"]["url"])
            assert asked.scheme in ("data", "blob") or asked.netloc == host, asked.geturl()


def main():
    url = sys.argv[1].rstrip("/") + "/"
    screenshots = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "dull.png"
        picture.write_bytes(png((130, 100, 100)))
        if len(sys.argv) > 3:
            picture = Path(sys.argv[3]).resolve()
        driver = browser()
        try:
            for view in VIEWS:
                look(driver, url, *view, screenshots, picture)
                said = driver.get_log("browser")
                assert not said, said
            keyboard(driver)
            camera(driver)
            damaged(driver)
            only_its_own_host(driver, url)
            print("nothing on the console, no other host asked")
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
