"""The notebooks as files: no outputs, no definitions, one place that names the run. test_demo.py runs them."""

import ast
import os
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


class Notebook(NamedTuple):
    """A notebook, and the text of its cells."""

    path: Path
    content: nbformat.NotebookNode
    code: list[str]
    prose: list[str]

    @property
    def nodes(self) -> list[ast.AST]:
        """Everything in the syntax trees of its code."""
        return [node for source in self.code for node in ast.walk(tree(source))]


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def notebook(request) -> Notebook:
    content = nbformat.read(request.param, as_version=4)
    code, prose = ([cell.source for cell in content.cells if cell.cell_type == kind] for kind in ("code", "markdown"))
    return Notebook(request.param, content, code, prose)


def tree(source: str) -> ast.Module:
    """The syntax tree of a cell without its magics."""
    return ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))


def test_it_is_valid_and_every_cell_has_its_own_id(notebook):
    nbformat.validate(notebook.content)
    assert len({cell.id for cell in notebook.content.cells}) == len(notebook.content.cells)


def test_it_is_committed_without_outputs(notebook):
    cells = notebook.content.cells
    assert [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count") is not None] == []


def test_nothing_is_defined_in_it(notebook):
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert [node.name for node in notebook.nodes if isinstance(node, definitions)] == []


def test_cells_are_short_and_follow_prose(notebook):
    assert [source for source in notebook.code if len(source.splitlines()) > 24] == []
    kinds = [cell.cell_type == "code" for cell in notebook.content.cells]
    assert not kinds[0]
    assert not any(all(kinds[i : i + 3]) for i in range(len(kinds)))  # a result and its checks, then words again


def test_its_claims_are_checked(notebook):
    assert sum(isinstance(node, ast.Assert) for node in notebook.nodes) >= 15


def test_every_plot_names_its_axes(notebook):
    drawn = [source for source in notebook.code if "plt.subplots" in source or ".plot(" in source]
    assert len(drawn) >= 5
    assert [s for s in drawn if not ("xlabel=" in s and "ylabel=" in s) and "set_axis_labels" not in s] == []


def test_the_run_is_named_in_the_first_cell_only(notebook):
    assert [i for i, source in enumerate(notebook.code) if "GROKINTERP_RUN" in source or "glob" in source] == [0]


def test_it_ends_with_exercises(notebook):
    assert notebook.content.cells[-1].cell_type == "markdown"
    assert notebook.prose[-1].startswith("## Exercises")
    assert [f"\n{number}. " in notebook.prose[-1] for number in (1, 2, 3)] == [True] * 3


def run_named_in(folder: Path, notebook: Notebook, monkeypatch) -> str:
    """The run that the first cell chooses when the notebook is started in ``folder``."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(compile(tree(notebook.code[0]), str(notebook.path), "exec"), names)
    return str(names["RUN"])


def test_the_newest_demo_run_is_taken_from_either_folder(notebook, tmp_path, monkeypatch):
    monkeypatch.delenv("GROKINTERP_RUN", raising=False)
    (tmp_path / "notebooks").mkdir()
    for age, name in enumerate(["demo-b", "demo-a", "nanda2023-c"]):
        folder = tmp_path / "checkpoints" / name
        folder.mkdir(parents=True)
        os.utime(folder, (1_000_000 + age, 1_000_000 + age))
    newest = str(tmp_path / "checkpoints" / "demo-a")
    assert run_named_in(tmp_path, notebook, monkeypatch) == newest
    assert run_named_in(tmp_path / "notebooks", notebook, monkeypatch) == newest


def test_the_environment_names_the_run(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("GROKINTERP_RUN", "somewhere/else")
    assert run_named_in(tmp_path, notebook, monkeypatch) == "somewhere/else"


def test_without_a_run_it_says_what_to_do(notebook, tmp_path, monkeypatch):
    monkeypatch.delenv("GROKINTERP_RUN", raising=False)
    with pytest.raises(FileNotFoundError, match="run `make demo` first"):
        run_named_in(tmp_path, notebook, monkeypatch)
