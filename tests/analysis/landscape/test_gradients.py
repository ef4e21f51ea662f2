"""Gradient norms per part, the applied update taken apart, signal and noise of the gradient."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from grokinterp.analysis.landscape.gradients import AT_ONCE, decay_rate, gradient_flow, gradient_noise
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment, Optimization, Schedules, Split
from grokinterp.experiment.problem import Problem
from grokinterp.models import MLPSpec, RecursiveSpec
from grokinterp.optim import Cosine, Cyclic, Gap, GrokfastEMA, Increasing, Plateau
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition
from grokinterp.training import train
from grokinterp.training.rates import Rates
from tests.support.small_networks import SPEC, assert_vmap_is_loop, drawn, network, problem
from tests.support.small_runs import TINY, changed

OPTIMIZATION = Optimization(lr=0.01, weight_decay=0.5, warmup_steps=10)
SPECS = {
    "transformer": SPEC,
    "two layers": replace(SPEC, n_layers=2, normalization="LN", biases=True),
    "pooled": replace(SPEC, read_at="mean", attention="bidirectional", n_layers=2),
    "tied, last": replace(SPEC, read_at="last", tied_embeddings=True),
    "one-hot MLP": MLPSpec(hidden=(9,)),
    "MLP": MLPSpec(d_embed=5, embedding="separate", hidden=(9, 8), biases=True, act_fn="relu"),
    "recursive": RecursiveSpec(d_model=6, d_mlp=7, n_latent=2, n_supervision=3),
}
every_model = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def checkpoint_of(spec, *, loss="softplus", p=7):
    experiment = Experiment(
        task=ModularAddition(p=p), model=spec, split=Split(fraction=0.5), optimization=Optimization(loss=loss)
    )
    model = experiment.empty_model().double()
    model.initialize(torch.Generator().manual_seed(3))
    return Checkpoint(1, model.requires_grad_(False), Problem.of(experiment))


def own_gradients(checkpoint):
    """Gradients of every training example's loss by parameter, from the plain module: [example, element]."""
    model, problem = checkpoint.model, checkpoint.problem
    model.requires_grad_(True)
    found = []
    for i in problem.is_train.nonzero().flatten().tolist():
        logits, label = model(problem.tokens[i : i + 1]), problem.label[i : i + 1]
        answers = logits[0] if isinstance(model.spec, RecursiveSpec) else logits[0, -1:]
        if problem.loss == "mse":
            loss = (answers - functional.one_hot(label, answers.shape[-1])).square().mean()
        else:
            loss = functional.cross_entropy(answers, label.expand(len(answers)))
        model.zero_grad()
        loss.backward()
        found.append([weight.grad.flatten().clone() for _, weight in model.named_parameters()])
    model.requires_grad_(False)
    model.zero_grad()
    return [torch.stack(column) for column in zip(*found, strict=True)]


# Parts.


@every_model
def test_every_parameter_is_in_one_part(spec):
    model = checkpoint_of(spec).model
    listed = [name for names in model.parts.values() for name in names]
    assert sorted(listed) == sorted(name for name, _ in model.named_parameters())


def test_parts_have_the_names_of_the_modules():
    assert list(checkpoint_of(SPECS["two layers"]).model.parts) == [
        "embed",
        "pos_embed",
        *(f"blocks.{layer}.{part}" for layer in (0, 1) for part in ("attn", "mlp")),
        "unembed",
    ]
    assert list(checkpoint_of(SPECS["MLP"]).model.parts) == ["embed", "layers.0", "layers.1", "unembed"]
    assert list(checkpoint_of(SPECS["one-hot MLP"]).model.parts) == ["layers.0", "unembed"]
    assert list(checkpoint_of(SPECS["recursive"]).model.parts) == ["embed", "net", "unembed"]
    assert "unembed" not in checkpoint_of(SPECS["tied, last"]).model.parts


# Flow.


@every_model
def test_norms_of_parts_add_up_to_the_whole_gradient(spec):
    checkpoint = checkpoint_of(spec)
    found, whole = gradient_flow(checkpoint), [g.mean(0) for g in own_gradients(checkpoint)]
    by_name = dict(zip(checkpoint.parameters, whole, strict=True))
    total = math.sqrt(sum(float(g.square().sum()) for g in whole))
    for i, names in enumerate(checkpoint.model.parts.values()):
        norm = float(torch.cat([by_name[name] for name in names]).norm())
        assert float(found.gradient_norm_of_layer[i]) == pytest.approx(norm, rel=1e-8)
        assert float(found.gradient_share_of_layer[i]) == pytest.approx((norm / total) ** 2, rel=1e-8)
    assert float(found.gradient_share_of_layer.sum()) == pytest.approx(1)


def moved(update, *, step=20, optimization=OPTIMIZATION):
    """A checkpoint to which an update of its weights before led: ``update(before) -> Δ``."""
    before = dict(network().named_parameters())
    change = {name: update(weight) for name, weight in before.items()}
    model = network()
    for name, weight in model.named_parameters():
        weight.copy_(before[name] + change[name])
    base = problem()
    known = Problem(base.task, base.tokens, base.labels, base.is_train, optimization=optimization)
    return Checkpoint(step, model, known, change)


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def noise(weight):
    return 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel()), dtype=weight.dtype)


def test_the_update_is_taken_apart_along_the_weights_it_was_applied_to():
    checkpoint = moved(noise)
    found, before = gradient_flow(checkpoint), flat(weight for _, weight in network().named_parameters())
    change = flat(checkpoint.update.values())
    along = float(change @ before / before.norm())
    assert float(found.update_norm) == pytest.approx(float(change.norm()), rel=1e-12)
    assert float(found.update_radial) == pytest.approx(along, rel=1e-9)
    assert float(found.update_tangential) == pytest.approx(math.sqrt(float(change.norm()) ** 2 - along**2), rel=1e-9)
    for i, value in enumerate(checkpoint.update.values()):
        assert float(found.update_norm_of[i]) == pytest.approx(float(value.norm()), rel=1e-12)


def test_growth_of_the_weights_follows_from_the_two_parts():
    """‖θ_now‖² = (‖θ‖ + radial)² + tangential²."""
    checkpoint = moved(noise)
    found, before = gradient_flow(checkpoint), flat(weight for _, weight in network().named_parameters()).norm()
    now = (before + found.update_radial) ** 2 + found.update_tangential**2
    assert float(now) == pytest.approx(float(flat(checkpoint.parameters.values()).square().sum()), rel=1e-12)


def test_pure_decay_is_all_decay_and_all_radial():
    found = gradient_flow(moved(lambda weight: -0.005 * weight))
    assert float(found.weight_decay_share) == pytest.approx(1)
    assert float(found.update_radial) == pytest.approx(-float(found.update_norm))
    assert float(found.update_tangential) == pytest.approx(0, abs=1e-12)


def test_decay_and_an_equal_and_opposite_step_share_equally():
    assert float(gradient_flow(moved(lambda weight: 0 * weight)).weight_decay_share) == pytest.approx(0.5)


def test_decay_share_by_hand():
    """Decay of -0.005 θ and a step of 0.015 θ."""
    assert float(gradient_flow(moved(lambda weight: 0.01 * weight)).weight_decay_share) == pytest.approx(0.25)


def test_without_decay_the_share_is_zero_and_unknown_it_is_nan():
    without = replace(OPTIMIZATION, weight_decay=0.0)
    assert float(gradient_flow(moved(noise, optimization=without)).weight_decay_share) == 0
    unknown = gradient_flow(moved(noise, optimization=None))
    assert unknown.weight_decay_share.isnan()
    assert unknown.update_norm.isfinite()


@pytest.mark.parametrize("warmup_steps", [0, 1, 7])
def test_the_rate_is_that_of_the_step_that_led_here(warmup_steps):
    optimization = replace(OPTIMIZATION, warmup_steps=warmup_steps)
    for step in range(1, 20):
        expected = optimization.learning_rate(step - 1) * optimization.weight_decay
        assert float(decay_rate(optimization, step)) == pytest.approx(expected, rel=1e-14)
        assert float(decay_rate(optimization, torch.tensor(step))) == pytest.approx(expected, rel=1e-14)


PLANNED = {
    "cosine": {"schedules": Schedules(lr=Cosine())},
    "cyclic": {"schedules": Schedules(lr=Cyclic(low=0.2, period=6))},
    "both": {"schedules": Schedules(lr=Increasing(low=0.5), weight_decay=Increasing(low=0.1, over=5))},
    "normalized": {"filters": (GrokfastEMA(lamb=3.0),), "lr_normalize": True},
    "Muon": {"optimizer": "muon"},
}
RECORDED_IN_METRICS = {
    "decay to the initial weights": {"weight_decay_form": "to_init"},
    "SGD": {"optimizer": "sgd"},
    "adaptive rate": {"schedules": Schedules(lr=Plateau())},
    "adaptive decay": {"schedules": Schedules(weight_decay=Gap())},
    "boosted": {"filters": (GrokfastEMA(lamb=3.0),), "lr_normalize": True, "boost": 1.5},
}


@pytest.mark.parametrize("name", PLANNED)
def test_the_rate_of_a_schedule_is_what_training_records(name, tmp_path):
    optimization = replace(OPTIMIZATION, warmup_steps=3, **PLANNED[name])
    rates = Rates(optimization, 20)
    for step in range(1, 21):
        expected = rates.learning_rate(step - 1) * rates.weight_decay(step - 1)
        assert float(decay_rate(optimization, step, 20)) == pytest.approx(expected, rel=1e-14)
    under_vmap = torch.func.vmap(lambda step: decay_rate(optimization, step, 20))(torch.arange(1, 21))
    assert under_vmap.tolist() == [float(decay_rate(optimization, step, 20)) for step in range(1, 21)]


@pytest.mark.parametrize("name", RECORDED_IN_METRICS)
def test_a_rate_that_does_not_follow_from_the_step_is_not_claimed(name):
    optimization = replace(OPTIMIZATION, **RECORDED_IN_METRICS[name])
    assert decay_rate(optimization, 5, 20).isnan()
    found = gradient_flow(moved(noise, optimization=optimization))
    assert found.weight_decay_share.isnan()
    assert found.update_norm.isfinite()
    of_decay = Schedules(lr=optimization.schedules.lr)  # one of the weight decay is refused without any
    without = replace(optimization, weight_decay=0.0, schedules=of_decay)
    assert float(decay_rate(without, 5, 20)) == 0


def test_a_schedule_without_the_length_of_its_run_is_unknown():
    assert decay_rate(replace(OPTIMIZATION, **PLANNED["cosine"]), 5).isnan()


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_trained_step_has_the_scheduled_decay(optimizer, tmp_path):
    """Weights without a gradient move by decay alone: the embedding of tokens that no training example has."""
    plan = {
        "optimizer": optimizer,
        "schedules": {"weight_decay": {"kind": "increasing", "low": 0.1}, "lr": {"kind": "cosine"}},
    }
    run = train(changed(TINY, steps=6, split={"fraction": 0.1}, optimization=plan, save={"every": 1}), tmp_path / "run")
    seen = run.problem.tokens[run.problem.is_train].unique().tolist()
    (name,) = (name for name in run[6].parameters if name.endswith("embed.W_E"))
    unseen = [token for token in range(7) if token not in seen]
    for step in (1, 4, 6):
        at = run[step]
        before = at.parameters[name][unseen] - at.update[name][unseen]
        rate = float(decay_rate(at.problem.optimization, step, at.problem.steps))
        assert torch.allclose(at.update[name][unseen].double(), -rate * before, rtol=1e-2, atol=1e-8)


def test_without_an_update_its_parts_are_nan_and_the_rest_is_there():
    found = gradient_flow(Checkpoint(0, network(), problem()))
    assert found.update_norm_of.shape == (9,)
    for value in (found.update_norm, found.update_norm_of, found.update_radial, found.update_tangential):
        assert value.isnan().all()
    assert found.weight_decay_share.isnan()
    assert found.gradient_norm_of_layer.isfinite().all()


def test_trained_steps_contain_the_decay_that_was_asked_for(tmp_path):
    """Without a gradient worth naming the share is near 1; with AdamW's usual steps it is small."""
    run = train(changed(TINY, steps=3, save={"every": 1}), tmp_path / "run")
    usual = gradient_flow(run[3])
    assert 0 < float(usual.weight_decay_share) < 0.2
    still = changed(TINY, steps=3, save={"every": 1}, optimization={"eps": 0.999})
    assert float(gradient_flow(train(still, tmp_path / "still")[3]).weight_decay_share) > 0.7


def test_flow_under_vmap_equals_the_loop():
    assert_vmap_is_loop(gradient_flow, [drawn(seed) for seed in range(3)])


# Noise.


@every_model
def test_noise_equals_its_naive_twin(spec):
    checkpoint = checkpoint_of(spec)
    found, own = gradient_noise(checkpoint), own_gradients(checkpoint)
    signal = [float(g.mean(0).square().sum()) for g in own]
    spread = [float((g - g.mean(0)).square().sum(1).mean()) for g in own]
    expected = [s / n if n > 1e-20 else math.nan for s, n in zip(signal, spread, strict=True)]
    assert found.gradient_snr.tolist() == pytest.approx(expected, rel=1e-7, nan_ok=True)
    silent = [name for name, value in zip(checkpoint.parameters, expected, strict=True) if math.isnan(value)]
    assert all(name.endswith("b_K") for name in silent)  # which shifts all scores of a query alike
    assert float(found.gradient_snr_total) == pytest.approx(sum(signal) / sum(spread), rel=1e-7)
    assert float(found.gradient_noise_scale) == pytest.approx(sum(spread) / sum(signal), rel=1e-7)


def test_noise_of_the_squared_error():
    checkpoint = checkpoint_of(SPECS["one-hot MLP"], loss="mse")
    own = torch.cat(own_gradients(checkpoint), 1)
    expected = own.var(0, correction=0).sum() / own.mean(0).square().sum()
    assert float(gradient_noise(checkpoint).gradient_noise_scale) == pytest.approx(float(expected), rel=1e-7)


def test_a_part_of_the_examples_estimates_without_bias():
    """Over many draws of 6 examples the mean of ‖g_i - G‖² is that over all; the fixed draw is one of them."""
    checkpoint = checkpoint_of(SPECS["one-hot MLP"])
    own = torch.cat(own_gradients(checkpoint), 1)
    away = (own - own.mean(0)).square().sum(1)
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(0))[:6]
    expected = away[order].mean() / own.mean(0).square().sum()
    found = gradient_noise(checkpoint, examples=6)
    assert float(found.gradient_noise_scale) == pytest.approx(float(expected), rel=1e-7)
    assert len(own) > AT_ONCE  # more than one batch of examples was taken above


def test_a_batch_as_large_as_the_noise_scale_is_half_noise():
    """The variance of the mean of B independent gradients is tr Σ / B: ‖G‖² at B = noise scale, by sampling."""
    checkpoint = checkpoint_of(SPECS["one-hot MLP"])
    own, scale = torch.cat(own_gradients(checkpoint), 1), float(gradient_noise(checkpoint).gradient_noise_scale)
    size, generator = max(1, round(scale)), torch.Generator().manual_seed(0)
    draws = torch.randint(len(own), (4000, size), generator=generator)
    variance = (own[draws].mean(1) - own.mean(0)).square().sum(1).mean()
    assert float(variance * size / own.mean(0).square().sum()) == pytest.approx(scale, rel=0.05)


def test_examples_that_agree_have_no_noise():
    base = problem()
    one = torch.zeros_like(base.is_train)
    one[5] = True
    checkpoint = Checkpoint(0, network(), Problem(base.task, base.tokens, base.labels, one))
    found = gradient_noise(checkpoint)
    assert float(found.gradient_noise_scale) == pytest.approx(0, abs=1e-20)
    assert float(found.gradient_snr_total) > 1e15


def test_noise_leaves_the_model_as_it_was():
    checkpoint = drawn()
    before = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    gradient_noise(checkpoint)
    for name, value in checkpoint.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(weight.requires_grad for weight in checkpoint.model.parameters())


@pytest.mark.parametrize("analysis", [gradient_flow, gradient_noise])
def test_gradients_of_nobody_knows_which_examples_are_not_defined(analysis):
    base = problem()
    unknown = Problem(base.task, base.tokens, base.labels, torch.zeros_like(base.is_train))
    with pytest.raises(NotDefined, match="the training examples are unknown"):
        analysis(Checkpoint(0, network(), unknown))
