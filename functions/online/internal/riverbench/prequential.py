"""River's demo pipelines on recorded trips, each label learned when its trip ended.

    python prequential.py SAMPLES [MODEL ...]

SAMPLES is what `go run ./local --samples FILE` writes. It writes a line of JSON for each
model when that is done. `riverbench prequential` and `riverbench backtest` run it, and our
models beside it; progressive.py takes it apart for the golden numbers.

It is River's own evaluate.progressive_val_score that asks, waits, judges and teaches. What
is ours is what the demo does around a model. Learning updates the scaler and then the
model; predicting changes nothing, because the demo predicts on a copy that it throws away.
From River 0.19 on that is what a pipeline does; in 0.13 it takes two context managers, one
of which matters to learning alone and one to predicting. Predictions are clipped at 0.
"""

import contextlib
import csv
import datetime as dt
import gzip
import json
import pickle
import sys
import time

import river
from river import base, compose, linear_model, metrics, neighbors, preprocessing, tree
from river.evaluate import progressive_val_score

FEATURES = ["passenger_count", "is_weekend", "l1_distance", "avg_speed_by_hour", "hour_cos", "hour_sin"]

learning = getattr(compose, "warm_up_mode", contextlib.nullcontext)
predicting = getattr(compose, "pure_inference_mode", contextlib.nullcontext)

MODELS = {
    "linear-regression": lambda: linear_model.LinearRegression(),
    "decision-tree": lambda: tree.HoeffdingAdaptiveTreeRegressor(max_depth=20, seed=1),
}
if river.__version__.startswith("0.13."):
    # From 0.18 on the default is an approximate search without a seed, and the exact
    # search of 0.24 to 0.26 returns the farthest neighbours.
    MODELS["nearest-neighbors"] = lambda: neighbors.KNNRegressor()


class Served(base.Regressor):
    """A pipeline as the demo serves it, with the features apart from when they were asked."""

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def predict_one(self, x):
        return max(self.pipeline.predict_one(x["features"]), 0)

    def learn_one(self, x, y):
        self.pipeline.learn_one(x["features"], y)


def microseconds(text):
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return (dt.datetime.fromisoformat(text.replace("Z", "+00:00")) - epoch) // dt.timedelta(microseconds=1)


def read(path):
    with gzip.open(path, "rt") if open(path, "rb").read(2) == b"\x1f\x8b" else open(path) as f:
        for row in csv.DictReader(f):
            at = microseconds(row["picked_up_at"])
            x = {name: float(row[name]) for name in FEATURES if row[name] != ""}
            # Whole numbers: River copies every x, and a datetime takes it longer.
            yield {"at": at, "delay": microseconds(row["dropped_off_at"]) - at, "features": x}, float(row["duration_s"])


def build(name):
    return preprocessing.StandardScaler() | MODELS[name]()


def evaluate(served, samples):
    metric = metrics.MAE() + metrics.RMSE() + metrics.R2()
    with learning(), predicting():
        progressive_val_score(samples, served, metric, moment="at", delay="delay")
    mae, rmse, r2 = metric.get()
    return {"count": len(samples), "mae": mae, "rmse": rmse, "r2": r2}


def main(path, *names):
    samples = list(read(path))
    for name in names or MODELS:
        model = build(name)
        start = time.perf_counter()
        result = evaluate(Served(model), samples)
        result |= {"seconds": time.perf_counter() - start, "state_bytes": len(pickle.dumps(model))}
        print(json.dumps({"name": name, "river": river.__version__, **result}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
