"""Meanings of column names: by their words, in any spelling; ambiguous names are reported."""

import pytest

from grokinterp.errors import GrokinterpError
from grokinterp.interop.logs import date_logs, given_columns
from grokinterp.interop.logs.names import is_run, is_step, meaning
from tests.support.logged import STEPS, TEST, TEST_LOSS, TRAIN, TRAIN_LOSS, expected, write_csv, write_json

SPELLINGS = [
    ("epoch", "train_loss", "test_loss", "train_acc", "test_acc"),
    ("Step", "Train Loss", "Val Loss", "Train Accuracy", "Val Accuracy"),
    ("global_step", "loss/train", "loss/val", "acc/train", "acc/val"),
    ("iteration", "training_loss", "validation_loss", "training_accuracy", "validation_accuracy"),
    ("steps", "train/loss", "eval/loss", "train/accuracy", "eval/accuracy"),
    ("epoch", "train_nll", "held-out nll", "train_accs", "held-out accs"),
    ("epoch", "loss", "val_loss", "accuracy", "val_accuracy"),
    ("step", "train_cross_entropy", "test_cross_entropy", "train acc", "test acc"),
    ("trainer/global_step", "train_loss_epoch", "val_loss_epoch", "train/acc@1", "val/acc1"),
    ("iter", "trainLoss", "evalLoss", "trainAcc", "validation_acc"),
    ("eval_epochs", "Loss (train)", "Loss (test)", "Accuracy (train)", "Accuracy (test)"),
    ("_step", "mlp_p97/train_loss", "mlp_p97/test_loss", "mlp_p97/train_acc", "mlp_p97/test_acc"),
    ("t/updates", "trainloss", "testloss", "trainacc", "testacc"),
    ("epoch", "mean_train_ce", "mean_test_ce", "train top-1 accuracy", "test top-1 accuracy"),
]


def date(path, **options):
    dated = date_logs([path], **options)
    assert not dated.failed, dated.failed
    return dated.runs[0]


@pytest.mark.parametrize("names", SPELLINGS, ids=lambda names: names[1])
def test_spellings(tmp_path, names):
    columns = dict(zip(names, (STEPS, TRAIN_LOSS, TEST_LOSS, TRAIN, TEST), strict=True))
    run = date(write_csv(tmp_path / "log.csv", {"": STEPS[::-1]} | columns | {"lr": TRAIN, "epoch_time": TEST}))
    assert run.history == expected()


@pytest.mark.parametrize(
    "name",
    [
        "train_test_gap_loss",
        "lr",
        "test_loss_minus_train_loss",
        "loss_acc_ratio",
        "wn_total",
        "trainable",
        "contest",
        "stranding",
        "process",
    ],
)
def test_no_curve(name):
    assert meaning(name) is None


def test_steps_and_runs():
    assert [
        name for name in ("steps_per_second", "epoch_time", "batch_size", "wall_s", "n_steps_total") if is_step(name)
    ] == []
    assert [name for name in ("d_model", "run_time", "runtime", "num_heads", "modulus") if is_run(name)] == []


def test_the_test_set_comes_before_the_validation_set(tmp_path):
    path = write_csv(tmp_path / "log.csv", {"epoch": STEPS, "val_acc": TRAIN, "train_acc": TRAIN, "test_acc": TEST})
    run = date(path)
    assert run.log.columns["test_accuracy"] == "test_acc"
    assert run.log.notes == ("test_accuracy is read from 'test_acc', not from 'val_acc'",)


def test_words_that_a_pair_does_not_share_keep_a_column_out(tmp_path):
    """The best accuracy so far is no accuracy; nor is a logarithm a loss."""
    columns = {"step": STEPS, "best_test_acc": TRAIN, "log_train_loss": [-x for x in TRAIN], "train_acc": TRAIN}
    run = date(write_csv(tmp_path / "log.csv", columns | {"test_acc": TEST}))
    assert run.log.columns == {"train_accuracy": "train_acc", "test_accuracy": "test_acc"}
    dated = date_logs([write_csv(tmp_path / "best.csv", columns)])
    assert "has no test loss and no test accuracy; it has best_test_acc" in str(dated.failed[0])


def test_an_ambiguous_column_is_named_and_can_be_given(tmp_path):
    path = write_csv(tmp_path / "log.csv", {"step": STEPS, "train_acc": TRAIN, "eval_acc": TEST, "val/acc": TRAIN})
    (error,) = date_logs([path]).failed
    assert str(error) == (
        f"{path}: has no test loss and no test accuracy; "
        "test_accuracy could be 'eval_acc' or 'val/acc' and is not read: give --column test_accuracy=NAME"
    )
    run = date(path, columns=given_columns(["test_accuracy=eval_acc"]))
    assert run.history.grok_step == expected().grok_step


def test_what_is_given_goes_before_what_is_understood(tmp_path):
    columns = {"t": STEPS, "step": [0] * 200, "fit": TRAIN, "train_acc": TEST, "test_acc": TEST}
    run = date(write_csv(tmp_path / "log.csv", columns), columns=given_columns(["train_accuracy=fit", "step=t"]))
    assert run.history.grok_step == expected().grok_step
    run = date(write_json(tmp_path / "log.json", columns), columns=given_columns(["train_accuracy=fit", "step=t"]))
    assert run.history.grok_step == expected().grok_step


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("test_accuracy", "column=test_accuracy: must be OURS=THEIRS"),
        ("accuracy=x", "with OURS one of train_loss, test_loss, train_accuracy, test_accuracy, weight_norm, step, run"),
        ("step=", "must be OURS=THEIRS"),
    ],
)
def test_a_wrong_assignment_is_one_line(text, line):
    with pytest.raises(GrokinterpError) as refused:
        given_columns([text])
    assert line in str(refused.value)


def test_a_column_that_is_not_there_is_named(tmp_path):
    path = write_csv(tmp_path / "log.csv")
    (error,) = date_logs([path], columns={"test_accuracy": "val/acc1"}).failed
    assert str(error).startswith(f"{path}: has no column 'val/acc1' for test_accuracy; it has step, test_acc, ")


@pytest.mark.parametrize("scale", [1, 100])
def test_errors_are_one_minus_accuracies(tmp_path, scale):
    columns = {"step": STEPS} | {
        f"{split}_error": [scale * (1 - x) for x in values] for split, values in (("train", TRAIN), ("test", TEST))
    }
    run = date(write_csv(tmp_path / "log.csv", columns))
    assert run.history.grok_step == expected().grok_step
    assert "accuracy is one minus test_error" in run.log.notes


def test_percentages_by_name(tmp_path):
    columns = {"step": STEPS, "train acc (%)": [100 * x for x in TRAIN], "test acc (%)": [100 * x for x in TEST]}
    assert date(write_csv(tmp_path / "log.csv", columns)).history.grok_step == expected().grok_step


def test_norms_are_squared_but_for_those_that_are(tmp_path):
    columns = {"step": STEPS, "train_acc": TRAIN, "test_acc": TEST}
    norm = date(write_csv(tmp_path / "a.csv", columns | {"weight_norm": [3.0] * 200})).log
    square = date(write_csv(tmp_path / "b.csv", columns | {"sum_of_squared_weights": [9.0] * 200})).log
    assert norm.series["weight_norm"].values[0] == square.series["weight_norm"].values[0] == 9
