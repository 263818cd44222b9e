"""Writes statsmodels.json beside this file: series, and what statsmodels says of
their mean with the variance of Newey and West.

    pip install statsmodels==0.15.0 && python golden.py
"""

import json
import math
import pathlib

import numpy as np
import statsmodels.api as sm


def series():
    r = np.random.default_rng(20160101)
    yield "independent, barely enough", r.normal(2, 10, 30)
    yield "independent", r.normal(0, 30, 150)
    noise = r.normal(0, 5, 300)
    correlated = [noise[0]]
    for e in noise[1:]:
        correlated.append(0.7 * correlated[-1] + e)
    yield "correlated", np.array(correlated) + 1
    noise = r.normal(0, 5, 251)
    yield "alternating", noise[1:] - 0.8 * noise[:-1] - 0.5
    yield "heavy tails", r.standard_t(2.1, 500) * 1e6 - 2e5
    yield "far from 0", r.normal(1e4, 1, 120)
    yield "trend", np.linspace(-3, 9, 90) + r.normal(0, 1, 90)


cases = []
for name, d in series():
    lags = int(4 * (len(d) / 100) ** (2 / 9) + 1e-9)
    fit = sm.OLS(d, np.ones(len(d))).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags, "kernel": "bartlett", "use_correction": False}, use_t=False
    )
    low, high = fit.conf_int(0.05)[0]
    cases.append(
        {
            "name": name,
            "differences": [float(v) for v in d],
            "lags": lags,
            "mean": float(fit.params[0]),
            "statistic": float(fit.tvalues[0]),
            "p": float(fit.pvalues[0]),
            "low": float(low),
            "high": float(high),
        }
    )
    assert math.isfinite(cases[-1]["p"])
out = pathlib.Path(__file__).with_name("statsmodels.json")
out.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
