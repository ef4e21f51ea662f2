"""Clock, pizza or something between: the rule, from gradients, templates and the model's form."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PARALLEL = 0.98
"""Gradient symmetricity of the sum type at least: (1 - g)/2 ≤ 1 % of the gradient tells a from b."""

OBLIQUE = 0.5**0.5
"""Gradient symmetricity of a clock at most: then cos² ≤ ½, and less than half of one gradient lies along the other."""

MARGIN = 0.01
"""A verdict is close to another if g is this close to their threshold."""

CERTAIN = 3.0
"""Standard errors between g and a threshold that settle on which side it is."""

PREFERENCE = (1 - 8 / torch.pi**2) / 2
"""Half of what single pizzas explain more than single clocks of the logits of an exact pizza."""

CLOSE_PREFERENCE = 0.02
"""A verdict by templates is close to the other if their preference is this close to the threshold."""

KINDS = ("clock", "pizza", "mixed", "additive")
"""What the rule tells apart."""


class Judged(NamedTuple):
    """Which kind it is, none where g is unknown and needed; which other kind the evidence is close to."""

    is_kind: Bool[Tensor, "kind"]
    is_close_to: Bool[Tensor, "kind"]


def judge(
    g: Float[Tensor, ""],
    error: Float[Tensor, ""],
    preference: Float[Tensor, ""],
    *,
    adds_operands: bool | None,
    attends: bool = True,
) -> Judged:
    """The kind of a network that is known to answer by frequencies.

    A network that adds its operands before the first nonlinearity multiplies none. Without attention it is "additive".
    With attention, which then only adds, it is a pizza if single pizzas explain clearly more than single clocks of what
    each key frequency's circle answers alone, else "additive" as well. Any other is judged by g: pizza from 0.98, clock
    up to 0.707, mixed between. Where g is within three standard errors of 0.98 the templates decide. Where the form is
    unknown a low g may come from either, so that only a pizza is named.

    Args:
        g: gradient symmetricity, NaN where it is not defined.
        error: its standard error.
        preference: from ``templates.preference``.
        adds_operands: from the model.
        attends: whether the model has attention.

    Source: docs/formulas.md, Circuit verdict.
    """
    if adds_operands:
        return by_templates(preference if attends else torch.full_like(preference, -torch.inf))
    found = by_gradients(g, error, preference)
    if adds_operands is None:
        is_pizza = torch.tensor([kind == "pizza" for kind in KINDS], device=g.device)
        return Judged(found.is_kind & is_pizza, torch.zeros_like(found.is_close_to))
    return found


def by_templates(preference: Float[Tensor, ""]) -> Judged:
    """Pizza or additive."""
    never = torch.zeros_like(preference, dtype=torch.bool)
    is_pizza = preference >= PREFERENCE
    close = (preference - PREFERENCE).abs() < CLOSE_PREFERENCE
    return Judged(
        torch.stack([never, is_pizza, never, ~is_pizza]),
        torch.stack([never, close & ~is_pizza, never, close & is_pizza]),
    )


def by_gradients(g: Float[Tensor, ""], error: Float[Tensor, ""], preference: Float[Tensor, ""]) -> Judged:
    """Clock, pizza or mixed; none where g is NaN."""
    near = torch.clamp(CERTAIN * error, min=MARGIN)
    tied = (g - PARALLEL).abs() < CERTAIN * error
    is_pizza = torch.where(tied, preference >= PREFERENCE, g >= PARALLEL)
    is_clock = g <= OBLIQUE
    is_mixed = g.isfinite() & ~is_pizza & ~is_clock
    at_pizza, at_clock = ((g - threshold).abs() < near for threshold in (PARALLEL, OBLIQUE))
    never = torch.zeros_like(is_clock)
    return Judged(
        torch.stack([is_clock, is_pizza, is_mixed, never]),
        torch.stack([at_clock & is_mixed, at_pizza & is_mixed, (at_clock & is_clock) | (at_pizza & is_pizza), never]),
    )


def settles(g: float, error: float) -> bool:
    """Whether the sample says on which side of both thresholds g is.

    >>> settles(0.75, 0.01), settles(0.75, 0.02)
    (True, False)
    """
    return all(abs(g - threshold) > CERTAIN * error for threshold in (PARALLEL, OBLIQUE))
