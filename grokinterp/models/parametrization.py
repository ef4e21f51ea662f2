"""The maximal update parametrization, μP: learning rates that keep their meaning when the width changes."""

from typing import Literal

Role = Literal["input", "hidden", "output", "vector"]
"""A weight from tokens to a width, between widths, or from a width to classes; biases and scales are vectors."""


def rate_factor(role: Role, *, fan_in: float, fan_out: float, adaptive: bool) -> float:
    """Return the factor of the learning rate of a weight in μP, relative to a network of the base width.

    ======== ============ ============
    role     Adam, AdamW  SGD
    ======== ============ ============
    input    1            fan_out
    vector   1            fan_out
    hidden   1 / fan_in   1
    output   1 / fan_in   1 / fan_in
    ======== ============ ============

    Source: Yang et al. 2022, Table 3.

    >>> rate_factor("hidden", fan_in=4.0, fan_out=4.0, adaptive=True)
    0.25

    Args:
        role: the role of the weight.
        fan_in: width of its input over the base width.
        fan_out: width of its output over the base width; 1 for classes.
        adaptive: whether the update is independent of the size of the gradient, as Adam's.
    """
    if role == "output" or (role == "hidden" and adaptive):
        return 1 / fan_in
    return fan_out if role in ("input", "vector") and not adaptive else 1.0
