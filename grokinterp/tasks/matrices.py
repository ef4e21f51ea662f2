"""Multiplication of matrices over a prime field."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import ClassVar, Literal

from jaxtyping import Float, Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, Group
from grokinterp.maths.residues import is_prime
from grokinterp.tasks.task import BinaryTask

MOST_MATRICES = 1000
"""Largest number of matrices whose pairs fit in a full batch."""


@dataclass(frozen=True, kw_only=True)
class MatrixMultiplication(BinaryTask):
    """c = a · b for n x n matrices over F_p, each matrix a token.

    The number of a matrix has its entries, row by row, as digits in base p: [[0, 1], [2, 0]] over F_3 is 0·27 + 1·9 +
    2·3 + 0 = 15. With ``invertible`` only the matrices of GL_n(F_p) remain, in the same order; they form a group of
    order (pⁿ - 1)(pⁿ - p)···(pⁿ - pⁿ⁻¹), while all matrices do not form a group.

    Raises:
        ConfigError: if n = 1, which is modular multiplication; p is not a prime; or there are more than 1000 matrices
            of this size, invertible or not, which leaves n = 2 with p = 2, 3, 5 and n = 3 with p = 2.

    >>> task = MatrixMultiplication(n=2, p=3)
    >>> task.matrices[15].tolist(), task.matrices[int(task.table()[15, 15])].tolist()
    ([[0, 1], [2, 0]], [[2, 0], [0, 2]])
    """

    about: ClassVar[str] = "c = a·b for n x n matrices over F_p, all or invertible only"
    kind: Literal["matrix_multiplication"] = "matrix_multiplication"
    n: int = 2
    p: int = 3
    invertible: bool = False

    def __post_init__(self) -> None:
        if self.n not in (2, 3):
            raise ConfigError("n", self.n, f"must be 2 or 3, for at most {MOST_MATRICES} matrices")
        if self.p > MOST_MATRICES or not is_prime(self.p):
            raise ConfigError("p", self.p, f"must be a prime below {MOST_MATRICES}")
        if (n_matrices := self.p ** (self.n**2)) > MOST_MATRICES:
            rule = f"gives {n_matrices} matrices with n={self.n}, must give at most {MOST_MATRICES}"
            raise ConfigError("p", self.p, rule)

    @cached_property
    def matrices(self) -> Int[Tensor, "token row column"]:
        """The matrix of every token."""
        every = _all_matrices(self.n, self.p)
        return every[_invertible(every, self.p)] if self.invertible else every

    @property
    def n_examples(self) -> int:
        return self.d_vocab**2

    @property
    def d_vocab(self) -> int:
        n, p = self.n, self.p
        return prod(p**n - p**i for i in range(n)) if self.invertible else p ** (n * n)

    @property
    def n_classes(self) -> int:
        return self.d_vocab

    def table(self) -> Int[Tensor, "a b"]:
        numbers = _numbers(self.matrices, self.p)
        return torch.searchsorted(numbers, _numbers(_products(self.matrices, self.p), self.p))

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the sum of the entries of both matrices, since token numbers weigh the first entry most."""
        return self.matrices.sum((1, 2))[self.tokens()].sum(1).double()

    @cached_property
    def structure(self) -> Group | None:
        """GL_n(F_p), or None if some matrices are not invertible."""
        if not self.invertible:
            return None
        return Group(f"GL{self.n}(F{self.p})", self.table(), tuple(map(str, self.matrices.tolist())))

    @property
    def algebra(self) -> Algebra | None:
        if self.structure is None:
            return None
        tokens = torch.arange(self.d_vocab)
        return Algebra(self.structure, (tokens, tokens), tokens)


def _all_matrices(n: int, p: int) -> Int[Tensor, "number row column"]:
    places = p ** torch.arange(n * n - 1, -1, -1)
    return (torch.arange(p ** (n * n))[:, None] // places % p).reshape(-1, n, n)


def _numbers(matrices: Int[Tensor, "*batch row column"], p: int) -> Int[Tensor, "*batch"]:
    n = matrices.shape[-1]
    return matrices.flatten(-2) @ p ** torch.arange(n * n - 1, -1, -1)


def _products(matrices: Int[Tensor, "token row column"], p: int) -> Int[Tensor, "a b row column"]:
    return matrices[:, None] @ matrices % p


def _invertible(matrices: Int[Tensor, "number row column"], p: int) -> Tensor:
    """Return whether each of the given matrices, which are all matrices of that size, is invertible."""
    unit = torch.eye(matrices.shape[1], dtype=torch.int64)
    return (_products(matrices, p) == unit).flatten(2).all(2).any(1)
