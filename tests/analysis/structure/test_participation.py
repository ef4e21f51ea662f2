"""Inverse participation ratios of planted waves, and pruning that finds the periodic neurons among random ones."""

import math

import numpy as np
import pytest
import torch

from grokinterp.analysis.inside.pruning import PRUNED_SHARES, neuron_pruning
from grokinterp.analysis.structure.participation import neuron_participation, pre_activations
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment
from grokinterp.losses import example_losses
from grokinterp.models import MLPSpec, solved_addition
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import GroupComposition, ModularAddition, ModularMultiplication
from tests.cases.losses import LOSSES
from tests.cases.models import RECURSIVE, TINY_SPECS
from tests.support.any_model import checkpoint_of, problem_of, solved
from tests.support.constructed import close

KINDS = {name: spec for name, spec in TINY_SPECS.items() if name != "mean"} | {"recursive": RECURSIVE}


@pytest.mark.parametrize("task", [ModularAddition(p=11), ModularAddition(p=12), ModularMultiplication(p=13)], ids=repr)
def test_a_neuron_of_one_frequency_has_ratio_1(task):
    found = neuron_participation(solved(task, 40))
    close(found.neuron_ipr, torch.ones(40))
    close(found.neuron_ipr_out, torch.ones(40))
    close(found.mean_ipr, 1)


@torch.no_grad()
def test_m_equal_waves_have_ratio_1_over_m_and_a_constant_does_not_count():
    p = 11
    checkpoint = checkpoint_of(MLPSpec(hidden=(3,)), ModularAddition(p=p))
    a = torch.arange(p).double()
    waves = [torch.cos(2 * math.pi * k * a / p + k) for k in range(1, 6)]
    for neuron, m in enumerate((1, 2, 5)):
        W_in = checkpoint.model.layers[0].W_in
        W_in[:p, neuron], W_in[p:, neuron] = sum(waves[:m]) + 3, waves[4]
    close(neuron_participation(checkpoint).neuron_ipr, [1, 3 / 4, 3 / 5])


@pytest.mark.parametrize("name", KINDS)
def test_ratios_equal_their_naive_twin(name):
    p = 5
    checkpoint = checkpoint_of(KINDS[name], ModularAddition(p=p))
    pre = pre_activations(checkpoint).numpy().reshape(p, p, -1)
    expected = []
    for n in range(pre.shape[2]):
        ratios = []
        for axis in (0, 1):
            power = np.abs(np.fft.fft(pre[:, :, n].mean(axis)))[1 : p // 2 + 1] ** 2
            ratios.append(((power / power.sum()) ** 2).sum())
        expected.append(np.mean(ratios))
    close(neuron_participation(checkpoint).neuron_ipr, torch.tensor(expected))


@torch.no_grad()
def test_a_neuron_that_ignores_an_operand_has_the_ratio_of_the_other():
    first = checkpoint_of(MLPSpec(hidden=(3,)))
    whole, W_in = neuron_participation(first).neuron_ipr, first.model.layers[0].W_in
    W_in[:5, 0] = W_in[5:, 0]  # the same of both
    W_in[:, 1] = 0.3
    both = neuron_participation(Checkpoint(0, first.model, first.problem)).neuron_ipr
    W_in[5:, 0] = 7.0  # the right one is ignored
    found = neuron_participation(Checkpoint(0, first.model, first.problem))
    close(found.neuron_ipr[0], both[0])
    assert bool(found.neuron_ipr[1].isnan())
    close(found.neuron_ipr[2], whole[2])
    close(found.mean_ipr, (found.neuron_ipr[0] + whole[2]) / 2)


def test_where_there_are_no_frequencies_there_is_no_ratio():
    for analysis in (neuron_participation, neuron_pruning):
        with pytest.raises(NotDefined, match="S3, is not cyclic"):
            analysis(checkpoint_of(MLPSpec(hidden=(4,)), GroupComposition(group="S3")))
        with pytest.raises(NotDefined, match="averaged over positions"):
            analysis(checkpoint_of(TINY_SPECS["mean"]))


# pruning


@torch.no_grad()
def half_periodic(p: int = 11, width: int = 60) -> Checkpoint:
    """Gromov's network with as many random neurons, whose sum barely changes its logits, between its own."""
    task = ModularAddition(p=p)
    periodic = solved_addition(p, width=width, generator=torch.Generator().manual_seed(0)).double()
    experiment = Experiment(task=task, model=MLPSpec(hidden=(2 * width,)))
    model = experiment.empty_model().double().requires_grad_(False)
    draw = torch.Generator().manual_seed(1)
    model.layers[0].W_in[:, ::2] = periodic.layers[0].W_in
    model.layers[0].W_in[:, 1::2] = torch.randn(2 * p, width, generator=draw, dtype=torch.float64)
    model.unembed.W_U[::2] = periodic.W_U
    model.unembed.W_U[1::2] = 1e-4 * torch.randn(width, p, generator=draw, dtype=torch.float64)
    return Checkpoint(0, model, problem_of(experiment))


def test_pruning_by_ratio_finds_the_periodic_neurons():
    lowest, highest, random = neuron_pruning(half_periodic()).pruned_accuracy[:, 2]
    half = PRUNED_SHARES.index(0.5)
    close(lowest[0], highest[0])
    assert float(lowest[: half + 1].min()) > float(lowest[0]) - 0.02
    assert float(random[half]) < float(lowest[half]) - 0.03
    assert float(highest[half]) < 0.3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", KINDS)
def test_pruned_networks_equal_those_with_a_hook(name, loss):
    checkpoint = checkpoint_of(KINDS[name], ModularAddition(p=5), loss=loss)
    of, model = checkpoint.problem, checkpoint.model
    hook = [name for name in model.hook_dict if name.endswith("hook_post")][-1]
    ratio = neuron_participation(checkpoint).neuron_ipr
    found = neuron_pruning(checkpoint)
    for row, order in enumerate((ratio.argsort(), ratio.argsort(descending=True))):
        for column in (0, 7, 16):
            gone = order[: round(PRUNED_SHARES[column] * len(order))]

            def remove(h, hook, gone=gone):
                h = h.clone()
                h[..., gone] = 0
                return h

            logits = model.run_with_hooks(of.tokens, fwd_hooks=[(hook, remove)])[:, -1]
            losses = example_losses(logits, of.label, form=loss)
            for split, mask in enumerate((of.is_train, of.is_test)):
                close(found.pruned_loss[row, split, column], losses[mask].mean())
                right = (logits.argmax(1) == of.label)[mask].double().mean()
                close(found.pruned_accuracy[row, split, column], right)


def test_a_split_without_examples_has_no_accuracy():
    checkpoint = checkpoint_of(MLPSpec(hidden=(4,)), fraction=0)
    found = neuron_pruning(checkpoint).pruned_accuracy
    assert bool(found[:, 0].isnan().all())
    assert bool(found[:, 1:].isfinite().all())
