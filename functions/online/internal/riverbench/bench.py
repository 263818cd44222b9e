"""Time River's models on the events of a file.

    python bench.py EVENTS MODEL:COUNT ...

EVENTS is a CSV with a header, the label in its last column; an empty field is a missing
feature. A line of JSON for each model: microseconds a call, and the bytes of its pickle.
riverbench writes the file and runs this. bench.go does the same with ours, in the same way.

Events come in blocks of 500: all of a block are predicted and then all are learned, so
that the clock is read seldom; the first is learned only. The clock is that of the processor
time that this process has used, so that others on the machine count less. A model runs from
nothing until a second has passed, once at least, and the median of the runs counts.
Learning updates the scaler and the model, and predicting changes nothing. From River 0.19
on that is what a pipeline does; in 0.13, where it takes two context managers, they are
entered outside of what is timed.
"""

import contextlib
import csv
import json
import pickle
import statistics
import sys
import time

import river
from river import compose, drift, ensemble, linear_model, neighbors, preprocessing, tree

BLOCK = 500

learning = getattr(compose, "warm_up_mode", contextlib.nullcontext)
predicting = getattr(compose, "pure_inference_mode", contextlib.nullcontext)


def scaled(model):
    return preprocessing.StandardScaler() | model


class Detector:
    """ADWIN as if it were a model: it learns labels."""

    def __init__(self):
        self.model = drift.ADWIN()

    def learn_one(self, x, y):
        self.model.update(y)


MODELS = {
    "LinearRegression": lambda: scaled(linear_model.LinearRegression()),
    "HoeffdingTreeRegressor": lambda: scaled(tree.HoeffdingTreeRegressor()),
    "HoeffdingAdaptiveTreeRegressor": lambda: scaled(tree.HoeffdingAdaptiveTreeRegressor(max_depth=20, seed=1)),
    "KNNRegressor": lambda: scaled(neighbors.KNNRegressor()),
    "BaggingRegressor": lambda: scaled(ensemble.BaggingRegressor(linear_model.LinearRegression(), seed=1)),
    "ADWIN": Detector,
}
if river.__version__.startswith("0.13."):
    MODELS["AdaptiveRandomForestRegressor"] = lambda: scaled(ensemble.AdaptiveRandomForestRegressor(seed=1))
else:
    from river import forest

    MODELS["AdaptiveRandomForestRegressor"] = lambda: scaled(forest.ARFRegressor(seed=1))
    MODELS["AMFRegressor"] = lambda: scaled(forest.AMFRegressor(seed=1))


def read(path):
    with open(path) as f:
        rows = csv.reader(f)
        names = next(rows)[:-1]
        for row in rows:
            yield {name: float(v) for name, v in zip(names, row) if v != ""}, float(row[-1])


def run(model, events):
    """Returns the seconds an event that learning took, and predicting."""
    learn = predict = 0.0
    clock = time.process_time
    for i in range(0, len(events), BLOCK):
        block = events[i : i + BLOCK]
        if i > 0 and hasattr(model, "predict_one"):
            with predicting():
                start = clock()
                for x, _ in block:
                    model.predict_one(x)
                predict += clock() - start
        with learning():
            start = clock()
            for x, y in block:
                model.learn_one(x, y)
            learn += clock() - start
    return learn / len(events), predict / (len(events) - BLOCK)


def measure(new, events):
    runs, start = [], time.perf_counter()
    while not runs or time.perf_counter() - start < 1:
        model = new()
        runs.append(run(model, events))
    return {
        "learn_us": statistics.median(r[0] for r in runs) * 1e6,
        "predict_us": statistics.median(r[1] for r in runs) * 1e6,
        "state_bytes": len(pickle.dumps(getattr(model, "model", model))),
    }


def main(path, *wanted):
    events = list(read(path))
    for name, count in (w.split(":") for w in wanted):
        if name in MODELS:
            print(json.dumps({"name": name, **measure(MODELS[name], events[: int(count)])}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
