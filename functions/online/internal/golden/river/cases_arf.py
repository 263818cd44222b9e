"""Adaptive random forests: predictions, and the trees at the end.

The lines are, for every tree, its number, the drifts and the warnings it has seen, and
its nodes as cases_tree.py gives them; then the size of the pickle.
"""

import pickle

from river import forest, preprocessing

from cases_tree import lines


class ARFRegressor(forest.ARFRegressor):
    """River with the mean of weighted predictions as it must be meant.

    With weights, which sum to 1, River 0.26.1 divides the weighted sum by the number of
    trees again. It does not hand min_samples_split on to its trees either, which makes
    no difference here.
    """

    def predict_one(self, x):
        if self.disable_weighted_vote or self.aggregation_method == "median":
            return super().predict_one(x)
        return super().predict_one(x) * (self.n_models if len(self) else 1)


def learn(model, stream):
    pipeline = preprocessing.StandardScaler() | model
    for x, y in stream:
        yield pipeline.predict_one(x)
        pipeline.learn_one(x, y)
    end = []
    for i, tree in enumerate(model):
        end.append(f"tree {i} drifts {model.n_drifts_detected(i)} warnings {model.n_warnings_detected(i)}")
        end.extend(lines(tree._root) if tree._root else [])
    end.append(f"pickle {len(pickle.dumps(model))}")
    yield end


def arf(stream):
    yield from learn(ARFRegressor(n_models=5, grace_period=100, seed=42), stream)


def arf_weighted(stream):
    model = ARFRegressor(
        n_models=4,
        max_features=3,
        aggregation_method="mean",
        lambda_value=2,
        disable_weighted_vote=False,
        grace_period=200,
        max_depth=6,
        leaf_prediction="mean",
        seed=7,
    )
    yield from learn(model, stream)


CASES = {"arf": arf, "arf_weighted": arf_weighted}
