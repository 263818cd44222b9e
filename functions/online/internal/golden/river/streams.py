"""The streams that golden vectors are made on. streams.go makes the same events.

taxi      trips as SplitMix64 makes them: six features, one event in twenty lacks one
friedman  river.datasets.synth.FriedmanDrift, with labels rounded to three decimals, so
          that the last bits of a sine do not matter; its concept changes twice
trump     river.datasets.TrumpApproval, read twenty times: five features of almost
          equal worth and a slow trend. The ordinal date is left out.
"""

import itertools

from river import datasets
from river.datasets import synth

EVENTS = 20_000
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


def taxi(n=EVENTS):
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


def friedman(n=EVENTS):
    stream = synth.FriedmanDrift(drift_type="gra", position=(7_000, 14_000), seed=42)
    for x, y in itertools.islice(stream, n):
        # String keys that sort as the numbers do: some models sort them.
        yield {f"x{i}": v for i, v in x.items()}, round(y, 3)


def trump(n=EVENTS):
    rows = list(datasets.TrumpApproval())
    for i in range(n):
        x, y = rows[i % len(rows)]
        x = dict(x)
        del x["ordinal_date"]
        yield x, y


STREAMS = {"taxi": taxi, "friedman": friedman, "trump": trump}
