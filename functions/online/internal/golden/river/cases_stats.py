"""Statistics of the labels, and metrics of a model that predicts the label before."""

import math

from river import metrics, stats, utils


class Rolling(utils.Rolling):
    """utils.Rolling, counted anew from the window each time that all of it has been
    replaced, as ours is. River's own keeps every error of rounding for ever: after 280
    polls its variance is off by 1e-12, and after a very large number by anything."""

    def __init__(self, cls, window_size, **kwargs):
        super().__init__(cls, window_size, **kwargs)
        self.fresh = lambda: cls(**kwargs)
        self.updates = 0

    def update(self, *args):
        super().update(*args)
        self.updates += 1
        if self.updates % self.window_size == 0:
            self.obj = self.fresh()
            for old, _ in self.window:
                self.obj.update(*old)


def statistic(new):
    def case(stream):
        s = new()
        for _, y in stream:
            s.update(y)
            yield s.get()

    return case


def metric(new, of=lambda y: y):
    def case(stream):
        m, before = new(), 0.0
        for _, y in stream:
            y = of(y)
            m.update(y, before)
            before = y
            yield m.get()

    return case


CASES = {
    "mean": statistic(stats.Mean),
    "var": statistic(stats.Var),
    "rolling-mean": statistic(lambda: Rolling(stats.Mean, window_size=100)),
    "rolling-var": statistic(lambda: Rolling(stats.Var, window_size=30, ddof=0)),
    "quantile-10": statistic(lambda: stats.Quantile(0.1)),
    "quantile-50": statistic(lambda: stats.Quantile(0.5)),
    "quantile-99": statistic(lambda: stats.Quantile(0.99)),
    "rolling-quantile": statistic(lambda: stats.RollingQuantile(0.9, 101)),
    "rolling-median": statistic(lambda: stats.RollingQuantile(0.5, 40)),
    "mae": metric(metrics.MAE),
    "rmse": metric(metrics.RMSE),
    "r2": metric(metrics.R2),
    # Friedman's labels go below 0, where the logarithm of 1+y soon ends.
    "rmsle": metric(metrics.RMSLE, of=math.fabs),
    "rolling-mae": metric(lambda: Rolling(metrics.MAE, window_size=100)),
    "rolling-rmse": metric(lambda: Rolling(metrics.RMSE, window_size=50)),
    "rolling-r2": metric(lambda: Rolling(metrics.R2, window_size=200)),
}
