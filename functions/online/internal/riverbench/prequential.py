"""River's demo pipelines on recorded trips, each label learned when its trip ended.

    python prequential.py SAMPLES [MODEL ...]

SAMPLES is what `go run ./local --samples FILE` writes. It writes a line of JSON for each
model when that is done. `riverbench prequential` runs it, and our models beside it.

The order is that of stream.simulate_qa. Learning updates the scaler and then the model;
predicting changes nothing, because the demo predicts on a copy that it throws away. From
River 0.19 on that is what a pipeline does; in 0.13 it takes two context managers.
Predictions are clipped at 0, as the demo does.
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
from river import compose, linear_model, metrics, neighbors, preprocessing, stream, tree

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


def moment(text):
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def read(path):
    with gzip.open(path, "rt") if open(path, "rb").read(2) == b"\x1f\x8b" else open(path) as f:
        for row in csv.DictReader(f):
            at = moment(row["picked_up_at"])
            x = {name: float(row[name]) for name in FEATURES if row[name] != ""}
            # simulate_qa wants these within x; the models are given x["features"].
            yield {"at": at, "delay": moment(row["dropped_off_at"]) - at, "features": x}, float(row["duration_s"])


def evaluate(model, samples):
    mae, rmse, r2 = metrics.MAE(), metrics.RMSE(), metrics.R2()
    pending = {}
    for i, x, y in stream.simulate_qa(samples, moment="at", delay="delay", copy=False):
        if y is None:
            with predicting():
                pending[i] = max(model.predict_one(x["features"]), 0)
            continue
        predicted = pending.pop(i)
        for metric in (mae, rmse, r2):
            metric.update(y, predicted)
        with learning():
            model.learn_one(x["features"], y)
    return {"count": len(samples), "mae": mae.get(), "rmse": rmse.get(), "r2": r2.get()}


def main(path, *names):
    samples = list(read(path))
    for name in names or MODELS:
        start = time.perf_counter()
        model = preprocessing.StandardScaler() | MODELS[name]()
        result = evaluate(model, samples)
        result |= {"seconds": time.perf_counter() - start, "state_bytes": len(pickle.dumps(model))}
        print(json.dumps({"name": name, "river": river.__version__, **result}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
