"""The layers whose network in training is not that of evaluation, and the switch between the two."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

MOMENTUM = 0.1
"""The share of a batch in the running statistics of BatchNorm."""

EPSILON = 1e-5
"""The constant under the square root of BatchNorm."""


class Dropout(nn.Module):
    """Dropout: in training, every entry is zero with probability ``rate``, and is otherwise divided by 1 - rate.

    The random numbers are those of ``torch.nn.functional.dropout`` on the CPU, drawn from ``generator``, or from
    PyTorch's global generator without one.

    Source: Srivastava et al. 2014.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.generator: torch.Generator | None = None

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if not self.training:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.rate, generator=self.generator)
        return x * kept.div_(1 - self.rate)


def dropout(rate: float) -> nn.Module:
    """Return dropout at a rate, and the identity for rate 0."""
    return Dropout(rate) if rate else nn.Identity()


class BatchNorm(nn.Module):
    """BatchNorm over examples, with scale ``w`` and shift ``b``.

    In training it normalizes by mean and variance of the batch and keeps them in ``batch``; ``follow`` then moves the
    running statistics, by which it normalizes in evaluation. A pass alone changes no buffer, so that a step may be
    computed again.

    Source: Ioffe and Szegedy 2015, Algorithms 1 and 2; torch.nn.BatchNorm1d for momentum 0.1, ε = 1e-5 and the unbiased
    running variance.
    """

    mean: Float[Tensor, "feature"]
    variance: Float[Tensor, "feature"]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.batch: tuple[Tensor, Tensor] | None = None

    @property
    def scale(self) -> Float[Tensor, "feature"]:
        """The factor of each feature in evaluation, w / √(variance + ε)."""
        return self.w * (self.variance + EPSILON).rsqrt()

    @property
    def shift(self) -> Float[Tensor, "feature"]:
        """The constant that is added to each scaled feature in evaluation, b - scale · mean."""
        return self.b - self.scale * self.mean

    def forward(self, x: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch feature"]:
        if not self.training:
            return x * self.scale + self.shift
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean, variance = wide.mean(0), wide.var(0, unbiased=False)
        self.batch = mean.detach(), variance.detach() * (len(x) / max(len(x) - 1, 1))
        return ((wide - mean) * (variance + EPSILON).rsqrt()).to(x.dtype) * self.w + self.b

    @torch.no_grad()
    def follow(self, of: "BatchNorm", skip: Float[Tensor, ""]) -> None:
        """Move the running statistics to those of a layer's last batch by the momentum; ``skip`` = 1 keeps them."""
        for running, seen in zip((self.mean, self.variance), of.batch or (), strict=True):
            moved = torch.lerp(running, seen.to(running.dtype), MOMENTUM)
            running.copy_(torch.where(skip == 0, moved, running))


def batch_norms(module: nn.Module) -> list[BatchNorm]:
    """Return the BatchNorm layers of a module in order."""
    return [layer for layer in module.modules() if isinstance(layer, BatchNorm)]


def dropouts(module: nn.Module) -> Iterator[Dropout]:
    """Yield the dropout layers of a module in order."""
    return (layer for layer in module.modules() if isinstance(layer, Dropout))


@contextmanager
def training_mode(module: nn.Module, generator: torch.Generator | None) -> Generator[None]:
    """Compute the network of training in the block, with dropout from a generator, and then that of evaluation."""
    dropping = list(dropouts(module))
    for layer in dropping:
        layer.generator = generator
    module.train()
    try:
        yield
    finally:
        module.eval()
        for layer in dropping:
            layer.generator = None
