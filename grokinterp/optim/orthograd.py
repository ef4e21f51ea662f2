"""OrthoGrad: gradient descent without rescaling of the weights."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float

from grokinterp.lazy import Tensor, torch
from grokinterp.optim.filter import GradientFilter, Memory

ROUNDING = 1e-6
"""Share of the gradient that is indistinguishable from rounding."""


@dataclass(frozen=True, kw_only=True)
class OrthoGrad(GradientFilter):
    """The part of the gradient orthogonal to the weights, rescaled to the length of the gradient.

    g⊥ = g - (⟨w, g⟩ / ⟨w, w⟩) w, then g⊥ ‖g‖ / ‖g⊥‖, per parameter, computed in float64. If g is parallel to w, ‖g⊥‖ ≤
    1e-6 ‖g‖, the remainder is rounding error and is not rescaled. If w = 0, or the parameter has one element and hence
    no orthogonal part, g is unchanged.

    Source: Prieto et al. 2025, §5 (⊥Grad); docs/formulas.md, Accelerators.
    """

    about: ClassVar[str] = "keeps the part of the gradient orthogonal to the weights, rescaled to the gradient's norm"
    has_memory: ClassVar[bool] = False

    kind: Literal["orthograd"] = "orthograd"

    def __call__(
        self, gradient: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"], memory: Memory = None
    ) -> tuple[Float[Tensor, "*shape"], Memory]:
        if gradient.numel() == 1:
            return gradient, None
        g, w = gradient.double(), weight.double()
        square = w.square().sum()
        across = g - (w * g).sum() / torch.where(square > 0, square, 1.0) * w
        whole, left = g.square().sum().sqrt(), across.square().sum().sqrt()
        scale = torch.where(left > ROUNDING * whole, whole / left, 1.0)
        return (across * scale).to(gradient.dtype), None
