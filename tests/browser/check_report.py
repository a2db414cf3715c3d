"""Opens a report in headless Chromium and looks at every chart and every picture.

Usage: check_report.py REPORT RUN... [--screenshots FOLDER]

REPORT is `offramp report RUN... -o REPORT`, opened as a file. What must be on it follows from what the run
folders hold, read here without offramp. Fails when a chart or a picture is missing, not drawn or not
described, when the console says anything, when something is asked of a network, or when the page is
wider than the screen.
"""

import argparse
import collections
import json
from pathlib import Path

from chromium import VIEWS, chromium, must_be_silent, must_fit, open_view, requests, set_size

# Series are told by colour: those of the legend, above the axis, and those that are drawn beside it.
CHARTS = """
const box = (e) => e.getBoundingClientRect();
const colour = (e) => ['fill', 'stroke'].map(name => e.getAttribute(name)).find(c => c && c !== 'none');
const others = ['#FFFFFF', '#1B1C1E', '#DFE1E5', '#6B7078'];
return [...document.querySelectorAll('figure')].map(figure => {
  const svg = figure.querySelector('svg');
  if (!svg) return {id: figure.id, width: 0};
  const edge = box(svg), text = (name) => svg.querySelector(':scope > ' + name)?.textContent;
  const ink = [...svg.querySelectorAll('polyline[stroke="#1B1C1E"]')].map(box);
  const upright = ink.find(b => b.height > edge.height / 2);
  // Bars that lie have names in its place, and one row of a legend.
  const axis = upright ?? {top: edge.top + 0.1 * edge.height, left: edge.left};
  const marks = [...svg.querySelectorAll('polyline, circle, polygon, rect, line')]
    .filter(e => !others.includes(colour(e)) && box(e).width + box(e).height > 0);
  const colours = (list) => [...new Set(list.map(colour))].sort();
  const inside = (e) => box(e).left > axis.left - 6 && box(e).right <= edge.right && box(e).bottom <= edge.bottom;
  return {id: figure.id, width: edge.width, height: edge.height, title: text('title'), description: text('desc'),
          legend: colours(marks.filter(e => box(e).bottom < axis.top)),
          drawn: colours(marks.filter(e => box(e).bottom >= axis.top && inside(e))),
          names: svg.textContent, rows: figure.querySelectorAll('tbody tr').length};
});
"""

PICTURES = """
return [...document.querySelectorAll('section.run')].map(run => [...run.querySelectorAll('.gallery h4')].map(section => ({
  title: section.textContent,
  pictures: [...section.nextElementSibling.querySelectorAll('li')].map(li => {
    const img = li.querySelector('img'), box = img.getBoundingClientRect();
    return {drawn: img.complete && img.naturalWidth > 0 && box.width > 40 && box.height > 40,
            said: li.textContent, name: img.alt};
  }),
})));
"""


def read(run, name):
    path = run / name
    return json.loads(path.read_text()) if path.exists() else None


def expected_charts(runs):
    """The charts that the files of the runs give, by id."""
    charts = {"accuracy-macs", "calibration-error"}
    if any(read(run, "latency.json") for run in runs):
        charts.add("accuracy-ms")
    for place, run in enumerate(runs):
        charts |= {f"run-{place}-{name}" for name in run_charts(run)}
    return charts


def run_charts(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if "terms" in line]
    yield "loss"
    yield "train-top1"
    families = {term.rsplit("/", 1)[0] if term.rsplit("/", 1)[-1].isdigit() else term
                for line in trained for term in line["terms"]}
    yield from (f"term-{at}" for at in range(len(families)))
    if any(line["kind"] == "eval" for line in lines):
        yield "validation"
    scalars = {name for line in trained for name in line.get("scalars", ())}
    rows = {name.split("/")[1] for name in scalars if name.startswith("teacher/")}
    yield from (f"teacher-{row}" for row in rows)
    yield from (f"scalar-{at}" for at in range(len([name for name in scalars if not name.startswith("teacher/")])))
    samples = read(run, "rows.json")
    if samples:
        yield from (f"reliability-{exit}" for exit in range(len(samples["exits"])))
        if samples.get("taken"):
            yield "classes"


def expected_shelves(run):
    """How many pictures stand under each heading."""
    gallery = read(run, "gallery.json") or {"pictures": []}
    return collections.Counter(
        f"Left at exit {p['exit']}, {'right' if p['prediction'] == p['label'] else 'wrong'}" for p in gallery["pictures"])


def look_at_charts(driver, name, runs):
    charts = driver.execute_script(CHARTS)
    found, expected = {chart["id"] for chart in charts}, expected_charts(runs)
    assert found == expected, f"{name}: missing {sorted(expected - found)}, not expected {sorted(found - expected)}"
    for chart in charts:
        assert chart["width"] > 100 and chart["height"] > 80, (name, chart)
        assert chart["title"] and chart["description"], (name, chart)
        assert chart["drawn"] and set(chart["legend"]) <= set(chart["drawn"]) and chart["rows"] > 0, (name, chart)
    legend = next(chart["names"] for chart in charts if chart["id"] == "accuracy-macs")
    assert (": budgets" in legend) == any(read(run, "calibrate.json") for run in runs), legend
    single = any(len(read(run, "eval.json")["exits"]) == 1 for run in runs)
    assert ("(single exit)" in legend) == single, legend
    return len(charts)


def look_at_pictures(driver, name, runs):
    count = 0
    for run, sections in zip(runs, driver.execute_script(PICTURES), strict=True):
        found = collections.Counter({section["title"]: len(section["pictures"]) for section in sections})
        assert found == expected_shelves(run), (name, run, found)
        for section in sections:
            for picture in section["pictures"]:
                assert picture["drawn"] and picture["name"], (name, section["title"], picture)
                assert ("taken for" in picture["said"]) == section["title"].endswith("wrong"), (name, section["title"], picture)
        count += found.total()
    return count


def check(driver, page, runs, view):
    name, width, height, scheme = view
    open_view(driver, page, width, height, scheme)
    charts, pictures = look_at_charts(driver, name, runs), look_at_pictures(driver, name, runs)
    must_fit(driver, name, width, scheme)
    ground = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    paper = driver.execute_script("return getComputedStyle(document.querySelector('svg rect')).fill")
    assert ground == paper, f"{name}: a chart on {paper} in a page on {ground}"
    must_be_silent(driver)
    others = [asked for asked in requests(driver) if asked.split("#")[0] != page]
    assert not others, (name, others)
    print(f"{name}: {len(runs)} runs, {charts} charts, {pictures} pictures, nothing on the console, no request")


def show(driver, view, folder):
    """The top of the page, the charts of the first run, and its gallery if there is one."""
    name, width, height, _ = view
    set_size(driver, width, height)
    driver.execute_script("scrollTo(0, 0)")
    driver.save_screenshot(str(folder / f"report-{name}.png"))
    if name != "light":
        return
    for part, selector in (("run", "section.run"), ("gallery", ".gallery")):
        found = driver.execute_script(
            "const e = document.querySelector(arguments[0]); if (e) e.scrollIntoView(); return Boolean(e);", selector)
        if found:
            driver.save_screenshot(str(folder / f"report-{part}.png"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--screenshots", type=Path)
    arguments = parser.parse_args()
    page = arguments.report.resolve().as_uri()
    with chromium() as driver:
        for view in VIEWS:
            check(driver, page, arguments.runs, view)
            if arguments.screenshots:
                show(driver, view, arguments.screenshots)


if __name__ == "__main__":
    main()
