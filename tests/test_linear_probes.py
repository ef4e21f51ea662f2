"""Linear probes: planted representations they must or cannot read, least squares by another road, honest controls."""

import pytest
import torch

from grokinterp.analysis import frequency_probes, linear_probes
from grokinterp.analysis.algebra import cyclic_grid
from grokinterp.analysis.linear_probes import RIDGE, answer_waves, draw_halves, probe, ridge
from grokinterp.checkpoint import Checkpoint, Problem
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.maths.fourier import waves
from grokinterp.tasks import TASKS
from tests.constructed import Constructed, close
from tests.published_networks import nanda
from tests.small_networks import drawn, problem

HOOK = "blocks.0.hook_resid_post"


def holding(x: torch.Tensor, of: Problem) -> Checkpoint:
    """A checkpoint that holds these vectors at the end of its only layer."""
    checkpoint = Checkpoint(0, drawn(p=of.task.p).model, of)
    checkpoint._features[HOOK] = x.double()
    return checkpoint


def of_class(checkpoint: Checkpoint) -> dict[str, float]:
    found = linear_probes(checkpoint, hooks=[HOOK])
    return {name.removeprefix("class_probe_"): float(value) for name, value in found._asdict().items()}


def of_waves(checkpoint: Checkpoint, *keys: int) -> list[list[list[float]]]:
    return [x[0] for x in frequency_probes(checkpoint, key_frequencies=torch.tensor(keys), hooks=[HOOK])]


def circle(p: int, *frequencies: int) -> torch.Tensor:
    """cos and sin of the answer at some frequencies."""
    answer = torch.arange(p * p) // p + torch.arange(p * p)
    rows = torch.tensor(frequencies) - 1
    return torch.cat([wave[rows][:, answer % p] for wave in waves(p)]).T


def noise(n: int, features: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed)).double()


# --- the regression --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("examples", "features"), [(30, 5), (6, 6), (6, 20)])
def test_ridge_is_least_squares_on_augmented_rows(examples, features):
    """min ‖Y - XW‖² + λ‖W‖² is the least squares of [X; √λ] against [Y; 0], whether there are more rows or columns."""
    x, y, at = noise(examples, features) + 3, noise(examples, 2, 1), noise(4, features, 2)
    centered = x - x.mean(0)
    spectrum = torch.linalg.svdvals(centered).square()
    penalty = RIDGE * spectrum.sum() / min(examples, features)
    rows = torch.cat([centered, penalty.sqrt() * torch.eye(features).double()])
    target = torch.cat([y - y.mean(0), torch.zeros(features, 2).double()])
    weights = torch.linalg.lstsq(rows, target).solution
    close(ridge(x, y, at), y.mean(0) + (at - x.mean(0)) @ weights)


def test_scale_rotation_and_place_change_no_prediction():
    x, y, at = noise(30, 5), noise(30, 2, 1), noise(4, 5, 2)
    turned = torch.linalg.qr(noise(5, 5, 3)).Q
    close(ridge(1e4 * x @ turned + 7, y, 1e4 * at @ turned + 7), ridge(x, y, at))


def test_representations_that_say_nothing_predict_the_mean():
    y = noise(6, 3)
    close(ridge(torch.full((6, 2), 4.0).double(), y, torch.full((2, 2), 4.0).double()), y.mean(0).expand(2, 3))


@pytest.mark.parametrize("n", [2, 7, 100])
def test_the_halves_are_disjoint_all_and_always_the_same(n):
    halves = draw_halves(n, torch.device("cpu"))
    assert sorted(torch.cat([halves.fit, halves.held_out]).tolist()) == list(range(n))
    assert len(halves.fit) == (n + 1) // 2
    assert sorted(halves.shuffled.tolist()) == sorted(halves.fit.tolist())
    state = torch.random.get_rng_state()
    assert all(torch.equal(*pair) for pair in zip(halves, draw_halves(n, torch.device("cpu")), strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_control_is_the_same_probe_of_other_examples_targets():
    x, y, halves = noise(20, 3), noise(20, 2, 1), draw_halves(20, torch.device("cpu"))
    predicted, control = probe(x, y, halves)
    held_out = x[halves.held_out]
    close(predicted, ridge(x[halves.fit], y[halves.fit], held_out))
    close(control, ridge(x[halves.fit], y[halves.shuffled], held_out))


# --- classes ---------------------------------------------------------------------------------------------------------


def test_a_circle_of_classes_is_read_completely_and_noise_not_at_all():
    of = problem(23)
    found = of_class(holding(circle(23, 3), of))
    assert found["accuracy"] == found["test_accuracy"] == 1
    assert found["control"] < 0.15
    assert found["chance"] < 0.1
    assert of_class(holding(noise(529, 100), of))["accuracy"] < 0.15


def test_a_memorized_class_is_found_where_it_was_trained_on_alone():
    of = problem(23, fraction=0.5)
    x = torch.where(of.is_train[:, None], circle(23, 1, 2, 5, 7), noise(529, 8))
    found, held_out = of_class(holding(x, of)), draw_halves(529, torch.device("cpu")).held_out
    tested = of.is_test[held_out]
    assert found["test_accuracy"] < 0.15
    trained = found["accuracy"] * len(held_out) - found["test_accuracy"] * int(tested.sum())
    assert trained / int((~tested).sum()) > 0.85


def test_chance_is_the_share_of_the_most_frequent_class():
    of = problem(7)
    of.labels = torch.where(torch.arange(49) % 3 == 0, of.labels, 2)
    found, halves = of_class(holding(torch.zeros(49, 2), of)), draw_halves(49, torch.device("cpu"))
    expected = float((of.labels[halves.held_out] == 2).double().mean())
    assert found["chance"] == found["accuracy"] == found["control"] == pytest.approx(expected)


def test_nothing_to_test_on_is_nan():
    of = problem(7)
    everything = Problem(of.task, of.tokens, of.labels, torch.ones_like(of.is_train))
    assert of_class(holding(circle(7, 1), everything))["test_accuracy"] != 0
    assert linear_probes(holding(circle(7, 1), everything), hooks=[HOOK]).class_probe_test_accuracy.isnan().all()


def test_every_hook_of_the_written_network():
    """Its residual stream holds cos and sin of w_k(a + b); the embedding of "=" holds nothing."""
    checkpoint = Constructed(23, {2: 6.0, 11: 6.0}, {11: 3.0, 5: 2.0}).checkpoint()
    hooks = (*checkpoint.model.feature_hooks, "hook_embed")
    found = linear_probes(checkpoint, hooks=hooks)
    r2 = frequency_probes(checkpoint, key_frequencies=torch.tensor([2, 11]), hooks=hooks).frequency_probe_r2
    assert r2.shape == (5, 2, 2)
    assert found.class_probe_accuracy[3] == 1
    assert found.class_probe_accuracy[4] == found.class_probe_chance
    assert (r2[3] > 0.99).all()
    assert (r2[4] <= 0).all()
    with pytest.raises(KeyError, match="no representation at 'nowhere'"):
        linear_probes(checkpoint, hooks=["nowhere"])


# --- waves -----------------------------------------------------------------------------------------------------------


def test_waves_that_are_there_and_waves_that_are_not():
    r2, control = of_waves(holding(circle(23, 3), problem(23)), 3, 4)
    assert (r2[0] > 0.999).all()
    assert (r2[1] < 0.02).all()
    assert (control < 0.02).all()


def test_a_wave_in_noise_is_explained_by_its_share():
    """x = cos w + ε: the best linear prediction has R² = ½ / (½ + σ²)."""
    x = circle(113, 9)[:, :1] + 0.5 * noise(113**2, 1)
    r2, _ = of_waves(holding(x, problem(113)), 9)
    assert float(r2[0, 0]) == pytest.approx(0.5 / 0.75, abs=0.02)
    assert abs(float(r2[0, 1])) < 0.01


def test_half_of_an_even_order_has_no_sine():
    r2, control = of_waves(holding(circle(8, 4)[:, :1], problem(8)), 4)
    assert r2.isnan().tolist() == control.isnan().tolist() == [[False, True]]


def test_waves_of_a_product_are_those_of_its_logarithm():
    """3 generates the residues modulo 7; the pairs with a 0 have no exponent."""
    task = TASKS["modular_multiplication"](p=7)
    of = Problem(task, task.tokens(), task.labels(), torch.ones(task.n_examples, dtype=torch.bool))
    grid = cyclic_grid(Checkpoint(0, drawn().model, of), "test")
    found = answer_waves(grid, torch.tensor([0, 2]))
    logarithm = {3**i % 7: i for i in range(6)}
    by_label = {}
    for label, values in zip(grid.examples(of.labels.double()).tolist(), found, strict=True):
        assert torch.equal(by_label.setdefault(int(label), values), values)
    generator = next(label for label, values in by_label.items() if grid.class_of[1] == label)
    power = {c: next(e for e in range(6) if generator**e % 7 == c) for c in logarithm}
    for label, values in by_label.items():
        angle = torch.tensor(2 * torch.pi * power[label] / 6).double()
        close(values, torch.stack([angle.cos(), angle.sin(), (3 * angle).cos(), torch.zeros_like(angle)]))


def test_what_has_no_cyclic_group_or_no_key_is_not_defined():
    with pytest.raises(NotDefined, match="frequency_probes: no frequency is key"):
        frequency_probes(drawn(), key_frequencies=torch.empty(0, dtype=torch.int64))
    with pytest.raises(GrokinterpError, match="key_frequencies=4: must be integers from 1 to 3"):
        frequency_probes(drawn(), key_frequencies=torch.tensor([4]))
    task = TASKS["group_composition"](group="S3")
    of = Problem(task, task.tokens(), task.labels(), torch.ones(36, dtype=torch.bool))
    with pytest.raises(NotDefined, match="not cyclic"):
        frequency_probes(Checkpoint(0, drawn().model, of), key_frequencies=torch.tensor([1]))


def test_the_network_of_nanda_et_al_holds_its_key_waves(published):
    """Its neurons hold cos and sin of w_k(a + b), k = 36 and 52, as they say; no other frequency."""
    checkpoint = nanda(published)
    hooks = ["blocks.0.attn.hook_z", "blocks.0.mlp.hook_post", HOOK]
    found = frequency_probes(checkpoint, key_frequencies=torch.tensor([36, 52, 7]), hooks=hooks)
    assert (found.frequency_probe_r2[1:, :2] > 0.95).all()
    assert (found.frequency_probe_r2[2, 2] < 0.2).all()
    assert (found.frequency_probe_r2[0, :2] < 0.5).all()
    assert (found.frequency_probe_control.abs() < 0.15).all()
    assert float(linear_probes(checkpoint, hooks=[HOOK]).class_probe_accuracy) == 1
