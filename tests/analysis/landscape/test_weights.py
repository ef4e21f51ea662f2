"""Weight norms, singular values, effective rank."""

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.analysis.landscape.weights import (
    matrix_names,
    product_singular,
    singular_values,
    weight_norms,
)
from grokinterp.maths.spectra import singular
from grokinterp.runs.checkpoint import Checkpoint
from tests.support.small_networks import SPEC, assert_vmap_is_loop, drawn, network, permuted

SPECS = [SPEC, replace(SPEC, n_layers=2, biases=True, normalization="LN"), replace(SPEC, d_model=4, d_head=5)]


def test_norms_equal_their_naive_twin():
    checkpoint = drawn()
    found, total = weight_norms(checkpoint), 0.0
    for i, (_, weight) in enumerate(checkpoint.model.named_parameters()):
        square = sum(v * v for v in weight.flatten().tolist())
        total += square
        assert float(found.weight_norm_of[i]) == pytest.approx(square, rel=1e-12)
    assert float(found.weight_norm) == pytest.approx(total, rel=1e-12)
    assert float(found.parameter_norm) == pytest.approx(math.sqrt(total), rel=1e-12)


def test_untrained_biases_are_no_parameters():
    assert len(weight_norms(drawn()).weight_norm_of) == 9
    assert len(weight_norms(drawn(spec=replace(SPEC, biases=True))).weight_norm_of) == 16


def by_svd(model):
    """Name → all singular values of the full matrix, by the SVD, head by head."""
    block = model.blocks[-1]
    found = {"W_E": model.W_E, "W_U": model.W_U, "W_in": block.mlp.W_in, "W_out": block.mlp.W_out}
    found["W_L"] = block.mlp.W_out @ model.W_U
    for h in range(model.spec.n_heads):
        found[f"QK.{h}"] = block.attn.W_Q[h] @ block.attn.W_K[h].T
        found[f"OV.{h}"] = block.attn.W_V[h] @ block.attn.W_O[h]
    return {name: torch.linalg.svd(matrix).S for name, matrix in found.items()}


@pytest.mark.parametrize("spec", SPECS)
def test_singular_values_and_effective_rank_equal_their_naive_twin(spec):
    checkpoint = drawn(spec=spec)
    found, expected = singular_values(checkpoint), by_svd(checkpoint.model)
    names = matrix_names(checkpoint.model)
    assert sorted(names) == sorted(expected)
    for i, name in enumerate(names):
        values = expected[name].tolist()
        shares = [v / sum(values) for v in values if v > 1e-9]
        rank = math.exp(-sum(q * math.log(q) for q in shares if q > 0))
        assert float(found.effective_rank[i]) == pytest.approx(rank, rel=1e-5), name
        kept = found.singular_value[i][~found.singular_value[i].isnan()].tolist()
        assert kept == pytest.approx(values[: len(kept)], abs=1e-6 * values[0]), name
        assert all(v < 1e-9 for v in values[len(kept) : 16]), name  # beyond the rank that the shape allows


def test_values_that_can_be_checked_by_hand():
    model = network()
    model.embed.W_E.zero_()
    model.embed.W_E[0, 0], model.embed.W_E[3, 1] = 4, -4
    model.unembed.W_U.zero_()
    model.unembed.W_U[2, 2] = 3
    found = singular_values(Checkpoint(0, model, drawn().problem))
    row = {name: i for i, name in enumerate(matrix_names(model))}
    assert found.singular_value[row["W_E"], :3].tolist() == pytest.approx([4, 4, 0], abs=1e-6)
    assert float(found.effective_rank[row["W_E"]]) == pytest.approx(2, abs=1e-5)
    assert float(found.effective_rank[row["W_U"]]) == pytest.approx(1, abs=1e-5)


def test_rank_axis_is_sixteen_long_and_padded_with_nan():
    found = singular_values(drawn()).singular_value
    assert found.shape == (9, 16)
    assert found[0, :8].isfinite().all()
    assert found[0, 8:].isnan().all()
    wide = singular_values(drawn(spec=replace(SPEC, d_model=40, d_mlp=50), p=43)).singular_value
    assert wide[:5].isfinite().all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), m=st.integers(1, 9), n=st.integers(1, 9), decades=st.floats(0, 12))
def test_gram_form_is_accurate_for_badly_conditioned_matrices(seed, m, n, decades):
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(k, k, generator=generator, dtype=torch.float64)).Q[:, : min(m, n)] for k in (m, n)
    )
    planted = torch.logspace(0, -decades, min(m, n), dtype=torch.float64)
    torch.testing.assert_close(singular(left * planted @ right.T), planted, rtol=0, atol=1e-6)
    torch.testing.assert_close(product_singular(left * planted, right), planted, rtol=0, atol=1e-6)


def test_scaling_laws():
    one = drawn()
    model = network()
    model.load_state_dict({name: 3 * value for name, value in one.model.state_dict().items()})
    other = Checkpoint(1, model, one.problem)
    torch.testing.assert_close(weight_norms(other).weight_norm, 9 * weight_norms(one).weight_norm)
    torch.testing.assert_close(weight_norms(other).parameter_norm, 3 * weight_norms(one).parameter_norm)
    before, after = singular_values(one), singular_values(other)
    products = torch.tensor([name not in ("W_E", "W_U", "W_in", "W_out") for name in matrix_names(model)])
    factor = torch.where(products, 9.0, 3.0).double()[:, None]
    torch.testing.assert_close(after.singular_value, factor * before.singular_value, equal_nan=True)
    torch.testing.assert_close(after.effective_rank, before.effective_rank)


def test_order_of_neurons_and_heads_moves_heads_only():
    other = permuted(drawn(), neurons=random.Random(0).sample(range(12), 12), heads=[1, 0])
    torch.testing.assert_close(weight_norms(other), weight_norms(drawn()))
    order = [0, 1, 2, 3, 4, 6, 5, 8, 7]
    for one, two in zip(singular_values(drawn()), singular_values(other), strict=True):
        torch.testing.assert_close(one, two[order], equal_nan=True, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("analysis", [weight_norms, singular_values])
def test_vmap_equals_loop(analysis):
    assert_vmap_is_loop(analysis, [drawn(seed) for seed in range(3)])


def test_parameter_norm_of_a_published_network(published):
    """Published for p99zdpze5l ("Model A" of Zhong et al. 2023): 22.854; its causal mask is no parameter."""
    state = torch.load(published / "pizza" / "model_p99zdpze5l.pt", map_location="cpu", weights_only=True)
    weights = {name: value for name, value in state.items() if not name.endswith("mask")}
    checkpoint = Checkpoint(0, network(), drawn().problem)
    checkpoint.__dict__["parameters"] = weights
    assert float(weight_norms(checkpoint).parameter_norm) == pytest.approx(22.854, abs=5e-4)
