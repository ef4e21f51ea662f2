"""The notebook as a file: no outputs, no definitions, one place that names the run. tests/test_demo.py executes it."""

import ast
import os
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "01_explore_a_run.ipynb"
NB = nbformat.read(NOTEBOOK, as_version=4)
CODE = [cell.source for cell in NB.cells if cell.cell_type == "code"]
PROSE = [cell.source for cell in NB.cells if cell.cell_type == "markdown"]


def tree(source: str) -> ast.Module:
    """The syntax tree of a cell without its magics."""
    return ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))


NODES = [node for source in CODE for node in ast.walk(tree(source))]


def test_it_is_valid_and_every_cell_has_its_own_id():
    nbformat.validate(NB)
    assert len({cell.id for cell in NB.cells}) == len(NB.cells)


def test_it_is_committed_without_outputs():
    assert [cell.id for cell in NB.cells if cell.get("outputs") or cell.get("execution_count") is not None] == []


def test_nothing_is_defined_in_it():
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert [node.name for node in NODES if isinstance(node, definitions)] == []


def test_cells_are_short_and_follow_prose():
    assert [source for source in CODE if len(source.splitlines()) > 24] == []
    assert NB.cells[0].cell_type == "markdown"
    kinds = [cell.cell_type == "code" for cell in NB.cells]
    assert not any(all(kinds[i : i + 3]) for i in range(len(kinds)))  # a result and its checks, then words again


def test_its_claims_are_checked():
    assert sum(isinstance(node, ast.Assert) for node in NODES) >= 20


def test_every_plot_names_its_axes():
    drawn = [source for source in CODE if "plt.subplots" in source or ".plot(" in source]
    assert len(drawn) >= 5
    assert [s for s in drawn if not ("xlabel=" in s and "ylabel=" in s) and "set_axis_labels" not in s] == []


def test_the_run_is_named_in_the_first_cell_only():
    assert [i for i, source in enumerate(CODE) if "GROKINTERP_RUN" in source or "glob" in source] == [0]


def test_it_ends_with_exercises():
    assert NB.cells[-1].cell_type == "markdown"
    assert PROSE[-1].startswith("## Exercises")
    assert [f"\n{number}. " in PROSE[-1] for number in (1, 2, 3)] == [True] * 3


def run_named_in(folder: Path, monkeypatch) -> str:
    """What the first cell chooses when the notebook is started in ``folder``."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(compile(tree(CODE[0]), str(NOTEBOOK), "exec"), names)
    return str(names["RUN"])


def test_the_newest_demo_run_is_taken_from_either_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("GROKINTERP_RUN", raising=False)
    (tmp_path / "notebooks").mkdir()
    for age, name in enumerate(["demo-b", "demo-a", "nanda2023-c"]):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        os.utime(folder, (1_000_000 + age, 1_000_000 + age))
    newest = str(tmp_path / "checkpoints" / "demo-a")
    assert run_named_in(tmp_path, monkeypatch) == newest
    assert run_named_in(tmp_path / "notebooks", monkeypatch) == newest


def test_the_environment_names_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("GROKINTERP_RUN", "somewhere/else")
    assert run_named_in(tmp_path, monkeypatch) == "somewhere/else"


def test_without_a_run_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("GROKINTERP_RUN", raising=False)
    with pytest.raises(FileNotFoundError, match="run `make demo` first"):
        run_named_in(tmp_path, monkeypatch)
