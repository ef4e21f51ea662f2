"""Distances of the weights from both ends of the run, and alignment of filtered gradients over a run."""

import json
import math

import pytest
import torch

from grokinterp.analysis.health.alignment import gradient_weight_alignment
from grokinterp.analysis.health.filtered_alignment import filtered_alignment
from grokinterp.analysis.landscape.weight_path import weight_path
from grokinterp.errors import RunDirectoryError
from grokinterp.optim import GrokfastEMA, GrokfastMA, OrthoGrad
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.training import train
from tests.support.small_networks import assert_vmap_is_loop, drawn, network
from tests.support.small_runs import TINY, changed, draw_checkpoints


def weights(seed):
    return {name: weight.float() for name, weight in network(seed).named_parameters()}


ENDS = {"initial_weights": weights(10), "final_weights": weights(11)}


def flat(tensors):
    return [v for tensor in tensors.values() for v in tensor.double().flatten().tolist()]


def length(x):
    return math.sqrt(sum(v * v for v in x))


def cosine(x, y):
    return sum(v * w for v, w in zip(x, y, strict=True)) / length(x) / length(y)


def test_distances_and_cosines_equal_their_naive_twin():
    one, before = drawn(0), drawn(1).update
    checkpoint = Checkpoint(1, one.model, one.problem, one.update, previous_update=before)
    found = weight_path(checkpoint, **ENDS)
    here, first, last = (flat(w) for w in (one.parameters, ENDS["initial_weights"], ENDS["final_weights"]))
    assert float(found.distance_from_initial) == pytest.approx(math.dist(here, first), rel=1e-12)
    assert float(found.distance_to_final) == pytest.approx(math.dist(here, last), rel=1e-12)
    assert float(found.cosine_to_initial) == pytest.approx(cosine(here, first), rel=1e-9)
    assert float(found.successive_update_cosine) == pytest.approx(cosine(flat(one.update), flat(before)), rel=1e-9)
    for i, (name, weight) in enumerate(one.parameters.items()):
        away = math.dist(flat({name: weight}), flat({name: ENDS["initial_weights"][name]}))
        assert float(found.distance_from_initial_of[i]) == pytest.approx(away, rel=1e-12)


def test_at_its_own_ends():
    one = drawn()
    found = weight_path(one, initial_weights=one.parameters, final_weights=one.parameters)
    assert float(found.distance_from_initial) == float(found.distance_to_final) == 0
    assert float(found.cosine_to_initial) == pytest.approx(1)


@pytest.mark.parametrize(("update", "previous"), [(False, False), (True, False), (False, True)])
def test_without_both_updates_their_cosine_is_nan(update, previous):
    one = drawn()
    checkpoint = Checkpoint(
        1, one.model, one.problem, one.update if update else None, previous_update=one.update if previous else None
    )
    found = weight_path(checkpoint, **ENDS)
    assert found.successive_update_cosine.isnan()
    assert found.distance_from_initial.isfinite()


def test_path_under_vmap_equals_the_loop():
    assert_vmap_is_loop(lambda checkpoint: weight_path(checkpoint, **ENDS), [drawn(seed) for seed in range(3)])


def test_successive_updates_of_a_trained_run_are_those_of_its_files(tmp_path):
    run = train(changed(TINY, steps=4, save={"every": 1}), tmp_path / "run")
    ends = {"initial_weights": run[0].parameters, "final_weights": run[4].parameters}
    found = [weight_path(run[step], **ends) for step in run.steps]
    stored = [run.weights(step).update for step in run.steps]
    assert found[0].successive_update_cosine.isnan()
    assert found[1].successive_update_cosine.isnan()
    for i in (2, 3, 4):
        expected = cosine(flat(stored[i]), flat(stored[i - 1]))
        assert float(found[i].successive_update_cosine) == pytest.approx(expected, rel=1e-9)
    assert float(found[1].distance_from_initial) == pytest.approx(length(flat(stored[1])), rel=1e-4)


# Filtered gradients.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return draw_checkpoints(tmp_path_factory.mktemp("drawn") / "run", steps=(0, 10, 20, 40))


def filtered_twin(run, filter, steps):
    """The filter fed by hand; cosine of its last output with the last weights, parameter by parameter."""
    memories = {}
    for step in steps:
        checkpoint, passed = run[step], {}
        for name, weight in checkpoint.parameters.items():
            passed[name], memories[name] = filter(checkpoint.gradients[name], weight, memories.get(name))
    return [cosine(flat({0: passed[name]}), flat({0: weight})) for name, weight in checkpoint.parameters.items()]


@pytest.mark.parametrize("filter", [GrokfastEMA(), GrokfastMA(window=2), OrthoGrad()], ids=repr)
def test_filtered_alignment_equals_a_filter_fed_by_hand(run, filter):
    dataset = filtered_alignment(run, filter)
    assert dataset["step"].values.tolist() == [0, 10, 20, 40]
    assert dataset["parameter"].values.tolist() == list(run[0].parameters)
    for i, step in enumerate(run.steps):
        expected = filtered_twin(run, filter, run.steps[: i + 1])
        found = dataset["filtered_gradient_cosine"].sel(step=step).values.tolist()
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_raw_cosines_stand_beside(run):
    dataset, alone = filtered_alignment(run, GrokfastEMA()), gradient_weight_alignment(run[20])
    at = dataset.sel(step=20)
    assert at["gradient_weight_cosine"].values.tolist() == pytest.approx(alone.gradient_weight_cosine.tolist())
    assert float(at["gradient_weight_cosine_total"]) == pytest.approx(float(alone.gradient_weight_cosine_total))


def test_a_filter_without_memory_gives_what_one_checkpoint_gives(run):
    dataset, alone = filtered_alignment(run, OrthoGrad()), gradient_weight_alignment(run[20])
    at = dataset.sel(step=20)
    torch.testing.assert_close(
        torch.tensor(at["filtered_gradient_cosine"].values), alone.projected_gradient_cosine, atol=1e-12, rtol=0
    )
    assert abs(float(at["filtered_gradient_cosine_total"])) < 1e-12


@pytest.mark.parametrize(
    ("steps", "filter", "batch_size", "spacing", "exact"),
    [
        ((0, 1, 2), GrokfastEMA(), None, (1, 1), 1),
        ((0, 1, 2), GrokfastEMA(), 5, (1, 1), 0),
        ((1, 2, 3), GrokfastEMA(), None, (1, 1), 0),
        ((0, 1, 20), GrokfastEMA(), None, (1, 19), 0),
        ((0, 1, 20), OrthoGrad(), None, (1, 19), 1),
        ((20,), GrokfastMA(), None, (0, 0), 0),
    ],
)
def test_attributes_say_whether_it_saw_what_training_saw(tmp_path, steps, filter, batch_size, spacing, exact):
    run = draw_checkpoints(tmp_path / "run", changed(optimization={"batch_size": batch_size}), steps)
    found = filtered_alignment(run, filter).attrs
    assert (found["smallest_spacing"], found["largest_spacing"], found["exact"]) == (*spacing, exact)
    assert found["filter"] == repr(filter)


def test_it_goes_to_netcdf_and_back(run, tmp_path):
    dataset = filtered_alignment(run, GrokfastEMA(), steps=[20, 0])
    assert dataset["step"].values.tolist() == [0, 20]
    dataset.to_netcdf(tmp_path / "filtered.nc", engine="scipy")


def test_a_damaged_checkpoint_is_left_out_and_named(tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=(0, 10, 20))
    run.directory.checkpoint_path(10).write_bytes(b"damaged")
    dataset = filtered_alignment(run, GrokfastEMA())
    assert dataset["step"].values.tolist() == [0, 20]
    assert list(json.loads(dataset.attrs["skipped"])) == ["10"]
    assert dataset.attrs["largest_spacing"] == 20
    with pytest.raises(RunDirectoryError, match="no readable checkpoint"):
        filtered_alignment(run, GrokfastEMA(), steps=[10])
