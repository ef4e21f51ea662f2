"""Fit lines and parabolas to logarithms of times, some of which are only known to exceed a bound."""

from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

ITERATIONS = 60
CLOSE = 1e-9
"""Gain of the log-likelihood per iteration at which the fit ends."""


class Fit(NamedTuple):
    """Least squares with censoring for a batch of samples: coefficients [sample, column], deviation and likelihood."""

    coefficients: np.ndarray
    deviation: np.ndarray
    likelihood: np.ndarray


def censored_fit(design: np.ndarray, values: np.ndarray, observed: np.ndarray) -> Fit:
    """Return the maximum-likelihood fit of normal values of constant deviation, right-censored where not observed.

    With γ = β/σ and θ = 1/σ the log-likelihood Σ_observed (log θ - (θ y - xγ)²/2) + Σ_censored log Φ(xγ - θ y) is
    concave, so that Newton's method with shortened steps finds its maximum. A censored value counts as everything
    above it, not as a value.

    Source: Tobin 1958; docs/formulas.md, "Boundaries".

    Args:
        design: [run, column].
        values: [sample, run], the value or the bound that it exceeds.
        observed: [sample, run], whether the value is known.

    >>> x = np.array([[1.0, 0], [1, 1], [1, 2], [1, 3]])
    >>> censored_fit(x, np.array([[1.0, 2.1, 2.9, 4.0]]), np.ones((1, 4), bool)).coefficients.round(2).tolist()
    [[1.03, 0.98]]
    """
    n_samples, columns = len(values), design.shape[1]
    full = np.concatenate([np.broadcast_to(design, (n_samples, *design.shape)), -values[:, :, None]], axis=2)
    start = np.linalg.lstsq(design, values.T, rcond=None)[0].T
    spread = np.maximum(np.std(values - start @ design.T, axis=1), 1e-3)
    point = np.concatenate([start / spread[:, None], 1 / spread[:, None]], axis=1)
    likelihood = likelihood_of(point, full, observed)
    for _ in range(ITERATIONS):
        step = newton_step(point, full, observed)
        length = np.ones((n_samples, 1))
        for _ in range(40):
            tried = point + length * step
            found = likelihood_of(tried, full, observed)
            worse = ~(found >= likelihood - CLOSE)
            if not worse.any():
                break
            length[worse] /= 2
        better = found > likelihood
        gain = float(np.max(np.where(better, found - likelihood, 0.0), initial=0.0))
        point, likelihood = np.where(better[:, None], tried, point), np.where(better, found, likelihood)
        if gain < CLOSE:
            break
    scale = point[:, columns:]
    return Fit(point[:, :columns] / scale, 1 / scale[:, 0], likelihood)


def likelihood_of(point: np.ndarray, full: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the log-likelihood of every sample without its constant; -inf where θ is not positive."""
    u, scale = np.einsum("snc,sc->sn", full, point), point[:, -1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.where(observed, np.log(np.maximum(scale, 0)) - u * u / 2, log_ndtr(u))
    total = parts.sum(axis=1)
    return np.where(scale[:, 0] > 0, total, -np.inf)


def newton_step(point: np.ndarray, full: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return Newton's step of every sample."""
    u, scale = np.einsum("snc,sc->sn", full, point), point[:, -1]
    mills = np.exp(-u * u / 2 - np.log(2 * np.pi) / 2 - log_ndtr(u))
    gradient = np.einsum("sn,snc->sc", np.where(observed, -u, mills), full)
    gradient[:, -1] += observed.sum(axis=1) / scale
    weight = np.where(observed, 1.0, np.maximum(mills * (mills + u), 0))
    hessian = np.einsum("sn,snc,snd->scd", weight, full, full)
    hessian[:, -1, -1] += observed.sum(axis=1) / scale**2
    hessian += 1e-10 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] * np.eye(hessian.shape[1])
    return np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
