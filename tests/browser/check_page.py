"""Uses the service's page in headless Chromium as a person would, by mouse and by keyboard.

Usage: check_page.py PROGRAM RUN PICTURES [FOLDER for screenshots]

PROGRAM is the built `offramp`, RUN a run folder with `calibrate.json`; PICTURES a folder of PNG files, a
run's `gallery.json` or records of CIFAR-100 (`test.bin`).

Fails when the console says anything, when another host is asked, when a control has no name, when the
answer on the page is not the one of the API, when the slider changes neither numbers nor exit, or when
the page is wider than the screen.
"""

import functools
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import service
from chromium import VIEWS, chromium, drawing, must_be_silent, must_fit, open_view, requests, screenshot
from pictures import pictures
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = 40
UPLOADED = 10

# When each exit came: they answer one after another, and no look from outside is quick enough to tell.
WATCH = """
window.came = [];
new MutationObserver(() => {
  const count = document.querySelectorAll('#exits li').length;
  if (count > window.came.length) window.came.push([count, performance.now()]);
}).observe(document.getElementById('exits'), {childList: true});
"""


def text(driver, name):
    return driver.find_element(By.ID, name).text


# One look at the page; a new answer may replace elements at any time.
STATE = """
const exits = [...document.querySelectorAll('#exits li')];
const taken = document.querySelector('#exits li.taken');
const text = (e) => e.innerText.replaceAll('\\u00a0', ' ');
return {said: text(document.getElementById('said')), exits: exits.map(text),
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


def upload(driver, picture):
    driver.find_element(By.ID, "file").send_keys(str(picture))


def budget(point):
    """Whole MACs, as the page asks."""
    return -int(-point["mean_macs"] // 1)


def says(expected):
    """Whether the page shows this answer."""
    begin, middle = f"{expected['class']}, {100 * expected['confidence']:.1f} %", f"at exit {expected['exit']}:"
    return lambda state: state["said"].startswith(begin) and middle in state["said"]


def must_say(exits, taken, expected):
    """What each exit says on the page is what the API says of it."""
    assert taken == expected["exit"], (taken, expected)
    for shown, exit in zip(exits, expected["trace"], strict=True):
        assert exit["class"] in shown and f"{100 * exit['confidence']:.1f} %" in shown, (shown, exit)


def differing(curve, paths, ask):
    """A picture that the two ends of the curve answer at different exits, a first one if there is."""
    ends = [f"max_macs={budget(curve[at])}" for at in (0, -1)]
    found = [(cheap, path) for path in paths
             if (cheap := ask(ends[0], path)["exit"]) < ask(ends[1], path)["exit"]]
    assert found, "the two ends of the curve answer each picture at the same exit"
    return min(found)[1]


def one_after_another(driver, picture):
    """Exits appear in their order, and so that one can follow."""
    driver.execute_script(WATCH)
    upload(driver, picture)
    _, _, exits = answered(driver)
    came = driver.execute_script("return window.came")
    assert [count for count, _ in came] == list(range(1, len(exits) + 1)), came
    assert len(exits) > 1 and came[-1][1] - came[0][1] > 200, f"the exits come all at once: {came}"
    assert not text(driver, "error"), text(driver, "error")


def slider(driver, curve, picture, ask):
    """By the slider alone, numbers and exit change, and are those of the API at both ends and in between."""
    last = int(driver.find_element(By.ID, "slider").get_attribute("max"))
    assert last == len(curve) - 1, (last, len(curve))
    found = {}
    for place in sorted({0, last // 2, last}):
        numbers = slide(driver, place)
        expected = ask(f"max_macs={budget(curve[place])}&trace=true", picture)
        _, taken, exits = answered(driver, says(expected))
        must_say(exits, taken, expected)
        found[place] = (numbers, taken)
    first, final = found[0], found[last]
    assert first[0] != final[0], "the slider changes no number"
    assert first[1] < final[1], f"the slider changes no exit: {found}"
    return f"exit {first[1]} at {first[0][0]} MACs, exit {final[1]} at {final[0][0]} MACs"


def look(driver, url, view, curve, picture, ask):
    name, width, height, scheme = view
    open_view(driver, url, width, height, scheme)
    WebDriverWait(driver, 60).until(lambda d: d.find_element(By.ID, "slider").is_enabled())
    one_after_another(driver, picture)
    told = slider(driver, curve, picture, ask)
    must_fit(driver, name, width, scheme)
    print(f"{name}: {told}, as the API says")


def show(driver, view, path, folder, curve, ask):
    """A screenshot with the slider in the middle and a picture that may be shown."""
    # The page reads it again at every move of the slider.
    picture = Path(folder) / "drawing.png"
    picture.write_bytes(drawing(driver))
    place = len(curve) // 2
    slide(driver, place)
    upload(driver, picture)
    answered(driver, says(ask(f"max_macs={budget(curve[place])}", picture)))
    driver.execute_script("document.activeElement.blur()")
    screenshot(driver, path, view[1])


def uploads(driver, curve, paths, ask):
    """Pictures one after another, each answered as the API answers it."""
    place = len(curve) // 2
    slide(driver, place)
    exits = []
    for path in paths:
        expected = ask(f"max_macs={budget(curve[place])}&trace=true", path)
        upload(driver, path)
        _, taken, said = answered(driver, says(expected))
        must_say(said, taken, expected)
        exits.append(taken)
    print(f"{len(paths)} pictures uploaded, exits {exits}, as the API says")


def damaged(driver):
    """A file that is no picture is refused in words, and the next picture works."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(b"no picture")
        file.flush()
        upload(driver, file.name)
        WebDriverWait(driver, 20).until(lambda d: text(d, "error"))
        assert "image" in text(driver, "error"), text(driver, "error")
    # Chromium notes every answer of 4xx on the console; this one was asked for.
    must_be_silent(driver, expected=["422"])


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
    others = [asked for asked in requests(driver) if urlsplit(asked).netloc != urlsplit(url).netloc]
    assert not others, others


def main():
    program, run, source = sys.argv[1:4]
    screenshots = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    with tempfile.TemporaryDirectory() as folder, chromium() as driver, service.service(program, run) as url:
        curve = service.model(url)["curve"]
        ask = functools.partial(service.ask, url)
        paths = pictures(source, PICTURES, folder)
        picture = differing(curve, paths, ask)
        for view in VIEWS:
            look(driver, url, view, curve, picture, ask)
            if screenshots:
                show(driver, view, screenshots / f"serve-{view[0]}.png", folder, curve, ask)
            must_be_silent(driver)
        uploads(driver, curve, paths[:UPLOADED], ask)
        keyboard(driver)
        camera(driver)
        damaged(driver)
        only_its_own_host(driver, url)
        print("nothing on the console, no other host asked")


if __name__ == "__main__":
    main()
