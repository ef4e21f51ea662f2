"""Modular arithmetic on Z_p."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class ModularAddition(Task):
    """c = (a + b) mod p, presented as the three tokens ``a``, ``b``, ``=`` (token p).

    The p² examples are in row-major order: example a·p + b.

    Source: Power et al. 2022, §2; Nanda et al. 2023, §3.

    Raises:
        ConfigError: p < 3 or p > 1000 (p² examples would not fit a full batch).

    >>> task = ModularAddition(p=5)
    >>> task.tokens()[7].tolist(), int(task.labels()[7])
    ([1, 2, 5], 3)
    """

    kind: Literal["modular_addition"] = "modular_addition"
    p: int = 113

    def __post_init__(self) -> None:
        if not 3 <= self.p <= 1000:
            raise ConfigError("p", self.p, "must be an integer from 3 to 1000")

    @property
    def n_examples(self) -> int:
        return self.p**2

    @property
    def d_vocab(self) -> int:
        return self.p + 1

    @property
    def n_classes(self) -> int:
        return self.p

    @property
    def n_ctx(self) -> int:
        return 3

    def tokens(self) -> Int[Tensor, "example position"]:
        residues = torch.arange(self.p)
        return torch.cartesian_prod(residues, residues, torch.tensor([self.p]))

    def labels(self) -> Int[Tensor, "example"]:
        a, b, _ = self.tokens().unbind(1)
        return (a + b) % self.p

    def mirror(self) -> Int[Tensor, "example"]:
        a, b, _ = self.tokens().unbind(1)
        return torch.minimum(a, b) * self.p + torch.maximum(a, b)
