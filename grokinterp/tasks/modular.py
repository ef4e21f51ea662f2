"""Modular arithmetic on Z_p."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.maths.groups import Algebra, cyclic
from grokinterp.tasks.task import BinaryTask


@dataclass(frozen=True, kw_only=True)
class ModularAddition(BinaryTask):
    """c = (a + b) mod p; example a·p + b is the pair (a, b).

    Source: Power et al. 2022, §2; Nanda et al. 2023, §3.

    Raises:
        ConfigError: p < 3 or p > 1000 (p² examples would not fit a full batch).

    >>> task = ModularAddition(p=5)
    >>> task.tokens()[7].tolist(), int(task.labels()[7])
    ([1, 2], 3)
    """

    about: ClassVar[str] = "c = (a + b) mod p"
    kind: Literal["modular_addition"] = "modular_addition"
    p: int = 113

    def __post_init__(self) -> None:
        if not 3 <= self.p <= 1000:
            raise ConfigError("p", self.p, "must be an integer from 3 to 1000")

    @property
    def d_vocab(self) -> int:
        return self.p

    @property
    def n_classes(self) -> int:
        return self.p

    def table(self) -> Int[Tensor, "a b"]:
        residues = torch.arange(self.p)
        return (residues[:, None] + residues) % self.p

    @property
    def algebra(self) -> Algebra:
        residues = torch.arange(self.p)
        return Algebra(cyclic(self.p), residues, residues, residues)
