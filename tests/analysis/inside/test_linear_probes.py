"""Linear probes: planted representations they must or cannot read, least squares by another road, honest controls."""

import math

import pytest
import torch

from grokinterp.analysis import frequency_probes, linear_probes, logit_spectrum
from grokinterp.analysis.inside.linear_probes import (
    RIDGE,
    answer_waves,
    classified,
    draw_halves,
    fit_and_held_out,
    regressed,
)
from grokinterp.analysis.structure.cyclic_answers import cyclic_answers
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.maths.fourier import waves
from grokinterp.models import Transformer, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS
from tests.support.constructed import Constructed, close
from tests.support.published_networks import nanda
from tests.support.small_networks import drawn, problem

HOOK = "blocks.0.hook_resid_post"


class Holding(Transformer):
    """A transformer in which every hook has the given vector of each pair of operands."""

    def __init__(self, x: torch.Tensor, p: int) -> None:
        super().__init__(TransformerSpec(), d_vocab=p + 1, d_vocab_out=p, n_ctx=3)
        self.x, self.p = x, p

    def catch(self, tokens, *names):
        held = self.x[tokens[:, 0] * self.p + tokens[:, 1], None]
        return [held, *(held for _ in names)]


def holding(x: torch.Tensor, of: Problem) -> Checkpoint:
    """A checkpoint that holds these vectors at the end of its only layer."""
    return Checkpoint(0, Holding(x, of.task.p).double(), of)


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


# --- the closed forms ------------------------------------------------------------------------------------------------


def ridge_of(x: torch.Tensor) -> torch.Tensor:
    """The ridge for centered vectors, from their singular values."""
    return RIDGE * torch.linalg.svdvals(x).square().sum() / len(x) / min(x.shape)


@pytest.mark.parametrize(("examples", "features"), [(30, 5), (6, 6), (6, 20)])
def test_the_regression_is_least_squares_on_augmented_rows(examples, features):
    """min ‖Y - XW‖² + nλ‖W‖² is the least squares of [X; √nλ] against [Y; 0]; more columns than rows change nothing."""
    halves = draw_halves(torch.arange(2 * examples))
    x, y = noise(2 * examples, features) + 3, noise(examples, 2, 1)
    fit, at = (x[half] - x[halves.fit].mean(0) for half in (halves.fit, halves.held_out))
    rows = torch.cat([fit, (examples * ridge_of(fit)).sqrt() * torch.eye(features).double()])
    weights = torch.linalg.lstsq(rows, torch.cat([y - y.mean(0), torch.zeros(features, 2).double()])).solution
    close(regressed(*fit_and_held_out(x, halves), y), y.mean(0) + at @ weights)


@pytest.mark.parametrize("features", [3, 60])
def test_the_classification_is_the_most_likely_gaussian(features):
    """log π_c - ½ (x - μ_c)ᵀ Σ⁻¹ (x - μ_c), one example and one class at a time; no example of class 3 is fitted on."""
    halves = draw_halves(torch.arange(80))
    labels = torch.arange(80) % 7 // 3
    x = noise(80, features) + noise(3, features, 1)[labels]
    fit, own = x[halves.fit], labels[halves.fit]
    means = torch.stack([fit[own == c].mean(0) for c in range(3)])
    deviation = fit - means[own]
    ridge = ridge_of(fit - fit.mean(0)) * torch.eye(features).double()
    inverse = (deviation.T @ deviation / len(fit) + ridge).inverse()

    def likelihood(z: torch.Tensor, c: int) -> float:
        return float((own == c).double().mean().log() - (z - means[c]) @ inverse @ (z - means[c]) / 2)

    expected = [max(range(3), key=lambda c, z=z: likelihood(z, c)) for z in x[halves.held_out]]
    found = classified(*fit_and_held_out(x, halves), own[None], 4)
    assert found.tolist() == [expected]
    assert len(set(expected)) == 3


def test_every_labeling_is_classified_as_if_alone():
    x, halves = noise(60, 4), draw_halves(torch.arange(60))
    labelings = torch.stack([torch.arange(30) % 3, torch.arange(30) // 10])
    parts = fit_and_held_out(x, halves)
    alone = [classified(*parts, each[None], 3)[0] for each in labelings]
    assert torch.equal(classified(*parts, labelings, 3), torch.stack(alone))


def test_scale_rotation_and_place_change_no_prediction():
    x, y, halves = noise(60, 5), noise(30, 2, 1), draw_halves(torch.arange(60))
    labels = torch.arange(30)[None] % 3
    one = fit_and_held_out(x, halves)
    two = fit_and_held_out(1e4 * x @ torch.linalg.qr(noise(5, 5, 3)).Q + 7, halves)
    close(regressed(*one, y), regressed(*two, y))
    assert torch.equal(classified(*one, labels, 3), classified(*two, labels, 3))


def test_representations_that_say_nothing_predict_the_mean_and_the_most_frequent():
    halves, y = draw_halves(torch.arange(40)), noise(20, 3)
    parts = fit_and_held_out(torch.full((40, 3), 0.1).double(), halves)
    assert not any(part.any() for part in parts)
    close(regressed(*parts, y), y.mean(0).expand(20, 3))
    assert (classified(*parts, (torch.arange(20)[None] % 5 > 0).long(), 3) == 1).all()


@pytest.mark.parametrize("n", [2, 7, 100])
def test_the_halves_are_disjoint_all_and_always_the_same(n):
    halves = draw_halves(torch.arange(n))
    assert sorted(torch.cat([halves.fit, halves.held_out]).tolist()) == list(range(n))
    assert len(halves.fit) == (n + 1) // 2
    assert sorted(halves.shuffled.tolist()) == sorted(halves.fit.tolist())
    state = torch.random.get_rng_state()
    assert all(torch.equal(*pair) for pair in zip(halves, draw_halves(torch.arange(n)), strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_mirror_images_are_in_the_same_half():
    halves = draw_halves(problem(23).task.mirror())
    in_half = [{(x // 23, x % 23) for x in half.tolist()} for half in (halves.fit, halves.held_out)]
    assert all({(b, a) for a, b in half} == half for half in in_half)
    assert len(in_half[0]) == pytest.approx(529 / 2, rel=0.1)


# --- classes ---------------------------------------------------------------------------------------------------------


def test_a_circle_of_classes_is_read_completely_and_noise_not_at_all():
    of = problem(23)
    found = of_class(holding(circle(23, 3), of))
    assert found["accuracy"] == found["unseen_accuracy"] == 1
    assert found["control"] < 0.15
    assert found["chance"] < 0.1
    assert of_class(holding(noise(529, 100), of))["accuracy"] < 0.15


def test_classes_on_a_line_are_all_seen():
    """A regression on one-hot classes would separate only the first and the last."""
    of = problem(23)
    assert of_class(holding(of.label[:, None] + 0.05 * noise(529, 1), of))["accuracy"] == 1


def test_a_memorized_class_is_found_where_it_was_trained_on_alone():
    of = problem(23, fraction=0.5)
    of.is_train = of.is_train[of.task.mirror()]
    x = torch.where(of.is_train[:, None], circle(23, 1, 2, 5, 7), 0.1 * noise(529, 8))
    found, held_out = of_class(holding(x, of)), draw_halves(of.task.mirror()).held_out
    unseen = ~of.is_train[held_out]
    assert found["unseen_accuracy"] < 0.15
    trained = found["accuracy"] * len(held_out) - found["unseen_accuracy"] * int(unseen.sum())
    assert trained / int((~unseen).sum()) > 0.9


def test_chance_is_the_share_of_the_most_frequent_class():
    of = problem(7)
    of.labels = torch.where(torch.arange(49) % 3 == 0, of.label, 2).unsqueeze(1)
    found, halves = of_class(holding(torch.zeros(49, 2), of)), draw_halves(of.task.mirror())
    expected = float((of.label[halves.held_out] == 2).double().mean())
    assert expected > 0.6
    assert found["chance"] == found["accuracy"] == found["control"] == pytest.approx(expected)


def test_a_random_network_has_no_class_although_it_embeds_mirror_images_alike():
    checkpoint = drawn(p=23, spec=TransformerSpec(d_model=64, d_mlp=256))
    found = linear_probes(checkpoint)
    assert (found.class_probe_accuracy < 0.1).all()
    neurons, labels = checkpoint.readout.neurons, checkpoint.problem.label
    apart = draw_halves(torch.arange(529))
    known = classified(*fit_and_held_out(neurons, apart), labels[apart.fit][None], 23)[0]
    assert (known == labels[apart.held_out]).double().mean() > 0.2


@pytest.mark.parametrize("trained", ["all", "none", "one of two mirror images"])
def test_nothing_unseen_or_nothing_known_of_it_is_nan(trained):
    of = problem(7)
    a, b = of.tokens[:, :2].T
    of.is_train = {"all": a >= 0, "none": a < 0, "one of two mirror images": a <= b}[trained]
    found = of_class(holding(circle(7, 1), of))
    assert math.isnan(found["unseen_accuracy"])
    assert found["accuracy"] > 0.8


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
    assert (r2[1] < 0.1).all()
    assert (control.abs() < 0.2).all()


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
    """The residues except 0 are powers of 3 modulo 7; pairs with a 0 have no exponent."""
    task = TASKS["modular_multiplication"](p=7)
    of = Problem(task, task.tokens(), task.labels(), torch.ones(task.n_examples, dtype=torch.bool))
    answers = cyclic_answers(Checkpoint(0, drawn().model, of), "test")
    found = answer_waves(answers, torch.tensor([0, 2]))
    generator = int(answers.class_of[1])
    power = {generator**e % 7: e for e in range(6)}
    assert set(power) == set(range(1, 7))
    inside = of.label > 0
    exponent = torch.tensor([power[int(label)] for label in of.label[inside]])
    cos, sin = waves(6)
    close(found[inside], torch.stack([cos[0, exponent], sin[0, exponent], cos[2, exponent], 0.0 * exponent], 1))


def test_what_has_no_cyclic_group_or_no_key_is_not_defined():
    with pytest.raises(NotDefined, match="no frequency is key"):
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
    assert (found.frequency_probe_r2[0, :2] < 0.85).all()
    assert (found.frequency_probe_r2[:, 2] < 0.2).all()
    assert (found.frequency_probe_control.abs() < 0.15).all()
    classes = linear_probes(checkpoint, hooks=hooks)
    assert (classes.class_probe_accuracy[1:] > 0.999).all()
    assert float(classes.class_probe_accuracy[0]) < 0.1
    assert (classes.class_probe_control < 0.02).all()


def test_a_regression_on_classes_misses_what_the_unembedding_reads(published):
    checkpoint = nanda(published)
    labels, halves = checkpoint.problem.label, draw_halves(checkpoint.problem.task.mirror())
    parts = fit_and_held_out(checkpoint.readout.residual, halves)
    found = regressed(*parts, torch.eye(113).double()[labels[halves.fit]]).argmax(1)
    assert (found == labels[halves.held_out]).double().mean() < 2 / 3
    assert (checkpoint.logits.argmax(1) == labels).all()


def test_the_pizza_of_zhong_et_al_holds_no_wave_before_its_neurons(published, tmp_path):
    """Its attention is uniform, so that it only adds; the network of Nanda et al. multiplies there already."""
    run = import_run("pizza", published / "pizza" / "model_p99zdpze5l.pt", tmp_path / "run")
    checkpoint = run[run.steps[-1]]
    keys = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
    hooks = ["blocks.0.hook_resid_mid", "blocks.0.mlp.hook_post", HOOK]
    pizza = frequency_probes(checkpoint, key_frequencies=keys, hooks=hooks).frequency_probe_r2
    clock = frequency_probes(nanda(published), key_frequencies=torch.tensor([36, 52]), hooks=hooks).frequency_probe_r2
    assert (pizza[0] < 0.05).all()
    assert (clock[0] > 0.5).all()
    assert (torch.cat([pizza[1:], clock[1:]], 1) > 0.95).all()
