"""The files of the repository: independent of one machine, small, and without repetition."""

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import grokinterp
from tests.support.small_runs import draw_checkpoints

ROOT = Path(__file__).resolve().parents[2]
# hosts of papers and specifications, of XML namespaces, and of pages a test serves itself; a package index is none
HOSTS = {"arxiv.org", "github.com", "doi.org", "www.w3.org", "localhost", "127.0.0.1", "example.com", "example.org"}
URL = re.compile(r"\b(?:https?|ftp|file|git\+\w+)://([^\s/\"'<>)`:?#]*)")
BARE_HOST = re.compile(r"(?<![\w.@/-])((?:[a-z0-9-]+\.)+(?:org|com))\b(?!\.?\w)")
PLACE = re.compile(r"(?<![\w.$}])/(?:home|root|work|Users)/\w")


def repository_files() -> list[Path]:
    """The files that git tracks or would track; empty in an unpacked archive."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [ROOT / name for name in sorted(done.stdout.split("\0")) if name and (ROOT / name).is_file()]


def text_of(file: Path) -> str:
    data = file.read_bytes()
    return "" if b"\0" in data else data.decode("utf-8")


TEXTS = {str(file.relative_to(ROOT)): text_of(file) for file in repository_files()}


def places(found: re.Pattern[str], keep=lambda match: True) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for name, text in TEXTS.items()
        for match in found.finditer(text)
        if keep(match)
    ]


def test_the_repository_is_seen():
    assert {"README.md", "pyproject.toml", "tests/repository/test_project.py"} <= set(TEXTS)


def test_every_url_is_a_paper_a_namespace_or_this_machine():
    assert places(URL, lambda match: match.group(1).lower() not in HOSTS) == []


def test_no_other_host_is_named():
    assert places(BARE_HOST, lambda match: match.group(1) not in HOSTS) == []


def test_no_path_of_one_machine():
    here = {f"{ROOT}/", f"{Path.home()}/"} - {"//"}
    named = [f"{name}: {path}" for name, text in TEXTS.items() for path in here if path in text]
    assert places(PLACE) + named == []


def test_constraints_are_exact_sorted_and_without_sources():
    lines = TEXTS["constraints.txt"].splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    assert lines == sorted(lines, key=str.upper)


def test_every_requirement_is_constrained():
    def canonical(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    pinned = {canonical(line.split("==")[0]) for line in TEXTS["constraints.txt"].splitlines()}
    project = tomllib.loads(TEXTS["pyproject.toml"])["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert [name for name in wanted if canonical(re.split(r"[><=!~\[; ]", name)[0]) not in pinned] == []


def test_python_files_stay_small():
    long = {name: text.count("\n") for name, text in TEXTS.items() if name.endswith(".py") and text.count("\n") > 400}
    assert long == {}


def test_the_first_screen_of_the_readme_says_how_to_start():
    first_screen = "\n".join(TEXTS["README.md"].splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen


@pytest.mark.parametrize("name", grokinterp.__all__)
def test_public_names_are_there(name):
    assert name in dir(grokinterp)
    value = getattr(grokinterp, name)
    assert type(value).__name__ == "module" or value.__module__.startswith("grokinterp.")


def test_an_unknown_public_name_is_refused():
    with pytest.raises(AttributeError, match="'grokinterp' has no attribute 'Trajektory'"):
        grokinterp.Trajektory  # noqa: B018


def test_the_version_is_stated_once():
    citation = re.search(r"^version: (\S+)$", TEXTS["CITATION.cff"], re.MULTILINE)
    assert citation is not None
    assert citation.group(1) == grokinterp.__version__


def test_type_checkers_see_every_public_name():
    tree = ast.parse(TEXTS["grokinterp/__init__.py"])
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(seen) == sorted(grokinterp.__all__)


ROOMS = sorted({module.name for module in pkgutil.iter_modules(grokinterp.__path__) if module.ispkg} - {"cli"})


def test_every_room_is_an_attribute():
    assert set(ROOMS) <= set(grokinterp.__all__)


def test_the_front_door_lists_public_names_only():
    import grokinterp.cli
    import grokinterp.display

    assert [name for name in dir(grokinterp) if not name.startswith("__")] == sorted(grokinterp.__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_there(room):
    module = getattr(grokinterp, room)
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name) or name not in dir(module)] == []


def test_every_error_is_a_public_name():
    for name in grokinterp.__all__:
        getattr(grokinterp, name)
    errors = grokinterp.GrokinterpError.__subclasses__()
    assert [error.__name__ for error in errors if getattr(grokinterp, error.__name__, None) is not error] == []


def test_submodules_need_no_import_of_their_own():
    command = "import grokinterp; print(grokinterp.tasks.ModularAddition(p=7).kind, grokinterp.Split().fraction)"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split()[0] == "modular_addition"


def test_the_latest_run_is_the_one_written_last(tmp_path):
    with pytest.raises(grokinterp.RunDirectoryError, match="contains no run directory"):
        grokinterp.latest_run(tmp_path)
    for name in ("b", "a"):
        draw_checkpoints(tmp_path / name)
    os.utime(tmp_path / "b" / "metrics.jsonl", (1, 1))
    assert grokinterp.latest_run(tmp_path).path.name == "a"
    os.utime(tmp_path / "a" / "metrics.jsonl", (0, 0))
    assert grokinterp.latest_run(tmp_path).path.name == "b"


PATHS = """
import grokinterp
for call in (grokinterp.train, grokinterp.find_phases, grokinterp.Experiment().differences):
    try:
        call("a_path")
    except grokinterp.ConfigError as error:
        print(error)
"""


def test_a_path_in_place_of_an_object_is_named():
    done = subprocess.run([sys.executable, "-c", PATHS], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == [
        "experiment=a_path: must be an Experiment",
        "curves=a_path: must be Curves, as from Curves.from_dataset",
        "other=a_path: must be an Experiment",
    ]


def test_diagnose_takes_a_run_directory(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    assert grokinterp.diagnose(run.path) == grokinterp.diagnose(grokinterp.Results.open(run.path))


def test_parts_say_what_there_is():
    problem = grokinterp.Problem.of(grokinterp.Experiment(task=grokinterp.tasks.ModularAddition(p=5)))
    with pytest.raises(KeyError, match="no part 'validation'; this problem has train, test, all"):
        problem.parts["validation"]
    assert repr(problem.parts["all"]) == "Part(25 examples of 3 tokens, cpu)"


@pytest.mark.parametrize("room", ["analysis", "figures", "report"])
def test_every_chapter_of_a_room_is_a_module(room):
    for chapter in ("structure", "groups", "circuit", "inside", "landscape", "health"):
        module = importlib.import_module(f"grokinterp.{room}.{chapter}")
        assert getattr(importlib.import_module(f"grokinterp.{room}"), chapter) is module
