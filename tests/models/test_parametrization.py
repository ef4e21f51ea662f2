"""μP: initial scales, learning rates, and logits whose change does not depend on the width."""

from dataclasses import replace

import pytest
import torch

from grokinterp.experiment import Experiment, Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.models import MLPSpec, ModelSpec, TransformerSpec, build
from grokinterp.tasks import ModularAddition
from grokinterp.training.step import Step

SIZES = {"d_vocab": 50, "d_vocab_out": 40, "n_ctx": 3}
WIDE = TransformerSpec(d_model=64, n_heads=2, d_head=24, d_mlp=200, initialization="mup", base_width=16, biases=True)
DEEP = MLPSpec(d_embed=64, hidden=(128, 320), act_fn="relu", initialization="mup", base_width=32, biases=True)
ONE_HOT = replace(DEEP, d_embed=None)


@pytest.mark.parametrize(
    ("spec", "deviations"),
    [
        (
            WIDE,
            {
                "embed.W_E": 1.0,
                "pos_embed.W_pos": 1.0,
                "blocks.0.attn.W_Q": 1 / 8,
                "blocks.0.attn.W_O": 48**-0.5,
                "blocks.0.mlp.W_in": 1 / 8,
                "blocks.0.mlp.W_out": 200**-0.5,
                "unembed.W_U": 1 / 64,
            },
        ),
        (DEEP, {"embed.W_E": 1.0, "layers.0.W_in": 192**-0.5, "layers.1.W_in": 128**-0.5, "unembed.W_U": 1 / 320}),
    ],
)
def test_initial_scales(spec: ModelSpec, deviations: dict[str, float]) -> None:
    model = build(spec, **SIZES, generator=torch.Generator().manual_seed(0))
    for name, weight in model.named_parameters():
        if name in deviations:
            spread = 6 / (2 * weight.numel()) ** 0.5
            assert float(weight.detach().std()) == pytest.approx(deviations[name], rel=spread), name
        else:
            assert ".b" in name or ".W_" in name


FACTORS = {
    "transformer, Adam": (WIDE, True, {"embed.W_E": 1, "blocks.0.attn.W_O": 1 / 4, "unembed.W_U": 1 / 4, "b_in": 1}),
    "transformer, SGD": (WIDE, False, {"embed.W_E": 4, "blocks.0.mlp.W_in": 1, "unembed.W_U": 1 / 4, "b_U": 1}),
    "mlp, Adam": (DEEP, True, {"embed.W_E": 1, "layers.0.W_in": 1 / 2, "layers.1.W_in": 1 / 4, "unembed.W_U": 1 / 10}),
    "mlp, SGD": (DEEP, False, {"embed.W_E": 2, "layers.1.W_in": 1, "layers.1.b_in": 10, "unembed.W_U": 1 / 10}),
    "one-hot, Adam": (ONE_HOT, True, {"layers.0.W_in": 1, "layers.1.W_in": 1 / 4, "unembed.b_U": 1}),
    "one-hot, SGD": (ONE_HOT, False, {"layers.0.W_in": 4, "layers.0.b_in": 4, "unembed.b_U": 1}),
}


@pytest.mark.parametrize("name", FACTORS)
def test_factors_of_the_learning_rate(name: str) -> None:
    spec, adaptive, factors = FACTORS[name]
    model = build(spec, **SIZES)
    names = [full for full, _ in model.named_parameters()]
    for end, factor in factors.items():
        for full in [full for full in names if full.endswith(end)]:
            assert model.rate_factor(full, adaptive=adaptive) == pytest.approx(factor), full


def test_the_optimizer_multiplies_the_rate_and_keeps_its_product_with_the_weight_decay() -> None:
    experiment = Experiment(task=ModularAddition(p=7), model=DEEP, optimization=Optimization(warmup_steps=0))
    step = Step(experiment.build_model(), Problem.of(experiment), experiment.optimization)
    step.set_rates(0)
    of = {id(weight): group for group in step.optimizer.param_groups for weight in group["params"]}
    for name, weight in step.model.named_parameters():
        group = of[id(weight)]
        assert float(group["lr"]) == pytest.approx(1e-3 * step.model.rate_factor(name, adaptive=True)), name
        assert float(group["lr"]) * group["weight_decay"] == pytest.approx(1e-3), name


WIDTHS = (64, 1024)


def change_of_logits(spec: ModelSpec, optimizer: str, lr: float) -> float:
    """The root mean square change of the logits by three steps."""
    optimization = Optimization(
        optimizer=optimizer, lr=lr, weight_decay=0.0, warmup_steps=0, momentum=0.0, loss="float32"
    )
    experiment = Experiment(task=ModularAddition(p=11), model=spec, optimization=optimization)
    step = Step(experiment.build_model(), Problem.of(experiment), optimization)
    with torch.no_grad():
        before = step.model(step.inputs.tokens)
    for at in range(3):
        step.gradients(at)
        step.apply(at)
    with torch.no_grad():
        return float((step.model(step.inputs.tokens) - before).square().mean().sqrt())


@pytest.mark.parametrize(("optimizer", "lr"), [("adamw", 1e-3), ("sgd", 0.05)])
def test_the_change_of_the_logits_does_not_depend_on_the_width(optimizer: str, lr: float) -> None:
    """The check of coordinates: three steps of a two-layer network on one-hot vectors, 64 and 1,024 neurons wide."""

    def growth(initialization: str, base: int) -> float:
        common = {"act_fn": "relu", "initialization": initialization, "base_width": base}
        narrow, wide = (change_of_logits(MLPSpec(hidden=(w, w), **common), optimizer, lr) for w in WIDTHS)
        return wide / narrow

    assert 1 / 1.5 < growth("mup", 64) < 1.5
    if optimizer == "adamw":
        assert growth("pytorch", 128) > 3


def test_the_change_of_the_logits_of_a_transformer_does_not_depend_on_its_width() -> None:
    def growth(initialization: str, base: int) -> float:
        narrow, wide = (
            change_of_logits(
                TransformerSpec(d_model=w, n_heads=4, d_mlp=2 * w, initialization=initialization, base_width=base),
                "adamw",
                1e-3,
            )
            for w in (32, 256)
        )
        return wide / narrow

    assert 1 / 1.6 < growth("mup", 32) < 1.6
    assert growth("normal", 128) > 3
