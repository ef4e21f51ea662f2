"""The idealized network: Gromov's solution is its own, planted waves are found, every model's neurons are its own."""

import math

import pytest
import torch

from grokinterp.analysis.circuit.idealized import (
    at_own_frequency,
    idealized_network,
    waves_of,
)
from grokinterp.analysis.structure.cyclic_grid import grid_of
from grokinterp.analysis.structure.participation import pre_activations
from grokinterp.errors import NotDefined
from grokinterp.models import MLPSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import (
    GroupComposition,
    ModularAddition,
    ModularDivision,
    ModularMultiplication,
    ModularSubtraction,
)
from tests.cases.models import RECURSIVE, TINY_SPECS
from tests.support.any_model import checkpoint_of, solved
from tests.support.constructed import close
from tests.support.published_networks import nanda

SOLVABLE = [
    ModularAddition(p=11),
    ModularAddition(p=12),
    ModularSubtraction(p=23),
    ModularMultiplication(p=13),
    ModularDivision(p=17),
]


@pytest.mark.parametrize("task", SOLVABLE, ids=lambda task: f"{task.kind} {task.p}")
def test_the_analytic_solution_is_its_own_idealized_network(task):
    width, n = 800, grid_of(task, "cpu").n
    checkpoint = solved(task, width)
    found = idealized_network(checkpoint)
    phases = 2 * math.pi * torch.rand(2, width, generator=torch.Generator().manual_seed(0))
    frequency = 1 + torch.arange(width) % (n // 2)
    assert found.neuron_wave_frequency.tolist() == frequency.tolist()
    has_phase = 2 * frequency != n  # at n/2 there is no sine, and so no phase but 0 and π
    one = torch.ones(int(has_phase.sum()))
    for name, phase in (("a", phases[0]), ("b", phases[1]), ("out", phases.sum(0))):
        close((getattr(found, f"neuron_phase_{name}") - phase).cos()[has_phase], one)
    close(found.neuron_amplitude[has_phase], one, atol=1e-5)
    close(found.neuron_amplitude_out[has_phase], 2 / width * one, rtol=1e-5)
    close(found.phase_mismatch[has_phase], 0 * one, atol=1e-5)
    close(found.idealized_agreement, 1)
    close(found.idealized_fve, 1)
    assert float(found.idealized_accuracy) > 0.95


def planted_waves(p: int, k: int, amplitudes: dict[str, float], phases: dict[str, float], mean: float) -> torch.Tensor:
    """One function on the grid of pairs, from its waves."""
    a, b = torch.arange(p).repeat_interleave(p), torch.arange(p).repeat(p)
    lines = {"b": b, "a": a, "s": a + b, "d": a - b}
    angles = {line: 2 * math.pi * k / p * t.double() + phases[line] for line, t in lines.items()}
    return mean + sum(amplitudes[line] * angle.cos() for line, angle in angles.items())


@pytest.mark.parametrize("p", [3, 7, 8])
def test_planted_waves_are_found(p):
    """All four waves are exact; a constant has no wave."""
    amplitudes, phases = {"b": 1.0, "a": 2.0, "s": 0.5, "d": 0.7}, {"b": 0.3, "a": -2.0, "s": 1.0, "d": 3.0}
    ks = range(1, (p + 1) // 2)
    x = torch.stack(
        [planted_waves(p, k, amplitudes, phases, 4.0) for k in ks] + [torch.full((p * p,), 5.0).double()], 1
    )
    found = waves_of(x, p)
    assert found.frequency.tolist() == [*ks, 0]
    close(found.mean, [4.0] * len(ks) + [5.0])
    for row, line in enumerate("basd"):
        expected = [amplitudes[line] * math.cos(phases[line])] * len(ks) + [0]
        close(found.cosine[row], expected)
        close(found.sine[row], [-amplitudes[line] * math.sin(phases[line])] * len(ks) + [0])


def test_the_highest_frequency_of_an_even_modulus_counts_once():
    """At p/2, a + b and a - b are the same wave: its whole amplitude stands at the first."""
    p = 6
    a, b = torch.arange(p).repeat_interleave(p), torch.arange(p).repeat(p)
    x = (3.0 * (-1.0) ** (a + b)).double()[:, None] + 1
    found = waves_of(x, p)
    assert found.frequency.tolist() == [3]
    close(found.cosine[:, 0], [0, 0, 3, 0])
    close(found.sine, torch.zeros(4, 1))


def test_rows_of_the_output_map():
    p, k = 7, torch.tensor([2, 3, 0])
    c = torch.arange(p).double()
    rows = torch.stack([5 * torch.cos(2 * math.pi * 2 * c / p + 0.4), torch.cos(2 * math.pi * c / p), c])
    cosine, sine = at_own_frequency(rows, k)
    close(cosine, [5 * math.cos(0.4), 0, 0])
    close(sine, [-5 * math.sin(0.4), 0, 0])


def naive_idealized(checkpoint: Checkpoint, act, pre, W_L) -> torch.Tensor:
    """Logits of the network of waves by least squares on the four waves' columns, neuron by neuron."""
    p = checkpoint.problem.task.p
    a, b = torch.arange(p).repeat_interleave(p), torch.arange(p).repeat(p)
    logits = torch.zeros(p * p, p, dtype=torch.float64)
    for n in range(pre.shape[1]):
        best = None
        for k in range(1, p // 2 + 1):
            angles = [2 * math.pi * k / p * t.double() for t in (a, b, a + b, a - b)]
            columns = torch.stack(
                [torch.ones(p * p).double(), *(f(x) for x in angles for f in (torch.cos, torch.sin))], 1
            )
            fit = columns @ torch.linalg.lstsq(columns, pre[:, n : n + 1], driver="gelsd").solution
            error = float((fit[:, 0] - pre[:, n]).square().sum())
            if best is None or error < best[0] - 1e-9:
                c = 2 * math.pi * k / p * torch.arange(p).double()
                out = torch.stack([c.cos(), c.sin()], 1)
                best = error, fit, out @ torch.linalg.lstsq(out, W_L[n][:, None], driver="gelsd").solution
        logits += act(best[1]) @ best[2].T
    return logits


@pytest.mark.parametrize("name", [*(name for name in TINY_SPECS if name != "mean"), "recursive"])
@pytest.mark.parametrize("p", [5, 6])
def test_every_model_is_idealized_as_by_its_naive_twin(name, p):
    checkpoint = checkpoint_of(TINY_SPECS.get(name, RECURSIVE), ModularAddition(p=p), scale=1.5)
    pre, act = pre_activations(checkpoint), checkpoint.model.activation
    close(act(pre.clone()), checkpoint.readout.neurons)
    ideal = naive_idealized(checkpoint, act, pre, checkpoint.model.W_L)
    found, labels = idealized_network(checkpoint), checkpoint.problem.label
    close(found.idealized_accuracy, (ideal.argmax(1) == labels).double().mean())
    close(found.idealized_agreement, (ideal.argmax(1) == checkpoint.logits.argmax(1)).double().mean())
    real = (checkpoint.logits - checkpoint.logits.mean(1, keepdim=True)).flatten()
    cosine = torch.nn.functional.cosine_similarity(real, (ideal - ideal.mean(1, keepdim=True)).flatten(), dim=0)
    close(found.idealized_fve, cosine.clamp(min=0).square())


def test_a_dead_neuron_has_no_phase():
    checkpoint = checkpoint_of(MLPSpec(hidden=(4,)))
    checkpoint.model.layers[0].W_in[:, 1] = 0
    found = idealized_network(checkpoint)
    assert found.neuron_phase_a.isnan().tolist() == [False, True, False, False]
    assert int(found.neuron_wave_frequency[1]) == 0
    close([found.neuron_amplitude[1], found.neuron_amplitude_out[1]], [0, 0])
    assert bool(found.phase_mismatch[1].isnan())
    assert bool(found.idealized_fve.isfinite())


def test_where_there_is_none_the_reason_is_given():
    with pytest.raises(NotDefined, match="idealized_network is not defined here: the group of group_composition, S3"):
        idealized_network(checkpoint_of(MLPSpec(hidden=(4,)), GroupComposition(group="S3")))
    with pytest.raises(NotDefined, match="the neurons are averaged over positions"):
        idealized_network(checkpoint_of(TINY_SPECS["mean"]))


def test_a_trained_network_is_nearly_its_waves(published):
    """Nanda et al.'s network: its neurons' phases add up to those of their outputs."""
    found = idealized_network(nanda(published))
    assert float(found.idealized_fve) > 0.8
    assert float(found.idealized_accuracy) > 0.8
    assert float(found.phase_mismatch.cos().nanmedian()) > 0.95
