"""Headless Chromium: how it is started, how a view is set, and what holds of every page in every view.

Needs Debian's packages chromium and chromium-driver, and selenium 4 (Debian's python3-selenium is enough).
"""

import base64
import contextlib
import json

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

# Name, width, height, colour scheme.
VIEWS = [
    ("light", 1280, 1000, "light"),
    ("dark", 1280, 1000, "dark"),
    ("phone", 390, 844, "light"),
]

# Without the flags of the middle line Chromium looks for its maker's hosts when it starts.
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
]

# Accessible names as far as a page without labels by other means has them.
NAMELESS = """
return [...document.querySelectorAll('button, input, select, a, video:not([hidden])')].filter(e => {
  const label = [...(e.labels || [])].map(l => l.textContent).join('');
  return !(e.getAttribute('aria-label') || label || e.textContent || '').trim();
}).map(e => e.outerHTML);
"""

# A landscape, so that the documentation shows a picture of nobody else's.
DRAWING = """
const c = document.createElement('canvas'); [c.width, c.height] = [240, 240];
const g = c.getContext('2d'), sky = g.createLinearGradient(0, 0, 0, 240);
sky.addColorStop(0, '#5b8fd0'); sky.addColorStop(1, '#f2e2c8');
g.fillStyle = sky; g.fillRect(0, 0, 240, 240);
const shape = (colour, ...points) => {
  g.fillStyle = colour; g.beginPath(); points.forEach(([x, y]) => g.lineTo(x, y)); g.fill();
};
shape('#8b97ad', [0, 240], [0, 160], [45, 125], [95, 175], [200, 115], [240, 140], [240, 240]);
shape('#6a768f', [-60, 240], [125, 70], [310, 240]);
shape('#f6f8fb', [125, 70], [81, 110], [104, 104], [120, 120], [140, 102], [168, 110]);
shape('#4f6b52', [0, 240], [0, 205], [80, 180], [150, 205], [240, 170], [240, 240]);
return c.toDataURL('image/png').split(',')[1];
"""


@contextlib.contextmanager
def chromium():
    """A browser that is closed at the end, and whose console and requests are kept."""
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()


def drawing(driver):
    """PNG bytes of a picture that may be shown."""
    return base64.b64decode(driver.execute_script(DRAWING))


def open_view(driver, url, width, height, scheme):
    """Loads a page on a screen of this size and colour scheme."""
    set_size(driver, width, height)
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    driver.get(url)


def set_size(driver, width, height):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def screenshot(driver, path, width, least=0):
    """The whole page, at least so high, when nothing moves any more."""
    height = driver.execute_script("scrollTo(0, 0); return document.documentElement.scrollHeight")
    set_size(driver, width, max(height, least))
    WebDriverWait(driver, 20).until(lambda d: d.execute_script("return !document.getAnimations().length"))
    driver.save_screenshot(str(path))


def must_fit(driver, name, width, scheme):
    """Nothing wider than the screen, every control named, the ground of the colour scheme."""
    nameless = driver.execute_script(NAMELESS)
    assert not nameless, (name, nameless)
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, f"{name}: the page is {wide} pixels wide, the screen {width}"
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light"), (name, ground)


def must_be_silent(driver, expected=()):
    """Nothing on the console since the last look, but for messages that hold one of the words."""
    said = [entry for entry in driver.get_log("browser") if not any(word in entry["message"] for word in expected)]
    assert not said, said


def requests(driver):
    """The addresses asked for since the last look, data and blobs of the page's own left out."""
    asked = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith(("data:", "blob:")):
                asked.append(url)
    return asked
