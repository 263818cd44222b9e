"""Transformers, by the sum of what they give, and what a linear model makes of it."""

from river import feature_extraction, linear_model, preprocessing


def total(transformer):
    def case(stream):
        t = transformer()
        for x, _ in stream:
            t.learn_one(x)
            yield sum(t.transform_one(x).values())

    return case


def predictions(model):
    def case(stream):
        m = model()
        for x, y in stream:
            yield m.predict_one(x)
            m.learn_one(x, y)

    return case


CASES = {
    "scaler": total(preprocessing.StandardScaler),
    "polynomial": total(lambda: feature_extraction.PolynomialExtender(degree=3)),
    "polynomial-interactions": total(
        lambda: preprocessing.StandardScaler()
        | feature_extraction.PolynomialExtender(degree=4, interaction_only=True, include_bias=True)
    ),
    "polynomial-bayesian": predictions(
        lambda: preprocessing.StandardScaler()
        | feature_extraction.PolynomialExtender(include_bias=True)
        | linear_model.BayesianLinearRegression()
    ),
}
