"""Multiplication of matrices over F_p against plain Python."""

import json
import math
from dataclasses import asdict
from itertools import product

import pytest
import torch
from pydantic import TypeAdapter

from grokinterp.errors import ConfigError
from grokinterp.maths.representations import irreps
from grokinterp.tasks.matrices import MatrixMultiplication

SIZES = [(2, 2), (2, 3), (2, 5), (3, 2)]
TASKS = [MatrixMultiplication(n=n, p=p, invertible=invertible) for n, p in SIZES for invertible in (False, True)]
Matrix = tuple[tuple[int, ...], ...]


def matrices(n: int, p: int) -> list[Matrix]:
    """All matrices, counted row by row as digits in base p."""
    return [tuple(entries[n * i : n * i + n] for i in range(n)) for entries in product(range(p), repeat=n * n)]


def times(a: Matrix, b: Matrix, p: int) -> Matrix:
    size = range(len(a))
    return tuple(tuple(sum(a[i][k] * b[k][j] for k in size) % p for j in size) for i in size)


def determinant(a: Matrix, p: int) -> int:
    """By expansion along the first row."""
    if len(a) == 1:
        return a[0][0] % p
    minors = [tuple(row[:i] + row[i + 1 :] for row in a[1:]) for i in range(len(a))]
    return sum((-1) ** i * a[0][i] * determinant(minor, p) for i, minor in enumerate(minors)) % p


def vocabulary(task: MatrixMultiplication) -> list[Matrix]:
    every = matrices(task.n, task.p)
    return [a for a in every if determinant(a, task.p)] if task.invertible else every


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_labels_are_products(task):
    expected = vocabulary(task)
    assert [tuple(map(tuple, a)) for a in task.matrices.tolist()] == expected
    number = {a: token for token, a in enumerate(expected)}
    step = 1 + task.n_examples // 10_000
    for (a, b), c in zip(task.tokens()[::step].tolist(), task.label()[::step].tolist(), strict=True):
        assert c == number[times(expected[a], expected[b], task.p)]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_sizes_are_counted(task):
    n, p = task.n, task.p
    order = math.prod(p**n - p**k for k in range(n)) if task.invertible else p ** (n * n)
    assert (task.d_vocab, task.n_classes, task.n_ctx, task.n_examples) == (order, order, 2, order**2)
    assert task.tokens()[:: order + 1].tolist() == [[a, a] for a in range(order)]


def test_a_matrix_is_the_number_of_its_digits():
    task = MatrixMultiplication(n=2, p=5)
    for token in (0, 1, 5, 124, 624):
        (a, b), (c, d) = task.matrices[token].tolist()
        assert 125 * a + 25 * b + 5 * c + d == token


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_the_invertible_ones_are_a_group(task):
    if not task.invertible:
        assert task.algebra is None
        return
    g, (left, right), answer = task.algebra
    a, b = task.tokens().T
    assert (answer[task.label()] == g.table[left[a], right[b]]).all()
    assert (g.table.sort(0)[0] == torch.arange(g.order)[:, None]).all()
    assert (g.table.sort(1)[0] == torch.arange(g.order)).all()
    identity = torch.eye(task.n, dtype=torch.int64)
    assert torch.equal(task.matrices[g.identity], identity)
    inverses = task.matrices @ task.matrices[g.inverse] % task.p
    assert torch.equal(inverses, identity.expand_as(inverses))


def test_gl_3_of_f_2_is_the_simple_group_of_order_168():
    """Its complex characters have dimensions 1, 3, 3, 6, 7, 8, the two of 3 conjugate to each other."""
    g = MatrixMultiplication(n=3, p=2, invertible=True).structure
    assert sorted((r.dimension, r.type) for r in irreps(g)) == [
        (1, "real"),
        (6, "complex"),
        (6, "real"),
        (7, "real"),
        (8, "real"),
    ]
    assert g.name == "GL3(F2)"
    assert g.elements[g.identity] == "[[1, 0, 0], [0, 1, 0], [0, 0, 1]]"


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_json_there_and_back_is_the_same_task(task):
    text = json.dumps(asdict(task))
    assert MatrixMultiplication(**json.loads(text)) == task
    assert TypeAdapter(MatrixMultiplication).validate_json(text, strict=True) == task


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"p": 4}, "p=4: must be a prime below 1000"),
        ({"p": 1}, "p=1: must be a prime below 1000"),
        ({"p": -3}, "p=-3: must be a prime below 1000"),
        ({"p": 10**40}, f"p={10**40}: must be a prime below 1000"),
        ({"p": 7}, "p=7: gives 2401 matrices with n=2, must give at most 1000"),
        ({"p": 7, "invertible": True}, "p=7: gives 2401 matrices with n=2, must give at most 1000"),
        ({"n": 3, "p": 3}, "p=3: gives 19683 matrices with n=3, must give at most 1000"),
        ({"n": 1}, "n=1: must be 2 or 3, for at most 1000 matrices"),
        ({"n": 4, "p": 2}, "n=4: must be 2 or 3, for at most 1000 matrices"),
        ({"n": 10**9}, "n=1000000000: must be 2 or 3, for at most 1000 matrices"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError) as error:
        MatrixMultiplication(**values)
    assert str(error.value) == message
