"""Pictures for the checks, as PNG files."""

import base64
import json
import struct
import zlib
from pathlib import Path


def pictures(source, count, folder):
    """Paths of at most `count` pictures, spread over the source: a folder of PNG files, a run's
    `gallery.json`, or a file of records of CIFAR-100. The last two are written into `folder`."""
    source = Path(source)
    if source.is_dir():
        paths = spread(sorted(source.glob("*.png")), count)
    elif source.suffix == ".json":
        found = spread(json.loads(source.read_text())["pictures"], count)
        paths = write(folder, [base64.b64decode(picture["png"]) for picture in found])
    else:
        # 3074 bytes a record: two labels, then three planes of 32 x 32.
        records = source.read_bytes()
        starts = spread(range(2, len(records), 3074), count)
        paths = write(folder, [png([records[at + 1024 * plane:][:1024] for plane in range(3)]) for at in starts])
    assert paths, f"{source} holds no picture"
    return paths


def spread(items, count):
    return items[::max(1, len(items) // count)][:count]


def write(folder, images):
    paths = [Path(folder) / f"{i:03}.png" for i in range(len(images))]
    for path, image in zip(paths, images):
        path.write_bytes(image)
    return paths


def png(planes, side=32):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(
        b"\0" + b"".join(bytes(pixel) for pixel in zip(*(plane[y * side:][:side] for plane in planes)))
        for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
