"""Damaged and misleading logs: one line that names the file, the place and the rule, or a note on the decision."""

import numpy as np
import pytest
import torch

from grokinterp.errors import GrokinterpError
from grokinterp.interop import date_log
from grokinterp.interop.logs import date_logs
from tests.support.logged import STEPS, TEST, TRAIN, expected, rows, write_csv, write_json, write_lines

HEAD = "epoch,train_acc,test_acc\n"


def refused(path) -> str:
    """The line that a file is refused with, after its name."""
    found = date_logs([path])
    (error,) = found.failed
    assert found.runs == ()
    assert "\n" not in str(error)
    assert str(error).startswith(f"{path}: ")
    return str(error).removeprefix(f"{path}: ")


TEXTS = [
    ("log.csv", "", "is empty"),
    ("log.csv", "\n \n", "is empty"),
    ("log.csv", "# a comment\n", "is empty"),
    ("log.csv", HEAD, "has no rows"),
    ("log.csv", HEAD + HEAD, "has no rows"),
    ("log.csv", "0,0.1,0.2\n10,0.5,0.3\n", "has no header: its first line holds numbers"),
    ("log.csv", HEAD + "1,high,0.5\n", "train_acc is not a number in row 1: 'high'"),
    ("log.csv", HEAD + "1.5,0.1,0.5\n", "epoch is 1.5 in row 1: steps must be whole numbers"),
    ("log.csv", HEAD + "one,0.1,0.5\n", "epoch is not a number in row 1: 'one'"),
    ("log.csv", HEAD + "inf,0.1,0.5\n", "epoch is inf in row 1: steps must be whole numbers"),
    ("log.csv", HEAD + "1,0.1,0.5\n1,0.2,0.5\n", "epoch 1 is in rows 1 and 2 with train_acc 0.1 and 0.2"),
    (
        "log.csv",
        HEAD + "1,0.1,1.5\n",
        "test_acc reaches 1.5 in row 1: accuracies must be shares up to 1",
    ),
    (
        "log.csv",
        HEAD + "1,57,219\n",
        "test_acc reaches 219 in row 1: accuracies must be shares up to 1 or percentages",
    ),
    ("log.csv", HEAD + "1,0.1,-0.5\n", "test_acc is -0.5 in row 1: accuracies must be from 0 to 1"),
    (
        "log.csv",
        "epoch,train_loss,test_loss\n1,3,2\n2,1,-inf\n",
        "test_loss is -inf in row 2: losses must be",
    ),
    ("log.csv", "epoch,log train loss,log test loss\n1,3,2\n2,-1,1\n", "log train loss is -1 in row 2: losses must be"),
    ("log.csv", "epoch,train_acc,train_acc,test_acc\n1,0,0,0\n", "has 2 columns named 'train_acc'"),
    ("log.csv", "step,loss,lr\n1,3,2\n", "has no test loss and no test accuracy; it has loss, lr, step"),
    ("log.csv", "step,train_loss,test_acc\n1,3,2\n", "must have both losses or both accuracies; it has step"),
    ("log.csv", 'epoch,train_acc,test_acc\n1,"0.1', "has no test loss"),
    ("log.csv", HEAD + "1,nan,nan\n", "has no train loss and no train accuracy"),
    ("log.tsv", "step\ttrain_acc\ttest_acc\n1\tx\t0\n", "train_acc is not a number in row 1: 'x'"),
    ("log.json", "", "is empty"),
    ("log.json", "{", "is not JSON"),
    ("log.json", "3", "holds no lists of numbers and no list of objects"),
    ("log.json", '{"a": 1}', "holds no lists of numbers and no list of objects"),
    ("log.json", "[]", "holds no lists of numbers and no list of objects"),
    ("log.json", "[" * 100_000, "is not JSON"),
    ("log.json", '{"train_acc": [0.1, 0.2], "test_acc": [0.1, "x"]}', "test_acc is not a number in row 2: 'x'"),
    (
        "log.json",
        '{"train_acc": [[0.5, 0.1], [0.9, 0.2]], "test_acc": [[1, 0.1], [2, 0.2]]}',
        "train_acc is at step 0.5 at position 1: steps must be whole numbers",
    ),
    (
        "log.json",
        '{"train_acc": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "test_acc": [0, 0, 0, 0, 0, 0, 0]}',
        "test_acc has 7 values for the 10 of train_acc: the interval is ambiguous",
    ),
    ("log.jsonl", "", "is empty"),
    ("log.jsonl", '{"_meta": {"p": 97}}\n', "has no rows with a curve"),
    ("log.jsonl", "epoch 1: 0.5\n", "line 1 is not JSON: 'epoch 1: 0.5'"),
    ("log.jsonl", '{"step": 1, "train_acc": 0}\nnone\n{"step": 2}\n', "line 2 is not JSON: 'none'"),
    ("log.jsonl", '{"step": 1, "train_acc": 0}\n[1]\n', "line 2 is not a JSON object: '[1]'"),
    ("log.jsonl", '{"step": 1, "train_acc": {"a": [1, 2]}, "test_acc": 0}\n', "has no train loss"),
]


@pytest.mark.parametrize(("name", "text", "line"), TEXTS, ids=range(len(TEXTS)))
def test_a_damaged_text_is_one_line(tmp_path, name, text, line):
    (tmp_path / name).write_text(text)
    assert refused(tmp_path / name).startswith(line)


def test_binary_files_other_encodings_and_folders(tmp_path):
    (tmp_path / "log.csv").write_bytes(b"step,train_acc\0\0\x01")
    assert refused(tmp_path / "log.csv") == "is a binary file, not text"
    (tmp_path / "log.csv").write_bytes("step,größe\n1,2\n".encode("latin-1"))
    assert refused(tmp_path / "log.csv") == "is not text in UTF-8 (byte 0xf6)"
    assert refused(tmp_path).startswith("is neither a run directory (no metrics.jsonl) nor")
    assert refused(tmp_path / "none.csv") == "no such file"
    for name in ("log.npy", "log.npz", "log.pth"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        assert "\n" not in refused(tmp_path / name)


def test_arrays_of_other_kinds(tmp_path):
    np.save(tmp_path / "train_acc.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert refused(tmp_path / "train_acc.npy") == "holds Python objects, which are not read"
    np.savez(tmp_path / "log.npz", train_acc=np.zeros((2, 3, 4)), test_acc=np.zeros(3))
    assert refused(tmp_path / "log.npz").startswith(
        "must hold one-dimensional curves, or arrays of runs by evaluations; it has"
    )
    np.savez(tmp_path / "log.npz", train_acc=np.array(["a", "b"]), test_acc=np.zeros(2))
    assert refused(tmp_path / "log.npz") == "train_acc holds <U1, not numbers"


def test_weights_without_curves(tmp_path):
    torch.save({"embed.W_E": torch.ones(3, 3), "blocks.0.mlp.b_in": torch.ones(3)}, tmp_path / "x.pth")
    assert refused(tmp_path / "x.pth") == "holds no lists of losses or accuracies"


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "log.json").open("wb") as file:
        file.truncate(2**29)
    assert refused(tmp_path / "log.json") == "has 536870912 bytes; at most 268435456 are read"


def test_more_and_fewer_cells_than_names(tmp_path):
    (tmp_path / "log.csv").write_text(HEAD + "1,0.1,0.5,7,8\n2,0.2\n3,0.3,0.6\n")
    log = date_logs([tmp_path / "log.csv"]).runs[0].log
    assert log.series["train_accuracy"].values.tolist() == [0.1, 0.2, 0.3]
    assert log.series["test_accuracy"].steps.tolist() == [1, 3]


def test_without_steps_rows_are_counted(tmp_path):
    path = write_csv(tmp_path / "log.csv", {"train_acc": TRAIN, "test_acc": TEST, "lr": TEST})
    run = date_logs([path]).runs[0]
    assert run.history.grok_step == expected().grok_step // 10
    assert run.log.notes == ("no column of steps among lr, test_acc, train_acc: values are counted from 0",)


def test_rows_without_a_step_are_left_out(tmp_path):
    content = rows()
    content[3]["step"] = content[5]["step"] = ""
    path = write_csv(tmp_path / "log.csv", {name: [row[name] for row in content] for name in content[0]})
    run = date_logs([path]).runs[0]
    assert run.log.notes == ("2 rows without a step are omitted",)
    assert run.evaluations == 198


def test_a_step_twice_with_the_same_values_counts_once(tmp_path):
    content = rows()
    content.insert(7, content[6])
    path = write_csv(tmp_path / "log.csv", {name: [row[name] for row in content] for name in content[0]})
    assert date_log(path) == expected()


def test_losses_that_stop_being_numbers_are_noted(tmp_path):
    content = [row | {"train_loss": float("nan")} if row["step"] > 1500 else row for row in rows()]
    run = date_logs([write_lines(tmp_path / "log.jsonl", content)]).runs[0]
    assert run.log.notes == ("train_loss has no number after step 1500, 49 steps before the log ends",)


def test_infinite_losses_are_losses(tmp_path):
    content = [row | {"test_loss": float("inf")} if row["step"] == 500 else row for row in rows()]
    assert date_logs([write_lines(tmp_path / "log.jsonl", content)]).runs[0].evaluations == 200


def test_rounding_in_float32_is_forgiven(tmp_path):
    columns = {"step": STEPS, "train_acc": [x * (1 + 1e-7) for x in TRAIN], "test_acc": TEST}
    columns |= {"train_loss": [-1e-8] * 200, "test_loss": [1.0] * 200}
    assert date_log(write_csv(tmp_path / "log.csv", columns)).grok_step == expected().grok_step


def test_several_runs_are_not_one_history(tmp_path):
    path = write_json(tmp_path / "log.json", rows() + rows())
    with pytest.raises(GrokinterpError, match="holds 2 runs: date_logs reads them"):
        date_log(path)
