"""neighbors.KNNRegressor of 0.13.0, behind a StandardScaler.

0.13.0 is the last River whose default is an exact search. Its pipelines teach the scaler
when they predict; the cases spell out what later ones do. Its distance sums over a set of
strings, in an order that depends on PYTHONHASHSEED: here it is that of the stream's
features, so that the vectors are the same whenever they are made.
"""

from river import neighbors, preprocessing

RIVER = "0.13.0"


def knn(p=2, keep_far=False, **parameters):
    def case(stream):
        events = list(stream)
        keys = max((x for x, _ in events), key=len)  # of an event that lacks none

        def distance(a, b):
            # minkowski_distance of river/utils/math.py, but for the order of its sum.
            return sum(abs(a.get(k, 0.0) - b.get(k, 0.0)) ** p for k in keys if k in a or k in b)

        scaler = preprocessing.StandardScaler()
        model = neighbors.KNNRegressor(distance_func=distance, **parameters)
        for x, y in events:
            yield model.predict_one(scaler.transform_one(x))
            scaler.learn_one(x)
            x = scaler.transform_one(x)
            if keep_far:
                # 0.13.0 keeps what is nearer than min_distance_keep. Its documentation,
                # and we, keep what is farther.
                nearest = model._nn.find_nearest((x, None), 1)
                if not nearest or nearest[0][-1] >= model.min_distance_keep:
                    model._nn.append((x, y))
            else:
                model.learn_one(x, y)

    return case


CASES = {
    "knn-default": knn(),
    "knn-median": knn(window_size=200, n_neighbors=6, aggregation_method="median"),
    "knn-weighted": knn(window_size=200, n_neighbors=10, aggregation_method="weighted_mean"),
    "knn-manhattan": knn(p=1, window_size=300),
    "knn-keep": knn(window_size=150, min_distance_keep=0.5, keep_far=True),
}
