"""The commands and the program of docs/several_answers.md, at toy size."""

import re
import shlex
from pathlib import Path

from grokinterp.cli.entry import code_of
from grokinterp.storage import RunDirectory

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "several_answers.md").read_text(encoding="utf-8")
SMALL = ["steps=4", "save.every=2", "evaluate_every=2", "task.samples=40", "optimization.batch_size=8"]


def test_the_guide_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line in re.findall(r"^grokinterp (.*?)(?: +#.*)?$", GUIDE, re.MULTILINE):
        verb, *words = shlex.split(line)
        if verb == "train":
            assert code_of([verb, *words, *SMALL]) == 0
        elif "--only" in words:
            assert code_of([verb, *words]) == 0
        elif verb == "analyze":
            assert code_of([verb, *words, "--only", "performance"]) == 0
        else:
            assert code_of([verb, *words]) == 0
    text = capsys.readouterr().out
    assert "digit_addition" in text
    assert re.search(r"^answer 0 .*\(analyzed\)$", text, re.MULTILINE)
    assert re.search(r"^induction head +(head|none; strongest head) \d\.\d: prefix matching", text, re.MULTILINE)
    (program,) = re.findall("```python\n(.*?)```", GUIDE, re.DOTALL)
    names: dict = {}
    exec(program, names)
    assert names["first"].problem.task.answer == 0
    assert capsys.readouterr().out.count("\n") == 3


def test_the_command_of_infinite_data_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).resolve().parents[2] / "docs" / "infinite_data.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^grokinterp (.*)$", text, re.MULTILINE)
    small = ("task.samples", "model.hidden", "optimization.batch_size")
    words = [word for word in shlex.split(line) if not word.startswith(small)]
    assert code_of([*words, *SMALL, "model.hidden=[4]"]) == 0
    assert RunDirectory.open("checkpoints/parity_infinite").experiment["data"] == "infinite"


def test_an_answer_that_does_not_exist_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert code_of(["train", "--preset", "digits", *SMALL, "--out", "run"]) == 0
    assert code_of(["analyze", "run", "--answer", "3"]) == 2
    assert code_of(["analyze", ".", "--answer", "0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line for line in errors if line.startswith("config error")] == [
        "config error: answer=3: must be from -3 to 2",
        "config error: answer=0: needs a single run: the tasks of a folder may differ",
    ]
