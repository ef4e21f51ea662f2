"""Mode families, key directions and phases: analytic values on planted networks, brute force on drawn ones."""

import math

import pytest
import torch
from torch import Tensor

from benchmarks.calibration.circuits import PlantedCircuit
from grokinterp.analysis import key_directions, logit_spectrum, mode_families
from grokinterp.analysis.circuit import phase_alignment
from grokinterp.analysis.circuit.modes import MODE_FAMILIES, family_shares
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.models import solved_addition
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, ModularAddition
from tests.support.constructed import SMALL, close
from tests.support.small_networks import drawn, planted

NO_KEY = torch.empty(0, dtype=torch.int64)


def solved(p: int, width: int, shift: float = 0.0, *, seed: int = 0) -> Checkpoint:
    """Gromov's solution; with a shift, every phase to the logits is that much larger."""
    model = solved_addition(p, width=width, generator=torch.Generator().manual_seed(seed)).double()
    model.requires_grad_(False)
    if shift:
        wave = torch.fft.rfft(model.unembed.W_U, dim=1)
        wave[:, 1:] *= complex(math.cos(shift), math.sin(shift))
        model.unembed.W_U.copy_(torch.fft.irfft(wave, n=p, dim=1))
    task = ModularAddition(p=p)
    return Checkpoint(0, model, Problem(task, task.tokens(), task.labels(), torch.zeros(p * p, dtype=torch.bool)))


# --- mode families ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [6, 7])
def test_families_are_parts_of_the_two_dimensional_spectrum(p):
    x = torch.randn(p * p, 3, generator=torch.Generator().manual_seed(p)).double()
    power = torch.fft.fft2(x.unflatten(0, (p, p)), dim=(0, 1)).abs().square().sum(2)
    power[0, 0] = 0
    expected = dict.fromkeys(MODE_FAMILIES, 0.0)
    for j in range(p):
        for k in range(p):
            family = 0 if j == k else 1 if (j + k) % p == 0 else 2 if k == 0 else 3 if j == 0 else 4
            expected[MODE_FAMILIES[family]] += float(power[j, k] / power.sum())
    close(family_shares(x, p), list(expected.values()))


@pytest.mark.parametrize("product", [0.0, 0.5, 1.0])
def test_a_product_has_sums_only_and_a_pizza_single_operands_too(product):
    """2 cos we (1 + (1 - λ) cos wd): the second term is cos w(2a - c) + cos w(2b - c)."""
    side = (1 - product) ** 2 / 4
    found = mode_families(PlantedCircuit(11, {2: 3.0, 5: 1.0}, product).checkpoint()).logit_mode_share
    close(found, torch.tensor([1, 0, side, side, 0]) / (1 + 2 * side), atol=1e-6)


def test_neurons_of_squares_and_of_nothing():
    found = mode_families(solved(13, 40))
    close(found.neuron_mode_share, [0.4, 0.4, 0.1, 0.1, 0], atol=1e-6)
    constant = mode_families(planted(torch.ones(25, 5).double(), ModularAddition(p=5).label()))
    assert constant.logit_mode_share.isnan().all()


def test_families_need_a_cyclic_group():
    task = TASKS["group_composition"](group="S3")
    checkpoint = drawn()
    other = Checkpoint(0, checkpoint.model, Problem(task, task.tokens(), task.labels(), torch.zeros(36).bool()))
    for analysis in (mode_families, phase_alignment):
        with pytest.raises(NotDefined, match="is not cyclic"):
            analysis(other)


# --- key directions --------------------------------------------------------------------------------------------------


def test_the_constructed_network_holds_its_waves_in_their_directions():
    close(key_directions(SMALL.checkpoint(), key_frequencies=torch.tensor([2, 3])).direction_fve, torch.ones(2, 2))


@pytest.mark.parametrize("p", [6, 7])
def test_directions_are_fitted_by_least_squares(p):
    checkpoint = drawn(3, p=p)
    found = key_directions(checkpoint, key_frequencies=torch.tensor([1, p // 2])).direction_fve
    a, b = torch.arange(p).double().repeat_interleave(p), torch.arange(p).double().repeat(p)
    for row, k in enumerate((1, p // 2)):
        w = 2 * math.pi * k / p
        design = torch.stack([torch.ones(p * p).double(), (w * (a + b)).cos(), (w * (a + b)).sin()], 1)
        for axis, f in enumerate((torch.cos, torch.sin)):
            direction = checkpoint.model.W_L @ f(w * torch.arange(p).double())
            values: Tensor = checkpoint.neurons @ direction
            if 2 * k == p and axis == 1:
                assert found[row, axis].isnan()
                continue
            fitted = design @ torch.linalg.lstsq(design, values, driver="gelsd").solution
            close(found[row, axis], 1 - (values - fitted).var() / values.var())


def test_directions_need_a_key():
    with pytest.raises(NotDefined, match="no frequency is key"):
        key_directions(drawn(), key_frequencies=NO_KEY)


# --- phases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_phases_add_up_in_the_solution_by_squares(shift):
    found = phase_alignment(solved(13, 60, shift))
    close(found.phase_alignment, 1)
    close(found.phase_alignment_angle, -shift, atol=1e-6)
    close(found.phase_alignment_of, torch.ones(6))


def test_independent_phases_are_as_long_as_the_control_says():
    """The unembedding of one solution behind the neurons of another with the same frequencies."""
    lengths, controls = [], []
    for seed in range(40):
        checkpoint, other = solved(11, 50, seed=seed), solved(11, 50, seed=1000 + seed)
        checkpoint.model.unembed.W_U.copy_(other.model.unembed.W_U)
        found = phase_alignment(checkpoint)
        lengths.append(found.phase_alignment)
        controls.append(found.phase_alignment_control)
    close(torch.stack(lengths).mean(), torch.stack(controls).mean(), rtol=0.2)
    close(controls[0], math.sqrt(math.pi / 50) / 2, rtol=1e-6)


def test_a_published_pizza(published, tmp_path):
    """Its directions hold the waves, its phases add up."""
    run = import_run("pizza", published / "pizza" / "model_p99zdpze5l.pt", tmp_path / "run")
    checkpoint = run[run.steps[-1]]
    keys = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
    assert float(key_directions(checkpoint, key_frequencies=keys).direction_fve.min()) > 0.95
    found = phase_alignment(checkpoint)
    assert float(found.phase_alignment) > 0.95
    assert abs(float(found.phase_alignment_angle)) < 0.1
