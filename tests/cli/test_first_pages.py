"""The commands and programs of docs/index.md and docs/custom_tables.md, at toy size."""

import re
import shlex
from pathlib import Path

import pytest

from grokinterp.cli.entry import code_of
from grokinterp.runs.trajectory import Trajectory

DOCS = Path(__file__).resolve().parents[2] / "docs"
SMALL = ["steps=2", "save.every=2", "evaluate_every=1", "model.d_model=8", "model.n_heads=2", "model.d_mlp=8"]


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for named, block in found if named == language]


def run(line: str, capsys) -> None:
    """Run a line of a page; what is trained and analyzed is small, and ``>`` writes a file."""
    verb, *words = shlex.split(line, comments=True)[1:]
    words, _, target = (part.split("\0") for part in "\0".join(words).partition("\0>\0"))
    added = {"train": SMALL, "analyze": ["--only", "performance"], "config": ["task.p=5"]}.get(verb, [])
    assert code_of([verb, *words, *added]) == 0
    if target != [""]:
        Path(target[0]).write_text(capsys.readouterr().out, encoding="utf-8")


def test_the_first_commands_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("grokinterp.report.write_report", lambda results, out: out)
    monkeypatch.setattr("grokinterp.runs.completeness.is_complete", lambda path: True)
    (block,) = blocks("index.md", "text")
    lines = [line for line in block.splitlines() if line.startswith("grokinterp ")]
    assert [line.split()[1] for line in lines] == ["config", "train", "analyze", "report"]
    for line in lines:
        run(line, capsys)
    assert Trajectory.open("checkpoints/mine").experiment.task.p == 5


def test_a_table_is_written_and_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (program,) = blocks("custom_tables.md", "python")
    exec(program, {})
    (block,) = blocks("custom_tables.md", "")
    for line in block.splitlines():
        run(line, capsys)
    task = Trajectory.open("checkpoints/table").experiment.task
    assert (task.n_examples, task.n_classes) == (48, 7)
    Path("my_operation.csv").write_text("0,1,2\n1,2,0\n2,x,1\n", encoding="utf-8")
    capsys.readouterr()
    assert code_of(["train", "task.kind=table", "task.path=my_operation.csv"]) == 2
    assert capsys.readouterr().err in (DOCS / "custom_tables.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["concepts", "how_to", "faq", "limits", "install", "comparison"])
def test_every_command_of_the_other_pages_exists(page):
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for verb in set(re.findall(r"`grokinterp ([a-z][a-z-]+)", text)):
        assert code_of([verb, "--help"]) == 0
