"""Symbolic reasoning: evaluating formulas and chaining facts."""

from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import ClassVar, Literal, NamedTuple

from jaxtyping import Float, Int

from grokinterp.errors import ConfigError
from grokinterp.lazy import Tensor, torch
from grokinterp.tasks.task import Task

LARGEST = 10**6
"""Largest number of examples of a task in this file."""

TRUTH = {
    "and": (0, 0, 0, 1),
    "or": (0, 1, 1, 1),
    "xor": (0, 1, 1, 0),
    "nand": (1, 1, 1, 0),
    "nor": (1, 0, 0, 0),
    "iff": (1, 0, 0, 1),
    "implies": (1, 1, 0, 1),
}
"""The value of ``u op v`` at (u, v) = (0, 0), (0, 1), (1, 0), (1, 1)."""


class Formulas(NamedTuple):
    """Formulas with the same number of values.

    ``canonical`` is shared by formulas that differ only in the order of operands: the number that the tokens of the
    smallest of them spell in base d_vocab. ``depth`` is the deepest nesting of operators.
    """

    tokens: Int[Tensor, "formula position"]
    value: Int[Tensor, "formula"]
    canonical: Int[Tensor, "formula"]
    depth: Int[Tensor, "formula"]


@dataclass(frozen=True, kw_only=True)
class BooleanFormula(Task):
    """The value of a Boolean formula in which every variable is replaced by its value.

    The examples are all formulas of ``n_variables`` values joined by the operators, with every bracketing and every
    assignment: Catalan(n - 1) · operators^(n-1) · 2^n. They are written in prefix order (Łukasiewicz's notation), which
    needs no brackets and has 2n - 1 tokens: "xor 1 and 0 1" is 1 xor (0 and 1). The model has to find the tree and
    cannot just carry one bit along. Tokens 0 and 1 are the values, 2, 3, ... the operators in the given order; nand,
    nor, or "xor 1" provide negation.

    Source: Buss 1987, The Boolean formula value problem is in ALOGTIME.

    Raises:
        ConfigError: if there are fewer than 2 variables, more than 10^6 examples, or operators are missing, repeated or
            unknown.

    >>> task = BooleanFormula(n_variables=2, operators=("and", "xor"))
    >>> task.tokens()[7].tolist(), int(task.label()[7])  # 1 xor 1
    ([3, 1, 1], 0)
    """

    about: ClassVar[str] = "the value of a Boolean formula, written operator first: xor 1 and 0 1"
    kind: Literal["boolean_formula"] = "boolean_formula"
    n_variables: int = 4
    operators: tuple[str, ...] = ("and", "or", "xor")

    def __post_init__(self) -> None:
        if not self.operators or len(set(self.operators)) < len(self.operators) or set(self.operators) - TRUTH.keys():
            raise ConfigError("operators", self.operators, f"must be distinct names among {', '.join(TRUTH)}")
        if not 2 <= self.n_variables <= 20:
            raise ConfigError("n_variables", self.n_variables, "must be an integer from 2 to 20")
        if self.n_examples > LARGEST:
            rule = f"gives {self.n_examples} formulas with {len(self.operators)} operators, more than {LARGEST}"
            raise ConfigError("n_variables", self.n_variables, rule)

    @property
    def n_examples(self) -> int:
        joints = self.n_variables - 1
        bracketings = comb(2 * joints, joints) // self.n_variables
        return bracketings * len(self.operators) ** joints * 2**self.n_variables

    @property
    def d_vocab(self) -> int:
        return 2 + len(self.operators)

    @property
    def n_classes(self) -> int:
        return 2

    @property
    def n_ctx(self) -> int:
        return 2 * self.n_variables - 1

    def tokens(self) -> Int[Tensor, "example position"]:
        return self._formulas.tokens.clone()

    def labels(self) -> Int[Tensor, "example answer"]:
        return self._formulas.value.unsqueeze(1).clone()

    def mirror(self) -> Int[Tensor, "example"]:
        """Return an id that formulas share if they differ only in the operand order of symmetric operators."""
        return self._formulas.canonical.clone()

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the nesting depth of the operators; all formulas have equally many."""
        return self._formulas.depth.double()

    @cached_property
    def _formulas(self) -> Formulas:
        """The formulas ordered by operator, size of the left operand, left operand, right operand."""
        values = torch.arange(2)
        sizes = [Formulas(values[:, None], values, values, torch.zeros_like(values))]
        for size in range(2, self.n_variables + 1):
            splits = [(sizes[left - 1], sizes[size - left - 1]) for left in range(1, size)]
            joined = [self._join(i, *split) for i in range(len(self.operators)) for split in splits]
            sizes.append(Formulas(*map(torch.cat, zip(*joined, strict=True))))
        return sizes[-1]

    def _join(self, operator: int, lefts: Formulas, rights: Formulas) -> Formulas:
        """Return ``operator left right`` for every left and every right formula."""
        truth = torch.tensor(TRUTH[self.operators[operator]])
        i, j = torch.cartesian_prod(torch.arange(len(lefts.value)), torch.arange(len(rights.value))).T
        tokens = torch.cat([torch.full((len(i), 1), 2 + operator), lefts.tokens[i], rights.tokens[j]], 1)
        first, second = lefts.canonical[i], rights.canonical[j]
        length = rights.tokens.shape[1]
        if truth[1] == truth[2]:  # the shorter operand has the lesser number: a longer one begins with an operator
            first, second = torch.minimum(first, second), torch.maximum(first, second)
            length = max(length, lefts.tokens.shape[1])
        canonical = ((2 + operator) * self.d_vocab ** (tokens.shape[1] - 1)) + first * self.d_vocab**length + second
        depth = 1 + torch.maximum(lefts.depth[i], rights.depth[j])
        return Formulas(tokens, truth[2 * lefts.value[i] + rights.value[j]], canonical, depth)


@dataclass(frozen=True, kw_only=True)
class RelationComposition(Task):
    """Facts "the r of e is e'", and questions that chain two of them: the r2 of the r1 of e.

    Every relation is a function drawn uniformly by a separate generator from ``seed``: each (e, r) has an answer
    independent of all others, which may be shared or e itself. The examples are the n_entities · n_relations facts (e,
    r, none), always in the training set, then the n_entities · n_relations² questions (e, r1, r2), which are split.
    There are n_relations questions per fact; with more questions in the training set, the others are answered sooner.
    Tokens: the entities, then the relations, then "none". Classes: the entities.

    Source: Wang et al. 2024, Grokked Transformers are Implicit Reasoners; Sinha et al. 2019, CLUTRR.

    Raises:
        ConfigError: if there are not 2 to 10,000 entities, no relations, more than 10^6 examples, or the seed is
            negative.

    >>> task = RelationComposition(n_entities=3, n_relations=2)
    >>> facts = task.facts()  # [relation, entity]
    >>> e, r1, r2 = task.tokens()[-1].tolist()
    >>> bool(task.label()[-1] == facts[r2 - 3, facts[r1 - 3, e]])
    True
    """

    about: ClassVar[str] = "the r2 of the r1 of an entity, from random facts that are always trained on"
    kind: Literal["relation_composition"] = "relation_composition"
    n_entities: int = 30
    n_relations: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.n_entities <= 10_000:
            raise ConfigError("n_entities", self.n_entities, "must be an integer from 2 to 10000")
        if self.n_relations < 1:
            raise ConfigError("n_relations", self.n_relations, "must be an integer >= 1")
        if self.n_examples > LARGEST:
            rule = f"gives {self.n_examples} facts and questions with {self.n_entities} entities, more than {LARGEST}"
            raise ConfigError("n_relations", self.n_relations, rule)
        if not 0 <= self.seed < 2**63:
            raise ConfigError("seed", self.seed, "must be from 0 to 2^63 - 1")

    @property
    def n_examples(self) -> int:
        return self.n_entities * self.n_relations * (1 + self.n_relations)

    @property
    def d_vocab(self) -> int:
        return self.n_entities + self.n_relations + 1

    @property
    def n_classes(self) -> int:
        return self.n_entities

    @property
    def n_ctx(self) -> int:
        return 3

    def facts(self) -> Int[Tensor, "relation entity"]:
        """Return the entity that each relation assigns to each entity."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randint(self.n_entities, (self.n_relations, self.n_entities), generator=generator)

    def tokens(self) -> Int[Tensor, "example position"]:
        entities = torch.arange(self.n_entities)
        relations = self.n_entities + torch.arange(self.n_relations)
        none = torch.tensor([self.d_vocab - 1])
        facts, questions = (torch.cartesian_prod(entities, relations, last) for last in (none, relations))
        return torch.cat([facts, questions])

    def labels(self) -> Int[Tensor, "example answer"]:
        facts = torch.cat([self.facts(), torch.arange(self.n_entities)[None]])  # "none" leads to the entity itself
        entity, first, second = (self.tokens() - torch.tensor([0, self.n_entities, self.n_entities])).T
        return facts[second, facts[first, entity]].unsqueeze(1)

    def difficulty(self) -> Float[Tensor, "example"]:
        """Return the number of relations to follow: 1 for a fact, 2 for a question."""
        return 2 - self.given().double()

    @property
    def n_given(self) -> int:
        """The number of facts."""
        return self.n_entities * self.n_relations
