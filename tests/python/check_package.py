"""The Python package beside the command line: the same class, exit and confidence for the same pictures.

Usage: check_package.py PROGRAM     (a Python with numpy, pillow and the package: pip install ./crates/deploy/python)
Trains a small network on the built-in data set, exports its plan, and asks both.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading

import numpy as np
import offramp
from PIL import Image

RECIPE = """
name = "tiny"
[data]
dataset = "generated"
val-fraction = 0.25
generated = { train = 320, test = 96 }
[model]
backbone = "resnet8"
[method]
name = "plain"
[train]
epochs = 2
batch-size = 32
"""


def main(program):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run = folder / "run"
        (folder / "recipe.toml").write_text(RECIPE)

        def command(*arguments):
            done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            return done.stdout

        command("train", folder / "recipe.toml", "--out", run)
        try:
            offramp.load(run)
        except FileNotFoundError as error:
            assert "offramp export RUN --format plan" in str(error), error
        else:
            raise AssertionError("a run without a plan was loaded")
        command("export", run, "--format", "plan")
        deepest = offramp.load(run)
        command("calibrate", run, "--max-macs", "60%")
        net = offramp.load(run, threads=2, batch=7)
        height, width = net.image_size
        random = np.random.default_rng(0)
        noise = random.integers(0, 256, (10, height, width, 3), dtype=np.uint8)
        smooth = np.linspace(0, 255, height * width * 3).reshape(1, height, width, 3)
        images = np.concatenate([noise, (smooth + 20 * np.arange(10).reshape(-1, 1, 1, 1)) % 256]).astype(np.uint8)
        files = []
        for i, image in enumerate(images):
            files.append(folder / f"{i}.png")
            Image.fromarray(image).save(files[-1])
        told = json.loads(command("predict", run, *files, "--json"))["predictions"]
        answers = net.predict(images)
        for i, row in enumerate(told):
            assert row["label"] == answers.label[i], (i, row, answers)
            assert row["class"] == net.classes[answers.label[i]]
            assert row["exit"] == answers.exit[i] and row["macs"] == answers.macs[i], (i, row, answers)
            assert abs(row["confidence"] - answers.confidence[i]) < 1e-6, (i, row, answers)
        assert set(deepest.predict(images).exit) == {net.num_exits - 1}

        exits = net.all_exits(images)
        assert exits.shape == (net.num_exits, len(images), len(net.classes))
        assert np.array_equal(exits[answers.exit, np.arange(len(images))], answers.logits)
        fixed = net.predict(images, exit=1)
        assert np.array_equal(fixed.logits, exits[1]) and set(fixed.exit) == {1}
        assert np.array_equal(net.predict(images[3]).logits[0], answers.logits[3])
        assert len(net.predict(images[:0])) == 0 and net.all_exits(images[:0]).shape[1] == 0

        card = json.loads((run / "model.json").read_text())
        mean, std = (np.array(card[key], np.float32) for key in ("mean", "std"))
        pixels = ((images / np.float32(255) - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
        close = net.predict(pixels)
        assert np.allclose(close.logits, answers.logits, atol=1e-3) and np.array_equal(close.exit, answers.exit)

        def refused(part, *arguments, **named):
            try:
                net.predict(*arguments, **named)
            except ValueError as error:
                assert part in str(error), error
            else:
                raise AssertionError(f"{part} was not refused")

        refused("takes uint8", images[..., :2])
        refused("takes uint8", images[:, :5])
        refused("float64", images.astype(np.float64))
        refused("float32 [2]", np.zeros(2, np.float32))
        refused("finite", np.full((1, 3, height, width), np.nan, np.float32))
        refused("exit 9", images, exit=9)
        refused("counted from 0", images, exit=-1)
        refused("not both", images, exit=0, policy=run / "policy.json")
        refused("nowhere.json", images, policy=folder / "nowhere.json")
        for wrong in ({"batch": 0}, {"batch": 10**15}, {"threads": 0}, {"threads": 10**9}):
            try:
                offramp.load(run, **wrong)
            except ValueError as error:
                assert "1 to" in str(error), error
            else:
                raise AssertionError(f"{wrong} was not refused")
        damaged = folder / "damaged.plan"
        content = bytearray((run / "export/f32.plan").read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        try:
            offramp.load(damaged)
        except ValueError as error:
            assert "damaged.plan" in str(error), error
        else:
            raise AssertionError("a damaged plan was loaded")

        wrong = []
        def ask():
            for _ in range(20):
                if not np.array_equal(net.predict(images).logits, answers.logits):
                    wrong.append(1)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not wrong
    print(f"offramp {offramp.__version__} for Python: {len(images)} images as on the command line, 15 refusals")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
