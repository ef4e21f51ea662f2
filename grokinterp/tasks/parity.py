"""Parity of a few among many bits."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.tasks.task import Examples, Task

MOST_LISTED = 20
"""Largest number of bits for which all strings are listed."""


@dataclass(frozen=True, kw_only=True)
class SparseParity(Task):
    """x_1 + ... + x_k mod 2 of n_bits bits: the first k bits count (without loss of generality), the others do not.

    The examples are all 2^n_bits strings in ascending order, or ``samples`` distinct strings drawn uniformly by a
    separate generator from ``seed``. Strings with more ones are harder (``difficulty``): sparse strings come first, as
    in the curricula of Abbe et al. 2023.

    Source: Barak et al. 2022; Merrill et al. 2023, who train on 1,000 strings with n_bits 40 and k 3.

    Raises:
        ConfigError: if n_bits is above 64, or above 20 without ``samples``; k is not from 1 to n_bits; samples is not
            from 2 to 10^6 and 2^n_bits; or the seed is negative.

    >>> task = SparseParity(n_bits=4, k=2)
    >>> task.tokens()[7].tolist(), int(task.label()[7])
    ([0, 1, 1, 1], 1)
    """

    about: ClassVar[str] = "the parity of the first k of n_bits bits"
    kind: Literal["sparse_parity"] = "sparse_parity"
    n_bits: int = 10
    k: int = 3
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.n_bits <= 64:
            raise ConfigError("n_bits", self.n_bits, "must be an integer from 1 to 64")
        if not 1 <= self.k <= self.n_bits:
            raise ConfigError("k", self.k, f"must be an integer from 1 to n_bits={self.n_bits}")
        if self.samples is None and self.n_bits > MOST_LISTED:
            raise ConfigError("n_bits", self.n_bits, f"has 2^{self.n_bits} strings; above {MOST_LISTED} give samples")
        most = min(10**6, 2**self.n_bits)
        if self.samples is not None and not 2 <= self.samples <= most:
            raise ConfigError("samples", self.samples, f"must be an integer from 2 to {most}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError("seed", self.seed, "must be from 0 to 2^63 - 1")

    @property
    def n_examples(self) -> int:
        return 2**self.n_bits if self.samples is None else self.samples

    @property
    def d_vocab(self) -> int:
        return 2

    @property
    def n_classes(self) -> int:
        return 2

    @property
    def n_ctx(self) -> int:
        return self.n_bits

    def tokens(self) -> Int[Tensor, "example position"]:
        return self._numbers()[:, None] >> torch.arange(self.n_bits).flip(0) & 1

    def labels(self) -> Int[Tensor, "example answer"]:
        return self.tokens()[:, : self.k].sum(1, keepdim=True) % 2

    def draw(self, count: int, generator: "torch.Generator") -> Examples:
        """Return examples of uniformly drawn strings, which may repeat."""
        tokens = torch.randint(2, (count, self.n_bits), generator=generator)
        return Examples(tokens, tokens[:, : self.k].sum(1, keepdim=True) % 2)

    def _numbers(self) -> Int[Tensor, "example"]:
        """Return the strings as binary numbers (for 64 bits, the first bit is the sign)."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.samples is None:
            return torch.arange(2**self.n_bits)
        if self.n_bits <= MOST_LISTED:
            return torch.randperm(2**self.n_bits, generator=generator)[: self.samples]
        return _distinct_numbers(self.samples, self.n_bits, generator)


def _distinct_numbers(count: int, n_bits: int, generator: "torch.Generator") -> Int[Tensor, "number"]:
    """Return ``count`` distinct numbers in random order, at most half of all numbers."""
    numbers = torch.empty(0, dtype=torch.long)
    while len(numbers) < count:
        bits = torch.randint(2, (count, n_bits), generator=generator)
        numbers = torch.cat([numbers, (bits << torch.arange(n_bits)).sum(1)]).unique()
    return numbers[torch.randperm(len(numbers), generator=generator)[:count]]
