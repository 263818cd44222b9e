"""Ensembles of copies that differ by chance."""

from river import ensemble, linear_model, preprocessing


def bagging_linear(stream):
    member = preprocessing.StandardScaler() | linear_model.LinearRegression()
    model = ensemble.BaggingRegressor(member, n_models=10, seed=42)
    for x, y in stream:
        yield model.predict_one(x)
        model.learn_one(x, y)


CASES = {"bagging_linear": bagging_linear}
