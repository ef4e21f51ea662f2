"""A task whose labels, mirror images and given examples are written down."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from grokinterp.tasks import Task


@dataclass(frozen=True, kw_only=True)
class Listed(Task):
    """Example i is the token i; without ``same`` no example has a mirror image."""

    about: ClassVar[str] = "labels as they are listed"
    kind: str = "listed"
    classes: tuple[int, ...]
    same: tuple[int, ...] | None = None
    known: frozenset[int] = frozenset()

    @property
    def n_examples(self) -> int:
        return len(self.classes)

    @property
    def d_vocab(self) -> int:
        return len(self.classes)

    @property
    def n_classes(self) -> int:
        return max(self.classes) + 1

    @property
    def n_ctx(self) -> int:
        return 1

    def tokens(self) -> torch.Tensor:
        return torch.arange(self.n_examples)[:, None]

    def labels(self) -> torch.Tensor:
        return torch.tensor(self.classes).unsqueeze(1)

    def mirror(self) -> torch.Tensor:
        return super().mirror() if self.same is None else torch.tensor(self.same)

    @property
    def n_given(self) -> int:
        return len(self.known)

    def given(self) -> torch.Tensor:
        return torch.tensor([i in self.known for i in range(self.n_examples)])
