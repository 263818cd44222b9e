"""Ensembles of copies that differ by chance."""

from river import ensemble, linear_model, preprocessing, tree


def bagging(member, n_models, stream):
    model = ensemble.BaggingRegressor(preprocessing.StandardScaler() | member, n_models=n_models, seed=42)
    for x, y in stream:
        yield model.predict_one(x)
        model.learn_one(x, y)


def bagging_linear(stream):
    yield from bagging(linear_model.LinearRegression(), 10, stream)


def bagging_tree(stream):
    yield from bagging(tree.HoeffdingTreeRegressor(), 3, stream)


CASES = {"bagging_linear": bagging_linear, "bagging_tree": bagging_tree}
