"""Regularizers equal plain PyTorch: its dropout, BatchNorm and clipping, and noise and decay written out."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.random_streams import REGULARIZATION, stream
from grokinterp.losses import cross_entropy
from grokinterp.models import MLP, MLPSpec, Transformer, TransformerSpec
from grokinterp.models.training_mode import batch_norms, training_mode
from grokinterp.optim import Muon
from grokinterp.optim.schedules import warm_up
from grokinterp.training import train
from grokinterp.training.fitting import key_of, reason_alone
from grokinterp.training.regularizers import decay_to_start
from grokinterp.training.step import Step
from tests.cases.models import SMALL, draw, draw_tokens
from tests.support.small_runs import TINY, changed

SITES = ("embed", "pattern", "attn_out", "neurons", "mlp_out")
RATE = 0.4


# the network of training


@pytest.mark.parametrize("site", SITES)
def test_dropout_is_torchs_at_every_site_of_a_transformer(site: str) -> None:
    """A forward pass written out, with torch's dropout and global random numbers of the same seed."""
    model = draw(TransformerSpec(**SMALL, dropout=RATE, dropout_at=(site,), biases=True), seed=3)
    assert isinstance(model, Transformer)
    tokens, seed = draw_tokens(9), 11
    with training_mode(model, torch.Generator().manual_seed(seed)):
        ours = model(tokens)

    def drop(x: Tensor, at: str) -> Tensor:
        return functional.dropout(x, RATE, training=at == site)

    torch.manual_seed(seed)
    block = model.blocks[0]
    attn, mlp = block.attn, block.mlp
    x = drop(model.W_E[tokens] + model.W_pos, "embed")
    q, k, v = (torch.einsum("bpm,hme->bphe", x, getattr(attn, f"W_{n}")) + getattr(attn, f"b_{n}") for n in "QKV")
    scores = torch.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
    pattern = drop(scores.masked_fill(~attn.mask, -math.inf).softmax(-1), "pattern")
    heads = torch.einsum("bhqk,bkhe->bqhe", pattern, v)
    x = x + drop(torch.einsum("bqhe,hem->bqm", heads, attn.W_O) + attn.b_O, "attn_out")
    neurons = drop((x @ mlp.W_in + mlp.b_in).relu(), "neurons")
    x = x + drop(neurons @ mlp.W_out + mlp.b_out, "mlp_out")
    torch.testing.assert_close(ours, x @ model.W_U + model.b_U)
    assert not torch.allclose(ours, model(tokens))
    assert torch.equal(model(tokens), draw(TransformerSpec(**SMALL, biases=True), seed=3)(tokens))


def twin_of(model: MLP, rate: float) -> nn.Sequential:
    """A perceptron of torch's modules with the same weights."""
    layers: list[nn.Module] = []
    for layer in model.layers:
        linear, norm = nn.Linear(*layer.W_in.shape), nn.BatchNorm1d(layer.W_in.shape[1])
        linear.weight.data, linear.bias.data = layer.W_in.detach().T.clone(), layer.b_in.detach().clone()
        norm.weight.data, norm.bias.data = layer.norm.w.detach().clone(), layer.norm.b.detach().clone()
        norm.running_mean, norm.running_var = layer.norm.mean.clone(), layer.norm.variance.clone()
        layers += [linear, norm, nn.Tanh(), nn.Dropout(rate)]
    last = nn.Linear(*model.W_U.shape)
    last.weight.data, last.bias.data = model.W_U.detach().T.clone(), model.b_U.detach().clone()
    return nn.Sequential(*layers, last).double()


def test_batch_norm_and_dropout_of_a_perceptron_are_torchs() -> None:
    """Logits, gradients and running statistics in training, and logits in evaluation."""
    spec = MLPSpec(hidden=(6, 5), normalization="BN", act_fn="tanh", biases=True, dropout=RATE)
    model, tokens, seed = draw(spec), draw_tokens(12), 4
    assert isinstance(model, MLP)
    twin, x = twin_of(model, RATE), functional.one_hot(tokens, 6).flatten(1).double()
    with training_mode(model, torch.Generator().manual_seed(seed)):
        ours = model(tokens)[:, -1]
    torch.manual_seed(seed)
    theirs = twin.train()(x)
    torch.testing.assert_close(ours, theirs)
    for logits in (ours, theirs):
        cross_entropy(logits, tokens[:, 0] % 5).mean().backward()
    for mine, of in zip(batch_norms(model), [one for one in twin if isinstance(one, nn.BatchNorm1d)], strict=True):
        torch.testing.assert_close(mine.w.grad, of.weight.grad)
        mine.follow(mine, torch.tensor(1.0))  # a skipped update
        assert not torch.allclose(mine.mean, of.running_mean)
        mine.follow(mine, torch.tensor(0.0))
        torch.testing.assert_close(mine.mean, of.running_mean)
        torch.testing.assert_close(mine.variance, of.running_var)
    torch.testing.assert_close(model.layers[0].W_in.grad, twin[0].weight.grad.T)
    torch.testing.assert_close(model(tokens)[:, -1], twin.eval()(x))


def test_the_network_of_training_is_used_for_gradients_alone(tmp_path: Any) -> None:
    """Metrics are those of the network of evaluation, which is the one that is saved."""
    noisy = {"weight_noise": 0.2, "weight_decay": 0.0, "lr": 1e-9, "warmup_steps": 0}
    experiment = changed(model={"dropout": 0.7}, optimization=noisy, steps=3, evaluate_every=1)
    run = train(experiment, tmp_path / "run", device="cpu")
    losses = run.metrics["train_loss"].to_numpy()
    assert losses == pytest.approx(losses[0], rel=1e-5)
    checkpoint = run.checkpoint()
    assert losses[-1] == pytest.approx(float(checkpoint.losses[checkpoint.problem.is_train].mean()), rel=1e-5)
    quiet = changed(experiment, model={"dropout": 0.0}, optimization=noisy | {"weight_noise": 0.0})
    plain = train(quiet, tmp_path / "plain", device="cpu")
    assert losses == pytest.approx(plain.metrics["train_loss"].to_numpy(), rel=1e-5)
    gradients = run.metrics["gradient_norm"].to_numpy()
    assert len(set(gradients.round(6))) == 4  # of other masks and noise in every step
    assert plain.metrics["gradient_norm"].to_numpy() == pytest.approx(gradients, rel=0.9)


def test_a_step_computed_again_is_the_same() -> None:
    spec = {"kind": "mlp", "normalization": "BN", "dropout": 0.5, "hidden": [9]}
    noisy = {"weight_noise": 0.1, "update_noise": 0.1}
    experiment = Experiment.from_dict(changed(optimization=noisy).to_dict() | {"model": spec})
    step = step_of(experiment)
    step.gradients(0)
    first = [weight.grad.clone() for weight in step.parameters]
    buffers = [value.clone() for value in step.model.buffers()]
    step.gradients(0)
    assert all(torch.equal(weight.grad, kept) for weight, kept in zip(step.parameters, first, strict=True))
    assert all(torch.equal(value, kept) for value, kept in zip(step.model.buffers(), buffers, strict=True))
    step.apply(0)
    step.gradients(1)
    assert not any(torch.equal(weight.grad, kept) for weight, kept in zip(step.parameters, first, strict=True))
    assert not step.model.training


def step_of(experiment: Experiment) -> Step:
    return Step(experiment.build_model(), Problem.of(experiment), experiment.optimization, seed=experiment.seed)


# updates


CASES: dict[str, dict[str, Any]] = {
    "l1": {"l1": 0.01},
    "l2": {"l2": 0.02, "optimizer": "sgd", "lr": 0.1},
    "both, clipped": {"l1": 0.01, "l2": 0.02, "clip_norm": 0.3},
    "clipped": {"clip_norm": 0.02, "optimizer": "sgd", "lr": 0.1},
    "clipped, muon": {"clip_norm": 0.02, "optimizer": "muon", "precision": "float64"},
    "to_init": {"weight_decay_form": "to_init", "weight_decay": 5.0},
    "to_init, muon": {"weight_decay_form": "to_init", "optimizer": "muon", "precision": "float64"},
    "jiggle": {"weight_decay_form": "jiggle", "weight_decay": 5.0},
    "weight noise": {"weight_noise": 0.05},
    "update noise": {"update_noise": 1.0, "optimizer": "sgd", "lr": 0.1},
    "parts": {
        "parts": [{"part": "embed", "lr": 3e-3, "weight_decay": 4.0}, {"part": "unembed", "frozen": True}],
        "weight_decay_form": "jiggle", "weight_noise": 0.05, "update_noise": 0.5, "l2": 0.01, "clip_norm": 0.5,
    },
    "all, float64": {
        "weight_noise": 0.05, "update_noise": 0.3, "weight_decay_form": "jiggle", "l1": 0.01, "clip_norm": 0.5,
        "precision": "float64",
    },
}  # fmt: skip
STEPS = 5


def naive(experiment: Experiment) -> list[dict[str, Tensor]]:
    """The weights of every step by a plain loop over torch's optimizers, clipping and random numbers."""
    model, o = experiment.build_model(), experiment.optimization
    inputs, labels, _ = Problem.of(experiment).parts["train"]
    named = dict(model.named_parameters())
    for part in (one.part for one in o.parts if one.frozen):
        for name in model.parts[part]:
            named[name].requires_grad_(False)
    trained = {name: weight for name, weight in named.items() if weight.requires_grad}
    groups = naive_groups(experiment, {name: model.part_of(name) for name in trained}, trained)
    kinds = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "muon": Muon}
    options = {"adamw": {"betas": o.betas}, "sgd": {"momentum": o.momentum}}
    options["muon"] = {"betas": o.betas, "momentum": o.momentum, "eps": o.eps}
    optimizer = kinds[o.optimizer](groups, **options[o.optimizer])
    generator = torch.Generator().manual_seed(stream(experiment.seed, REGULARIZATION).initial_seed())
    initial, found = {name: weight.detach().clone() for name, weight in named.items()}, []

    def drawn(weight: Tensor) -> Tensor:
        return torch.randn(weight.shape, generator=generator, dtype=weight.dtype)

    for step in range(STEPS + 1):
        kept = {name: weight.detach().clone() for name, weight in named.items()}
        found.append(kept)
        optimizer.zero_grad()
        if o.weight_noise:
            for weight in named.values():
                weight.data += o.weight_noise * drawn(weight)
        cross_entropy(model(inputs.tokens)[:, -1], labels[:, 0]).mean().backward()
        for name, weight in named.items():
            weight.data = kept[name].clone()
        (o.l1 * sum(w.abs().sum() for w in trained.values()) + o.l2 * sum(w.square().sum() for w in trained.values())
         + 0 * sum(w.sum() for w in trained.values())).backward()  # fmt: skip
        if o.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(trained.values()), o.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * warm_up(step, o.warmup_steps)
            naive_decay(group, o, {id(weight): initial[name] for name, weight in trained.items()}, generator)
        optimizer.step()
        for group in optimizer.param_groups if o.update_noise else ():
            for weight in group["params"]:
                weight.data += group["lr"] * o.update_noise * drawn(weight)
    return found


def naive_groups(experiment: Experiment, parts: dict[str, str], trained: dict[str, Tensor]) -> list[dict[str, Any]]:
    """Groups in the order in which random numbers are drawn: by settings; with Muon the hidden matrices first."""
    o, own = experiment.optimization, experiment.optimization.own_settings
    found: dict[Any, dict[str, Any]] = {}
    for name, weight in trained.items():
        is_adamw = o.optimizer == "muon" and parts[name] in ("embed", "pos_embed", "unembed")
        mine = own.get(parts[name])
        rate, decay = (getattr(o, key) if mine is None else getattr(mine, key) for key in ("lr", "weight_decay"))
        group = {"params": [], "rate": rate, "decay": decay, **({"adamw": True} if is_adamw else {})}
        group["weight_decay"] = decay if o.weight_decay_form == "to_zero" else 0.0
        found.setdefault((is_adamw, mine), group)["params"].append(weight)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def naive_decay(group: dict[str, Any], o: Optimization, initial: dict[int, Tensor], generator: Any) -> None:
    """Move the weights of a group as the forms of weight decay say."""
    rate = group["lr"] * group["decay"]
    for weight in group["params"]:
        if o.weight_decay_form == "to_init":
            weight.data += rate * (initial[id(weight)] - weight.data)
        if o.weight_decay_form == "jiggle":
            weight.data *= math.exp(rate * float(torch.randn((), generator=generator, dtype=weight.dtype)))


@pytest.mark.parametrize("name", CASES)
def test_every_update_is_that_of_a_plain_loop(name: str, tmp_path: Any) -> None:
    experiment = changed(steps=STEPS, save={"every": 1}, optimization=CASES[name], evaluate_every=1)
    run = train(experiment, tmp_path / "run", device="cpu")
    expected = naive(experiment)
    for step in range(STEPS + 1):
        for weight, value in run.weights(step).state.items():
            torch.testing.assert_close(
                value, expected[step].get(weight, value), rtol=1e-4, atol=2e-6,
                msg=lambda text, at=(step, weight): f"{at}: {text}",
            )  # fmt: skip
    plain = train(changed(steps=STEPS, evaluate_every=1), tmp_path / "plain", device="cpu")
    last = run.weights(STEPS).state
    assert not all(torch.allclose(last[name].float(), value) for name, value in plain.weights(STEPS).state.items())


def test_decay_towards_the_initial_weights_has_a_closed_form() -> None:
    """Without gradients, the distance to the start shrinks by 1 - share at every update."""
    start, weight = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 4.0])
    distance = weight - start
    for _ in range(7):
        decay_to_start([{"params": [weight], "decay": 0.1}], {weight: start}, torch.tensor(1.0).double())
    torch.testing.assert_close(weight, start + 0.9**7 * distance)


def test_the_gradient_in_the_metrics_is_not_clipped_and_the_loss_has_no_penalty(tmp_path: Any) -> None:
    plain, clipped, penalized = (
        train(changed(steps=1, evaluate_every=1, optimization=one), tmp_path / name, device="cpu").metrics.isel(step=0)
        for name, one in {"plain": {}, "clipped": {"clip_norm": 1e-3}, "penalized": {"l2": 1.0}}.items()
    )
    assert float(clipped["gradient_norm"]) == float(plain["gradient_norm"]) > 1e-3
    assert float(penalized["train_loss"]) == float(plain["train_loss"])
    assert float(penalized["gradient_norm"]) > 2 * float(plain["gradient_norm"])


# what is refused, and what is trained alone


REFUSED = {
    "model.dropout=1": "must be from 0 to below 1",
    "model.dropout=-0.1": "must be from 0 to below 1",
    "model.dropout_at=[mlp_out]": "needs a dropout above 0",
    "model.output_scale=0": "must be positive and at most 10^6",
    "model.base_width=64": "needs initialization=mup, whose learning rates depend on it",
    "optimization.l1=-1": "must be from 0 to 1000",
    "optimization.l2=2000": "must be from 0 to 1000",
    "optimization.weight_noise=-1": "must be from 0 to 1000",
    "optimization.update_noise=-1": "must be from 0 to 1000",
    "optimization.clip_norm=0": "must be positive",
    "optimization.precision=float8": "must be one of float32, ",
    "optimization.weight_decay_form=honest": "must be one of to_zero, ",
}


@pytest.mark.parametrize("assignment", REFUSED)
def test_settings_out_of_range_are_refused_in_one_line(assignment: str) -> None:
    key = assignment.partition("=")[0]
    with pytest.raises(ConfigError) as refused:
        Experiment().override([assignment])
    assert str(refused.value).startswith(f"{key}=")
    assert REFUSED[assignment] in str(refused.value)


CONFLICTS = {
    ("model.dropout=.1", "model.dropout_at=[]"): "model.dropout_at=: must be distinct places",
    ("model.initialization=mup", "model.tied_embeddings=true"): "model.tied_embeddings=True: must",
    ("model.initialization=mup", "optimization.optimizer=muon"): "optimization.optimizer=muon: must be adamw, adam or",
    (
        "model.kind=mlp",
        "model.normalization=BN",
        "optimization.average=.9",
    ): "optimization.average=0.9: must not be set",
    ("optimization.weight_decay_form=to_init", "optimization.optimizer=adam"): "needs the decoupled weight decay of",
}


@pytest.mark.parametrize("assignments", CONFLICTS)
def test_settings_that_exclude_each_other_are_refused_in_one_line(assignments: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        Experiment().override(assignments)
    assert CONFLICTS[assignments] in str(refused.value)


ALONE = {
    "dropout": replace(TINY, model=TransformerSpec(**SMALL, dropout=0.1)),
    "BN": replace(TINY, model=MLPSpec(normalization="BN")),
    "mup": replace(TINY, model=MLPSpec(initialization="mup")),
    "weight_noise": changed(optimization={"weight_noise": 0.1}),
    "update_noise": changed(optimization={"update_noise": 0.1}),
    "jiggle": changed(optimization={"weight_decay_form": "jiggle"}),
    "float16": changed(optimization={"precision": "float16"}),
}


@pytest.mark.parametrize("name", ALONE)
def test_runs_that_do_not_fit_in_a_stack_say_why(name: str) -> None:
    assert key_of(ALONE[name]) is None
    assert f"{name}" in (reason_alone(ALONE[name]) or "")
