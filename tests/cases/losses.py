"""Every loss form of an experiment, and the losses that analyses are tried on."""

from typing import get_args

from grokinterp.losses import CrossEntropyForm, LossForm, cross_entropy, squared_error

FORMS = get_args(LossForm)
SOFTMAX_FORMS = tuple(form for form in get_args(CrossEntropyForm) if form != "stablemax")
"""The cross-entropies of the softmax, which differ only in rounding."""

LOSSES = {"softplus": cross_entropy, "mse": squared_error}
"""The per-example function of each loss that analyses are tried on."""
