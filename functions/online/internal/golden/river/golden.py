"""Write golden vectors from the real River.

    task golden                       # all of them, in throw-away environments

or, by hand, for the cases of one family:

    python3.11 -m venv .task/river-0.26.1
    .task/river-0.26.1/bin/pip install river==0.26.1
    .task/river-0.26.1/bin/python functions/online/internal/golden/river/golden.py linear

Use Python 3.11 or older: from 3.12 on, sum() is compensated.

A family is a module beside this one, cases_FAMILY.py, with a dict CASES: a name and a
function that takes a stream of (x, y) and yields a float for every event, mostly the
prediction before the event is learned. Its RIVER is the version the cases are made with
(0.26.1 if it has none), or a dict of versions by case. A function may end with a list of
lines, such as the structure of a tree, which go into a text file.

../vectors/CASE.STREAM.gz holds float64s, little-endian: the first 2,000 values one by
one and then the sum of every ten, added in their order, so that every value counts.
"""

import gzip
import importlib
import pathlib
import struct
import sys

import river

from streams import STREAMS

SINGLE, BLOCK = 2_000, 10
VECTORS = pathlib.Path(__file__).resolve().parent.parent / "vectors"


def run(case, stream):
    values, lines = [], None
    for value in case(stream):
        if isinstance(value, list):
            lines = value
        else:
            values.append(float(value))
    return values, lines


def folded(values):
    yield from values[:SINGLE]
    for i in range(SINGLE, len(values), BLOCK):
        total = 0.0
        for value in values[i : i + BLOCK]:
            total += value
        yield total


def write(name, values, lines):
    VECTORS.mkdir(exist_ok=True)
    data = b"".join(struct.pack("<d", v) for v in folded(values))
    path = VECTORS / f"{name}.gz"
    path.write_bytes(gzip.compress(data, mtime=0))
    print(f"{path.name}: {len(values)} values, {path.stat().st_size} bytes, River {river.__version__}", flush=True)
    if lines is not None:
        (VECTORS / f"{name}.txt").write_text("\n".join(lines) + "\n")


def main(families):
    for family in families:
        module = importlib.import_module(f"cases_{family}")
        versions = getattr(module, "RIVER", "0.26.1")
        for name, case in module.CASES.items():
            version = versions if isinstance(versions, str) else versions.get(name, "0.26.1")
            if version != river.__version__:
                continue
            for stream, events in STREAMS.items():
                write(f"{name}.{stream}", *run(case, events()))


if __name__ == "__main__":
    main(sys.argv[1:])
