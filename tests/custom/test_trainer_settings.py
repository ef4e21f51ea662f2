"""The trainer's settings as numbers: learning rate, Grokfast, averages, recursion, and mixed precision."""

import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from grokinterp.custom import DivergedError, GrokkingAwareTrainer
from grokinterp.optim import GrokfastDual, GrokfastEMA, GrokfastMA, filters_of
from grokinterp.phases import SustainedRule
from tests.support.anyones_models import CASES, Refiner, vectors
from tests.support.anyones_training import equal, weights


def linear(**options: Any) -> GrokkingAwareTrainer:
    torch.manual_seed(0)
    return GrokkingAwareTrainer(nn.Linear(6, 3), **options)


GROKFAST = {
    "default": ({}, (GrokfastEMA(),)),
    "EMA": ({"grokfast_alpha": 0.9, "grokfast_lambda": 3}, (GrokfastEMA(alpha=0.9, lamb=3.0),)),
    "λ alone": ({"grokfast_lambda": 1.5}, (GrokfastEMA(lamb=1.5),)),
    "MA": ({"grokfast_window": 7}, (GrokfastMA(window=7, lamb=5.0),)),
    "MA with λ": ({"grokfast_window": 7, "grokfast_lambda": 3.0}, (GrokfastMA(window=7, lamb=3.0),)),
    "dual": (
        {"grokfast_alpha": 0.9, "grokfast_lambda": 3.0, "grokfast_window": 7},
        (GrokfastDual(ema=GrokfastEMA(alpha=0.9, lamb=3.0), ma=GrokfastMA(window=7, lamb=1.0)),),
    ),
    "none": ({"grokfast_lambda": 0}, ()),
    "none of two": ({"grokfast_alpha": 0.9, "grokfast_lambda": 0, "grokfast_window": 7}, ()),
}


@pytest.mark.parametrize("name", list(GROKFAST))
def test_numbers_describe_a_grokfast_filter(name: str) -> None:
    numbers, expected = GROKFAST[name]
    assert filters_of(linear(**numbers).optimizer).filters == expected


def test_numbers_of_grokfast_apply_to_a_given_optimizer() -> None:
    model = nn.Linear(6, 3)
    trainer = GrokkingAwareTrainer(model, SGD(model.parameters(), lr=0.1), grokfast_alpha=0.9)
    assert filters_of(trainer.optimizer).filters == (GrokfastEMA(alpha=0.9),)


def test_the_learning_rate_is_the_default_optimizers() -> None:
    found = [linear(**options).optimizer.param_groups[0]["lr"] for options in ({}, {"learning_rate": 0.02})]
    assert found == [1e-3, 0.02]


def test_the_average_can_be_left_out() -> None:
    assert linear(use_ema=False).evaluate(vectors()).average_loss is None
    trainer = linear(ema_decay=0.0)  # the average of the last step alone
    for batch in vectors():
        trainer.train_step(batch)
    scores = trainer.evaluate(vectors())
    assert (scores["average_loss"], scores["average_accuracy"]) == (scores["loss"], scores["accuracy"])


def grokked(**options: Any) -> GrokkingAwareTrainer:
    trainer = linear(rule=SustainedRule(window=1), **options)
    for accuracy in (0.0, 1.0):
        trainer.step += 10
        trainer.check_grokking(1.0, accuracy)
    return trainer


def test_lambda_adapts_unless_it_must_not() -> None:
    assert [grokked().lamb, grokked(adaptive_lambda=False).lamb, grokked(lambda_boost=2).lamb] == [3.0, 2.0, 4.0]


def test_detection_can_be_disabled() -> None:
    trainer = grokked(enable_grokking_detection=False, grokking_patience=0)
    assert trainer.detector.eval_acc_history == [0.0, 1.0]
    assert (trainer.detector.grokking_detected, trainer.should_stop, trainer.lamb) == (False, False, 2.0)
    assert grokked(grokking_patience=0).should_stop


@pytest.mark.parametrize(("model", "calls"), [(Refiner(), 16), (nn.Linear(6, 3), 1), (CASES["CNN"].model(), 1)])
def test_only_recursive_models_have_supervision_steps(model: nn.Module, calls: int) -> None:
    assert GrokkingAwareTrainer(model).program.supervision_steps == calls


# --- mixed precision --------------------------------------------------------------------------------------------------


class Watching(nn.Module):
    """A linear map that notes the type of its products."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = nn.Linear(6, 3), set()

    def forward(self, x: Tensor) -> Tensor:
        found = self.inner(x)
        self.seen.add(found.dtype)
        return found


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_forward_pass_has_the_precision_and_the_weights_keep_theirs(dtype: torch.dtype | None, device: str) -> None:
    torch.manual_seed(0)
    model = Watching()
    trainer = GrokkingAwareTrainer(model, autocast=dtype, learning_rate=1e-2, device=device)
    before = trainer.evaluate(vectors()).loss
    for _ in range(10):
        for batch in vectors():
            assert math.isfinite(trainer.train_step(batch).loss)
    assert model.seen == {dtype or torch.float32}
    assert model.inner.weight.dtype == torch.float32
    assert trainer.evaluate(vectors()).loss < 0.95 * before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_step_is_that_of_autocast_by_hand(dtype: torch.dtype) -> None:
    """The gradients are not scaled when the filters and the optimizer see them, nor in the norm."""
    trainer, by_hand = linear(autocast=dtype, filters=[], use_ema=False), linear().model
    trainer.optimizer = SGD(trainer.model.parameters(), lr=0.1)
    x, labels = vectors()[0]
    found = trainer.train_step((x, labels))
    with torch.autocast("cpu", dtype):
        logits = by_hand(x)
    loss = trainer.loss(logits.float(), labels)
    gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
    assert found.loss == loss.item()
    assert found.gradient_norm == pytest.approx(float(torch.cat([one.flatten() for one in gradients]).norm()), rel=1e-2)
    for weight, gradient, now in zip(by_hand.parameters(), gradients, trainer.model.parameters(), strict=True):
        torch.testing.assert_close(now, weight - 0.1 * gradient, rtol=1e-3, atol=1e-4)


class Steep(nn.Module):
    """Logits whose gradient overflows float16 when it is scaled, but not otherwise."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.inner, self.slope = nn.Linear(6, 3), slope

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        out.register_hook(lambda gradient: gradient * self.slope)
        return out


def test_an_overflow_skips_the_update_and_halves_the_scale() -> None:
    torch.manual_seed(0)
    trainer = GrokkingAwareTrainer(Steep(100.0), autocast=torch.float16)
    before, average = weights(trainer.model), weights(trainer.average.model)
    scale = trainer.precision.scaler.get_scale()
    found = trainer.train_step(vectors()[0])
    assert not math.isfinite(found.gradient_norm)
    assert equal(weights(trainer.model), before)
    assert equal(weights(trainer.average.model), average)
    assert filters_of(trainer.optimizer).memory == {}
    assert trainer.precision.scaler.get_scale() == scale / 2
    for _ in range(20):
        found = trainer.train_step(vectors()[0])
    assert math.isfinite(found.gradient_norm)
    assert not equal(weights(trainer.model), before)


def test_a_gradient_that_is_never_finite_diverges_in_float16() -> None:
    trainer = GrokkingAwareTrainer(Steep(math.inf), autocast=torch.float16)
    for _ in range(16):  # from a scale of 2¹⁶ to 1
        trainer.train_step(vectors()[0])
    for _ in range(2):
        with pytest.raises(DivergedError, match=r"step 16: the gradient is not finite"):
            trainer.train_step(vectors()[0])


def test_the_scale_resumes() -> None:
    def made() -> GrokkingAwareTrainer:
        torch.manual_seed(0)
        return GrokkingAwareTrainer(Steep(100.0), autocast=torch.float16)

    whole, half, rest = made(), made(), made()
    for _ in range(30):
        whole.train_step(vectors()[0])
    for _ in range(5):
        half.train_step(vectors()[0])
    file = io.BytesIO()
    torch.save(half.state_dict(), file)
    file.seek(0)
    rest.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(25):
        rest.train_step(vectors()[0])
    assert equal(rest.state_dict(), whole.state_dict())
