"""Egalitarian gradient descent: equal speed along every singular direction."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float

from grokinterp.lazy import Tensor, torch
from grokinterp.optim.filter import GradientFilter, Memory
from grokinterp.optim.matrices import as_matrices


@dataclass(frozen=True, kw_only=True)
class EGD(GradientFilter):
    """G ← (G Gᵀ)^-½ G, the gradient with all singular values set to one: U Vᵀ for G = U S Vᵀ.

    Singular values below rank · ε · the largest, which are indistinguishable from rounding, become 0, so that null
    directions stay null. ``as_matrices`` defines the matrices: a vector is a matrix with one row, g / ‖g‖, and the
    matrices of heads are treated separately. A non-finite gradient is unchanged.

    Source: Pasand and Dohmatob 2025 (EGD).

    >>> EGD()(torch.tensor([[4.0, 0.0], [0.0, -0.5]]), torch.zeros(2, 2))[0]
    tensor([[ 1.,  0.],
            [ 0., -1.]])
    """

    about: ClassVar[str] = "sets all singular values of the gradient to one"
    has_memory: ClassVar[bool] = False

    kind: Literal["egd"] = "egd"

    def __call__(
        self, gradient: Float[Tensor, "*shape"], weight: Float[Tensor, "*shape"], memory: Memory = None
    ) -> tuple[Float[Tensor, "*shape"], Memory]:
        if not gradient.numel():
            return gradient, None
        finite = gradient.isfinite().all()
        wide = torch.where(finite, gradient, 0.0).to(torch.promote_types(gradient.dtype, torch.float32))
        even = polar(as_matrices(wide), torch.finfo(gradient.dtype).eps).reshape(gradient.shape)
        return torch.where(finite, even.to(gradient.dtype), gradient), None


def polar(matrix: Float[Tensor, "*batch row column"], eps: float) -> Float[Tensor, "*batch row column"]:
    """Return U Vᵀ over the singular values above max(row, column) · eps · the largest."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    smallest = max(matrix.shape[-2:]) * eps * values[..., :1]
    return (left * (values > smallest).to(values.dtype).unsqueeze(-2)) @ right
