"""Other people's training logs: the same run in every format in which a program may have logged it."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from grokinterp.interop import date_log
from grokinterp.interop.logs import date_logs, read_log
from grokinterp.phases import Curves, find_phases
from grokinterp.runs.results import Results
from grokinterp.storage import RunDirectory
from grokinterp.training import train
from tests.support.logged import (
    COLUMNS,
    STEPS,
    TEST,
    TEST_LOSS,
    TRAIN,
    TRAIN_LOSS,
    expected,
    rows,
    write_csv,
    write_json,
    write_lines,
)
from tests.support.small_runs import TINY

LISTS = {name: list(values) for name, values in COLUMNS.items()}
META, SUMMARY = {"_meta": {"p": 97, "grok_thresh": 0.95}}, {"_summary": {"memorize_step": 200, "grok_step": 1380}}


def by_split():
    return [
        {"step": row["step"], "phase": split, "loss": row[f"{split}_loss"], "accuracy": row[f"{split}_acc"]}
        for row in rows()
        for split in ("train", "test")
    ]


def as_columns(content):
    return {name: [row[name] for row in content] for name in content[0]}


def melted():
    return [
        {"step": row["step"], "metric": name, "value": row[name]} for row in rows() for name in row if name != "step"
    ]


def savetxt(path):
    np.savetxt(path, np.array(list(COLUMNS.values())).T, header=" ".join(COLUMNS), fmt="%.17g")
    return path


def npy_files(folder):
    for name, values in COLUMNS.items():
        np.save(folder / f"{name}.npy", values)
    return sorted(folder.glob("*.npy"))


def with_events(path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(path))
    for row in rows():
        for name, value in row.items():
            summary = Summary(value=[Summary.Value(tag=name.replace("_", "/"), simple_value=value)])
            writer.add_event(Event(step=row["step"], summary=summary))
    writer.close()
    return path


def torch_file(path):
    lists = LISTS | {"test_loss": [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in TEST_LOSS]}
    lists["step"] = torch.tensor(STEPS)
    torch.save({"model": {"train_loss_head": torch.ones(3, 3)}, "run": lists, "epoch": 7}, path)
    return path


FORMATS = {
    "long by split": lambda folder: write_csv(folder / "log.csv", as_columns(by_split())),
    "long by curve": lambda folder: write_csv(folder / "log.csv", as_columns(melted())),
    "long in lines": lambda folder: write_lines(folder / "log.jsonl", melted()),
    "pandas": lambda folder: write_json(
        folder / "log.json", {name: dict(enumerate(values)) for name, values in LISTS.items()}
    ),
    "pandas split": lambda folder: write_json(
        folder / "log.json", {"columns": list(LISTS), "data": list(zip(*LISTS.values(), strict=True))}
    ),
    "steps by another name": lambda folder: write_json(
        folder / "log.json", {"log_steps" if name == "step" else name: values for name, values in LISTS.items()}
    ),
    "interval": lambda folder: write_json(
        folder / "log.json",
        {"config": {"eval_every": 10, "save_every": 50}} | {n: LISTS[n] for n in LISTS if n != "step"},
    ),
    "csv": lambda folder: write_csv(folder / "log.csv"),
    "any order": lambda folder: write_csv(folder / "log.csv", order=random.Random(0).sample(range(200), 200)),
    "tsv": lambda folder: write_csv(folder / "log.tsv", delimiter="\t"),
    "semicolons": lambda folder: write_csv(folder / "log.csv", delimiter=";"),
    "no ending": lambda folder: write_csv(folder / "log"),
    "numpy text": lambda folder: savetxt(folder / "log.txt"),
    "rows": lambda folder: write_json(folder / "log.json", rows()),
    "rows inside": lambda folder: write_json(folder / "log.json", {"history": rows(), "final_test_acc": 1.0}),
    "rows by step": lambda folder: write_json(folder / "log.json", {str(row.pop("step")): row for row in rows()}),
    "columns": lambda folder: write_json(folder / "log.json", LISTS),
    "history": lambda folder: write_json(
        folder / "log.json",
        {"history": LISTS | {"gini": [0.5] * 20, "fourier_epochs": STEPS[:20]}, "final_norms": [1, 2, 3], "p": 97},
    ),
    "nested": lambda folder: write_json(
        folder / "log.json",
        {
            "epochs": STEPS,
            "train": {"loss": TRAIN_LOSS, "acc": TRAIN},
            "test": {"loss": TEST_LOSS, "acc": TEST},
        },
    ),
    "pairs": lambda folder: write_json(
        folder / "log.json",
        {name: list(zip(STEPS, values, strict=True)) for name, values in LISTS.items() if name != "step"},
    ),
    "lines": lambda folder: write_lines(folder / "log.jsonl", [META, *rows(), SUMMARY]),
    "lines, called json": lambda folder: write_lines(folder / "log.json", rows()),
    "npz": lambda folder: (np.savez(folder / "log.npz", **LISTS), folder / "log.npz")[1],
    "npy": npy_files,
    "pth": lambda folder: torch_file(folder / "log.pth"),
    "run directory": lambda folder: write_lines(folder / "metrics.jsonl", rows()).parent,
    "events": lambda folder: with_events(folder / "events"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_the_same(tmp_path, name):
    paths = FORMATS[name](tmp_path)
    dated = date_logs(paths if isinstance(paths, list) else [paths])
    assert dated.failed == ()
    assert [run.log.run for run in dated.runs] == [""]
    history = dated.runs[0].history
    dates = (history.memorized_step, history.generalized_step, history.grok_step)
    assert dates == (expected().memorized_step, expected().generalized_step, expected().grok_step)
    if name != "events":  # which holds float32
        assert history == expected()


def test_what_the_file_says_itself_stands_beside(tmp_path):
    run = date_logs([write_lines(tmp_path / "log.jsonl", [META, *rows(), SUMMARY])]).runs[0]
    assert run.log.theirs == {"memorize_step": 200, "grok_step": 1380}
    content = LISTS | {"grokked": True, "grokking_epoch": 1390, "total_epochs": 2000, "grok_threshold": 0.9}
    run = date_logs([write_json(tmp_path / "log.json", content)]).runs[0]
    assert run.log.theirs == {"grokked": True, "grokking_epoch": 1390}


def test_a_last_line_that_is_cut_off_is_left_out(tmp_path):
    path = write_lines(tmp_path / "log.jsonl", rows())
    path.write_text(path.read_text() + '{"step": 2000, "train_l')
    run = date_logs([path]).runs[0]
    assert run.history == expected()
    assert run.log.notes == ("line 201, the last one, is truncated and omitted",)


def test_rows_of_the_same_step_with_different_columns_are_one_evaluation(tmp_path):
    """As trainers write them that log the training and the evaluation separately."""
    halves = [
        {name: value for name, value in row.items() if name == "step" or name.startswith(split)}
        for row in rows()
        for split in ("train", "test")
    ]
    assert date_log(write_json(tmp_path / "log.json", {"log_history": halves})) == expected()
    assert date_log(write_lines(tmp_path / "log.jsonl", halves)) == expected()


def test_evaluations_between_training_steps_take_the_last_value_before(tmp_path):
    """As Lightning writes them: training logged at steps 49, 99, ..., validation at the end of each epoch."""
    train = [{"step": step - 1, "train_acc": TRAIN[min(step // 10, 199)]} for step in range(50, 2000, 50)]
    test = [{"step": step, "val_acc": value} for step, value in zip(STEPS, TEST, strict=True) if step % 30 == 0]
    run = date_logs([write_lines(tmp_path / "log.jsonl", train + test)]).runs[0]
    assert run.history.grok_step == 1399
    assert run.evaluations == len(train)


def test_thousands_and_printed_tensors(tmp_path):
    columns = {
        "step": [f'"{step:,}"' for step in STEPS],
        "train_acc": [f"tensor({x})" for x in TRAIN],
        "test_acc": TEST,
    }
    assert date_log(write_csv(tmp_path / "log.csv", columns)).grok_step == expected().grok_step


def test_decimal_commas_and_percent_signs(tmp_path):
    text = ["step;train_acc;test_acc"]
    text += [
        f"{s};{100 * a:.2f} %;{100 * b:.2f} %".replace(".", ",") for s, a, b in zip(STEPS, TRAIN, TEST, strict=True)
    ]
    (tmp_path / "log.csv").write_text("\n".join(text))
    assert date_log(tmp_path / "log.csv").grok_step == expected().grok_step


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_encodings(tmp_path, encoding):
    text = write_csv(tmp_path / "log.csv").read_text()
    (tmp_path / "log.csv").write_text(text, encoding=encoding)
    assert date_log(tmp_path / "log.csv") == expected()


def test_percentages_and_gaps_change_nothing(tmp_path):
    percent = {"epoch": STEPS, "train_acc": [100 * x for x in TRAIN], "test_acc": [100 * x for x in TEST]}
    plain = date_log(write_csv(tmp_path / "whole.csv", percent))
    assert plain.grok_step == expected().grok_step
    for name in ("train_acc", "test_acc"):
        percent[name] = [
            value if row % 3 else ("", "nan", "None")[row % 9 // 3] for row, value in enumerate(percent[name])
        ]
    write_csv(tmp_path / "gaps.csv", percent | {"epoch": [*map(float, STEPS[:-1]), "nan"]})
    curves = read_log(tmp_path / "gaps.csv")
    assert curves["step"] == [step for row, step in enumerate(STEPS[:-1]) if row % 3]
    assert curves["train_accuracy"][0] == pytest.approx(TRAIN[1])


def test_a_column_of_percentages_below_one_is_read_as_the_other_one_is(tmp_path):
    """A test accuracy that stays at .9 % is no share of .9."""
    run = date_logs(
        [
            write_csv(
                tmp_path / "log.csv", {"step": STEPS, "train_acc": [100 * x for x in TRAIN], "test_acc": [0.9] * 200}
            )
        ]
    ).runs[0]
    assert run.history.generalized_step is None
    assert run.log.series["test_accuracy"].values.max() == pytest.approx(0.009)
    assert run.log.notes == (
        "accuracies are percentages, including test_acc, which never exceeds 1, since train_acc reaches 100",
    )


def test_curves_recorded_at_another_stride(tmp_path):
    lists = {"train_losses": np.repeat(TRAIN_LOSS, 10).tolist()[:-9], "test_losses": TEST_LOSS}
    torch.save(lists, tmp_path / "log.pth")
    run = date_logs([tmp_path / "log.pth"]).runs[0]
    assert run.log.notes[-1] == (
        "test_losses has 200 values for 1991 steps: read as one every 10 steps from the first on"
    )
    by_loss = find_phases(Curves(steps=STEPS, train_loss=TRAIN_LOSS, test_loss=TEST_LOSS))
    assert run.history == by_loss


def test_steps_of_each_length_are_found(tmp_path):
    content = {"train_acc": TRAIN, "test_acc": TEST[::5], "train_steps": STEPS, "eval_steps": STEPS[::5]}
    run = date_logs([write_json(tmp_path / "log.json", content)]).runs[0]
    assert (run.evaluations, run.log.notes) == (40, ())
    assert run.history.generalized_step == 1400
    late = [step + 5 for step in STEPS]
    content = {"train_acc": TRAIN, "test_acc": TEST, "train_steps": STEPS, "eval_steps": late}
    run = date_logs([write_json(tmp_path / "same_length.json", content)]).runs[0]
    assert run.log.series["test_accuracy"].steps.tolist() == late
    assert run.history.memorized_step == 200
    content = {"train_acc": np.repeat(TRAIN, 10).tolist(), "test_acc": TEST, "eval_steps": STEPS}
    assert date_logs([write_json(tmp_path / "b.json", content)]).runs[0].history.grok_step == expected().grok_step


def test_text_logs_are_read_without_torch(tmp_path):
    path = write_csv(tmp_path / "log.csv")
    script = (
        "import sys; from grokinterp.interop.logs import date_logs, as_text; "
        "print(as_text(date_logs(sys.argv[1:]))); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("phases            memorization 0-199")


def test_long_logs_are_held_once(tmp_path):
    """Eight bytes per number: columns without a known meaning are not kept, and neither are rows."""
    from grokinterp.interop.logs.formats import read_tables

    row = ",".join(["0.5"] * 3 + ["some text of no use"] * 5)
    with (tmp_path / "log.csv").open("w") as file:
        file.write("step,train_acc,test_acc,a,b,c,d,e\n")
        file.writelines(f"{row}\n" for _ in range(2000))
    table = read_tables(tmp_path / "log.csv")[0]
    assert {name: column.nbytes for name, column in table.columns.items()} == dict.fromkeys(
        ("step", "train_acc", "test_acc"), 16000
    )
    assert json.dumps(table.names) == '["step", "train_acc", "test_acc", "a", "b", "c", "d", "e"]'


def test_label_noise_of_a_run_directory_is_no_failure_to_memorize(tmp_path):
    noisy = [row | {"train_accuracy": 0.8, "clean_accuracy": row.pop("train_acc")} for row in rows()]
    write_lines(tmp_path / "metrics.jsonl", noisy)
    write_json(tmp_path / "experiment.json", {})
    run = date_logs([tmp_path]).runs[0]
    assert run.log.notes == ("train_accuracy is clean_accuracy, the accuracy on the correctly labeled examples",)
    assert run.history.memorized_step == expected().memorized_step


def test_a_run_directory_is_dated_as_in_its_report(tmp_path):
    run = train(TINY, tmp_path / "run").path
    (dated,) = date_logs([run]).runs
    assert dated.history == Results.open(run).history
    assert dated.log.columns["weight_norm"] == "sum_of_squared_weights"
    directory = RunDirectory.open(run)
    directory.write_document("environment.json", directory.environment | {"n_test": 231})
    assert date_logs([run]).runs[0].log.curves().n_test == 231


def test_the_number_of_test_examples_is_read_where_it_is_stated(tmp_path):
    (run,) = date_logs([write_lines(tmp_path / "log.jsonl", [{"_meta": {"n_test": 231, "p": 31}}, *rows()])]).runs
    assert run.log.curves().n_test == 231


def test_published_logs(published):
    """A5 grokked, its rows are not in the order of their epochs; Nanda et al. without decay generalized at once."""
    grokked = date_log(published / "chughtai" / "A5_MLP_seed1" / "metrics.csv")
    assert (grokked.grok_step, grokked.memorized_step) == (25652, 205)
    at_once = date_log(published / "nanda" / "mod_addition_no_wd.pth")
    assert (at_once.memorized_step, at_once.generalized_step, at_once.grok_step) == (127, 137, None)
    low = date_logs([published / "nanda" / "low_precision_mod_addition.pth"]).runs[0]
    assert low.evaluations == 5000
    assert "test_losses has 5000 values for 50000 steps: read as one every 10 steps from the first on" in low.log.notes
    assert int(low.log.series["test_loss"].steps[-1]) == 49_990
