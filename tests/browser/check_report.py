"""Opens a report in headless Chromium and looks at every chart.

Usage: check_report.py report.html [FOLDER for screenshots]

Needs Debian's packages chromium and chromium-driver, and selenium 4. Fails when the console says
anything, when something is asked of a network, when a chart is not drawn or not described, or when the
page is wider than the screen.
"""

import json
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

LOOK = """
return [...document.querySelectorAll('figure')].map(figure => {
  const svg = figure.querySelector('svg');
  const box = svg ? svg.getBoundingClientRect() : {width: 0, height: 0};
  const text = name => (svg && svg.querySelector(':scope > ' + name) || {}).textContent || '';
  const marks = svg ? svg.querySelectorAll('polyline, circle, rect, polygon, line').length : 0;
  return {id: figure.id, width: box.width, height: box.height, title: text('title'),
          description: text('desc'), marks: marks, rows: figure.querySelectorAll('tbody tr').length};
});
"""

VIEWS = [
    ("light", 1280, 900, "light"),
    ("dark", 1280, 900, "dark"),
    ("phone", 390, 844, "light"),
]


def browser():
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def requests(driver, page):
    """What was asked for beside the page itself and the data in it."""
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if url != page and not url.startswith("data:"):
                yield url


def check(driver, page, name, width, height, scheme, screenshots):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    driver.get(page)
    charts = driver.execute_script(LOOK)
    assert charts, "the report has no charts"
    for chart in charts:
        assert chart["width"] > 100 and chart["height"] > 80, (name, chart)
        assert chart["title"] and chart["description"], (name, chart)
        assert chart["marks"] > 0 and chart["rows"] > 0, (name, chart)
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, f"{name}: the page is {wide} pixels wide, the screen {width}"
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    paper = driver.execute_script("return getComputedStyle(document.querySelector('svg rect')).fill")
    assert ground == paper, f"{name}: a chart on {paper} in a page on {ground}"
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light"), (name, ground)
    said = driver.get_log("browser")
    assert not said, (name, said)
    asked = list(requests(driver, page))
    assert not asked, (name, asked)
    if screenshots:
        driver.save_screenshot(str(screenshots / f"report-{name}.png"))
    return len(charts)


def main():
    page = Path(sys.argv[1]).resolve().as_uri()
    screenshots = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    driver = browser()
    try:
        for view in VIEWS:
            charts = check(driver, page, *view, screenshots)
            print(f"{view[0]}: {charts} charts, nothing on the console, no request")
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
