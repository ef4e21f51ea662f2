"""Products of norms by hand, and bounds that no logit of any model exceeds."""

import itertools
import math

import pytest
import torch

from grokinterp.analysis.landscape.norm_bounds import NORMS, norm_bounds
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.tasks import ModularAddition
from tests.cases.models import RECURSIVE, TINY_SIZES, TINY_SPECS
from tests.support.any_model import checkpoint_of
from tests.support.constructed import close

KINDS = TINY_SPECS | {
    "recursive": RECURSIVE,
    "post": TransformerSpec(**TINY_SIZES, normalization="LNPre", norm_position="post", act_fn="quadratic"),
    "rate": TransformerSpec(**TINY_SIZES, attention_rate=0.3, read_at="last", biases=True),
    "summed": MLPSpec(d_embed=3, combine="sum", hidden=(4, 4), act_fn="silu", biases=True),
    "one-hot, summed": MLPSpec(combine="sum", hidden=(4,)),
}


@pytest.mark.parametrize("scale", [0.3, 3.0])
@pytest.mark.parametrize("name", KINDS)
def test_no_logit_exceeds_a_bound(name, scale):
    for seed in range(3):
        checkpoint = checkpoint_of(KINDS[name], ModularAddition(p=4), scale=scale, seed=seed)
        found = norm_bounds(checkpoint)
        close(10**found.largest_logit, checkpoint.logits.abs().max())
        assert (found.logit_bound >= found.largest_logit - 1e-12).all()
        bound = dict(zip(NORMS, found.logit_bound.tolist(), strict=True))
        assert bound["path"] <= bound["L1_inf"] + 1e-12
        assert bound["spectral"] <= bound["frobenius"] + 1e-12


@torch.no_grad()
def test_a_bound_that_is_reached():
    """One neuron: relu(2 [a = 0] + 3 [b = 0]) writes 4 into class 1; and a bias of 1 there."""
    checkpoint = checkpoint_of(MLPSpec(hidden=(1,), act_fn="relu", biases=True), ModularAddition(p=3))
    for weight in checkpoint.model.parameters():
        weight.zero_()
    checkpoint.model.layers[0].W_in[[0, 3], 0] = torch.tensor([2.0, 3.0]).double()
    checkpoint.model.unembed.W_U[0, 1], checkpoint.model.unembed.b_U[1] = 4, 1
    found = norm_bounds(checkpoint)
    close(10**found.largest_logit, 21)
    close(10**found.logit_bound, torch.full((4,), 21.0))
    root = math.sqrt(13)
    close(10**found.norm_product, [5 * 4, root * 4, root * 4, math.sqrt((4 + 9) * 16 + 1)])


@pytest.mark.parametrize("combine", ["sum", "concatenate"])
@pytest.mark.parametrize("embedding", ["shared", "separate"])
def test_products_are_those_of_the_matrices_between_one_hot_vectors_and_logits(combine, embedding):
    spec = MLPSpec(d_embed=3, combine=combine, embedding=embedding, hidden=(4, 2), act_fn="gelu")
    checkpoint = checkpoint_of(spec, ModularAddition(p=3))
    model = checkpoint.model
    tables = model.embed.W_E if embedding == "separate" else model.embed.W_E.expand(2, -1, -1)
    first = torch.cat(list(tables)) if combine == "sum" else torch.block_diag(*tables)
    matrices = [first, model.layers[0].W_in, model.layers[1].W_in, model.W_U]
    found = 10 ** norm_bounds(checkpoint).norm_product
    close(found[0], math.prod(float(W.abs().sum(0).max()) for W in matrices))
    close(found[1], math.prod(float(W.square().sum().sqrt()) for W in matrices))
    close(found[2], math.prod(float(torch.linalg.matrix_norm(W, 2)) for W in matrices), rtol=1e-6)
    paths = sum(
        math.prod(float(W[i, j]) ** 2 for W, (i, j) in zip(matrices, itertools.pairwise(path), strict=True))
        for path in itertools.product(*(range(len(W)) for W in matrices), range(3))
    )
    close(found[3], math.sqrt(paths))


@torch.no_grad()
def test_rescaling_a_relu_neuron_changes_products_and_no_path():
    checkpoint = checkpoint_of(MLPSpec(hidden=(4,), act_fn="relu"))
    before = norm_bounds(checkpoint)
    checkpoint.model.layers[0].W_in[:, 2] *= 50
    checkpoint.model.unembed.W_U[2] /= 50
    after = norm_bounds(checkpoint)
    close(after.norm_product[3], before.norm_product[3])
    close(after.logit_bound[3], before.logit_bound[3])
    assert (after.norm_product[:3] > before.norm_product[:3]).all()


@pytest.mark.parametrize("weight", [0.0, math.nan, math.inf, 1e160])
def test_weights_that_are_not_numbers_or_huge_have_a_bound_that_says_so(weight):
    checkpoint = checkpoint_of(MLPSpec(hidden=(4, 3), act_fn="relu"))
    for parameter in checkpoint.model.parameters():
        parameter.detach().fill_(weight)
    found = norm_bounds(checkpoint)
    assert not found.logit_bound[2:].isnan().any() or math.isnan(weight) or math.isinf(weight)
    assert not found.logit_bound.isfinite()[2:].any()


def test_the_quadratic_activation_has_no_path_norm():
    found = norm_bounds(checkpoint_of(MLPSpec(hidden=(4,))))
    assert found.norm_product.isnan().tolist() == [False, False, False, True]
    assert bool(found.logit_bound.isfinite().all())


def test_products_are_divided_by_the_margin_of_nine_in_ten():
    checkpoint = checkpoint_of(MLPSpec(hidden=(9,)), ModularAddition(p=5), fraction=1.0)
    of = checkpoint.problem
    margins = []
    checkpoint.__dict__["readout"] = checkpoint.readout._replace(logits=checkpoint.logits.clone())
    for row, label in zip(checkpoint.readout.logits, of.label, strict=True):
        row[label] = row.max() + torch.rand(1).item() + 0.1
        margins.append(float(row[label] - row[torch.arange(5) != label].max()))
    found = norm_bounds(checkpoint)
    close(found.norm_product[0] - found.product_per_margin[0], math.log10(sorted(margins)[2]))
    for wrong in (checkpoint_of(MLPSpec(hidden=(9,))), checkpoint_of(MLPSpec(hidden=(9,)), fraction=0)):
        assert bool(norm_bounds(wrong).product_per_margin.isnan().all())
