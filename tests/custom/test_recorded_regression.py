"""Regression: targets that are numbers, in the recorder, the trainer, the analyses, and the report."""

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from grokinterp import GrokkingAwareTrainer, Recorder, Results, Trajectory, analyze, train_until_grokking, write_report
from grokinterp.errors import ConfigError, NotDefined

TOLERANCE = 0.5
ANALYSES = (
    "performance",
    "gradient_flow",
    "grafts",
    "gradient_noise",
    "sharpness",
    "softmax_collapse",
    "class_cosine",
    "head_ablation",
)


def examples(seed: int, n: int = 24):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    return x, torch.stack([x[:, 0] * x[:, 1], x[:, 2]], 1)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path, module, (x, y) = tmp_path_factory.mktemp("regression") / "run", network(), examples(0)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.02)
    recorder = Recorder(
        path, module, train=(x, y), test=examples(1), loss="mse", tolerance=TOLERANCE, optimizer=optimizer
    )
    with recorder:
        for step in range(31):
            if step % 10 == 0:
                recorder.record(step)
            optimizer.zero_grad()
            mse_loss(module(x), y).backward()
            if step < 30:
                optimizer.step()
    return path, module


def test_rows_hold_the_regression_loss_and_the_share_within_the_tolerance(recorded):
    path, module = recorded
    last = Results.open(path).metrics.isel(step=-1)
    with torch.no_grad():
        for part, (x, y) in (("train", examples(0)), ("test", examples(1))):
            squares = (module(x) - y).square()
            assert float(last[f"{part}_loss"]) == pytest.approx(float(squares.mean()), rel=1e-5)
            near = squares.mean(1).sqrt() <= TOLERANCE
            assert 0 < near.sum() < len(near)
            assert float(last[f"{part}_accuracy"]) == pytest.approx(float(near.double().mean()))
    norm = torch.stack([weight.grad.norm() for weight in module.parameters()]).norm()
    assert float(last["gradient_norm"]) == pytest.approx(float(norm), rel=1e-5)
    assert "logit_margin" not in last


def test_analyses_of_losses_work_and_those_of_classes_say_why_not(recorded, tmp_path):
    path, module = recorded
    run = Trajectory.open(path, module)
    results = analyze(run, only=list(ANALYSES))
    assert set(results.not_defined) == {"softmax_collapse", "class_cosine", "head_ablation"}
    assert results.not_defined["class_cosine"] == "the targets are numbers, not classes"
    assert "a regression has none" in results.not_defined["head_ablation"]
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        measured = results.dataset[name].values
        assert measured == pytest.approx(results.metrics[name].sel(step=results.dataset["step"]).values, rel=1e-5)
    norm = results.dataset["gradient_norm_of_layer"].isel(step=-1).values
    assert (norm**2).sum() ** 0.5 == pytest.approx(float(results.metrics["gradient_norm"].isel(step=-1)), rel=1e-4)
    with pytest.raises(NotDefined, match="the targets are numbers, not classes"):
        _ = run.checkpoint().logits
    page = write_report(path, tmp_path / "page.html").read_text()
    assert "with 2 numbers to predict, correct within a root mean squared error of 0.5" in page


def test_one_output_may_have_targets_without_an_axis(tmp_path):
    x, y = examples(0)
    module = nn.Linear(4, 1)
    with Recorder(
        tmp_path / "run", module, train=(x, y[:, 0]), test=(x + 1, y[:, 0]), loss="mse", tolerance=1
    ) as recorder:
        recorder.record(0)
    with torch.no_grad():
        assert recorder.last_row["train_loss"] == pytest.approx(float(mse_loss(module(x)[:, 0], y[:, 0])), rel=1e-5)


def test_training_until_grokking_with_targets(tmp_path):
    """The trainer's losses, accuracies and detection; the run directory has the same numbers."""
    train, held_out = examples(0), examples(1)
    result = train_until_grokking(
        network(), [train], [held_out], max_steps=40, eval_interval=20, loss=nn.MSELoss(), tolerance=TOLERANCE,
        directory=tmp_path / "run", report=None,
    )  # fmt: skip
    with torch.no_grad():
        squares = (result.trainer.model(held_out[0]) - held_out[1]).square()
    assert result.history[-1]["test_loss"] == pytest.approx(float(squares.mean()), rel=1e-5)
    assert result.final_eval_acc == pytest.approx(float((squares.mean(1).sqrt() <= TOLERANCE).double().mean()))
    metrics = Results.open(tmp_path / "run").metrics
    for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        assert metrics[name].values == pytest.approx([row[name] for row in result.history], rel=1e-5)


def test_a_single_output_trains_with_targets_without_an_axis():
    x, y = examples(0)
    trainer = GrokkingAwareTrainer(nn.Linear(4, 1), loss=nn.MSELoss(), tolerance=0.1)
    with torch.no_grad():
        expected = float(mse_loss(trainer.model(x)[:, 0], y[:, 0]))
    assert trainer.train_step((x, y[:, 0])).loss == pytest.approx(expected, rel=1e-5)


X, Y = examples(0)
WRONG = {
    "tolerance=None: must be given with labels that are numbers": {"tolerance": None},
    "tolerance=0: must be a positive number": {"tolerance": 0},
    "loss=softplus: must be mse": {"loss": "softplus"},
    "test=labels are integers: must be integers in both train and test": {"test": (X, Y.argmax(1))},
    "test=1 labels per example: must be as many per example as in train, 2": {"test": (X, Y[:, 0])},
    "train=labels: must be finite numbers": {"train": (X, Y / 0)},
    "model=2 outputs: must be one for each of 4 targets": {"train": (X, X), "test": (X, X)},
    "tolerance=0.5: is for labels that are numbers": {"train": (X, Y.argmax(1)), "test": (X, Y.argmax(1))},
}


@pytest.mark.parametrize("words", list(WRONG))
def test_targets_that_do_not_fit_are_refused(words, tmp_path):
    given = {"train": (X, Y), "test": (X, Y), "loss": "mse", "tolerance": TOLERANCE} | WRONG[words]
    with pytest.raises(ConfigError, match=words):
        Recorder(tmp_path / "run", network(), **given)
    assert not (tmp_path / "run").exists()
