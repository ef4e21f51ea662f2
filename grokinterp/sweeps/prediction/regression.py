"""Linear regression on times of which some are only known to be later than the last observation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import log_ndtr

RIDGE = 1.0
"""Weight of ½ Σδ² in the objective: the prior of every slope, over the noise, is a standard normal distribution."""

FEWEST = 3
"""Least number of observed times; with fewer, the prediction is the latest time."""

SHARPEST = 1e3
"""Largest precision 1/σ, so that times without noise have an optimum."""


class Line(NamedTuple):
    """A linear predictor y = mean + Σ_f slope_f (x_f − center_f) / scale_f, with noise of standard deviation sigma."""

    mean: float
    slopes: Float[np.ndarray, " feature"]
    center: Float[np.ndarray, " feature"]
    scale: Float[np.ndarray, " feature"]
    sigma: float

    def parts(self, x: Float[np.ndarray, " feature"]) -> Float[np.ndarray, " feature"]:
        """Return what each feature adds to the mean."""
        return self.slopes * (x - self.center) / self.scale

    def at(self, x: Float[np.ndarray, " feature"]) -> float:
        """Return the prediction."""
        return self.mean + float(self.parts(x).sum())


def constant(value: float, n_features: int) -> Line:
    """Return the line that predicts a value whatever the features are."""
    return Line(value, np.zeros(n_features), np.zeros(n_features), np.ones(n_features), 1.0)


def fit_line(
    x: Float[np.ndarray, "run feature"], y: Float[np.ndarray, " run"], observed: Bool[np.ndarray, " run"]
) -> Line:
    """Fit a linear regression with normal noise to right-censored values, with a ridge penalty.

    The features are standardized. With γ = 1/σ and δ = γ · coefficients, the objective
    −Σ_observed [log γ − ½(γy − xδ)²] − Σ_censored log Φ(xδ − γy) + ½ Σ_slopes δ² is convex, so that the optimum is
    unique. A feature without variation has slope 0.

    Source: Tobin 1958; Olsen 1978 for γ and δ.

    Args:
        x: the features.
        y: the values; where not observed, the values above which they are.
        observed: whether each value was observed.
    """
    center, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-12, scale, np.inf)
    if observed.sum() < FEWEST:
        return constant(float(y.max()), x.shape[1])
    middle = float(y[observed].mean())
    z, t = np.hstack([np.ones((len(x), 1)), (x - center) / scale]), y - middle

    def objective(theta: Float[np.ndarray, " parameter"]) -> tuple[float, Float[np.ndarray, " parameter"]]:
        delta, gamma = theta[:-1], theta[-1]
        gaps = gamma * t - z @ delta
        mills = np.where(observed, 0.0, np.exp(-0.5 * gaps**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-gaps)))
        value = np.sum(np.where(observed, 0.5 * gaps**2 - np.log(gamma), -log_ndtr(-gaps)))
        pull = np.where(observed, gaps, mills)
        slope = -z.T @ pull + RIDGE * np.array([0.0, *delta[1:]])
        return (
            float(value + 0.5 * RIDGE * np.sum(delta[1:] ** 2)),
            np.array([*slope, float(pull @ t) - observed.sum() / gamma]),
        )

    start = np.array([*np.zeros(z.shape[1]), 1 / max(float(t[observed].std()), 1e-3)])
    bounds = [(None, None)] * z.shape[1] + [(1e-3, SHARPEST)]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    delta, sigma = found.x[:-1], 1 / found.x[-1]
    return Line(middle + float(sigma * delta[0]), sigma * delta[1:], center, scale, float(sigma))
