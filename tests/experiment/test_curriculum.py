"""The curriculum: when examples are introduced, and the difficulty that each task assigns."""

import json
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from grokinterp.errors import ConfigError
from grokinterp.optim.curriculum import Curriculum
from grokinterp.tasks import (
    TASKS,
    BooleanFormula,
    Composition,
    LinearRecurrence,
    MatrixMultiplication,
    ModularAddition,
    ModularMultiplication,
    PeriodicSequence,
    Polynomial,
    RelationComposition,
    SparseParity,
)

shares = st.floats(0.001, 1)


class TestShare:
    @given(start=shares, over=st.integers(1, 1000), step=st.integers(0, 2000))
    def test_a_line_with_a_corner(self, start, over, step):
        expected = float(np.interp(step, [0, over], [start, 1]))
        assert Curriculum(start=start, over=over).share(step) == pytest.approx(expected, rel=1e-12)

    @given(start=shares, over=st.integers(1, 200), examples=st.integers(1, 10**6))
    def test_the_count_grows_from_at_least_one_to_all(self, start, over, examples):
        curriculum = Curriculum(start=start, over=over)
        counts = [curriculum.count(step, examples) for step in range(over + 3)]
        assert counts[0] == max(1, min(counts))
        assert counts[over:] == 3 * [examples]
        assert all(before <= after for before, after in pairwise(counts))
        assert all(abs(count - curriculum.share(step) * examples) < 1.001 for step, count in enumerate(counts))

    def test_a_count_is_rounded_up_and_not_by_rounding_errors(self):
        curriculum = Curriculum(start=0.1, over=10)
        assert [curriculum.count(0, examples) for examples in (1, 10, 11, 30, 1000)] == [1, 1, 2, 3, 100]

    @given(step=st.integers(0, 10**9), examples=st.integers(1, 10**6))
    def test_by_default_there_is_none(self, step, examples):
        assert not Curriculum().is_active
        assert Curriculum().count(step, examples) == examples

    def test_one_that_begins_below_one_is_one(self):
        assert Curriculum(start=0.999).is_active

    @pytest.mark.parametrize("key", ["start", "over"])
    def test_wrong_arguments_are_refused_by_name(self, key):
        for value in {"start": (0.0, -1.0, 1.5, float("nan")), "over": (0, -3, 10**9 + 1)}[key]:
            with pytest.raises(ConfigError) as refused:
                Curriculum(**{key: value})
            assert refused.value.key == key

    def test_json_there_and_back(self):
        curriculum = Curriculum(start=0.5, over=7, by="loss", hardest_first=True)
        assert TypeAdapter(Curriculum).validate_json(json.dumps(asdict(curriculum)), strict=True) == curriculum


class TestOrder:
    @given(difficulty=st.lists(st.integers(0, 5), max_size=30), hardest_first=st.booleans())
    def test_by_difficulty_and_then_by_place(self, difficulty, hardest_first):
        order = Curriculum(hardest_first=hardest_first).order(torch.tensor(difficulty, dtype=torch.float64))
        sign = -1 if hardest_first else 1
        assert order.tolist() == sorted(range(len(difficulty)), key=lambda i: (sign * difficulty[i], i))


def by_tokens(task):
    return dict(zip(map(tuple, task.tokens().tolist()), task.difficulty().tolist(), strict=True))


class TestDifficulty:
    @pytest.mark.parametrize("kind", [kind for kind in TASKS if kind != "table"])
    def test_every_example_has_a_finite_one_and_they_differ(self, kind):
        task = TASKS[kind]()
        difficulty = task.difficulty()
        assert difficulty.shape == (task.n_examples,)
        assert difficulty.isfinite().all()
        assert difficulty.min() < difficulty.max()

    @pytest.mark.parametrize("task", [ModularAddition(p=5), ModularMultiplication(p=7), Polynomial(p=5)], ids=repr)
    def test_size_of_the_operands(self, task):
        assert all(found == sum(tokens) for tokens, found in by_tokens(task).items())

    def test_ones_of_a_string(self):
        task = SparseParity(n_bits=5, k=2)
        assert by_tokens(task) == {row: row.count(1) for row in by_tokens(task)}

    def test_entries_of_matrices(self):
        task = MatrixMultiplication(n=2, p=3)
        for (a, b), found in list(by_tokens(task).items())[::97]:
            digits = np.base_repr(a, 3) + np.base_repr(b, 3)
            assert found == sum(map(int, digits))

    @pytest.mark.parametrize("length", [2, 5])
    def test_a_recurrence_before_it_is_reduced(self, length):
        task = LinearRecurrence(p=7, coefficients=(3, 9), length=length)  # 9 = 2 modulo 7
        for row, found in by_tokens(task).items():
            assert found == 3 * row[-1] + 2 * row[-2]
        assert (task.difficulty().long() % 7).equal(task.label())

    def test_the_least_period(self):
        task = PeriodicSequence(p=3, periods=(2, 3, 4), length=8)
        for row, found in by_tokens(task).items():
            assert found == min(d for d in range(1, 5) if all(row[i] == row[i - d] for i in range(d, 8)))

    def test_the_depth_of_a_formula(self):
        def parsed(tokens):
            """The depth of the formula at the start of the tokens, and the remaining tokens."""
            if tokens[0] < 2:
                return 0, tokens[1:]
            left, rest = parsed(tokens[1:])
            right, rest = parsed(rest)
            return 1 + max(left, right), rest

        for row, found in by_tokens(BooleanFormula(n_variables=4, operators=("and", "xor"))).items():
            assert parsed(row) == (found, ())

    def test_facts_before_questions(self):
        task = RelationComposition(n_entities=5, n_relations=3)
        assert by_tokens(task) == {row: 1 + (row[2] < 8) for row in by_tokens(task)}

    def test_both_steps_of_a_composition(self):
        task = Composition(outer=ModularMultiplication(p=7), inner=ModularAddition(p=5))
        for (a, b, c), found in by_tokens(task).items():
            assert found == (a + b) + ((a + b) % 5 + c)

    def test_a_composition_asks_its_parts(self):
        inner = MatrixMultiplication(n=2, p=2)
        task = Composition(outer=ModularAddition(p=17), inner=inner)
        matrix = {tuple(row): found for row, found in by_tokens(inner).items()}
        product = inner.table().tolist()
        for (a, b, c), found in list(by_tokens(task).items())[::53]:
            assert found == matrix[a, b] + product[a][b] + c
