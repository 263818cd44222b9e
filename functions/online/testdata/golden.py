"""Write golden vectors from the real River, for golden_test.go.

    python3.11 -m venv /tmp/river
    /tmp/river/bin/pip install river==0.26.1
    /tmp/river/bin/python functions/online/testdata/golden.py

Use Python 3.11 or older: from 3.12 on, sum() is compensated. The events are not
in the files: this script and golden_test.go make the same ones from the same
SplitMix64, with nothing but additions and multiplications, so that only River's
answers need to be kept. Each line is River's prediction before it learns the
event; the last line is its prediction after all of them.
"""

import pathlib
import sys

import river
from river import linear_model, optim, preprocessing

EVENTS = 8000
MASK = (1 << 64) - 1


class SplitMix64:
    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        """The next float in [0, 1), a multiple of 2**-53."""
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53


def events(n):
    """Events that look like trips, one feature in twenty missing."""
    r = SplitMix64(2016)
    for _ in range(n):
        u = r.uniform()
        distance = 0.2 * u * u * u
        x = {
            "passenger_count": float(int(r.uniform() * 6)),
            "is_weekend": 1.0 if r.uniform() < 0.3 else 0.0,
            "l1_distance": distance,
            "avg_speed_by_hour": 1e-5 * (1.0 + r.uniform()),
            "hour_cos": 2.0 * r.uniform() - 1.0,
            "hour_sin": 2.0 * r.uniform() - 1.0,
        }
        y = 300.0 + 9000.0 * distance + 400.0 * r.uniform()
        if r.uniform() < 0.05:
            del x[list(x)[int(r.uniform() * 6)]]
        yield x, y


def write(name, model):
    path = pathlib.Path(__file__).with_name(name)
    with path.open("w") as out:
        out.write(f"# River {river.__version__}, Python {sys.version.split()[0]}: {name}\n")
        x = None
        for x, y in events(EVENTS):
            out.write(f"{model.predict_one(x)!r}\n")
            model.learn_one(x, y)
        out.write(f"{model.predict_one(x)!r}\n")
    print(path, path.stat().st_size, "bytes")


write(
    "river-linear.txt",
    preprocessing.StandardScaler() | linear_model.LinearRegression(),
)
write(
    "river-linear-clipped.txt",
    preprocessing.StandardScaler()
    | linear_model.LinearRegression(
        optimizer=optim.SGD(0.005), intercept_lr=0.02, intercept_init=600.0, clip_gradient=1000.0
    ),
)
