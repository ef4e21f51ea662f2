"""Training until grokking in one call: a real grokking, the printed lines, the ends, the recipes."""

import io
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset

from grokinterp.custom import GrokkingAwareTrainer, GrokkingResult, train_until_grokking
from grokinterp.errors import ConfigError
from grokinterp.losses import SoftplusCrossEntropyLoss
from grokinterp.phases import SustainedRule, grok_step
from tests.support.anyones_models import vectors
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
    options = {"average": None, "rule": SustainedRule(window=3), "report": lines.append} | options
    return train_until_grokking(Scripted(groks_at), BATCHES, HELD_OUT, 200, 10, **options), lines


def test_it_stops_at_detection_and_patience() -> None:
    result, lines = scripted(45, grokking_patience=4)
    assert (result.grokking_step, result.ended, result.steps) == (50, "grokked", 110)
    steps, train, test = zip(
        *[(row["step"], row["train_accuracy"], row["test_accuracy"]) for row in result.history], strict=True
    )
    assert list(steps) == list(range(0, 111, 10))
    assert grok_step(steps, train, test, window=3) == 50
    assert (result.final_train_accuracy, result.final_eval_accuracy) == (1.0, 1.0)
    assert [row["lamb"] for row in result.history] == [2.0] * 8 + [3.0] * 4
    assert lines[0] == "step 0: train 100.0%, eval 0.0%, gap 100.0%, λ 2"
    assert lines[8] == "step 70: grokked at step 50; λ is now 3"
    assert lines[-2] == "step 110: train 100.0%, eval 100.0%, gap 0.0%, λ 3"
    assert lines[-1] == "done after 110 steps (grokked): grokked at step 50, train 100.0%, eval 100.0%"
    assert len(lines) == 12 + 2


@pytest.mark.parametrize(("groks_at", "patience"), [(10**9, 0), (45, None)])
def test_nothing_else_stops_it(groks_at: int, patience: int | None) -> None:
    result, lines = scripted(groks_at, grokking_patience=patience)
    assert (result.ended, result.steps, len(result.history)) == ("max_steps", 200, 21)
    assert result.grokking_step == (None if groks_at > 200 else 50)
    verdict = "no grokking was detected" if groks_at > 200 else "grokked at step 50"
    assert lines[-1].startswith(f"done after 200 steps (max_steps): {verdict}, ")


def test_the_lines_go_where_they_are_sent(capsys: pytest.CaptureFixture[str]) -> None:
    lines, stream = scripted(45)[1], io.StringIO()
    scripted(45, report=stream)
    scripted(45, report=None)
    assert stream.getvalue().splitlines() == lines
    assert capsys.readouterr() == ("", "")
    train_until_grokking(Scripted(45), BATCHES, HELD_OUT, 20, 10, average=None)
    assert capsys.readouterr().err.splitlines()[:2] == lines[:2]


def test_loggers_take_the_names_of_the_trade() -> None:
    class Logger:
        def __init__(self) -> None:
            self.rows: list[tuple[int, dict[str, float]]] = []
            self.finished = 0

        def log(self, values: dict[str, float], *, step: int) -> None:
            self.rows.append((step, values))

        def finish(self) -> None:
            self.finished += 1

    logger = Logger()
    scripted(45, loggers=[logger], grokking_patience=0)
    assert [step for step, _ in logger.rows] == list(range(0, 71, 10))
    assert {"train", "eval", "gap", "lambda"} <= set(logger.rows[0][1])
    assert logger.finished == 1


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
    assert [line for line in lines if line.startswith("stopped at step 3: the loss is not finite")] == [lines[1]]
    assert result.ended.startswith("step 3: the loss is not finite")
    kept = other.evaluate(BATCHES)
    assert [row["step"] for row in result.history] == [0, 3]
    assert result.history[-1]["test_loss"] == kept.loss
    assert result.final_eval_accuracy == kept.accuracy


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
        grokking_patience=2,
        optimizer=AdamW(model.parameters(), lr=1e-2, weight_decay=1.0, betas=(0.9, 0.98)),
        loss=SoftplusCrossEntropyLoss(),
        rule=SustainedRule(window=3),
        average=None,
        report=None,
    )
    assert result.ended == "grokked"
    memorized = next(row["step"] for row in result.history if row["train_accuracy"] >= 0.99)
    assert result.history[2]["test_accuracy"] < 0.2
    assert result.grokking_step >= memorized + 200
    assert result.final_eval_accuracy >= 0.95
    with torch.no_grad():
        answers = model(held_out.tensors[0]).argmax(1)
    assert float((answers == held_out.tensors[1]).double().mean()) == pytest.approx(result.final_eval_accuracy)


def test_the_recipes_of_the_guide_run() -> None:
    """Every block of docs/any_model.md, each in a namespace of its own."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.S)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), {"__name__": "recipe"})
