"""The precisions of training, compared with plain PyTorch in that precision."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.losses import cross_entropy
from grokinterp.optim.schedules import warm_up
from grokinterp.training import train
from grokinterp.training.precision import FIRST_SCALE, GROWS_AFTER, LossScale
from grokinterp.training.step import Step
from tests.support.small_runs import changed

STEPS = 4
DTYPES = {"float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}
MLP = {"kind": "mlp", "act_fn": "relu", "hidden": [12], "d_embed": 8, "initialization": "normal"}


def experiment_of(precision: str, *, loss: str = "softplus", model: dict[str, Any] | None = None) -> Experiment:
    values = changed(steps=STEPS, save={"every": 1}, optimization={"precision": precision, "loss": loss}).to_dict()
    return Experiment.from_dict(values | {"model": model or values["model"], "evaluate_every": 1})


def naive(experiment: Experiment, dtype: torch.dtype) -> tuple[list[dict[str, Tensor]], list[float]]:
    """Weights and training losses of a plain loop: AdamW on the parameters, the gradient of a copy in the dtype."""
    model, o = experiment.build_model(), experiment.optimization
    inputs, labels, _ = Problem.of(experiment).parts["train"]
    optimizer = torch.optim.AdamW(model.parameters(), betas=o.betas, weight_decay=o.weight_decay)
    scale = FIRST_SCALE if dtype == torch.float16 else 1.0
    weights, losses = [], []
    for step in range(STEPS + 1):
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        low = copy.deepcopy(model).to(dtype)
        logits = low.readout(inputs).logits.to(torch.promote_types(dtype, torch.float32))
        loss = cross_entropy(logits, labels[:, 0], form=o.loss).mean()
        losses.append(float(cross_entropy(logits.detach().double(), labels[:, 0]).mean()))
        (scale * loss).backward()
        for weight, rounded in zip(model.parameters(), low.parameters(), strict=True):
            weight.grad = rounded.grad.to(weight.dtype) / scale
        for group in optimizer.param_groups:
            group["lr"] = o.lr * warm_up(step, o.warmup_steps)
        optimizer.step()
    return weights, losses


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("model", [None, MLP], ids=["transformer", "mlp"])
def test_training_is_that_of_plain_pytorch_in_that_precision(
    precision: str, model: dict[str, Any] | None, tmp_path: Path
) -> None:
    experiment = experiment_of(precision, model=model, loss="float64" if precision == "float64" else "softplus")
    run = train(experiment, tmp_path / "run", device="cpu")
    weights, losses = naive(experiment, DTYPES[precision])
    wide = precision == "float64"
    assert run.metrics["train_loss"].to_numpy() == pytest.approx(
        losses, rel=1e-7 if wide else 2e-3
    )  # rates are float32
    for step, expected in enumerate(weights):
        state = run.weights(step).state
        assert {value.dtype for value in state.values()} == {torch.float64 if wide else torch.float32}
        difference = [float((state[name] - value).norm() / (value.norm() + 1e-9)) for name, value in expected.items()]
        assert max(difference) < (1e-6 if wide else 2e-2)  # Adam amplifies the rounding of small gradients
    assert next(run.model().parameters()).dtype == next(iter(state.values())).dtype
    checkpoint = run.checkpoint()
    assert checkpoint.logits.dtype == torch.float64
    assert all(torch.equal(value, state[name].double()) for name, value in checkpoint.parameters.items())


def test_precisions_differ_by_their_rounding(tmp_path: Path) -> None:
    """The loss of the same initial weights is off by about the epsilon of the precision, and all of them train."""
    rows = {
        name: train(experiment_of(name), tmp_path / name, device="cpu").metrics["train_loss"].to_numpy()
        for name in ("float32", *DTYPES)
    }
    error = {name: np.abs(row[:2] / rows["float64"][:2] - 1).max() for name, row in rows.items()}
    assert error["float32"] < 1e-6 < error["float16"] < 2e-3
    assert error["float16"] < error["bfloat16"] < 3e-2
    assert all(row[-1] < row[0] for row in rows.values())


def test_the_scale_of_the_loss_keeps_small_gradients_and_gives_way_to_large_ones() -> None:
    """Gradients of 1e-8 would be zero in float16; those that do not fit at the first scale are computed again."""
    for factor, zero_without in ((1e-6, True), (300.0, False)):
        step = scaled_step(factor)
        step.gradients(0)
        assert step.scale is not None
        assert bool(step.finite())
        assert (step.scale.value == FIRST_SCALE) is zero_without
        gradients = [weight.grad.clone() for weight in step.parameters]
        assert all(bool(gradient.abs().max() > 0) for gradient in gradients)
        step.scale.value = 1.0
        step.gradients(0)
        both = zip(step.parameters, gradients, strict=True)
        assert any(bool(((weight.grad == 0) & (kept != 0)).any()) for weight, kept in both) is zero_without


def scaled_step(factor: float) -> Step:
    """A step in float16 whose loss is the squared error of logits multiplied by a factor."""
    experiment = experiment_of("float16", loss="mse", model=MLP | {"output_scale": factor})
    return Step(experiment.build_model(), Problem.of(experiment), experiment.optimization)


def test_the_scale_doubles_after_many_steps_and_halves_on_overflow() -> None:
    scale = LossScale()
    for _ in range(GROWS_AFTER):
        assert scale.accepts(torch.tensor(1.0))
        scale.advance()
    assert scale.value == 2 * FIRST_SCALE
    halved = 0
    while not scale.accepts(torch.tensor(torch.inf)):
        halved += 1
    assert (halved, scale.value) == (17, 1.0)
