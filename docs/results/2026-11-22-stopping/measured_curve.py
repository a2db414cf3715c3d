"""Accuracy on the test rows against measured milliseconds, for MSDNet's budget search and for ours.

Usage: measured_curve.py PROGRAM RUN [DATA] > curve.csv
For each budget: thresholds from the validation rows, accuracy on the test rows (`offramp calibrate`), then the time of
one picture and of a picture in a batch of 32 with these thresholds (`offramp bench`), and those of the same backbone
with its last exit alone, measured in turn with them.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

BUDGETS = [40, 45, 50, 55, 60, 65, 70, 75, 80, 90]


def offramp(program, *arguments):
    done = subprocess.run([program, *map(str, arguments), "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main(program, run, *data):
    place = ["--data", *data] if data else []
    points = []
    for budget in BUDGETS:
        made = offramp(program, "calibrate", run, "--max-macs", f"{budget}%", *place)
        points.append(("ours", made["policy"], made["scored"]))
    curve = offramp(program, "calibrate", run, *place)
    shape = curve["policy"]
    for row in curve["rows"][::3]:
        policy = json.loads(json.dumps(shape))
        policy["policy"]["thresholds"] = row["thresholds"]
        policy["expected"] = {**policy["expected"], "thresholds": row["thresholds"]}
        points.append(("msdnet", policy, row))
    print("search,macs_share,test_top1,ms_one,ms_in_32,ms_one_single,ms_in_32_single")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "policy.json"
        for search, policy, point in points:
            path.write_text(json.dumps(policy))
            options = ["--policy", path, "--batch", "1,32", "--seconds", 0.4]
            found = offramp(program, "bench", run, *options, *place)["measurements"]
            ms = [1e3 / found[i][key]["images_per_second"] for key in ("policy", "single") for i in (0, 1)]
            share = found[0]["policy"]["macs_share"]
            print(f"{search},{share:.4f},{point['top1']:.2f}," + ",".join(f"{x:.4f}" for x in ms), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
