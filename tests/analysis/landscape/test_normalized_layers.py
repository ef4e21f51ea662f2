"""Perceptrons with BatchNorm are analyzed as the affine layers that they are; with LayerNorm, analyses say why not."""

from dataclasses import replace

import pytest
import torch

from grokinterp.analysis.circuit.idealized import idealized_network
from grokinterp.analysis.groups.cosets import coset_scores
from grokinterp.analysis.landscape.norm_bounds import norm_bounds
from grokinterp.analysis.structure.answer_spectrum import operand_spectrum
from grokinterp.errors import NotDefined
from grokinterp.maths.matrix_norms import RULERS
from grokinterp.models import MLP, MLPSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import GroupComposition, ModularAddition, Task
from tests.support.any_model import checkpoint_of

SPEC = MLPSpec(hidden=(6, 7), act_fn="relu", biases=True)
ONE_LAYER = replace(SPEC, hidden=(7,))


@torch.no_grad()
def both(spec: MLPSpec, task: Task) -> tuple[Checkpoint, Checkpoint]:
    """A network with BatchNorm and drawn running statistics, and one without that has its matrices and biases."""
    checkpoint, plain = checkpoint_of(replace(spec, normalization="BN"), task), checkpoint_of(spec, task)
    generator = torch.Generator().manual_seed(5)
    assert isinstance(checkpoint.model, MLP)
    assert isinstance(plain.model, MLP)
    for layer, twin in zip(checkpoint.model.layers, plain.model.layers, strict=True):
        layer.norm.mean.normal_(generator=generator)
        layer.norm.variance.uniform_(0.3, 2.0, generator=generator)
        twin.W_in.copy_(layer.matrix)
        twin.b_in.copy_(layer.offset)
    plain.model.unembed.load_state_dict(checkpoint.model.unembed.state_dict())
    return checkpoint, plain


@pytest.mark.parametrize(
    ("analysis", "spec", "task"),
    [
        (norm_bounds, SPEC, ModularAddition(p=5)),
        (norm_bounds, ONE_LAYER, ModularAddition(p=5)),
        (operand_spectrum, ONE_LAYER, ModularAddition(p=7)),
        (coset_scores, ONE_LAYER, GroupComposition(group="S3")),
        (idealized_network, ONE_LAYER, ModularAddition(p=7)),
    ],
)
def test_batch_norm_is_part_of_the_matrices(analysis, spec: MLPSpec, task: Task) -> None:
    normalized, plain = both(spec, task)
    torch.testing.assert_close(normalized.logits, plain.logits)
    found, expected = analysis(normalized), analysis(plain)
    for name in found._fields:
        if name != "logit_bound":
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), equal_nan=True)


@pytest.mark.parametrize("kind", ["BN", "LN"])
@torch.no_grad()
def test_no_logit_exceeds_the_bound_of_a_normalized_network(kind: str) -> None:
    spec = replace(SPEC, normalization=kind, output_scale=3.0)
    checkpoint = both(spec, ModularAddition(p=5))[0] if kind == "BN" else checkpoint_of(spec)
    for ruler in RULERS.values():
        assert float(checkpoint.model.logit_bound(ruler).max()) >= float(checkpoint.logits.abs().max())


def test_layer_norm_says_what_is_not_defined() -> None:
    with pytest.raises(NotDefined, match="with LayerNorm, a hidden layer does not start with a matrix"):
        norm_bounds(checkpoint_of(replace(SPEC, normalization="LN")))
    assert not checkpoint_of(replace(ONE_LAYER, normalization="LN")).model.neurons_add_operands
