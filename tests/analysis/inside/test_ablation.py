"""Ablation of heads and neurons against plain twins with a hook, and on the network that is constructed."""

import pytest
import torch

from grokinterp.analysis.health.performance import performance
from grokinterp.analysis.inside.ablation import head_ablation, neuron_ablation
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.losses import example_losses
from grokinterp.runs.checkpoint import Checkpoint
from tests.cases.losses import LOSSES
from tests.cases.models import MODEL_SPECS, SPECS, draw, draw_tokens
from tests.support.constructed import SMALL, close
from tests.support.small_networks import drawn, problem


def of_spec(name, **values):
    model, of = draw(MODEL_SPECS[name], d_vocab=8, d_vocab_out=7), problem()
    return Checkpoint(0, model, Problem(of.task, of.tokens, of.labels, of.is_train, **values))


def losses_with(checkpoint, hook, change):
    """The answer's mean loss and accuracy while a hook's activation is changed."""
    of = checkpoint.problem
    logits = checkpoint.model.run_with_hooks(of.tokens, fwd_hooks=[(hook, lambda x, hook: change(x))])[:, -1]
    losses = example_losses(logits, of.trained_label, form=of.loss)
    return losses.mean(), (logits.argmax(-1) == of.trained_label).double().mean()


def last_neurons(model):
    """The hook of the last layer's neurons."""
    return [name for name in model.hook_dict if name.endswith("hook_post")][-1]


@pytest.mark.parametrize("name", SPECS)
def test_a_head_is_held_at_its_mean_at_every_position(name):
    checkpoint = of_spec(name)
    found = head_ablation(checkpoint)
    assert found.head_ablation_loss.shape == (checkpoint.model.n_layers, checkpoint.model.n_heads)
    with torch.no_grad():
        whole = losses_with(checkpoint, "hook_embed", lambda x: x)[0]
        for layer in range(checkpoint.model.n_layers):
            for head in range(checkpoint.model.n_heads):

                def hold(z, head=head):
                    z = z.clone()
                    z[:, :, head] = z[:, :, head].mean(0)
                    return z

                loss, accuracy = losses_with(checkpoint, f"blocks.{layer}.attn.hook_z", hold)
                close(found.head_ablation_loss[layer, head], loss - whole)
                close(found.head_ablation_accuracy[layer, head], accuracy)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", MODEL_SPECS)
def test_a_neuron_is_held_at_its_mean(name, loss):
    checkpoint = of_spec(name, loss=loss)
    found, hook = neuron_ablation(checkpoint).neuron_ablation_loss, last_neurons(checkpoint.model)
    assert len(found) == len(checkpoint.model.W_L)
    with torch.no_grad():
        whole = losses_with(checkpoint, hook, lambda x: x)[0]
        for neuron in range(len(found)):

            def hold(h, neuron=neuron):
                h = h.clone()
                h[..., neuron] = h[..., neuron].mean(0)
                return h

            close(found[neuron], losses_with(checkpoint, hook, hold)[0] - whole)


@pytest.mark.parametrize("name", MODEL_SPECS)
def test_the_tail_gives_the_logits(name):
    model, tokens = draw(MODEL_SPECS[name]), draw_tokens()
    with torch.no_grad():
        tail = model.neuron_tail(tokens)
        close(tail.answer(tail.stream), model(tokens)[:, -1])


def test_in_the_constructed_network_head_0_is_all_and_head_1_is_nothing():
    checkpoint = SMALL.checkpoint()
    found = head_ablation(checkpoint)
    close(found.head_ablation_loss[0, 1], 0)
    assert found.head_ablation_accuracy[0, 1] == 1
    assert found.head_ablation_accuracy[0, 0] == pytest.approx(1 / 7)  # one answer for all, or for as many as it fits
    neurons = neuron_ablation(checkpoint).neuron_ablation_loss
    close(neurons[SMALL.n_hinges :], torch.zeros(2))
    assert (neurons[: SMALL.n_hinges - 1] > 0).all()


@pytest.mark.parametrize("name", ["mlp", "mlp, deep, separate", "recursive"])
def test_without_attention_there_are_no_heads(name):
    with pytest.raises(NotDefined, match=r"head_ablation is not defined here: the model (mlp|recursive) has no attent"):
        head_ablation(of_spec(name))


def test_labels_are_those_trained_on():
    base = drawn().problem
    wrong = (base.labels + 1) % 7
    noisy = Checkpoint(
        0, drawn().model, Problem(base.task, base.tokens, base.labels, base.is_train, trained_labels=wrong)
    )
    moved = Checkpoint(0, drawn().model, Problem(base.task, base.tokens, wrong, base.is_train))
    assert torch.equal(neuron_ablation(noisy)[0], neuron_ablation(moved)[0])
    assert torch.equal(head_ablation(noisy)[0], head_ablation(moved)[0])
    assert not torch.equal(head_ablation(noisy)[0], head_ablation(drawn())[0])


def test_a_draw_of_the_examples_is_the_same_every_time():
    for analysis in (head_ablation, neuron_ablation):
        found = analysis(drawn(), examples=20)[0]
        assert torch.equal(found, analysis(drawn(), examples=20)[0])
        assert not torch.equal(found, analysis(drawn())[0])
    assert float(performance(drawn()).all_loss) > 0
