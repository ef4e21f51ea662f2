"""Phases of other people's training logs: their column names, any order of rows, what is missing in one line."""

import json
import math
import random
import sys

import pytest
import torch

from grokinterp import cli
from grokinterp.errors import GrokinterpError
from grokinterp.interop import date_log
from grokinterp.interop.logs import read_log
from grokinterp.phases import Curves, find_phases

STEPS = list(range(0, 2000, 10))
TRAIN = [min(1.0, step / 200) for step in STEPS]
TEST = [0.01 if step < 1000 else min(1.0, 0.01 + (step - 1000) / 400) for step in STEPS]
LOSSES = {"train": [5 * math.exp(-step / 50) for step in STEPS], "test": [5 * (1 - x) + 1e-3 for x in TEST]}


def log(path, columns, *, rows=None) -> None:
    """A CSV file with these columns, its rows in some order."""
    order = range(len(STEPS)) if rows is None else rows
    lines = [",".join(columns), *(",".join(str(column[row]) for column in columns.values()) for row in order)]
    path.write_text("\n".join(lines) + "\n")


def expected():
    curves = Curves(
        steps=STEPS, train_accuracy=TRAIN, test_accuracy=TEST, train_loss=LOSSES["train"], test_loss=LOSSES["test"]
    )
    return find_phases(curves)


@pytest.mark.parametrize(
    "names",
    [
        ("epoch", "train_loss", "test_loss", "train_acc", "test_acc"),
        ("Step", "Train Loss", "Val Loss", "Train Accuracy", "Val Accuracy"),
        ("global_step", "loss/train", "loss/val", "acc/train", "acc/val"),
        ("iteration", "training_loss", "validation_loss", "training_accuracy", "validation_accuracy"),
        ("steps", "train/loss", "eval/loss", "train/accuracy", "eval/accuracy"),
        ("epoch", "train_nll", "held-out nll", "train_accs", "held-out accs"),
    ],
)
def test_columns_are_known_by_common_names_in_any_order(tmp_path, names):
    columns = dict(zip(names, (STEPS, LOSSES["train"], LOSSES["test"], TRAIN, TEST), strict=True))
    shuffled = random.Random(0).sample(range(len(STEPS)), len(STEPS))
    log(tmp_path / "log.csv", {"": STEPS[::-1]} | columns | {"lr": TRAIN}, rows=shuffled)
    assert date_log(tmp_path / "log.csv") == expected()
    assert expected().verdict == "grokked"


def test_the_test_set_comes_before_the_validation_set(tmp_path):
    log(tmp_path / "log.csv", {"epoch": STEPS, "val_acc": TRAIN, "train_acc": TRAIN, "test_acc": TEST})
    assert read_log(tmp_path / "log.csv")["test_accuracy"] == TEST


def test_percentages_and_gaps_change_nothing(tmp_path):
    percent = {"epoch": STEPS, "train_acc": [100 * x for x in TRAIN], "test_acc": [100 * x for x in TEST]}
    log(tmp_path / "whole.csv", percent)
    plain = date_log(tmp_path / "whole.csv")
    assert plain.grok_step == expected().grok_step
    for name in ("train_acc", "test_acc"):
        percent[name] = [
            value if row % 3 else ("", "nan", "None")[row % 9 // 3] for row, value in enumerate(percent[name])
        ]
    log(tmp_path / "gaps.csv", percent | {"epoch": [*map(float, STEPS[:-1]), "nan"]})
    curves = read_log(tmp_path / "gaps.csv")
    assert curves["step"] == STEPS[:-1]
    assert math.isnan(curves["train_accuracy"][0])
    assert curves["train_accuracy"][1] == pytest.approx(TRAIN[1])


def test_curves_in_a_file_of_pytorch(tmp_path):
    lists = {
        "train_losses": LOSSES["train"],
        "test_losses": [torch.tensor(x, requires_grad=True) for x in LOSSES["test"]],
    }
    torch.save(
        {"model": {"w": torch.ones(3)}, "run": lists | {"epochs": torch.tensor(STEPS)}, "epoch": 7}, tmp_path / "x.pth"
    )
    by_loss = find_phases(Curves(steps=STEPS, train_loss=LOSSES["train"], test_loss=LOSSES["test"]))
    dated = date_log(tmp_path / "x.pth")
    assert [(phase.name, phase.start) for phase in dated.phases] == [
        (phase.name, phase.start) for phase in by_loss.phases
    ]
    torch.save(lists, tmp_path / "y.pth")
    assert read_log(tmp_path / "y.pth")["step"] == list(range(len(STEPS)))


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (("loss", "acc"), "has no column of steps such as epoch or step; it has acc, loss"),
        (("epoch", "loss", "test_acc"), "has no train loss and no train accuracy; it has epoch, loss, test_acc"),
        (("epoch", "train_acc"), "has no test loss and no test accuracy; it has epoch, train_acc"),
        (("epoch", "train_loss", "test_acc"), "must have both losses or both accuracies"),
    ],
)
def test_a_missing_column_is_named(tmp_path, columns, line):
    log(tmp_path / "log.csv", {name: STEPS if name == "epoch" else TRAIN for name in columns})
    with pytest.raises(GrokinterpError) as refused:
        date_log(tmp_path / "log.csv")
    assert str(refused.value).startswith(f"{tmp_path / 'log.csv'}: {line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "has no rows"),
        ("epoch,train_acc,test_acc\n", "has no rows"),
        ("epoch,train_acc,test_acc\n1,high,0.5\n", "train_acc is no number in row 1: 'high'"),
        ("epoch,train_acc,test_acc\n1.5,0.1,0.5\n", "must be whole numbers"),
        ("epoch,train_acc,test_acc\n,0.1,0.5\n", "has no row with a step"),
        ('epoch,train_acc,test_acc\n1,"0.1', "has no test loss"),
        ("epoch,train_acc,test_acc\n1,0.1,0.5,7,8\n2,0.2,0.6\n", None),
    ],
)
def test_a_damaged_log_is_one_line(tmp_path, text, line):
    (tmp_path / "log.csv").write_text(text)
    if line is None:
        assert date_log(tmp_path / "log.csv").verdict == "never memorized"
        return
    with pytest.raises(GrokinterpError) as refused:
        date_log(tmp_path / "log.csv")
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)


def test_published_logs(published):
    """A5 grokked, its rows are not in the order of their epochs; Nanda et al. without decay generalized at once."""
    grokked = date_log(published / "chughtai" / "A5_MLP_seed1" / "metrics.csv")
    assert (grokked.verdict, grokked.memorized_step) == ("grokked", 205)
    assert [phase.name for phase in grokked.phases] == [
        "memorization",
        "circuit formation",
        "cleanup",
        "generalization",
    ]
    at_once = date_log(published / "nanda" / "mod_addition_no_wd.pth")
    assert at_once.verdict == "generalized without delay"
    assert (at_once.memorized_step, at_once.generalized_step, at_once.grok_step) == (127, 137, None)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_line_dates(tmp_path, monkeypatch, capsys, options):
    log(tmp_path / "log.csv", {"epoch": STEPS, "train_acc": TRAIN, "test_acc": TEST})
    monkeypatch.setattr(sys, "argv", ["grokinterp", "phases", str(tmp_path / "log.csv"), *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out = capsys.readouterr().out
    assert not ended.value.code
    if options:
        printed = json.loads(out)
        assert printed["verdict"] == "grokked"
        assert printed["phases"][0] == {"name": "memorization", "start": 0, "stop": 200}
    else:
        assert out.startswith("phases            memorization 0-199, circuit formation 200-")
        assert "\nverdict           Grokked: " in out
