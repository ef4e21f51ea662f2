import json
import math
import os
import time
from dataclasses import asdict
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from grokinterp.analysis import attention_periodicity, embedding_spectrum, logit_spectrum
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.models import TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks.modular import ModularAddition, ModularDivision, ModularSubtraction
from grokinterp.tasks.table import Table
from grokinterp.tasks.task import Task
from tests.cases.tasks import built, check, check_algebra, examples

SQUARE = [[0, 1, 2], [1, -1, 0], [2, 0, 1]]


def listed(cells: list[list[int]]) -> dict[tuple[int, int], int]:
    return {(a, b): cell for a, row in enumerate(cells) for b, cell in enumerate(row) if cell >= 0}


tables = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(-1, 5), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


@given(tables)
@example([[0, 0, -1], [0, 0, -1]])
def test_a_table_is_its_defined_cells(cells):
    task = built(lambda: Table.from_array(cells))
    assert (task is not None) == bool(listed(cells))
    if task is not None:
        assert examples(task) == listed(cells)
        assert task.d_vocab == max(len(cells), len(cells[0]))
        assert task.n_classes == 1 + max(map(max, cells))
        check(task)


@pytest.mark.parametrize("kind", [list, tuple, np.asarray, np.int8, torch.tensor])
def test_arrays_of_every_kind_make_the_same_task(kind):
    assert Table.from_array(kind(SQUARE)) == Table(rows=("0,1,2", "1,,0", "2,0,1"))


def test_the_array_is_copied():
    cells = np.array(SQUARE)
    task = Table.from_array(cells)
    cells[:] = 0
    assert examples(task) == listed(SQUARE)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[0.5, 1.0]], r"table=\(1x2 float64\): must be a two-dimensional array of integers"),
        (np.zeros((2, 2, 2), dtype=int), r"table=\(2x2x2 int64\): must be a two-dimensional"),
        ([0, 1], r"table=\(2 int64\)"),
        ([[True]], r"table=\(1x1 bool\)"),
        ([["a"]], r"table=\(1x1 <U1\)"),
        ([[10**30]], r"table=\(1x1 object\)"),
        ([[0, 1], [2]], "table=list: must have rows of equal length"),
        (np.zeros((0, 3), dtype=int), r"table=\(0x3\): has 0 lines"),
        (np.zeros((1, 10**9), dtype=np.int8)[:, :1].repeat(1001, 0), r"table=\(1001x1\): has 1001 lines"),
        (np.broadcast_to(np.int8(0), (10**6, 10**6)), r"table=\(1000000x1000000\)"),
        ([[0, -2]], r"rows=\(1 lines\): line 1, column 2: '-2' must be blank or an integer from 0 to 9999"),
        ([[0], [10**4]], "rows=.*line 2, column 1: '10000' must be"),
        ([[-1]], "rows=.*has no defined cell"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(ConfigError, match=f"^{message}[^\n]*$"):
        Table.from_array(array)


def test_a_file_is_read_once(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("0, 1,2\r\n01,,0\r\n2,0,-1\r\n\r\n", encoding="utf-8-sig")
    task = Table(path=str(file))
    assert (task.path, task.source, task.rows) == (None, str(file), ("0,1,2", "1,,0", "2,0,"))
    configuration = json.dumps(asdict(task))
    file.unlink()
    assert TypeAdapter(Table).validate_json(configuration, strict=True) == task
    assert examples(TypeAdapter(Table).validate_json(configuration, strict=True)) == listed(
        [[0, 1, 2], [1, -1, 0], [2, 0, -1]]
    )
    check(task)


def test_a_task_that_holds_a_table_reads_no_other(tmp_path):
    with pytest.raises(ConfigError, match=r"^path=b.csv: the task already holds a table, read from a.csv$"):
        Table(path="b.csv", rows=("0,1",), source="a.csv")


def test_the_default_asks_for_a_file():
    with pytest.raises(ConfigError, match=r"^path=None: must be a CSV file of integers"):
        Table()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0,1\n1,x\n", "line 2, column 2: 'x' must be blank or an integer from 0 to 9999"),
        (b"a,b\n0,1\n", "line 1, column 1: 'a' must be"),
        (b"0,1.0\n", "line 1, column 2: '1.0'"),
        (b"0;1\n", "line 1, column 1: '0;1'"),
        (b"0,9999\n10000,0\n", "line 2, column 1: '10000' must be blank or an integer from 0 to 9999"),
        ((b"0," * 99 + b"0\n") * 99 + b"0," * 98 + b"99999,0\n", "line 100, column 99: '99999' must be blank or"),
        (b"0,1_0\n", "line 1, column 2: '1_0'"),
        ("0,٣\n".encode(), "line 1, column 2: "),
        (b"0,1\n\n1,0\n", "line 2 has 1 cells, line 1 has 2"),
        (b"0,1\n1\n", "line 2 has 1 cells, line 1 has 2"),
        (b"", "has 0 lines of 0 cells"),
        (b",\n,\n", "has no defined cell"),
        (b"\x89PNG\x00\xff\xfe", "line 1, column 1: "),
        (b"0\n" * 1001, "has 1001 lines of 1 cells"),
        ((b"0," * 400 + b"0\n") * 300, "has 300 lines of 401 cells"),
        (b"0" * (2**20 + 1), "has 1048577 bytes; at most 1048576 are read"),
    ],
)
def test_damaged_files_are_refused_by_line_and_column(content, message, tmp_path):
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Table(path=str(file))
    assert str(caught.value).startswith(f"path={file}: {message}")
    assert "\n" not in str(caught.value)


def test_the_largest_class_and_leading_zeros_are_read(tmp_path):
    file = tmp_path / "table.csv"
    file.write_text("09999,0000\n00012,9998\n")
    task = Table(path=str(file))
    assert (task.rows, task.n_classes) == (("9999,0", "12,9998"), 10**4)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        "missing.csv": "no such file or directory",
        ".": "is not a regular file",
        "pipe": "is not a regular file",
        "x" * 300: "file name too long",
        "nul\0": "is not a file name",
    }.items():
        with pytest.raises(ConfigError, match=f"^path=.*: {message}$"):
            Table(path=f"{tmp_path}/{name}")


@given(st.binary(max_size=30))
def test_any_bytes_make_a_task_or_one_line(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("table") / "table.csv"
    file.write_bytes(content)
    built(lambda: Table(path=str(file)))


@pytest.mark.parametrize("shape", [(316, 316), (1000, 100), (100, 1000)])
def test_the_largest_configuration_fits_a_configuration_file(shape):
    start = time.process_time()
    task = Table.from_array(np.random.default_rng(0).integers(10**3, 10**4, size=shape))
    assert len(json.dumps({"task": asdict(task)}, indent=2)) < 2**20 - 4096
    assert task.algebra is None
    assert time.process_time() - start < 5


def test_the_group_behind_a_table_is_found():
    for known in (ModularAddition(p=7), ModularSubtraction(p=6), ModularAddition(p=3)):
        task = Table.from_array(known.table())
        assert task.algebra is not None
        check(task)
    addition = Table.from_array(ModularAddition(p=5).table()).algebra
    assert addition.left.tolist() == addition.right.tolist() == addition.answer.tolist() == list(range(5))
    assert Table.from_array(ModularDivision(p=7).table()).algebra is None  # 0 is no element of the group


def bipartite(n: int, rows: list[int], columns: list[int], classes: list[int]) -> Task:
    """Addition modulo n of the operands named by ``rows`` and ``columns``, each in order."""
    cells = {(rows[i], columns[j]): classes[(i + j) % n] for i in range(n) for j in range(n)}
    lines, width = range(max(rows) + 1), range(max(columns) + 1)
    return Table.from_array([[cells.get((a, b), -1) for b in width] for a in lines])


def test_operands_may_be_different_tokens():
    """The second operand b is the token p + b."""
    task = bipartite(5, list(range(5)), list(range(5, 10)), list(range(5)))
    algebra = task.algebra
    assert algebra.left.tolist() == [0, 1, 2, 3, 4] + [-1] * 5
    assert algebra.right.tolist() == [-1] * 5 + [0, 1, 2, 3, 4]
    assert algebra.answer.tolist() == [0, 1, 2, 3, 4]
    assert algebra.group.order == 5
    check(task)


@given(st.data())
def test_whatever_the_tokens_and_classes_are_called_the_group_is_found(data):
    names = [data.draw(st.lists(st.integers(0, 12), min_size=4, max_size=4, unique=True)) for _ in range(3)]
    task = bipartite(4, *names)
    assert task.algebra is not None
    assert {t for t, x in enumerate(task.algebra.left.tolist()) if x >= 0} == set(names[0])
    assert {t for t, x in enumerate(task.algebra.right.tolist()) if x >= 0} == set(names[1])
    assert {c for c, x in enumerate(task.algebra.answer.tolist()) if x >= 0} == set(names[2])
    check_algebra(task, examples(task))


def test_a_hole_in_the_table_leaves_no_group():
    rows = [[-1] * 3 + [(a + b) % 3 for b in range(3)] for a in range(3)]
    assert Table.from_array(rows).algebra is not None
    rows[1][4] = -1
    assert Table.from_array(rows).algebra is None
    assert Table.from_array([[0, 1, 2], [1, 2, 0]]).algebra is None


def test_the_cyclic_grid_of_different_tokens():
    """Logits, embeddings and attention are laid out by each operand's own tokens."""
    n, task = 7, bipartite(7, list(range(7)), list(range(7, 14)), list(range(7)))
    experiment = Experiment(task=task, model=TransformerSpec(d_model=4, n_heads=1, d_mlp=4, read_at="last"))
    model = experiment.build_model().double().requires_grad_(False)
    is_train = torch.zeros(n * n, dtype=torch.bool)
    checkpoint = Checkpoint(0, model, Problem(task, experiment.tokens(), task.labels(), is_train))
    wave = torch.cos(2 * math.pi * 3 / n * (task.label()[:, None] - torch.arange(n)).double())
    a, b = task.tokens().T
    score = torch.sin(2 * math.pi * 2 / n * torch.arange(n)).double()
    to_a = 0.5 + 0.1 * (score[a] - score[b - n])
    pattern = torch.stack([to_a, 1 - to_a], 1)[:, None]
    checkpoint.__dict__["readout"] = checkpoint.readout._replace(logits=wave, pattern=pattern)
    assert float(logit_spectrum(checkpoint).logit_similarity[2]) == pytest.approx(1, abs=1e-9)
    periodicity = attention_periodicity(checkpoint)
    assert periodicity.attention_frequency.tolist() == [2]
    assert float(periodicity.attention_fve[0]) == pytest.approx(1, abs=1e-9)
    both = torch.cat([model.embed.W_E[:n], model.embed.W_E[n : 2 * n]], 1)
    power = torch.fft.rfft(both, dim=0)[1:].abs().square().sum(1) * 2 / n
    torch.testing.assert_close(embedding_spectrum(checkpoint).embedding_power, power)


renamings = st.permutations(range(6))


@given(st.sampled_from(["cyclic", "symmetric"]), renamings, renamings, renamings)
def test_a_renamed_group_is_still_found(kind, rows, columns, classes):
    elements = list(permutations(range(3)))
    symmetric = [[elements.index(tuple(x[i] for i in y)) for y in elements] for x in elements]
    group = symmetric if kind == "symmetric" else [[(x + y) % 6 for y in range(6)] for x in range(6)]
    task = Table.from_array([[classes[group[x][y]] for y in columns] for x in rows])
    assert task.algebra is not None
    assert task.algebra.group.is_abelian == (kind == "cyclic")
    check_algebra(task, examples(task))


@given(st.permutations(range(6)))
def test_operands_keep_their_names_where_the_operation_has_an_identity(names):
    cells = {(names[x], names[y]): names[(x + y) % 6] for x in range(6) for y in range(6)}
    algebra = Table.from_array([[cells[a, b] for b in range(6)] for a in range(6)]).algebra
    assert algebra.left.tolist() == algebra.right.tolist() == algebra.answer.tolist() == list(range(6))
    assert algebra.group.identity == names[0]


def squares(n: int):
    """All Latin squares whose first row is in order."""

    def extend(rows):
        if len(rows) == n:
            yield rows
            return
        for row in permutations(range(n)):
            if all(row[b] != other[b] for other in rows for b in range(n)):
                yield from extend([*rows, row])

    yield from extend([tuple(range(n))])


def associative(square) -> bool:
    """Whether the square, whose first row is in order, is a group's table once its rows are named by their first."""
    n = len(square)
    named = {row[0]: row for row in square}  # so that 0 is an identity
    return all(named[named[x][y]][z] == named[x][named[y][z]] for x, y, z in product(range(n), repeat=3))


@pytest.mark.parametrize(("n", "groups", "all_squares"), [(3, 2, 2), (4, 24, 24), (5, 144, 1344)])
def test_latin_squares_that_are_no_groups_are_not_taken_for_one(n, groups, all_squares):
    found = [(Table.from_array(square).algebra is not None, associative(square)) for square in squares(n)]
    assert all(claimed == true for claimed, true in found)
    assert (sum(true for _, true in found), len(found)) == (groups, all_squares)
