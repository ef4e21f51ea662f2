"""Modular arithmetic on Z_p."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, AnswerGroup, cyclic
from grokinterp.maths.residues import discrete_logarithm, is_prime, prime_factors
from grokinterp.tasks.task import BinaryTask


@dataclass(frozen=True, kw_only=True)
class ModularTask(BinaryTask):
    """Operands and classes are the residues modulo p; example a·p + b is the pair (a, b) if all are defined.

    Raises:
        ConfigError: if p < 3 or p > 1000 (p² examples would exceed a full batch).
    """

    p: int = 113

    def __post_init__(self) -> None:
        if not 3 <= self.p <= 1000:
            raise ConfigError("p", self.p, "must be an integer from 3 to 1000")

    @property
    def n_examples(self) -> int:
        return self.p**2

    @property
    def d_vocab(self) -> int:
        return self.p

    @property
    def n_classes(self) -> int:
        return self.p

    @property
    def answer_group(self) -> AnswerGroup:
        """The answer group of the algebra, or otherwise the residues under addition: C_p."""
        return super().answer_group or AnswerGroup(cyclic(self.p), torch.arange(self.p))


@dataclass(frozen=True, kw_only=True)
class ModularAddition(ModularTask):
    """c = (a + b) mod p; example a·p + b is the pair (a, b).

    Source: Power et al. 2022, §2; Nanda et al. 2023, §3.

    Raises:
        ConfigError: if p < 3 or p > 1000.

    >>> task = ModularAddition(p=5)
    >>> task.tokens()[7].tolist(), int(task.label()[7])
    ([1, 2], 3)
    """

    about: ClassVar[str] = "c = (a + b) mod p"
    kind: Literal["modular_addition"] = "modular_addition"

    def table(self) -> Int[Tensor, "a b"]:
        residues = torch.arange(self.p)
        return (residues[:, None] + residues) % self.p

    @property
    def group_name(self) -> str:
        return f"C{self.p}"

    @property
    def algebra(self) -> Algebra:
        residues = torch.arange(self.p)
        return Algebra(cyclic(self.p), (residues, residues), residues)


@dataclass(frozen=True, kw_only=True)
class ModularSubtraction(ModularTask):
    """c = (a - b) mod p, the product of a and -b in C_p.

    Source: Power et al. 2022, Appendix A.1.1.

    Raises:
        ConfigError: if p < 3 or p > 1000.

    >>> task = ModularSubtraction(p=5)
    >>> task.tokens()[7].tolist(), int(task.label()[7])
    ([1, 2], 4)
    """

    about: ClassVar[str] = "c = (a - b) mod p"
    kind: Literal["modular_subtraction"] = "modular_subtraction"

    def table(self) -> Int[Tensor, "a b"]:
        residues = torch.arange(self.p)
        return (residues[:, None] - residues) % self.p

    @property
    def group_name(self) -> str:
        return f"C{self.p}"

    @property
    def algebra(self) -> Algebra:
        residues = torch.arange(self.p)
        return Algebra(cyclic(self.p), (residues, -residues % self.p), residues)


@dataclass(frozen=True, kw_only=True)
class ModularMultiplication(ModularTask):
    """c = (a · b) mod p, for any p; the product in C_{p-1} of the discrete logarithms if p is prime.

    No algebra is claimed for a composite p: only the residues coprime to p form a group, which is not cyclic in general
    and does not determine the products of the other residues, which are not all 0.

    Source: Furuta et al. 2024; The Discrete-Log Clock (arXiv 2606.17399) for the logarithm.

    Raises:
        ConfigError: if p < 3 or p > 1000.

    >>> task = ModularMultiplication(p=5)
    >>> task.tokens()[14].tolist(), int(task.label()[14])
    ([2, 4], 3)
    """

    about: ClassVar[str] = "c = (a · b) mod p"
    kind: Literal["modular_multiplication"] = "modular_multiplication"

    def table(self) -> Int[Tensor, "a b"]:
        residues = torch.arange(self.p)
        return residues[:, None] * residues % self.p

    @property
    def group_name(self) -> str | None:
        return f"C{self.p - 1}" if is_prime(self.p) else None

    @property
    def algebra(self) -> Algebra | None:
        if not is_prime(self.p):
            return None
        logarithm = discrete_logarithm(self.p)
        return Algebra(cyclic(self.p - 1), (logarithm, logarithm), logarithm)


@dataclass(frozen=True, kw_only=True)
class ModularDivision(ModularTask):
    """c = (a / b) mod p, that is c·b = a mod p, for every b except 0: p(p - 1) examples.

    In C_{p-1} it is the difference of the discrete logarithms.

    Source: Power et al. 2022, Appendix A.1.1.

    Raises:
        ConfigError: if p < 3, p > 1000, or p is not a prime.

    >>> task = ModularDivision(p=5)  # 2 / 4 = 3, for 3 · 4 = 12 = 2
    >>> task.tokens()[11].tolist(), int(task.label()[11])
    ([2, 4], 3)
    >>> ModularDivision(p=6)
    Traceback (most recent call last):
    grokinterp.errors.ConfigError: p=6: must be prime, 6 = 2 · 3: division needs inverses
    """

    about: ClassVar[str] = "c = (a / b) mod p for b != 0, p prime"
    kind: Literal["modular_division"] = "modular_division"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_prime(self.p, "division needs inverses")

    @property
    def n_examples(self) -> int:
        return self.p * (self.p - 1)

    def table(self) -> Int[Tensor, "a b"]:
        inverse = torch.tensor([0, *(pow(b, -1, self.p) for b in range(1, self.p))])
        table = torch.arange(self.p)[:, None] * inverse % self.p
        table[:, 0] = -1
        return table

    @property
    def group_name(self) -> str:
        return f"C{self.p - 1}"

    @property
    def algebra(self) -> Algebra:
        logarithm = discrete_logarithm(self.p)
        negative = torch.where(logarithm < 0, -1, -logarithm % (self.p - 1))
        return Algebra(cyclic(self.p - 1), (logarithm, negative), logarithm)


def require_prime(p: int, why: str) -> None:
    """Raise ConfigError, naming the factors, unless p is prime."""
    if not is_prime(p):
        raise ConfigError("p", p, f"must be prime, {p} = {' · '.join(map(str, prime_factors(p)))}: {why}")
