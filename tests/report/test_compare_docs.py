"""Every command and block of code of docs/compare.md and docs/publishing.md, and those of the README, runs."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from grokinterp.cli.entry import run as run_command_line
from tests.support.small_runs import TINY, changed, draw_checkpoints

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("docs/compare.md", "docs/publishing.md")
COMMANDS = ("compare", "gallery", "watch", "export", "import", "cite")


def blocks(document: str, language: str = "") -> list[str]:
    """The blocks of code of a document."""
    text = (ROOT / document).read_text(encoding="utf-8")
    fenced = re.findall(r"^```([a-z]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for named, block in fenced if named == language]


def commands(document: str) -> list[list[str]]:
    """The commands of a document, without their comments."""
    lines = [line for block in blocks(document) for line in block.splitlines()]
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("grokinterp ")]
    return [words for words in found if words[1] in COMMANDS and words[2:3] != ["nanda"]]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with the runs that the documents name."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("seed0", "seed1", "seed3")):
        run = draw_checkpoints(tmp_path / "checkpoints" / name, changed(seed=seed))
        run.directory.write_status({"status": "finished", "step": 20})
    draw_checkpoints(tmp_path / "checkpoints" / "decay", changed(TINY, optimization={"weight_decay": 0.1}))
    return tmp_path


@pytest.mark.parametrize("document", [*DOCUMENTS, "README.md"])
def test_every_command_runs(document, place, monkeypatch, capsys):
    found = commands(document)
    assert len(found) >= 5
    for words in found:
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        printed = capsys.readouterr()
        assert ended.value.code == 0, (words, printed.err)
        assert Path(printed.out.splitlines()[-1].split(":")[0]).exists() or words[1] in ("cite", "watch")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_of_code_runs(document, place):
    for block in blocks(document, "python"):
        exec(block, {})
    made = {"docs/compare.md": "reports/seeds.html", "docs/publishing.md": "checkpoints/from-lens/experiment.json"}
    assert (place / made[document]).is_file()
