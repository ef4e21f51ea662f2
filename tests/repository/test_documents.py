"""The documents name only what exists: attributes of the package, and files of the repository."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("*.md", "docs/*.md", "notebooks/*.ipynb", "benchmarks/**/*.md", "benchmarks/**/*.py", "pyproject.toml")
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for pattern in PLACES for path in ROOT.glob(pattern))
NAME = re.compile(r"(?<![\w./-])grokinterp(?:\.[A-Za-z_]\w*)+(?![\w/])")
EXAMPLES = {"grokinterp.analysis.landscape.unembedding"}
"""Modules that a document tells the reader to write."""
FILE = re.compile(r"(?<![\w./~-])(?:grokinterp|tests|docs|benchmarks|examples|notebooks)/[\w./*-]*[\w*/]")


def exists(name: str) -> bool:
    """Return whether a dotted name is a module or leads to an attribute of a module."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_name_and_file_in_a_document_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    files = {path for path in FILE.findall(text) if not any(ROOT.glob(path.rstrip("/")))}
    assert {name for name in {*NAME.findall(text)} - EXAMPLES if not exists(name)} | files == set()


def test_what_is_said_of_installed_tools_was_looked_up_in_the_tested_versions():
    text = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split())
    for name, package in {
        "TransformerLens": "transformer-lens",
        "wandb": "wandb",
        "TensorBoard": "tensorboard",
    }.items():
        assert re.findall(rf"{name} ([\d.]*\d)", text)[0] == pins[package]
    spec = importlib.util.find_spec("transformer_lens")
    assert spec is not None
    folder = Path(next(iter(spec.submodule_search_locations or ())))
    for tool in ("logit_lens", "attribution_patching", "direct_path_patching", "interchange", "sparse_probing"):
        assert (folder / "tools" / "analysis" / f"{tool}.py").is_file(), tool
    assert (folder / "head_detector.py").is_file()
    assert len(re.findall(r'^    "', (folder / "supported_models.py").read_text(encoding="utf-8"), re.MULTILINE)) > 200


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("grokinterp.tasks.ModularAddition", True),
        ("grokinterp.Trajectory.open", True),
        ("grokinterp.training.replace_attention", False),
        ("grokinterp.nowhere", False),
    ],
)
def test_names_are_looked_up(name, known):
    assert exists(name) is known
