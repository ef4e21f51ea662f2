"""Direct attribution against ablation-free twins, and integrated gradients against integrals known in closed form."""

import pytest
import torch

from grokinterp.analysis.inside.attribution import (
    attribute,
    gauss_legendre,
    integrated_gradients,
    logit_attribution,
    mean_embedding,
)
from grokinterp.errors import NotDefined
from grokinterp.models import MLP, MLPSpec
from grokinterp.runs.checkpoint import Checkpoint
from tests.cases.models import MLP_SPECS, MODEL_SPECS, SPECS, draw, draw_tokens
from tests.support.constructed import SMALL, close
from tests.support.small_networks import drawn, network, problem

STREAMS = {name: spec for name, spec in SPECS.items() if spec.norm_position == "pre"}
ONE_STEP = {name: spec for name, spec in MODEL_SPECS.items() if getattr(spec, "n_supervision", 1) == 1}


def correct_minus_mean(logits, classes):
    return logits.gather(-1, classes[:, None]).squeeze(-1) - logits.mean(-1)


@pytest.mark.parametrize("name", STREAMS)
def test_the_components_sum_to_the_logit_of_every_example(name):
    model, tokens = draw(STREAMS[name]), draw_tokens(constant_last=True)
    classes = tokens[:, 0] % 5
    with torch.no_grad():
        found = model.logit_components(tokens, classes)
        close(found.sum(0), correct_minus_mean(model(tokens)[:, -1], classes))
    assert len(found) == len(model.components)


@pytest.mark.parametrize("name", ["one layer, biases", "two layers", "mean", "two layers, bidirectional"])
def test_a_component_is_what_the_logit_loses_without_it(name):
    """Without LayerNorm: the change when its output is taken out of the final stream only."""
    model, tokens = draw(SPECS[name]), draw_tokens(constant_last=True)
    classes, last = tokens[:, 1] % 5, f"blocks.{SPECS[name].n_layers - 1}"
    with torch.no_grad():
        found = dict(zip(model.components, model.logit_components(tokens, classes), strict=True))
        logits, z, mlp, embed = model.catch(tokens, "blocks.0.attn.hook_z", f"{last}.hook_mlp_out", "hook_embed")
        outputs = {"L0H1": z[:, :, 1] @ model.W_O[0, 1], f"{SPECS[name].n_layers - 1}_mlp_out": mlp, "embed": embed}
        for component, output in outputs.items():
            hook = (f"{last}.hook_resid_post", lambda x, hook, output=output: x - output)
            without = model.run_with_hooks(tokens, fwd_hooks=[hook])[:, -1]
            close(found[component], correct_minus_mean(logits[:, -1], classes) - correct_minus_mean(without, classes))


def test_in_the_constructed_network_the_mlp_is_the_answer():
    checkpoint = SMALL.checkpoint()
    found = dict(zip(checkpoint.model.components, logit_attribution(checkpoint).component_logit, strict=True))
    close(found.pop("0_mlp_out"), sum(SMALL.amplitudes.values()))
    close(list(found.values()), torch.zeros(6))


def test_the_mean_is_over_all_examples_and_takes_the_right_answers():
    checkpoint = drawn()
    whole = correct_minus_mean(checkpoint.logits, checkpoint.problem.label).mean()
    close(logit_attribution(checkpoint).component_logit.sum(), whole)


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_direct_attribution_needs_a_stream_that_is_a_sum(name):
    of = problem()
    model = draw(MODEL_SPECS[name], d_vocab=8, d_vocab_out=7)
    if name in STREAMS:
        assert logit_attribution(Checkpoint(0, model, of)).component_logit.isfinite().all()
    else:
        with pytest.raises(NotDefined, match=r"logit attribution is not defined here: .*(residual stream|behind each)"):
            logit_attribution(Checkpoint(0, model, of))


def test_quadrature_is_exact_for_polynomials():
    nodes, weights = (torch.tensor(values, dtype=torch.float64) for values in gauss_legendre(4))
    for degree in range(8):
        close((weights * nodes**degree).sum(), 1 / (degree + 1), rtol=1e-14)


@pytest.mark.parametrize("name", ONE_STEP)
def test_attributions_are_complete(name):
    model, tokens = draw(ONE_STEP[name]), draw_tokens(constant_last=True)
    found = attribute(model, tokens, tokens[:, 0] % 5, baseline=mean_embedding(model, tokens), nodes=40)
    error = (found.of_position.sum(1) - found.explained).abs().mean() / found.explained.abs().mean()
    assert float(error) < (0.1 if ONE_STEP[name].act_fn == "relu" else 1e-5)  # a kink costs 1 / nodes
    if getattr(ONE_STEP[name], "embedding", "shared") == "shared":
        close(found.of_position[:, -1], torch.zeros(20))  # every example ends in the same token: its own baseline


def test_the_product_of_two_tokens_is_shared_equally():
    """(x + y)² from the baseline 0: the attribution of x is x² + xy, by hand."""
    spec = MLPSpec(d_embed=1, combine="sum", hidden=(1,), act_fn="quadratic")
    model: MLP = MLP(spec, d_vocab=3, d_vocab_out=2, n_ctx=2).double()
    model.load_state_dict(
        {
            "embed.W_E": torch.tensor([[1.0], [2.0], [-3.0]]),
            "layers.0.W_in": torch.ones(1, 1),
            "unembed.W_U": torch.tensor([[1.0, -1.0]]),
            "layers.0.b_in": torch.zeros(1),
            "unembed.b_U": torch.zeros(2),
        }
    )
    tokens = torch.tensor([[0, 1], [1, 2]])
    zero = torch.zeros(2, 1, dtype=torch.float64)
    found = attribute(model, tokens, torch.tensor([0, 0]), baseline=zero, nodes=1)
    close(found.of_position, [[1 + 2, 4 + 2], [4 - 6, 9 - 6]])
    close(found.explained, [9, 1])


def test_the_baseline_is_the_mean_embedding_of_each_position():
    model, of = network(), problem()
    found = mean_embedding(model, of.tokens)
    close(found, torch.stack([model.W_E[of.tokens[:, t]].mean(0) for t in range(3)]))


@pytest.mark.parametrize("name", [*MLP_SPECS, "one layer", "gelu", "mean", "post-norm", "recursive, once"])
def test_integrated_gradients_of_a_checkpoint(name):
    model = draw(MODEL_SPECS[name], d_vocab=8, d_vocab_out=7)
    found = integrated_gradients(Checkpoint(0, model, problem()))
    assert float(found.completeness_error) < 5e-2  # few neurons, so that one kink is a large share
    assert (found.position_attribution.abs() <= found.position_attribution_abs + 1e-12).all()
    assert all(weight.grad is None for weight in model.parameters())


def test_no_gradient_passes_between_supervision_steps():
    model = draw(MODEL_SPECS["recursive"], d_vocab=8, d_vocab_out=7)
    with pytest.raises(NotDefined, match="no gradient passes from one supervision step to the next"):
        integrated_gradients(Checkpoint(0, model, problem()))


def test_nothing_is_left_behind_in_the_model():
    checkpoint = drawn()
    before = {name: value.clone() for name, value in checkpoint.model.state_dict().items()}
    first = integrated_gradients(checkpoint)
    assert not any(point.has_hooks() for point in checkpoint.model.hook_points())
    assert all(torch.equal(value, before[name]) for name, value in checkpoint.model.state_dict().items())
    assert torch.equal(first.position_attribution, integrated_gradients(checkpoint).position_attribution)


def test_more_nodes_are_closer_to_complete():
    checkpoint = drawn()
    few, many = (integrated_gradients(checkpoint, examples=49, nodes=nodes).completeness_error for nodes in (4, 256))
    assert 10 * many < few
