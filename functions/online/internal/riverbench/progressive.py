"""Write what River makes of the trips of a folder, which are few, for the tests of evaluate.

    python progressive.py FOLDER

FOLDER/trips.csv.gz are samples as prequential.py reads them. FOLDER/river-VERSION.json gets,
for each model, the scores of progressive_val_score and every hundredth prediction; and the
order in which simulate_qa asks and answers made-up rows that are full of ties: "3?" is the
question of the fourth row, "3!" its answer. `riverbench golden progressive` runs it.
"""

import json
import pathlib
import random
import sys

import river
from river import stream

import prequential

EVERY, ROWS = 100, 50


class Recorded(prequential.Served):
    """Keeps every prediction, in the order of the questions."""

    def __init__(self, pipeline):
        super().__init__(pipeline)
        self.predicted = []

    def predict_one(self, x):
        self.predicted.append(super().predict_one(x))
        return self.predicted[-1]


def score(name, samples):
    served = Recorded(prequential.build(name))
    return prequential.evaluate(served, samples) | {"predictions": served.predicted[::EVERY]}


def ties():
    """Rows that are asked and answered at the same few moments, some of them at once."""
    rng, at, rows = random.Random(1), 0, []
    for _ in range(ROWS):
        at += rng.choice([0, 0, 0, 1, 2])
        rows.append({"at": at, "delay": rng.choice([0, 0, 1, 1, 2, 3, 5])})
    return rows


def order(rows):
    turns = stream.simulate_qa([(row, 1) for row in rows], moment="at", delay="delay")
    return " ".join(f"{i}{'?' if y is None else '!'}" for i, _, y in turns)


def main(folder):
    folder = pathlib.Path(folder)
    samples, rows = list(prequential.read(folder / "trips.csv.gz")), ties()
    found = {
        "models": {name: score(name, samples) for name in prequential.MODELS},
        "rows": [[row["at"], row["delay"]] for row in rows],
        "order": order(rows),
    }
    path = folder / f"river-{river.__version__}.json"
    text = json.dumps(found, indent=1)
    path.write_text(text + "\n")
    print(f"{path.name}: {len(samples)} trips, {', '.join(found['models'])}, {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
