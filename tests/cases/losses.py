"""Every loss form of an experiment, and the losses that analyses are tried on."""

from typing import get_args

from grokinterp.losses import CrossEntropyForm, LossForm, cross_entropy, squared_error

FORMS = get_args(LossForm)
LOW_FORMS = ("float16", "bfloat16")
"""The cross-entropies of the softmax that round to 11 and 8 bits."""

SOFTMAX_FORMS = tuple(form for form in get_args(CrossEntropyForm) if form not in ("stablemax", *LOW_FORMS))
"""The cross-entropies of the softmax, which differ only in rounding."""

LOSSES = {"softplus": cross_entropy, "mse": squared_error}
"""The per-example function of each loss that analyses are tried on."""
