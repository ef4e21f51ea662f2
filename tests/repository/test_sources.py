"""Docstrings cite only papers in docs/references.md, documents of this repository, released code, and libraries."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = (ROOT / "docs" / "references.md").read_text(encoding="utf-8")
HEADINGS = set(re.findall(r"^#+ (.+)$", (ROOT / "docs" / "formulas.md").read_text(encoding="utf-8"), re.MULTILINE))
NAME = r"[A-Z][\w-]+"
CITATION = re.compile(rf"({NAME})(?:,? (?:and|&) {NAME}| et al\.|, {NAME})*,? ((?:19|20)\d\d)\b")
ELSEWHERE = re.compile(r"docs/[\w.]+|torch\.\w+|\b(?:PEP|ISO/IEC) \d+")
"""Sources other than papers: a document of this repository, a class of PyTorch, a standard."""
LISTED = {(match.group(1), match.group(2)) for match in CITATION.finditer(REFERENCES)}


def sources() -> dict[str, str]:
    """Every Source of every docstring, by file and line."""
    found = {}
    for file in sorted((ROOT / "grokinterp").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            for part in re.findall(r"Source: (.+?)(?:\n\n|\Z)", ast.get_docstring(node) or "", re.DOTALL):
                found[f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"] = " ".join(part.split())
    return found


SOURCES = sources()


def test_sources_are_found():
    assert len(SOURCES) > 80


@pytest.mark.parametrize("place", SOURCES)
def test_a_source_can_be_looked_up(place):
    text = SOURCES[place]
    assert not re.search(r"\b(FORMULAS|FEATURES|PERFORMANCE|RELIABILITY|DESIGN)\b", text)
    assert CITATION.search(text) or ELSEWHERE.search(text), "cites neither a paper nor a document"
    unknown = {match.groups() for match in CITATION.finditer(text)} - LISTED
    assert unknown == set(), "not in docs/references.md"
    for document in re.findall(r"docs/[\w.]+", text):
        assert (ROOT / document.rstrip(".")).is_file()
    for heading in re.findall(r'docs/formulas\.md, "?([A-Z]\w+(?: [a-z]\w+)*)', text):
        assert any(known.startswith(heading) or heading.startswith(known) for known in HEADINGS), heading
