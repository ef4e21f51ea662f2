"""Training until grokking in one call: a real grokking, the printed lines, the ends, the recipes."""

import io
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset

from grokinterp.cli.entry import run as run_command_line
from grokinterp.custom import GrokkingAwareTrainer, GrokkingResult, train_until_grokking
from grokinterp.custom.loader_examples import form_of
from grokinterp.errors import ConfigError
from grokinterp.losses import LossForm, SoftplusCrossEntropyLoss, get_stable_loss_function
from grokinterp.phases import SustainedRule, grok_step
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from tests.support.anyones_models import Refiner, gpt2, texts, vectors
from tests.support.anyones_training import equal, weights

BATCHES = vectors()
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "any_model.md"


class Scripted(nn.Module):
    """Answers training examples correctly from the start, and held-out examples from ``groks_at`` steps on."""

    def __init__(self, groks_at: int) -> None:
        super().__init__()
        self.weight, self.steps, self.groks_at = nn.Parameter(torch.zeros(())), 0, groks_at
        self.known = torch.cat([labels for _, labels in BATCHES])

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        right = x[:, :3].argmax(1)
        generalizes = self.steps >= self.groks_at
        answer = right if generalizes or float(x[0, 3]) < 10 else (right + 1) % 3
        return nn.functional.one_hot(answer, 3) + self.weight


HELD_OUT = [(x + torch.tensor([0.0, 0, 0, 100, 0, 0]), labels) for x, labels in BATCHES]


def scripted(groks_at: int, **options: Any) -> tuple[GrokkingResult, list[str]]:
    lines: list[str] = []
    options = {"use_ema": False, "rule": SustainedRule(window=3), "report": lines.append} | options
    return train_until_grokking(Scripted(groks_at), BATCHES, HELD_OUT, 200, 10, **options), lines


def test_it_stops_at_detection_and_patience() -> None:
    result, lines = scripted(45, grokking_patience=40)
    assert (result.grokking_step, result.ended, result.steps) == (50, "grokked", 110)
    steps, train, test = zip(
        *[(row["step"], row["train_accuracy"], row["test_accuracy"]) for row in result.history], strict=True
    )
    assert list(steps) == list(range(0, 111, 10))
    assert grok_step(steps, train, test, window=3) == 50
    assert (result.final_train_acc, result.final_eval_acc) == (1.0, 1.0)
    assert [row["lamb"] for row in result.history] == [2.0] * 8 + [3.0] * 4
    assert lines[0] == (
        "training Scripted with 1 weights on cpu by AdamW: at most 200 steps, evaluated every 10; "
        "early stop: 40 steps after grokking is detected"
    )
    assert lines[1] == "step 0/200: train 100.0%, eval 0.0%, gap 100.0%, λ 2"
    assert lines[9] == (
        "step 70/200: grokking detected, dated to step 50: train 100.0%, eval 100.0%, gap 0.0%, λ 2; "
        "λ is now 3; training continues to step 110"
    )
    assert lines[-2] == "step 110/200: train 100.0%, eval 100.0%, gap 0.0%, λ 3"
    assert lines[-1] == (
        "done after 110/200 steps (grokked): grokked at step 50; train 100.0%, eval 100.0%, gap 0.0%, λ 3"
    )
    assert len(lines) == 1 + 12 + 2
    assert [row["detected"] for row in result.history] == [0] * 7 + [1] * 5


@pytest.mark.parametrize(("groks_at", "patience"), [(10**9, 0), (45, None)])
def test_nothing_else_stops_it(groks_at: int, patience: int | None) -> None:
    result, lines = scripted(groks_at, grokking_patience=patience)
    assert (result.ended, result.steps, len(result.history)) == ("max_steps", 200, 21)
    assert result.grokking_step == (None if groks_at > 200 else 50)
    verdict = "no grokking was detected" if groks_at > 200 else "grokked at step 50"
    assert lines[-1].startswith(f"done after 200/200 steps (max_steps): {verdict}; ")


def test_the_lines_go_where_they_are_sent(capsys: pytest.CaptureFixture[str]) -> None:
    lines, stream = scripted(45)[1], io.StringIO()
    scripted(45, report=stream)
    scripted(45, report=None)
    assert stream.getvalue().splitlines() == lines
    assert capsys.readouterr() == ("", "")
    train_until_grokking(Scripted(45), BATCHES, HELD_OUT, 200, 10, use_ema=False)
    assert capsys.readouterr().err.splitlines()[:4] == lines[:4]  # not a terminal


class Listed:
    """A logger of the user's own."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.ends: list[str] = []

    def take(self, values: dict[str, float], *, step: int) -> None:
        self.rows.append((step, values))


class LikeWandB(Listed):
    log = Listed.take

    def finish(self) -> None:
        self.ends.append("finish")


class LikeLightning(Listed):
    log_metrics = Listed.take

    def finalize(self, status: str) -> None:
        self.ends.append(status)


@pytest.mark.parametrize(("kind", "end"), [(LikeWandB, "finish"), (LikeLightning, "success")])
def test_loggers_take_the_names_of_the_trade(kind: type[Listed], end: str) -> None:
    logger = kind()
    scripted(45, loggers=[logger], grokking_patience=0, log_prefix="grokking/")
    steps, rows = zip(*logger.rows, strict=True)
    assert steps == tuple(range(0, 71, 10))
    assert all(name.startswith("grokking/") for name in rows[0])
    assert {f"grokking/{name}" for name in ("train", "eval", "gap", "lambda", "current_gap")} <= set(rows[0])
    assert [row["grokking/detected"] for row in rows] == [0.0] * 7 + [1.0]
    assert logger.ends == [end]


def test_lightnings_own_logger_writes_the_curves(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger

    csv = CSVLogger(tmp_path, name="mine", version=0)
    scripted(45, loggers=[csv])
    lines = (tmp_path / "mine" / "version_0" / "metrics.csv").read_text().splitlines()
    assert {"step", "train", "eval", "gap", "lambda", "detected"} <= set(lines[0].split(","))
    assert len(lines) == 1 + 21


# --- a run directory --------------------------------------------------------------------------------------------------


def recorded(tmp_path: Path, **options: Any) -> tuple[GrokkingResult, RunDirectory]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    options = {"max_steps": 40, "eval_interval": 10, "report": None} | options
    train = options.pop("train", BATCHES)
    result = train_until_grokking(model, train, HELD_OUT, directory=tmp_path / "run", **options)
    return result, RunDirectory.open(tmp_path / "run")


def test_a_run_directory_has_the_same_curves_and_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, run = recorded(tmp_path, save_interval=20)
    table, _ = run.read_metrics()
    assert list(table.steps) == [row["step"] for row in result.history] == [0, 10, 20, 30, 40]
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "lamb", "current_gap", "detected"):
        assert list(table.columns[name]) == pytest.approx([row[name] for row in result.history], rel=1e-5)
    assert run.steps() == (0, 20, 40)
    assert run.status["status"] == "finished"
    trajectory = Trajectory.open(run.path, result.trainer.model)
    assert equal(trajectory.model().state_dict(), result.trainer.model.state_dict())
    monkeypatch.setattr(sys, "argv", ["grokinterp", "report", str(run.path), "--out", str(tmp_path / "page.html")])
    with pytest.raises(SystemExit) as ended:
        run_command_line()
    assert not ended.value.code
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Sequential" in page
    assert "<svg" in page


def test_recording_changes_nothing(tmp_path: Path) -> None:
    """Also with a loader that shuffles, whose order and that of dropout depend on the same random numbers."""

    def trained(**options: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.3), nn.Linear(16, 3))
        data = TensorDataset(*(torch.cat(parts) for parts in zip(*BATCHES, strict=True)))
        loader = DataLoader(data, batch_size=5, shuffle=True)
        return weights(train_until_grokking(model, loader, HELD_OUT, 30, 10, report=None, **options).trainer.model)

    assert equal(trained(), trained(directory=tmp_path / "run"))


def test_a_run_that_diverges_is_recorded_as_diverged(tmp_path: Path) -> None:
    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield from BATCHES * 3
        yield torch.full((8, 6), math.nan), BATCHES[0][1]

    class Loader:
        def __init__(self) -> None:
            self.epochs = 0

        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            self.epochs += 1  # examples are gathered, and evaluated at step 0, before the first epoch of training
            return batches() if self.epochs == 3 else iter(BATCHES)

    result, run = recorded(tmp_path, train=Loader(), eval_interval=4)
    assert result.ended.startswith("step 9: the loss is not finite")
    assert run.status["status"] == "diverged"
    assert list(run.read_metrics()[0].steps) == [0, 4, 8, 9]
    assert run.steps() == (0, 4, 8)


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.startswith("step 20/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorded(tmp_path, report=stop)
    assert RunDirectory.open(tmp_path / "run").status["status"] == "interrupted"


NOT_RECORDED = {
    "^loss=CrossEntropyLoss: cannot be recorded": {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "^train_loader=batches: must hold tensors of one shape": {
        "train": [(torch.ones(2, 6), torch.tensor([0, 1])), (torch.ones(2, 5), torch.tensor([0, 1]))]
    },
    "^save_interval=0": {"save_interval": 0},
}


@pytest.mark.parametrize("words", list(NOT_RECORDED))
def test_what_cannot_be_recorded_is_refused_before_any_step(words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        recorded(tmp_path, **NOT_RECORDED[words])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("form", get_args(LossForm))
def test_the_losses_of_the_package_are_recorded_in_their_form(form: LossForm) -> None:
    assert form_of(get_stable_loss_function(form)) == form


@pytest.mark.parametrize(
    ("model", "batches", "why"),
    [
        (Refiner, BATCHES, "cannot record a recursive model with several calls"),
        (gpt2, texts(), "cannot record a model whose logits predict the next token"),
    ],
)
def test_models_with_other_answers_are_not_recorded(
    model: Callable[[], nn.Module], batches: list[Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        train_until_grokking(model(), batches, batches, 10, report=None, directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_it_with_the_weights_before() -> None:
    lines: list[str] = []
    batches = [*BATCHES, (torch.full((8, 6), math.nan), BATCHES[0][1])]
    torch.manual_seed(0)
    model = nn.Linear(6, 3)
    result = train_until_grokking(model, batches, BATCHES, 50, 10, report=lines.append)
    torch.manual_seed(0)
    other = GrokkingAwareTrainer(nn.Linear(6, 3))
    for batch in BATCHES:
        other.train_step(batch)
    assert result.steps == 3
    assert equal(weights(model), weights(other.model))
    assert [line for line in lines if line.startswith("stopped at step 3: the loss is not finite")] == [lines[2]]
    assert result.ended.startswith("step 3: the loss is not finite")
    kept = other.evaluate(BATCHES)
    assert [row["step"] for row in result.history] == [0, 3]
    assert result.history[-1]["test_loss"] == kept.loss
    assert result.final_eval_acc == kept.accuracy


def test_weights_that_are_not_finite_are_not_evaluated() -> None:
    model = nn.Linear(6, 3)
    with torch.no_grad():
        model.weight[0, 0] = math.nan
    result = train_until_grokking(model, BATCHES, BATCHES, 50, 10, report=None)
    assert [row["step"] for row in result.history] == [0]


WRONG = {
    "max_steps=0": {"max_steps": 0},
    "eval_interval=0": {"eval_interval": 0},
    "loader=empty": {"eval_loader": []},
    "loader=empty: must yield": {"train_loader": []},
    "^grokking_patience=-1": {"grokking_patience": -1},
    "^grokking_patience=True": {"grokking_patience": True},
    "max_steps=True: must be an integer from 1": {"max_steps": True},
    "^save_interval=5: needs a directory": {"save_interval": 5},
    "eval_interval=True: must be an integer from 1": {"eval_interval": True},
    "^train_loader=list_iterator: can be iterated only once": {"train_loader": iter(BATCHES)},
    "^eval_loader=list_iterator: can be iterated only once": {"eval_loader": iter(BATCHES)},
}


@pytest.mark.parametrize("words", list(WRONG))
def test_wrong_arguments_are_refused_before_any_step(words: str) -> None:
    model = nn.Linear(6, 3)
    before = weights(model)
    with pytest.raises(ConfigError, match=words):
        train_until_grokking(model, **{"train_loader": BATCHES, "eval_loader": BATCHES, "report": None} | WRONG[words])
    assert equal(weights(model), before)


@pytest.mark.slow
def test_a_network_that_knows_nothing_of_us_groks() -> None:
    """Addition modulo 23 by an MLP from a loader: memorized early, failing for long, and then right for good."""
    torch.manual_seed(0)
    pairs = torch.cartesian_prod(torch.arange(23), torch.arange(23))
    order, cut = torch.randperm(529), 317
    train, held_out = (TensorDataset(pairs[part], pairs[part].sum(1) % 23) for part in (order[:cut], order[cut:]))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(23, 32), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 23))
    result = train_until_grokking(
        model,
        DataLoader(train, batch_size=317, shuffle=True),
        DataLoader(held_out, batch_size=212),
        max_steps=3000,
        eval_interval=50,
        grokking_patience=100,
        optimizer=AdamW(model.parameters(), lr=1e-2, weight_decay=1.0, betas=(0.9, 0.98)),
        loss=SoftplusCrossEntropyLoss(),
        rule=SustainedRule(window=3),
        use_ema=False,
        report=None,
    )
    assert result.ended == "grokked"
    memorized = next(row["step"] for row in result.history if row["train_accuracy"] >= 0.99)
    assert result.history[2]["test_accuracy"] < 0.2
    assert result.grokking_step >= memorized + 200
    assert result.final_eval_acc >= 0.95
    with torch.no_grad():
        answers = model(held_out.tensors[0]).argmax(1)
    assert float((answers == held_out.tensors[1]).double().mean()) == pytest.approx(result.final_eval_acc)


RECIPES = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.S)
"""The blocks of docs/any_model.md."""


def test_there_are_recipes() -> None:
    assert len(RECIPES) == 9


@pytest.mark.parametrize("number", range(len(RECIPES)))
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of Lightning, like the next
@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_a_recipe_of_the_guide_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block, in a namespace and a folder of its own."""
    monkeypatch.chdir(tmp_path)
    exec(compile(RECIPES[number], str(GUIDE), "exec"), {"__name__": "recipe"})
