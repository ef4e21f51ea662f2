"""Docstrings of public functions begin with a verb, and all texts use the words of the field."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERBS = set(
    """
    Add Allocate Alternate Append Apply Average Build Call Capture Center Check Close Collect Compare Compute
    Continue Convert Copy Count Create Date Declare Defer Describe Diagnose Draw Estimate Evaluate Export Extend
    Extract Filter Find Fit Flatten Flush Follow Format Group Hold Import Iterate Join Judge Keep Limit List Load
    Log Lower Make Map Mark Measure Merge Move Multiply Number Open Order Overwrite Pack Pad Parse Pass Plot Predict
    Print Process Project Raise Read Reassemble Record Reduce Register Release Remove Render Renumber Replace Replay
    Require Restore Restrict Return Run Save Score Select Send Set Shorten Show Sort Split Start Stop Store Strip
    Sum Take Tell Tint Trace Train Turn Update Use Wait Warn Write Yield
    """.split()  # noqa: SIM905  (one word per item would be a page)
)
NOT_OURS = re.compile(
    r"(?<![a-z])(told|wherefrom|whoever|be they|be it|be none|rightly|ha(s|ve) not (a|an|any|one|two)"
    r"|that ha(s|ve) not[,.;:]|the way of the weights|what came of|what becomes of|stands behind|there and back"
    r"|labell(ed|ing)|modell(ed|ing)|behaviours?|neighbour\w*|colours?|favour\w*|centred)(?![a-z])"
    r'|"""(what|who|whoever|whatever|of|so that)\b',
    re.IGNORECASE,
)
TEXTS = ["*.md", "docs/*.md", "notebooks/*.ipynb", "benchmarks/**/*.*", "grokinterp/**/*.*", "tests/**/*.py"]


def public_functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.FunctionDef):
            if not part.name.startswith("_") and not any("property" in ast.unparse(d) for d in part.decorator_list):
                yield part
        elif not (getattr(part, "name", None) or "").startswith("_"):
            yield from public_functions(part)


def begins_with_a_verb(text: str) -> bool:
    return text.split()[0].rstrip(".:,") in VERBS


def test_docstrings_of_public_functions_begin_with_a_verb():
    documented = {
        f"{file.relative_to(ROOT)}:{function.lineno}": text.splitlines()[0]
        for file in (ROOT / "grokinterp").rglob("*.py")
        for function in public_functions(ast.parse(file.read_text(encoding="utf-8")))
        if (text := ast.get_docstring(function))
    }
    assert len(documented) > 500
    assert {place: text for place, text in documented.items() if not begins_with_a_verb(text)} == {}


def test_texts_use_the_words_of_the_field():
    files = {
        file for pattern in TEXTS for file in ROOT.glob(pattern) if file.suffix in {".py", ".md", ".ipynb", ".html"}
    }
    found = [
        f"{file.relative_to(ROOT)}:{number}: {match.group()}"
        for file in sorted(files - {Path(__file__).resolve()})
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        for match in NOT_OURS.finditer(line)
    ]
    assert found == []
