"""The rule that classifies a network as clock, pizza, mixed, or additive."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PARALLEL = 0.98
"""Smallest gradient symmetricity g of the sum type: (1 - g)/2 ≤ 1 % of the gradient distinguishes a from b."""

OBLIQUE = 0.5**0.5
"""Largest gradient symmetricity of a clock: cos² ≤ ½, so at most half of a squared gradient lies along the other."""

MARGIN = 0.01
"""A verdict is close to another verdict if g is within this distance of the threshold between them."""

CERTAIN = 3.0
"""Distance between g and a threshold, in standard errors, that determines on which side g lies."""

PREFERENCE = (1 - 8 / torch.pi**2) / 2
"""Threshold of the template preference: half the preference of an exact pizza for pizzas over clocks."""

CLOSE_PREFERENCE = 0.02
"""A verdict by templates is close to the other verdict if the preference is within this distance of the threshold."""

KINDS = ("clock", "pizza", "mixed", "additive")
"""The kinds of circuits that the rule distinguishes."""


class Judged(NamedTuple):
    """The kind of the network (none if g is needed but unknown), and the other kinds close to the evidence."""

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
    """Return the kind of a network that is known to answer by frequencies.

    A network that adds its operands before the first nonlinearity does not multiply them. Without attention it is
    "additive". With attention, which then only adds, it is a pizza if single pizzas explain clearly more than single
    clocks of the logits of each key frequency's circle, and otherwise also "additive". All other networks are
    classified by g: pizza from 0.98, clock up to 0.707, and mixed in between. If g is within three standard errors of
    0.98, the templates decide. If the architecture is unknown, a low g has several possible causes, and only "pizza"
    is assigned.

    Args:
        g: gradient symmetricity, NaN if it is not defined.
        error: standard error of g.
        preference: the value of ``templates.preference``.
        adds_operands: whether the model adds its operands before the first nonlinearity; None: unknown.
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
    """Return pizza or additive, by the templates."""
    never = torch.zeros_like(preference, dtype=torch.bool)
    is_pizza = preference >= PREFERENCE
    close = (preference - PREFERENCE).abs() < CLOSE_PREFERENCE
    return Judged(
        torch.stack([never, is_pizza, never, ~is_pizza]),
        torch.stack([never, close & ~is_pizza, never, close & is_pizza]),
    )


def by_gradients(g: Float[Tensor, ""], error: Float[Tensor, ""], preference: Float[Tensor, ""]) -> Judged:
    """Return clock, pizza or mixed, by the gradients; none if g is NaN."""
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
    """Return whether the sample determines on which side of both thresholds g lies.

    >>> settles(0.75, 0.01), settles(0.75, 0.02)
    (True, False)
    """
    return all(abs(g - threshold) > CERTAIN * error for threshold in (PARALLEL, OBLIQUE))
