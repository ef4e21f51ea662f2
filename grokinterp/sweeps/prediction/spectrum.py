"""The spectral signature of an early loss curve: its energy at low frequencies."""

import math

import numpy as np
from jaxtyping import Float
from scipy.signal import detrend
from scipy.signal.windows import hann

LOWEST = 0.1
"""The share of the frequencies, the lowest of them, whose energy is the signature."""

LEAST_ENERGY = 1e-24
"""Energies below this number count as this number, so that a straight line has a logarithm."""


def low_frequency_energy(loss: Float[np.ndarray, " evaluation"]) -> float:
    """Return log Σ_k |ĝ_k|² / n² over the lowest tenth of the frequencies k ≥ 1, where g is the loss.

    From the loss at its n evaluations a straight line is subtracted, and the rest multiplied by a Hann window before
    the Fourier transform. Evaluations that are not finite are left out.

    Source: after Notsawo et al. 2023, who predict grokking from oscillations of the early loss, measured by the
    low-frequency part of its Fourier transform; window, line and band are ours.

    >>> slow, fast = (np.cos(np.arange(100) * rate) for rate in (0.2, 2.0))
    >>> low_frequency_energy(slow) > low_frequency_energy(fast) + 5
    True
    """
    known = loss[np.isfinite(loss)]
    if len(known) < 3:
        return math.log(LEAST_ENERGY)
    amplitudes = np.fft.rfft(detrend(known) * hann(len(known), sym=False)) / len(known)
    last = max(int(LOWEST * len(amplitudes)), 1)
    return math.log(max(float(np.sum(np.abs(amplitudes[1 : last + 1]) ** 2)), LEAST_ENERGY))
