"""The digest of an analysis follows the code it rests on, and no other code."""

import ast
import linecache
import sys
import textwrap
import types
from importlib import import_module
from pathlib import Path

import pytest

from grokinterp.analysis import ENTRIES, circuit_verdict, performance
from grokinterp.analysis.engine.digest import code_digest
from grokinterp.errors import ConfigError
from grokinterp.runs.imports import PACKAGE, closure

FILES = {
    "__init__.py": "",
    "spectra.py": """
        from typing import TYPE_CHECKING
        from grokinterp.maths.fourier import waves
        from . import settings
        if TYPE_CHECKING:
            from planted_package import checked
        def spectrum(checkpoint):
            from planted_package.lazy import peak
            from planted_package.inner import deep
    """,
    "settings.py": "",
    "inner.py": "from planted_package.deeper import deep",
    "deeper.py": "deep = 1",
    "lazy.py": """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from planted_package.peaks import peak
            from planted_package.valleys import valley
        def __getattr__(name): ...
    """,
    "peaks.py": "",
    "valleys.py": "",
    "checked.py": "",
    "unrelated.py": "import planted_package.spectra",
}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package with an analysis, modules that it imports, and modules that it does not."""
    path = tmp_path / "planted_package"
    path.mkdir()
    for name, text in FILES.items():
        (path / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield path
    for name in [name for name in sys.modules if name.split(".")[0] == "planted_package"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "counts"),
    {name: name not in ("valleys.py", "checked.py", "unrelated.py") for name in FILES}.items(),
)
def test_the_digest_changes_with_the_code_that_an_analysis_imports_and_no_other(name, counts, package):
    analysis = import_module("planted_package.spectra").spectrum
    before = code_digest(analysis)
    assert code_digest(analysis) == before
    (package / name).write_text((package / name).read_text() + "\nchanged = True\n")
    assert (code_digest(analysis) != before) is counts


def test_comments_and_docstrings_do_not_count(package):
    analysis, path = import_module("planted_package.spectra").spectrum, package / "settings.py"
    path.write_text("limit = 3\n\ndef unused(): pass\n")
    before = code_digest(analysis)
    path.write_text(
        '"""Settings."""\n# a comment\nlimit = 3\n"""A limit."""\n\ndef unused():\n    "Nothing."\n    pass\n'
    )
    assert code_digest(analysis) == before


def within(path: Path) -> set[str]:
    return {str(file.relative_to(PACKAGE)) for file in closure([path])}


def test_an_analysis_rests_on_its_helpers_and_not_on_other_chapters():
    found = within(PACKAGE / "analysis" / "circuit" / "verdict.py")
    assert {"analysis/circuit/rule.py", "analysis/structure/cyclic_grid.py", "maths/fourier.py"} <= found
    assert not [path for path in found if path.startswith(("analysis/landscape", "analysis/health", "figures", "cli"))]
    assert code_digest(circuit_verdict) != code_digest(performance)


def test_every_analysis_rests_on_models_and_tasks():
    """An import statement need not name them: the configuration of a run chooses its model and task."""
    found = closure([PACKAGE / "analysis" / "engine" / "evaluate.py"])
    assert PACKAGE / "runs" / "checkpoint.py" in found
    assert len({code_digest(entry.analysis) for entry in ENTRIES}) > 20


def in_a_notebook(source: str) -> dict:
    """Definitions without a file, as a notebook's cells have them."""
    name = "<cell>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    module = types.ModuleType("notebook")
    exec(compile(ast.parse(source), name, "exec"), module.__dict__)
    return module.__dict__


CELL = """
from grokinterp.maths.fourier import waves

def scale(x):
    return 2 * x

def unused(x):
    return 3

def measure(checkpoint):
    return scale(waves(checkpoint))
"""


def test_in_a_notebook_the_functions_that_it_calls_count():
    before = code_digest(in_a_notebook(CELL)["measure"])
    assert code_digest(in_a_notebook(CELL)["measure"]) == before
    assert code_digest(in_a_notebook(CELL.replace("2 * x", "4 * x"))["measure"]) != before
    for same in (CELL.replace("return 3", "return 4"), CELL.replace("    return 2", "    # twice\n    return 2")):
        assert code_digest(in_a_notebook(same)["measure"]) == before


def test_an_analysis_without_source_is_refused():
    names: dict = {}
    exec("def measure(checkpoint): ...", names)
    with pytest.raises(ConfigError, match="entries=measure: must be defined in a file or in a notebook"):
        code_digest(names["measure"])
