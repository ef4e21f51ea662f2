"""The first commands of a newcomer: the configuration as a file, short help, completion, misspelled words."""

import re

import pytest

from grokinterp.cli.entry import COMMANDS, GROUPS, code_of
from grokinterp.experiment import Experiment
from grokinterp.presets import preset
from grokinterp.runs.trajectory import Trajectory


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_printed_configuration_is_a_file_to_train(capsys, folder):
    small = ["task.p=7", "model.d_model=8", "model.n_heads=2", "model.d_mlp=8", "steps=2", "save.every=2"]
    assert code_of(["config", "--preset", "demo", *small]) == 0
    (folder / "mine.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert code_of(["config", "mine.toml", "seed=5"]) == 0
    assert "\nseed = 5\n" in capsys.readouterr().out
    assert code_of(["train", "mine.toml", "steps=1", "--out", "run", "--device", "cpu"]) == 0
    assert Trajectory.open("run").experiment == preset("demo").override([*small, "steps=1"])


def test_without_arguments_the_defaults_are_printed(capsys, folder):
    assert code_of(["config"]) == 0
    (folder / "mine.toml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert Experiment.from_file("mine.toml") == Experiment()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("config a.toml b.toml", "config error: config=b.toml: give one file"),
        ("train a.toml --config b.toml", "config error: config=a.toml: give one file"),
        ("config a.toml --preset demo", "config error: config=a.toml: give --preset or --config, not both"),
        ("config a.toml", "config error: config=a.toml: no such file or directory"),
        ("config --preset dmeo", "; did you mean demo?"),
        ("train weight_decay=1", "unknown key; did you mean optimization.weight_decay?"),
        ("trian", "error: No such command 'trian'. Did you mean 'train'?"),
        ("league --methods orthogrd", "; did you mean orthograd?"),
        ("sweep exp3_primes", "; did you mean exp3_prime?"),
    ],
)
def test_a_misspelled_word_names_the_nearest(arguments, line, capsys, folder):
    assert code_of(arguments.split()) == 2
    printed = capsys.readouterr().err
    assert line in printed
    assert printed.count("\n") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("verb", ["", *COMMANDS, *GROUPS, *(f"{name} build" for name in GROUPS)])
def test_h_is_help(verb, capsys):
    assert code_of([*verb.split(), "-h"]) == 0
    short = capsys.readouterr().out
    assert code_of([*verb.split(), "--help"]) == 0
    assert capsys.readouterr().out == short
    assert re.search(r"^  -h, --help ", short, re.MULTILINE)


@pytest.mark.parametrize("verb", ["train", "phases", "tasks"])
def test_the_help_describes_the_files(verb, capsys):
    assert code_of([verb, "--help"]) == 0
    printed = capsys.readouterr().out
    assert "metrics.jsonl" in printed or "run directory" in printed
    assert "blank cell or -1 is undefined" in " ".join(printed.split()) or verb == "phases"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("grokinterp analy", ["analyze", "analyses"]),
        ("grokinterp train --preset dem", ["demo"]),
        ("grokinterp train split.st", ["split.stratified="]),
        ("grokinterp train model.kind=m", ["model.kind=mlp"]),
        ("grokinterp train --device c", ["cpu", "cuda"]),
        ("grokinterp llc --cal", ["--calibrate"]),
    ],
)
def test_the_shell_completes_names(line, expected, monkeypatch, capsys):
    words = line.split()
    monkeypatch.setattr("sys.argv", ["grokinterp"])
    monkeypatch.setenv("_GROKINTERP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit):
        code_of(["--help"])
    assert sorted(capsys.readouterr().out.split()) == sorted(expected)


def test_the_script_of_the_completion_is_printed(monkeypatch, capsys):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setattr("sys.argv", ["grokinterp"])
    with pytest.raises(SystemExit) as ended:
        code_of(["--show-completion", "bash"])
    assert ended.value.code == 0
    assert "_GROKINTERP_COMPLETE=complete_bash" in capsys.readouterr().out
