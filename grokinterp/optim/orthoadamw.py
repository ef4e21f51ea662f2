"""AdamW on gradients orthogonal to the weights."""

from typing import Any

from torch import Tensor
from torch.optim import AdamW
from torch.optim.optimizer import ParamsT

from grokinterp.optim.filtering import filtered
from grokinterp.optim.orthograd import OrthoGrad


class OrthoAdamW(AdamW):
    """AdamW on gradients filtered by OrthoGrad: ``filtered(AdamW(...), OrthoGrad())`` as a class.

    The gradient that AdamW receives is orthogonal to the weights; its step is not exactly, since Adam divides every
    element by its own scale.

    Source: Prieto et al. 2025, §5 (⊥AdamW).

    Args:
        params: parameters, named parameters or groups, as for any torch optimizer.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        betas: coefficients of the two moments.
        eps: constant added to the denominator.
        options: other arguments of ``torch.optim.AdamW``.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay, betas=betas, eps=eps, **options)
        filtered(self, OrthoGrad())
