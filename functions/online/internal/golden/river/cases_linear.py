"""Linear models: golden_test.go of package linear makes the same ones."""

from river import linear_model, optim, preprocessing


def predictions(model):
    def case(stream):
        m = model()
        for x, y in stream:
            yield m.predict_one(x)
            m.learn_one(x, y)

    return case


def sgd(lr=0.01, **parameters):
    return linear(optim.SGD(lr), **parameters)


def linear(optimizer, **parameters):
    return predictions(
        lambda: preprocessing.StandardScaler()
        | linear_model.LinearRegression(optimizer=optimizer.clone(), **parameters)
    )


loss = optim.losses
CASES = {
    "linear-sgd": predictions(lambda: preprocessing.StandardScaler() | linear_model.LinearRegression()),
    "linear-clipped": sgd(0.005, intercept_lr=0.02, intercept_init=600.0, clip_gradient=1000.0),
    "linear-momentum": linear(optim.Momentum(0.001)),
    "linear-adagrad": linear(optim.AdaGrad(1.0), intercept_lr=0.05),
    "linear-adam": linear(optim.Adam(0.5, beta_1=0.8, beta_2=0.99)),
    "linear-l1": sgd(l1=0.05),
    "linear-l2": sgd(l2=0.01),
    "linear-absolute": linear(optim.AdaGrad(2.0), loss=loss.Absolute(), intercept_lr=1.0),
    "linear-huber": linear(optim.Momentum(0.01, rho=0.5), loss=loss.Huber(20.0), intercept_lr=0.1),
    "linear-quantile": linear(optim.Adam(0.3), loss=loss.Quantile(0.9), intercept_lr=1.0, l2=0.001),
}


def bayesian(scaled=False, **parameters):
    def model():
        m = linear_model.BayesianLinearRegression(**parameters)
        return preprocessing.StandardScaler() | m if scaled else m

    return predictions(model)


CASES |= {
    "bayesian": bayesian(),
    "bayesian-scaled": bayesian(scaled=True, alpha=0.1, beta=0.01),
    "bayesian-smoothing": bayesian(smoothing=0.999),
}
