"""Several runs in one file, one run in several files, and the table of all."""

import csv
import io
import json
import random
import sys

import numpy as np
import pytest

from grokinterp import cli
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.interop import date_log
from grokinterp.interop.logs import date_logs
from grokinterp.interop.logs.steps import stride
from tests.support.logged import (
    COLUMNS,
    STEPS,
    TEST,
    TEST_LOSS,
    TRAIN,
    expected,
    rows,
    write_csv,
    write_json,
    write_lines,
)

LATER = [0.01, *TEST[:-1]]
"""A run that generalizes one evaluation later."""


def two_runs(**extra) -> list[dict]:
    """Rows of two runs, one after the other; ``extra`` has two values for each column."""
    first = [row | {name: values[0] for name, values in extra.items()} for row in rows()]
    second = [row | {name: values[1] for name, values in extra.items()} for row in rows(COLUMNS | {"test_acc": LATER})]
    return first + second


def dated(paths, **options):
    found = date_logs(paths if isinstance(paths, list) else [paths], **options)
    assert found.failed == (), found.failed
    return found.runs


def assert_two(runs, *labels):
    assert [run.log.run for run in runs] == list(labels)
    assert [run.history.grok_step for run in runs] == [expected().grok_step, expected().grok_step + 10]


def write_rows(path, content):
    return write_csv(path, {name: [row[name] for row in content] for name in content[0]})


@pytest.mark.parametrize("name", ["seed", "modelIndex", "run_id", "trial"])
def test_a_column_of_runs(tmp_path, name):
    content = two_runs(**{name: (7, 9)})
    random.Random(0).shuffle(content)
    content.sort(key=lambda row: row[name])
    assert_two(dated(write_rows(tmp_path / "log.csv", content)), f"{name}=7", f"{name}=9")
    assert_two(dated(write_lines(tmp_path / "log.jsonl", content)), f"{name}=7", f"{name}=9")


def test_two_columns_of_runs_and_one_that_does_not_vary(tmp_path):
    content = two_runs(seed=(1, 1), model=("mlp", "transformer"), run=("a", "b"))
    assert_two(dated(write_rows(tmp_path / "log.csv", content)), "model=mlp run=a", "model=transformer run=b")


def test_settings_distinguish_runs_whose_rows_alternate(tmp_path):
    content = sorted(two_runs(lr=(0.1, 0.01), p=(97, 97)), key=lambda row: row["step"])
    runs = dated(write_rows(tmp_path / "log.csv", content))
    assert_two(runs, "lr=0.1", "lr=0.01")
    assert runs[0].log.notes == ("step repeats: runs are distinguished by lr",)
    assert_two(dated(write_lines(tmp_path / "log.jsonl", content)), "lr=0.1", "lr=0.01")


def test_runs_that_nothing_distinguishes_are_refused(tmp_path):
    content = sorted(two_runs(), key=lambda row: row["step"])
    (error,) = date_logs([write_rows(tmp_path / "log.csv", content)]).failed
    assert "step 1010 is in rows 203 and 204 with test_acc 0.035 and 0.01: if a column" in str(error)


def test_any_column_can_be_given_as_that_of_the_runs(tmp_path):
    path = write_rows(tmp_path / "log.csv", two_runs(lr=(0.1, 0.01)))
    assert_two(dated(path, columns={"run": "lr"}), "lr=0.1", "lr=0.01")


def test_steps_that_start_again_are_labeled_by_their_settings(tmp_path):
    assert_two(dated(write_rows(tmp_path / "log.csv", two_runs(lr=(0.1, 0.01), p=(97, 97)))), "lr=0.1", "lr=0.01")


def test_steps_that_start_again(tmp_path):
    runs = dated(write_rows(tmp_path / "log.csv", two_runs()))
    assert_two(runs, "#1", "#2")
    assert runs[0].log.notes == ("step restarts 1 time: 2 runs",)
    text = (tmp_path / "log.csv").read_text().splitlines()
    (tmp_path / "log.csv").write_text("\n".join([*text[:201], text[0], *text[201:]]))
    assert_two(dated(tmp_path / "log.csv"), "#1", "#2")


def test_a_run_that_was_continued_is_one(tmp_path):
    """The program died after step 990 and went on from its checkpoint at 500, with other numbers."""
    before = [row | {"test_acc": 0.02} for row in rows()[:100]]
    run = dated(write_rows(tmp_path / "log.csv", before + rows()[50:]))[0]
    assert run.history == dated(write_rows(tmp_path / "b.csv", before[:50] + rows()[50:]))[0].history
    assert run.log.notes == ("step falls back to 500: the run was continued there, and the later values count",)


def test_steps_inside_of_epochs_are_no_runs(tmp_path):
    content = [row | {"epoch": place // 20, "step": place % 20} for place, row in enumerate(rows())]
    run = dated(write_rows(tmp_path / "log.csv", content))[0]
    assert run.log.notes == ("step restarts with each epoch: rows are counted instead",)
    assert run.history.grok_step == expected().grok_step // 10


def test_runs_in_json(tmp_path):
    lists = {name: list(values) for name, values in COLUMNS.items()}
    both = {"wd 1": lists, "wd 0": lists | {"test_acc": LATER}}
    assert_two(dated(write_json(tmp_path / "named.json", both)), "wd 1", "wd 0")
    assert_two(dated(write_json(tmp_path / "inside.json", {"p": 97, "runs": both})), "wd 1", "wd 0")
    named = [{"seed": 3, "history": lists}, {"seed": 4, "history": lists | {"test_acc": LATER}}]
    assert_two(dated(write_json(tmp_path / "list.json", named)), "3", "4")
    assert_two(dated(write_json(tmp_path / "rows.json", two_runs(seed=(1, 2)))), "seed=1", "seed=2")
    inside = [{"name": "x", "log": rows()}, {"name": "y", "log": rows(COLUMNS | {"test_acc": LATER})}]
    assert_two(dated(write_json(tmp_path / "inside_list.json", inside)), "x", "y")
    by_name = {"a": rows(), "b": rows(COLUMNS | {"test_acc": LATER})}
    assert_two(dated(write_json(tmp_path / "rows_by_name.json", by_name)), "a", "b")


def test_lists_of_rows_that_are_named_by_splits_are_one_run(tmp_path):
    content = {
        f"{split}_log": [
            {"step": row["step"], "loss": row[f"{split}_loss"], "acc": row[f"{split}_acc"]} for row in rows()
        ]
        for split in ("train", "test")
    }
    (run,) = dated(write_json(tmp_path / "log.json", content | {"p": 97}))
    assert run.history == expected()


def test_runs_side_by_side(tmp_path):
    columns = {"step": STEPS, "plain_train_acc": TRAIN, "plain_test_acc": TEST, "ema_train_acc": TRAIN}
    path = write_csv(tmp_path / "log.csv", columns | {"ema_test_acc": LATER})
    assert_two(dated(path), "plain", "ema")


def test_arrays_of_runs(tmp_path):
    np.savez(tmp_path / "log.npz", train_acc=[TRAIN, TRAIN], test_acc=[TEST, LATER], steps=STEPS)
    assert_two(dated(tmp_path / "log.npz"), "0", "1")


def test_published_runs_are_not_merged(published):
    runs = dated(published / "logs" / "many_models_in_one_file.csv")
    assert [run.log.run for run in runs] == [f"modelIndex={index}" for index in range(6)]
    assert {run.evaluations for run in runs} == {51}
    with pytest.raises(GrokinterpError, match="holds 6 runs"):
        date_log(published / "logs" / "many_models_in_one_file.csv")


def curves_in_two_files(folder, first="run1_accuracy_curve.csv", second="run1_loss_curve.csv", start=0):
    accuracies = {name: COLUMNS[name] for name in ("step", "train_acc", "test_acc")}
    losses = {"step": [step + start for step in STEPS]} | {n: COLUMNS[n] for n in ("train_loss", "test_loss")}
    return [write_csv(folder / first, accuracies), write_csv(folder / second, losses)]


def test_two_files_of_one_run_are_joined(tmp_path):
    (run,) = dated(curves_in_two_files(tmp_path))
    assert run.history == expected()
    assert run.log.notes == ("joined with run1_loss_curve.csv: 200 steps in common, other curves",)


def test_the_split_may_be_in_the_name_of_the_file(tmp_path):
    """As trainers write them that have a logger for each split."""
    for split in ("train", "test"):
        columns = {"step": STEPS, "loss": COLUMNS[f"{split}_loss"], "acc": COLUMNS[f"{split}_acc"]}
        write_csv(tmp_path / f"{split}.csv", columns)
    (run,) = dated([tmp_path / "train.csv", tmp_path / "test.csv"])
    assert run.history == expected()


def test_files_of_other_runs_are_not_joined(tmp_path):
    assert len(dated(curves_in_two_files(tmp_path, second="run2_loss_curve.csv"))) == 2
    assert len(dated(curves_in_two_files(tmp_path, start=5))) == 2
    same = [write_csv(tmp_path / f"run3_{name}_log.csv") for name in ("train", "test")]
    assert len(dated(same)) == 2


def test_files_can_be_joined_by_hand(tmp_path):
    paths = curves_in_two_files(tmp_path, second="b.csv")
    (run,) = dated(paths, join=True)
    assert run.history == expected()
    with pytest.raises(ConfigError, match="test_accuracy, train_accuracy already occurs in"):
        date_logs([paths[0], write_csv(tmp_path / "c.csv")], join=True)
    with pytest.raises(ConfigError, match="shares no step with"):
        date_logs(curves_in_two_files(tmp_path, start=5), join=True)


def test_published_files_of_one_run(published):
    (run,) = dated(sorted((published / "logs").glob("transgrokking*")))
    assert set(run.log.series) == {"train_loss", "test_loss", "train_accuracy", "test_accuracy"}
    assert run.log.columns["train_loss"] == "train_cross_entropy"
    assert run.history.memorized_step == 100


def test_charts_of_weights_and_biases(tmp_path):
    """One metric per file, the runs side by side, with the extremes of merged points."""
    paths = []
    for metric, values in (("train/acc", (TRAIN, TRAIN)), ("val/acc", (TEST, LATER))):
        columns = {"Step": STEPS}
        for run, column in zip(("fog-1", "sun-2"), values, strict=True):
            columns |= {f"{run} - _step": STEPS, f"{run} - {metric}": column}
            columns |= {f"{run} - {metric}__MIN": column, f"{run} - {metric}__MAX": column}
        paths.append(write_csv(tmp_path / f"wandb_export_{len(paths)}.csv", columns))
    assert_two(dated(paths), "fog-1", "sun-2")


def test_exports_of_one_curve_a_file(tmp_path):
    """As TensorBoard writes them: the curve has the name of the file."""
    for name, values in (("train_accuracy", TRAIN), ("test_accuracy", TEST), ("test_loss", TEST_LOSS)):
        write_csv(tmp_path / f"run-a-tag-{name}.csv", {"Wall time": STEPS, "Step": STEPS, "Value": values})
        write_json(tmp_path / f"{name}.json", [[1.7e9, step, value] for step, value in zip(STEPS, values, strict=True)])
    (run,) = dated(sorted(tmp_path.glob("*.csv")))
    assert run.history.grok_step == expected().grok_step
    (run,) = dated(sorted(tmp_path.glob("*.json")))
    assert run.history.grok_step == expected().grok_step


@pytest.mark.parametrize("every", [1, 2, 10, 25, 64, 100])
@pytest.mark.parametrize("first", ["first", "end", "first and last"])
def test_strides_that_programs_use_are_found(every, first):
    """Another stride may give the same number of values; the stride found is never less round."""
    for whole in (1000, 5000, 10_000, 40_000, 107_791):
        places = np.arange(every - 1 if first == "end" else 0, whole, every)
        places = np.append(places, whole - 1) if first == "first and last" and places[-1] != whole - 1 else places
        found = stride(whole, len(places))
        assert found is not None
        assert len(found.places(whole)) == len(places)
        assert np.abs(found.places(whole) - places).max() <= every


def run_cli(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["grokinterp", "phases", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    captured = capsys.readouterr()
    return ended.value.code or 0, captured.out, captured.err


def test_one_run_is_printed_in_full(tmp_path, monkeypatch, capsys):
    path = write_lines(tmp_path / "log.jsonl", [*rows(), {"_summary": {"grok_step": 1380, "grokked": True}}])
    code, out, err = run_cli(monkeypatch, capsys, path, "--rule", "first:.99|sustained:.95x10", "--rule", "max")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("phases            memorization 0-199, circuit formation 200-")
    assert lines[1] == f"verdict           {expected().sentence}"
    assert lines[2:4] == [
        "evaluations       200, steps 0-1990",
        "columns           train_loss = train_loss, test_loss = test_loss, train_accuracy = train_acc, "
        "test_accuracy = test_acc",
    ]
    assert lines[4:] == [
        "rule              first:.99  1400",
        "rule              sustained:.95x10  1380",
        "rule              max  1",
        "the file says     grok_step 1380",
        "the file says     grokked yes",
    ]


def test_several_runs_are_a_table(tmp_path, monkeypatch, capsys):
    one = write_csv(tmp_path / "a.csv")
    two = write_rows(tmp_path / "b.csv", two_runs())
    code, out, err = run_cli(monkeypatch, capsys, one, two, "--rule", "first:.99")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == [
        "file",
        "run",
        "evaluations",
        "memorized",
        "generalized",
        "grokked",
        "delay",
        "verdict",
        "first:.99",
    ]
    assert [line[:2] for line in lines[1:4]] == [["a.csv", "200"], ["b.csv", "#1"], ["b.csv", "#2"]]
    assert [line[-1] for line in lines[1:4]] == ["1400", "1400", "1410"]
    assert out.splitlines()[-1] == "b.csv: step restarts 1 time: 2 runs"


def test_json_and_csv_say_the_same(tmp_path, monkeypatch, capsys):
    path = write_rows(tmp_path / "b.csv", two_runs(seed=(0, 1)))
    arguments = (path, "--rule", "last:train_loss")
    _, out, _ = run_cli(monkeypatch, capsys, *arguments, "--json", "--csv", tmp_path / "out.csv")
    objects = json.loads(out)
    assert objects["failed"] == []
    table = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    for run, row in zip(objects["runs"], table, strict=True):
        assert row["run"] == run["run"]
        assert int(row["grok_step"]) == run["grok_step"]
        assert int(row["delay"]) == run["delay"] == run["generalized_step"] - run["memorized_step"]
        assert float(row["last:train_loss"]) == run["rules"]["last:train_loss"]
    _, printed, _ = run_cli(monkeypatch, capsys, *arguments, "--csv", "-")
    assert printed == (tmp_path / "out.csv").read_text()


def test_a_bad_file_costs_itself_alone(tmp_path, monkeypatch, capsys):
    good, bad = write_csv(tmp_path / "good.csv"), tmp_path / "bad.csv"
    bad.write_text("step,train_acc\n")
    code, out, err = run_cli(monkeypatch, capsys, good, bad, tmp_path / "none.csv")
    assert code == 1
    assert out.startswith("phases ")
    assert err.splitlines() == [f"error: {bad}: has no rows", f"error: {tmp_path / 'none.csv'}: no such file"]
    code, out, err = run_cli(monkeypatch, capsys, bad)
    assert (code, out, err) == (2, "", f"error: {bad}: has no rows\n")
    _, out, _ = run_cli(monkeypatch, capsys, good, bad, "--json")
    assert json.loads(out)["failed"] == [f"{bad}: has no rows"]


def test_a_wrong_rule_is_refused_before_anything_is_read(monkeypatch, capsys):
    code, out, err = run_cli(monkeypatch, capsys, "none.csv", "--rule", "first:95")
    assert (code, out) == (2, "")
    assert err.startswith("config error: rule=first:95: threshold must be above 0")
