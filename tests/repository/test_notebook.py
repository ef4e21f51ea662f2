"""The notebooks as files: small stored outputs, no definitions, exercises with hints and solutions."""

import ast
import re
from pathlib import Path

import pytest
from nbformat import NotebookNode, validate

from manual.links import repository
from tests.support.notebooks import HINT, NOTEBOOKS, SOLUTION, exercises, read, tree

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 400_000
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def path(request) -> Path:
    return request.param


@pytest.fixture
def content(path) -> NotebookNode:
    return read(path)


@pytest.fixture
def code(content) -> list[str]:
    return [cell.source for cell in content.cells if cell.cell_type == "code"]


def test_there_are_nine_in_the_order_of_their_numbers():
    assert [path.name[:3] for path in NOTEBOOKS] == [f"0{i}_" for i in range(1, 10)]


def test_it_is_valid_and_every_cell_has_its_own_id(content):
    validate(content)
    assert len({cell.id for cell in content.cells}) == len(content.cells)


def test_its_title_has_its_number(path, content):
    assert content.cells[0].source.startswith(f"# {int(path.name[:2])} · ")


def test_its_outputs_are_those_of_one_execution_from_top_to_bottom(content):
    counts = [cell.execution_count for cell in content.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_its_outputs_are_small_and_name_no_place_of_a_machine(path, content):
    assert path.stat().st_size < LARGEST
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    assert re.search(r"/(?:work|home|root|tmp|Users)/", path.read_text(encoding="utf-8")) is None


def test_nothing_is_defined_in_it(code):
    nodes = [node for source in code for node in ast.walk(tree(source))]
    assert [node.name for node in nodes if isinstance(node, DEFINITIONS)] == []


def test_cells_are_short_and_follow_prose(content, code):
    assert [source for source in code if len(source.splitlines()) > 26] == []
    kinds = [cell.cell_type == "code" for cell in content.cells]
    assert not kinds[0]
    assert not any(all(kinds[i : i + 4]) for i in range(len(kinds)))


def test_its_claims_are_checked(code):
    nodes = [node for source in code for node in ast.walk(tree(source))]
    assert sum(isinstance(node, ast.Assert) for node in nodes) >= 12


def test_every_plot_names_its_axes(code):
    drawn = [source for source in code if "plt.subplots" in source or ".plot(" in source]
    assert len(drawn) >= 3 or "published" in code[1]
    assert [s for s in drawn if not ("xlabel=" in s and "ylabel=" in s) and "set_axis_labels" not in s] == []


def test_the_first_cell_is_the_same_everywhere_and_installs_only_what_is_missing(code):
    first = next(cell.source for cell in read(NOTEBOOKS[0]).cells if cell.cell_type == "code")
    assert code[0] == first
    assert "find_spec" in first
    assert f'repository = "{repository()}"' in first
    assert [source for source in code[1:] if "pip install" in source] == []


@pytest.mark.parametrize("place", ["a clone/notebooks", "elsewhere"])
@pytest.mark.parametrize("address", ["", "scheme://host/name", "/mounted/name"])
def test_the_first_cell_installs_the_clone_or_the_repository_or_says_what_to_do(place, address, tmp_path, monkeypatch):
    first = next(cell.source for cell in read(NOTEBOOKS[0]).cells if cell.cell_type == "code")
    lines = first.replace('repository = ""', f"repository = {address!r}")
    lines = lines.replace('%pip install --quiet "{source}"', "installed.append(str(source))")
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / "a clone").mkdir(exist_ok=True)
    (tmp_path / "a clone" / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / place)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    installed: list[str] = []
    alone = f"git+{address}" if "://" in address else address
    expected = str(tmp_path / "a clone") if place.startswith("a clone") else alone
    if not expected:
        with pytest.raises(ModuleNotFoundError, match="open this notebook in a clone"):
            exec(lines, {"installed": installed})
    else:
        exec(lines, {"installed": installed})
    assert installed == [expected] * bool(expected)


def test_exercises_have_a_hint_and_a_solution_that_assigns_every_answer(content):
    found = exercises(content)
    assert len(found) >= 3
    for exercise in found:
        assert re.search(r"^### Exercise \d: ", exercise.words, re.MULTILINE), exercise.names
        assert HINT.search(exercise.words), exercise.names
        assert SOLUTION.search(exercise.words), exercise.names
        assigned = {node.id for node in ast.walk(tree(exercise.solution)) if isinstance(node, ast.Name)}
        assert set(exercise.names) <= assigned
        checks = [ast.unparse(node) for node in ast.walk(tree(exercise.cell.source)) if isinstance(node, ast.Assert)]
        assert all(any(f"{name} is ..." in check for check in checks) for name in exercise.names)


def test_its_links_lead_to_files(path, content):
    words = "\n".join(cell.source for cell in content.cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", words) if not link.startswith("http")]
    assert [link for link in links if not (path.parent / link).is_file()] == []
