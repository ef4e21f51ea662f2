"""Polynomials in two variables over the field with p elements."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Int

from grokinterp.errors import ConfigError, short
from grokinterp.lazy import Tensor, torch
from grokinterp.maths.groups import Algebra, cyclic
from grokinterp.maths.residues import discrete_logarithm
from grokinterp.tasks.modular import ModularTask, require_prime

LONGEST = 200
"""Largest number of characters of an expression."""

RULE = f"must be a sum of terms in x and y such as 2x^2y - x + 3, numbers below 10^4, at most {LONGEST} characters"
NUMBER, POWER = "[0-9]{1,4}", r"[xy](?:\^[0-9]{1,4})?"
TERM = re.compile(rf"[+-](?:{NUMBER}|{POWER})(?:\*{NUMBER}|\*?{POWER})*")
FACTOR = re.compile(r"(?P<variable>[xy])(?:\^(?P<power>[0-9]+))?|(?P<number>[0-9]+)")
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


class Term(NamedTuple):
    """coefficient · x^i · y^j."""

    coefficient: int
    x: int
    y: int


@dataclass(frozen=True, kw_only=True)
class Polynomial(ModularTask):
    """c = f(a, b) over F_p, with f written as ``x^2+xy+y^2``, ``x²+xy+y²`` or ``x**2 + x*y + y**2``.

    Source: Power et al. 2022, Appendix A.1.1, has x²+y², x²+xy+y², x²+xy+y²+x, x³+xy and x³+xy²+y modulo 97.

    Raises:
        ConfigError: if p is not a prime from 3 to 1000, or the expression is constant or not a polynomial in x and y.

    >>> task = Polynomial(p=5, expression="x²+xy-3")
    >>> task.terms
    (Term(coefficient=1, x=2, y=0), Term(coefficient=1, x=1, y=1), Term(coefficient=2, x=0, y=0))
    >>> task.tokens()[7].tolist(), int(task.label()[7])  # 1 + 2 - 3
    ([1, 2], 0)
    """

    about: ClassVar[str] = "c = f(a, b) mod p for a polynomial f in x and y, p prime"
    kind: Literal["polynomial"] = "polynomial"
    p: int = 97
    expression: str = "x^2+xy+y^2"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_prime(self.p, "polynomials need a field")
        if not any(term.x or term.y for term in self.terms):
            raise ConfigError("expression", short(self.expression), "must depend on x or y modulo p")

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The terms of the unique polynomial of degree below p in x and y with these values, highest powers first.

        Like terms are added, coefficients reduced modulo p, and powers by z^p = z, which holds for every z in F_p.
        """
        total: Counter[tuple[int, int]] = Counter()
        for coefficient, *powers in parse(self.expression):
            x, y = ((power - 1) % (self.p - 1) + 1 if power else 0 for power in powers)
            total[x, y] += coefficient
        ordered = sorted(total, key=lambda powers: (sum(powers), powers), reverse=True)
        return tuple(Term(total[powers] % self.p, *powers) for powers in ordered if total[powers] % self.p)

    def table(self) -> Int[Tensor, "a b"]:
        def powers(exponents: list[int]) -> Int[Tensor, "residue term"]:
            rows = [[pow(z, exponent, self.p) for exponent in exponents] for z in range(self.p)]
            return torch.tensor(rows, dtype=torch.long)

        coefficients = torch.tensor([term.coefficient for term in self.terms], dtype=torch.long)
        left, right = powers([term.x for term in self.terms]), powers([term.y for term in self.terms])
        return (left * coefficients % self.p) @ right.T % self.p

    @property
    def algebra(self) -> Algebra | None:
        """C_p for f = u(x) + v(y), such as x² + y², and C_{p-1} for f = α·x^i·y^j with i, j >= 1."""
        if self._is_sum:
            return self._sum()
        return self._product(*self.terms[0]) if self._is_product else None

    @property
    def group_name(self) -> str | None:
        return f"C{self.p}" if self._is_sum else f"C{self.p - 1}" if self._is_product else None

    @property
    def _is_sum(self) -> bool:
        """Whether f = u(x) + v(y) and depends on both."""
        apart = all(not (term.x and term.y) for term in self.terms)
        return apart and any(term.x for term in self.terms) and any(term.y for term in self.terms)

    @property
    def _is_product(self) -> bool:
        """Whether f = α·x^i·y^j with i, j >= 1."""
        return len(self.terms) == 1 and self.terms[0].x > 0 and self.terms[0].y > 0

    def _sum(self) -> Algebra:
        """Return the algebra u(a) + v(b) = c - γ in C_p; a power may reach only some residues."""
        residues = torch.arange(self.p)
        table, constant = self.table(), self.table()[0, 0]
        return Algebra(
            cyclic(self.p),
            ((table[:, 0] - constant) % self.p, (table[0] - constant) % self.p),
            (residues - constant) % self.p,
        )

    def _product(self, coefficient: int, i: int, j: int) -> Algebra:
        """Return (log α + i·log a) + j·log b = log c in C_{p-1}; a power may reach only some residues."""
        n, logarithm = self.p - 1, discrete_logarithm(self.p)
        left, right = logarithm[coefficient] + i * logarithm, j * logarithm
        outside = logarithm < 0
        return Algebra(cyclic(n), tuple(torch.where(outside, -1, place % n) for place in (left, right)), logarithm)


def parse(expression: str) -> tuple[Term, ...]:
    """Parse the terms of a polynomial in x and y with integer coefficients, in the order written.

    Raises:
        ConfigError: if the text is not such a polynomial.

    >>> [tuple(term) for term in parse("2x**2*y - 3")]
    [(2, 2, 1), (-3, 0, 0)]
    """
    text = _plain(expression) if len(expression) <= LONGEST else ""
    terms = TERM.findall(text)
    if not terms or "".join(terms) != text:
        raise ConfigError("expression", short(expression), RULE)
    return tuple(map(_term, terms))


def _plain(expression: str) -> str:
    """Return the expression with ``^`` for powers, without spaces, and with a sign before every term."""
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda digits: "^" + digits.group().translate(SUPERSCRIPTS), expression)
    text = text.replace("**", "^").replace("·", "*").replace("−", "-")
    if re.search(r"[0-9]\s+[0-9]|\*\s+\*", text):
        return ""
    text = re.sub(r"\s", "", text)
    return text if text.startswith(("+", "-")) else "+" + text


def _term(text: str) -> Term:
    """Parse a signed product, such as ``-2xy^2``."""
    coefficient, powers = (-1 if text[0] == "-" else 1), {"x": 0, "y": 0}
    for factor in FACTOR.finditer(text):
        if factor["variable"]:
            powers[factor["variable"]] += int(factor["power"] or 1)
        else:
            coefficient *= int(factor["number"])
    return Term(coefficient, powers["x"], powers["y"])
