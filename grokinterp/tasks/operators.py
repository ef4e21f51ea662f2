"""Operations modulo p of which each example applies one: by an operator token, or by the parity of an operand."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar, Literal

from jaxtyping import Bool, Float, Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, AnswerGroup, cyclic
from grokinterp.maths.residues import discrete_logarithm, is_prime
from grokinterp.tasks.modular import ModularTask, require_prime
from grokinterp.tasks.task import Branch, Examples, Task

LARGEST = 10**6
"""Largest number of examples of a task in this file."""
SIGNS = {"+": 1, "-": -1, "*": 1, "/": -1}
"""The exponent of the operand after an operator in the group of sums, or of products."""
COMMUTATIVE = ("+", "*")


@dataclass(frozen=True, kw_only=True)
class OperatorExpression(Task):
    """The value modulo p of an expression such as a + b - c, with an operator token before every further operand.

    The examples are all expressions of n operands with every combination of the operators, evaluated from left to
    right, combination by combination and then in lexicographic order, without divisions by 0; or ``samples`` distinct
    expressions among them. Tokens 0 … p - 1 are the residues, and p, p + 1, … the operators in the given order. Each
    combination of operators is a *branch*, with an algebra of its own if it contains only + and -, or only * and / (p
    prime).

    Source: Power et al. 2022, Appendix A.1.1 (the operations, each as a task of its own).

    Raises:
        ConfigError: if p is not from 3 to 1000, or not a prime with "/"; n is not from 2 to 8; operators are missing,
            repeated or unknown; there are more than 10^6 expressions; or samples or seed are out of range.

    >>> task = OperatorExpression(p=5, operators=("+", "-"))
    >>> task.tokens()[32].tolist(), int(task.label()[32])  # 1 - 2
    ([1, 6, 2], 4)
    """

    about: ClassVar[str] = "the value of a + b - c … modulo p, with the operators among the tokens"
    kind: Literal["operator_expression"] = "operator_expression"
    p: int = 31
    n: int = 2
    operators: tuple[str, ...] = ("+", "-")
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 3 <= self.p <= 1000:
            raise ConfigError("p", self.p, "must be an integer from 3 to 1000")
        if not 2 <= self.n <= 8:
            raise ConfigError("n", self.n, "must be an integer from 2 to 8")
        if not self.operators or len(set(self.operators)) < len(self.operators) or set(self.operators) - SIGNS.keys():
            raise ConfigError("operators", self.operators, f"must be distinct operators among {' '.join(SIGNS)}")
        if "/" in self.operators:
            require_prime(self.p, "division needs inverses")
        number = len(self.operators) ** (self.n - 1) * self.p**self.n
        if number > LARGEST:
            raise ConfigError("n", self.n, f"gives {number} expressions with p={self.p}, more than {LARGEST}")
        most = self._n_expressions
        if self.samples is not None and not 2 <= self.samples <= most:
            raise ConfigError("samples", self.samples, f"must be an integer from 2 to {most}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError("seed", self.seed, "must be from 0 to 2^63 - 1")

    @property
    def n_examples(self) -> int:
        return self._n_expressions if self.samples is None else self.samples

    @property
    def _n_expressions(self) -> int:
        """The number of expressions that are defined: no operand after "/" is 0."""
        pairs = len(self.operators) * self.p - ("/" in self.operators)
        return self.p * pairs ** (self.n - 1)

    @property
    def d_vocab(self) -> int:
        return self.p + len(self.operators)

    @property
    def n_classes(self) -> int:
        return self.p

    @property
    def n_ctx(self) -> int:
        return 2 * self.n - 1

    @property
    def operand_positions(self) -> tuple[int, ...]:
        return tuple(range(0, self.n_ctx, 2))

    def tokens(self) -> Int[Tensor, "example position"]:
        return self._tokens.clone()

    def labels(self) -> Int[Tensor, "example answer"]:
        return self._values(self._tokens).unsqueeze(1)

    def draw(self, count: int, generator: "torch.Generator") -> Examples:
        """Return uniformly drawn expressions, which may repeat; ``samples`` does not bound them."""
        tokens = self._expressions[torch.randint(len(self._expressions), (count,), generator=generator)]
        return Examples(tokens, self._values(tokens).unsqueeze(1))

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id that expressions share if they differ only in the order of operands that commute."""
        tokens = self._tokens.clone()
        for branch, operators in zip(self.branches, self._combinations, strict=True):
            for places in commuting(operators):
                columns = [2 * place for place in places]
                rows = tokens[branch.examples]
                rows[:, columns] = rows[:, columns].sort(1).values
                tokens[branch.examples] = rows
        return tokens.unique(dim=0, return_inverse=True)[1]

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the sum of the operands."""
        return self._tokens[:, ::2].sum(1).double()

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """The examples with each combination of operators."""
        which = self._tokens[:, 1::2] - self.p
        return tuple(
            Branch(" ".join(operators), (which == self._index(operators)).all(1), algebra_of(operators, self.p))
            for operators in self._combinations
        )

    @property
    def operand_algebra(self) -> Algebra | None:
        return self.branches[0].algebra if self.product_group is not None else None

    @property
    def product_group(self) -> AnswerGroup | None:
        return group_of(self.operators, self.p)

    @property
    def answer_group(self) -> AnswerGroup:
        """The group of the products, or otherwise the residues under addition: C_p."""
        return super().answer_group or AnswerGroup(cyclic(self.p), torch.arange(self.p))

    @property
    def no_group(self) -> str:
        return no_single_group(self.kind, self.operators, self.p)

    @property
    def _combinations(self) -> tuple[tuple[str, ...], ...]:
        return tuple(product(self.operators, repeat=self.n - 1))

    def _index(self, operators: tuple[str, ...]) -> Int[Tensor, "operator"]:
        return torch.tensor([self.operators.index(operator) for operator in operators])

    def _values(self, tokens: Int[Tensor, "example position"]) -> Int[Tensor, "example"]:
        """Return the value of every expression, from left to right; -1 if it divides by 0."""
        value = tokens[:, 0]
        for at in range(1, self.n_ctx, 2):
            options = torch.stack([applied(each, value, tokens[:, at + 1], self.p) for each in self.operators])
            value = torch.where(value < 0, -1, options.gather(0, tokens[None, :, at] - self.p).squeeze(0))
        return value

    @cached_property
    def _expressions(self) -> Int[Tensor, "expression position"]:
        """All expressions that are defined."""
        operands = torch.cartesian_prod(*[torch.arange(self.p)] * self.n)
        parts = []
        for operators in self._combinations:
            part = operands.new_empty(len(operands), self.n_ctx)
            part[:, ::2], part[:, 1::2] = operands, self.p + self._index(operators)
            parts.append(part[self._values(part) >= 0])
        return torch.cat(parts)

    @cached_property
    def _tokens(self) -> Int[Tensor, "example position"]:
        if self.samples is None:
            return self._expressions
        generator = torch.Generator().manual_seed(self.seed)
        return self._expressions[torch.randperm(len(self._expressions), generator=generator)[: self.samples]]


@dataclass(frozen=True, kw_only=True)
class ParityOperation(ModularTask):
    """c = a ∘ b mod p if an operand is even, and c = a • b mod p if it is odd; example (a, b) in row-major order.

    The two halves are *branches*, each with an algebra of its own: + and - in C_p, * and / in C_{p-1} (p prime).

    Source: Power et al. 2022, Appendix A.1.1: x/y if y is odd, otherwise x - y (even="-", odd="/", decides="right").

    Raises:
        ConfigError: if p < 3 or p > 1000, p is not a prime with "/", an operator is unknown, both are the same, or
            ``decides`` is neither left nor right.

    >>> task = ParityOperation(p=5, even="+", odd="-")
    >>> task.tokens()[[7, 12]].tolist(), task.label()[[7, 12]].tolist()  # 1 - 2 and 2 + 2
    ([[1, 2], [2, 2]], [4, 4])
    """

    about: ClassVar[str] = "c = (a + b) mod p if a is even, (a - b) mod p if it is odd, or other operators"
    kind: Literal["parity_operation"] = "parity_operation"
    p: int = 97
    even: Literal["+", "-", "*", "/"] = "+"
    odd: Literal["+", "-", "*", "/"] = "-"
    decides: Literal["left", "right"] = "left"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("even", "odd"):
            if getattr(self, name) not in SIGNS:
                raise ConfigError(name, getattr(self, name), f"must be one of {' '.join(SIGNS)}")
        if self.even == self.odd:
            raise ConfigError("odd", self.odd, "must not be the operator of the even operands")
        if self.decides not in ("left", "right"):
            raise ConfigError("decides", self.decides, "must be left or right")
        if "/" in (self.even, self.odd):
            require_prime(self.p, "division needs inverses")

    @property
    def n_examples(self) -> int:
        return len(self._pairs)

    def table(self) -> Int[Tensor, "a b"]:
        a, b = torch.arange(self.p)[:, None].expand(self.p, self.p), torch.arange(self.p).expand(self.p, self.p)
        even, odd = (applied(operator, a, b, self.p) for operator in (self.even, self.odd))
        return torch.where((a if self.decides == "left" else b) % 2 == 0, even, odd)

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id that (a, b) and (b, a) share if both have the same commutative operator."""
        a, b = self._pairs.T
        commutes = (a % 2 == b % 2) & torch.where(self._is_even, self.even in COMMUTATIVE, self.odd in COMMUTATIVE)
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        return torch.where(commutes, low * self.p + high, a * self.p + b)

    @cached_property
    def branches(self) -> tuple[Branch, ...]:
        """The examples with an even and with an odd deciding operand."""
        return (
            Branch(f"even {self.even}", self._is_even, algebra_of((self.even,), self.p)),
            Branch(f"odd {self.odd}", ~self._is_even, algebra_of((self.odd,), self.p)),
        )

    @property
    def operand_algebra(self) -> Algebra | None:
        return self.branches[0].algebra if self.product_group is not None else None

    @property
    def product_group(self) -> AnswerGroup | None:
        return group_of((self.even, self.odd), self.p)

    @property
    def no_group(self) -> str:
        return no_single_group(self.kind, (self.even, self.odd), self.p)

    @property
    def _is_even(self) -> Bool[Tensor, "example"]:
        return self._pairs[:, 0 if self.decides == "left" else 1] % 2 == 0


def applied(operator: str, a: Int[Tensor, "*example"], b: Int[Tensor, "*example"], p: int) -> Int[Tensor, "*example"]:
    """Return a operator b modulo p; -1 for a division by 0.

    >>> a, b = torch.tensor([2, 2]), torch.tensor([4, 0])
    >>> [applied(operator, a, b, 5).tolist() for operator in "+-*/"]  # 3 · 4 = 2
    [[1, 2], [3, 2], [3, 0], [3, -1]]
    """
    if operator == "/":
        inverse = torch.tensor([0, *(pow(x, -1, p) for x in range(1, p))])
        return torch.where(b == 0, -1, a * inverse[b] % p)
    return (a + b if operator == "+" else a - b if operator == "-" else a * b) % p


def group_of(operators: tuple[str, ...], p: int) -> AnswerGroup | None:
    """Return C_p for + and -, C_{p-1} for * and / if p is prime, and None for a mix of both."""
    if set(operators) <= {"+", "-"}:
        return AnswerGroup(cyclic(p), torch.arange(p))
    if set(operators) <= {"*", "/"} and is_prime(p):
        return AnswerGroup(cyclic(p - 1), discrete_logarithm(p))
    return None


def no_single_group(kind: str, operators: tuple[str, ...], p: int) -> str:
    """Return the reason why no algebra holds for all examples."""
    if group_of(operators, p) is not None:
        return f"an operand of {kind} represents other elements for other operators"
    return f"the answers of {kind} with {' and '.join(operators)} are not products in a single group"


def algebra_of(operators: tuple[str, ...], p: int) -> Algebra | None:
    """Return the algebra of the expressions with these operators between their operands, or None.

    >>> algebra_of(("-",), 3).right.tolist()
    [0, 2, 1]
    """
    found = group_of(operators, p)
    if found is None:
        return None
    group, place = found
    signs = (1, *(SIGNS[operator] for operator in operators))
    return Algebra(group, tuple(torch.where(place < 0, -1, sign * place % group.order) for sign in signs), place)


def commuting(operators: tuple[str, ...]) -> list[list[int]]:
    """Return sets of operands whose order is irrelevant to the value of an expression.

    >>> commuting(("+", "-", "-")), commuting(("*", "+"))
    ([[0, 1], [2, 3]], [[0, 1]])
    """
    if set(operators) <= {"+", "-"} or set(operators) <= {"*", "/"}:
        signs = [1, *(SIGNS[operator] for operator in operators)]
        sets = [[i for i, sign in enumerate(signs) if sign == wanted] for wanted in (1, -1)]
    else:
        sets = [[0, 1]] if operators[0] in COMMUTATIVE else []
    return [places for places in sets if len(places) > 1]
