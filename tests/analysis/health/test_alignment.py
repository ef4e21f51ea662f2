"""Cosines of gradient and applied update with the weights."""

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from grokinterp.analysis.health.alignment import gradient_weight_alignment
from grokinterp.runs.checkpoint import Checkpoint
from tests.support.small_networks import SPEC, assert_vmap_is_loop, drawn, network, permuted, problem


def cosine(x, y):
    """In plain Python; NaN where a norm is zero."""
    length = math.sqrt(sum(v * v for v in x)) * math.sqrt(sum(v * v for v in y))
    return sum(v * w for v, w in zip(x, y, strict=True)) / length if length else math.nan


def backward_twin(checkpoint):
    """The gradient by the plain module, all positions, log-softmax and ``backward``."""
    model = network(p=checkpoint.problem.task.p, spec=checkpoint.model.spec)
    model.load_state_dict(checkpoint.model.state_dict())
    model.requires_grad_(True)
    train = checkpoint.problem.is_train
    logits = model(checkpoint.problem.tokens[train])[:, -1]
    functional.cross_entropy(logits, checkpoint.problem.label[train]).backward()
    return {name: weight.grad for name, weight in model.named_parameters()}


def test_alignment_equals_its_naive_twin():
    checkpoint = drawn()
    found, gradient = gradient_weight_alignment(checkpoint), backward_twin(checkpoint)
    every = {"g": [], "u": [], "w": []}
    for i, (name, weight) in enumerate(checkpoint.model.named_parameters()):
        g, u, w = (x.flatten().tolist() for x in (gradient[name], checkpoint.update[name], weight))
        assert float(found.gradient_weight_cosine[i]) == pytest.approx(cosine(g, w), abs=1e-10)
        assert float(found.update_weight_cosine[i]) == pytest.approx(cosine(u, w), abs=1e-12)
        assert float(found.gradient_norm[i]) == pytest.approx(math.sqrt(sum(v * v for v in g)), rel=1e-9)
        every = {"g": every["g"] + g, "u": every["u"] + u, "w": every["w"] + w}
    assert float(found.gradient_weight_cosine_total) == pytest.approx(cosine(every["g"], every["w"]), abs=1e-10)
    assert float(found.update_weight_cosine_total) == pytest.approx(cosine(every["u"], every["w"]), abs=1e-12)
    assert float(found.gradient_norm_total) == pytest.approx(math.sqrt(sum(v * v for v in every["g"])), rel=1e-9)


def with_update(update):
    base = drawn()
    return Checkpoint(1, base.model, base.problem, update(base.parameters) if update else None)


@pytest.mark.parametrize(("factor", "expected"), [(-0.01, -1), (0.3, 1)])
def test_a_step_of_pure_decay_or_growth_is_parallel_to_the_weights(factor, expected):
    found = gradient_weight_alignment(with_update(lambda w: {name: factor * value for name, value in w.items()}))
    assert found.update_weight_cosine.tolist() == pytest.approx([expected] * 9)
    assert float(found.update_weight_cosine_total) == pytest.approx(expected)


def test_without_an_update_its_cosines_are_nan_and_the_rest_is_there():
    found = gradient_weight_alignment(with_update(None))
    assert found.update_weight_cosine.shape == (9,)
    assert found.update_weight_cosine.isnan().all()
    assert found.update_weight_cosine_total.isnan()
    assert found.gradient_weight_cosine.isfinite().all()


def test_a_zero_parameter_or_update_is_nan_alone():
    model = network()
    model.embed.W_E.zero_()
    checkpoint = Checkpoint(1, model, problem(), {name: torch.zeros_like(w) for name, w in model.named_parameters()})
    found = gradient_weight_alignment(checkpoint)
    assert [bool(value) for value in found.gradient_weight_cosine.isnan()] == [True] + [False] * 8
    assert found.update_weight_cosine.isnan().all()
    assert found.gradient_weight_cosine_total.isfinite()


def test_radial_growth_of_the_step_follows_from_the_cosine():
    """log‖θ‖ - log‖θ_before‖ = -½ log1p(-2 r cos + r²), r = ‖Δθ‖/‖θ‖, per parameter."""
    checkpoint = drawn()
    found = gradient_weight_alignment(checkpoint).update_weight_cosine
    for i, (name, weight) in enumerate(checkpoint.parameters.items()):
        before = weight - checkpoint.update[name]
        r = checkpoint.update[name].norm() / weight.norm()
        growth = weight.norm().log() - before.norm().log()
        assert float(growth) == pytest.approx(float(-0.5 * torch.log1p(-2 * r * found[i] + r * r)), abs=1e-12)


def test_unembedding_gradient_shrinks_or_grows_logits_as_its_cosine_says():
    """Without biases ⟨∂loss/∂W_U, W_U⟩ is the loss's derivative when all logits are scaled up, at scale 1."""
    checkpoint = drawn()
    found = gradient_weight_alignment(checkpoint)
    i = list(checkpoint.parameters).index("unembed.W_U")
    train, labels = checkpoint.problem.is_train, checkpoint.problem.label
    scaled = [float(functional.cross_entropy(checkpoint.logits[train] * (1 + e), labels[train])) for e in (1e-5, -1e-5)]
    product = found.gradient_weight_cosine[i] * found.gradient_norm[i] * checkpoint.parameters["unembed.W_U"].norm()
    assert float(product) == pytest.approx((scaled[0] - scaled[1]) / 2e-5, rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(factor=st.floats(1e-6, 1e6))
def test_size_of_the_update_changes_nothing(factor):
    one = gradient_weight_alignment(drawn())
    other = gradient_weight_alignment(with_update(lambda _: {n: factor * u for n, u in drawn().update.items()}))
    torch.testing.assert_close(one.update_weight_cosine, other.update_weight_cosine)


def test_order_of_neurons_and_heads_changes_nothing():
    other = permuted(drawn(), neurons=random.Random(0).sample(range(12), 12), heads=[1, 0])
    for one, two in zip(gradient_weight_alignment(drawn()), gradient_weight_alignment(other), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_projected_gradients_have_no_radial_part_but_where_a_parameter_is_one_number():
    found = gradient_weight_alignment(drawn())
    assert found.gradient_weight_cosine.abs().max() > 0.01
    assert found.projected_gradient_cosine.abs().max() < 1e-12
    assert abs(float(found.projected_gradient_cosine_total)) < 1e-12
    checkpoint = drawn(spec=replace(SPEC, d_model=2, n_heads=1, d_head=1, d_mlp=1, biases=True))
    found, single = gradient_weight_alignment(checkpoint), [w.numel() == 1 for w in checkpoint.parameters.values()]
    for is_single, raw, projected in zip(
        single, found.gradient_weight_cosine, found.projected_gradient_cosine, strict=True
    ):
        assert projected.isnan() or float(projected) == pytest.approx(float(raw) if is_single else 0, abs=1e-12)


def test_vmap_equals_loop():
    assert_vmap_is_loop(gradient_weight_alignment, [drawn(seed) for seed in range(3)])
