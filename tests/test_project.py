"""The files of the repository: nothing of one machine in them, small, and saying the same thing once."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import grokinterp

ROOT = Path(__file__).resolve().parent.parent
# hosts of papers and specifications, of XML namespaces, and of pages a test serves itself; a package index is none
HOSTS = {"arxiv.org", "github.com", "doi.org", "www.w3.org", "localhost", "127.0.0.1", "example.com", "example.org"}
URL = re.compile(r"\b(?:https?|ftp|file|git\+\w+)://([^\s/\"'<>)`:?#]*)")
BARE_HOST = re.compile(r"(?<![\w.@/-])((?:[a-z0-9-]+\.)+(?:org|com))\b(?!\.?\w)")
PLACE = re.compile(r"(?<![\w.$}])/(?:home|root|work|Users)/\w")


def repository_files() -> list[Path]:
    """The files git tracks or would track; in an unpacked archive, where git knows nothing, none."""
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
    assert {"README.md", "pyproject.toml", "tests/test_project.py"} <= set(TEXTS)


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
    assert (type(value).__name__ == "module") is (name == "presets")


def test_an_unknown_public_name_is_refused():
    with pytest.raises(AttributeError, match="'grokinterp' has no attribute 'Trajektory'"):
        grokinterp.Trajektory  # noqa: B018


def test_the_version_is_stated_once():
    citation = re.search(r"^version: (\S+)$", TEXTS["CITATION.cff"], re.MULTILINE)
    assert citation is not None
    assert citation.group(1) == grokinterp.__version__
