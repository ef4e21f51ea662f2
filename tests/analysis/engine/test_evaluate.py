"""The laws of every analysis: loop = vmap, labeled axes, netCDF round trip, any model; and the pass itself."""

import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis import ANALYSES, evaluate, performance, progress_measures, weight_norms
from grokinterp.analysis.engine.coordinates import Setting, coordinates
from grokinterp.errors import RunDirectoryError
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.datasets import read_analysis, write_analysis
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from tests.cases import analyses as cases
from tests.cases.tasks import TASKS
from tests.support.small_runs import SPEC, TINY, changed, draw_checkpoints

MODELS = {
    "one layer": SPEC,
    "two layers, LN, biases": replace(SPEC, n_layers=2, normalization="LN", biases=True),
    "bidirectional, gelu": replace(SPEC, attention="bidirectional", act_fn="gelu"),
    "LNPre, d_head": replace(SPEC, normalization="LNPre", d_head=5),
}

NOISY = replace(TINY, split=replace(TINY.split, label_noise=0.4, validation=0.1))  # every analysis is defined

every_analysis = pytest.mark.parametrize("name", cases.ANALYSES)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Trajectory]:
    """A run of drawn checkpoints for every model; one modulus is even, none prime (C_p has no cosets)."""
    path = tmp_path_factory.mktemp("runs")
    tasks = dict.fromkeys(MODELS, 9) | {"bidirectional, gelu": 8}
    experiments = {
        name: replace(NOISY, model=spec, task=replace(TINY.task, p=tasks[name])) for name, spec in MODELS.items()
    }
    experiments |= {name: replace(TINY, task=TASKS[name]) for name in set(cases.OF_SOME.values())}
    return {name: draw_checkpoints(path / name, experiment) for name, experiment in experiments.items()}


def run_of(name: str, model: str, runs: dict[str, Trajectory]) -> Trajectory:
    """The run of a model, or of a task for which the analysis is defined."""
    return runs[cases.OF_SOME.get(name, model)]


@pytest.mark.parametrize("name", [name for name in cases.ANALYSES if name not in cases.LOOPED])
@pytest.mark.parametrize("model", MODELS)
def test_the_loop_equals_vmap(name, model, runs):
    analysis, run = cases.ANALYSES[name], run_of(name, model, runs)
    arguments = cases.arguments([analysis], run)
    looped, mapped = (evaluate([analysis], run, vectorize=vectorize, **arguments) for vectorize in (False, True))
    xr.testing.assert_allclose(looped, mapped, rtol=1e-9, atol=1e-9)
    assert looped["step"].values.tolist() == [0, 10, 20]


@pytest.mark.parametrize("name", ["irrep_progress", "causal_evidence", "irrep_spectrum"])
def test_the_loop_equals_vmap_on_a_group_that_does_not_commute(name, tmp_path):
    """There, random control sets of representations are drawn inside the analysis."""
    run = draw_checkpoints(tmp_path / "run", replace(TINY, task=TASKS["S3"]))
    arguments = cases.arguments([cases.ANALYSES[name]], run)
    if "key_irreps" in arguments:
        arguments["key_irreps"] = torch.tensor([1])
    found = [evaluate([cases.ANALYSES[name]], run, vectorize=vectorize, **arguments) for vectorize in (True, False)]
    xr.testing.assert_allclose(*found, rtol=1e-9, atol=1e-9)


@every_analysis
def test_every_axis_and_variable_is_labeled(name, runs):
    analysis, run = cases.ANALYSES[name], run_of(name, "two layers, LN, biases", runs)
    arguments = cases.arguments([analysis], run)
    dataset = evaluate([analysis], run, **arguments)
    known = coordinates(analysis, Setting(run.problem, run.experiment.empty_model(), arguments))
    for variable in dataset.data_vars.values():
        assert variable.dims[0] == "step"
        assert variable.attrs["long_name"]
        assert len(variable.attrs["description"]) > 5
        assert variable.attrs["units"]
        for dim in variable.dims[1:]:
            assert dataset[dim].values.tolist() == list(known[dim])
    order = list(dict.fromkeys(dim for variable in dataset.data_vars.values() for dim in variable.dims))
    assert list(dataset.coords) == order  # that of the fields, not of a set, whose order changes with the hash seed


@every_analysis
def test_netcdf_there_and_back(name, runs, tmp_path):
    analysis, run = cases.ANALYSES[name], run_of(name, "one layer", runs)
    dataset = evaluate([analysis], run, **cases.arguments([analysis], run))
    RunDirectory.create(tmp_path, run.directory.experiment, {})
    write_analysis(tmp_path, name, dataset)
    again = read_analysis(tmp_path, name)
    xr.testing.assert_identical(again.astype(float), dataset.assign_coords(again.coords).astype(float))
    assert {k: v.dtype.kind for k, v in again.items()} == {k: v.dtype.kind for k, v in dataset.items()}
    write_analysis(tmp_path, "twice", dataset)
    assert (tmp_path / "analysis" / f"{name}.nc").read_bytes() == (tmp_path / "analysis" / "twice.nc").read_bytes()


def test_all_together_equal_each_alone(runs):
    run, several = runs["one layer"], [one for one in ANALYSES if one.__name__ not in cases.OF_SOME]
    together = evaluate(several, run, **cases.arguments(several, run))
    for analysis in several:
        alone = evaluate([analysis], run, **cases.arguments([analysis], run))
        xr.testing.assert_allclose(together[list(alone.data_vars)], alone, rtol=1e-12)


def test_a_row_is_what_the_checkpoint_gives(runs):
    run = runs["one layer"]
    dataset = evaluate([performance, progress_measures], run, steps=[20, 0], **cases.KEYS)
    assert dataset["step"].values.tolist() == [20, 0]
    for step in (0, 20):
        expected = performance(run[step])
        assert float(dataset["train_loss"].sel(step=step)) == pytest.approx(float(expected.train_loss), rel=1e-12)
        measures = progress_measures(run[step], **cases.KEYS)
        assert dataset["excluded_loss_of"].sel(step=step).values == pytest.approx(measures.excluded_loss_of.numpy())


class Pieces(NamedTuple):
    """A view of the model itself.

    embedding: rows of W_E, the first three [1]
    """

    embedding: Float[Tensor, "token _"]


@pytest.mark.parametrize("vectorize", [False, True])
def test_a_view_of_the_weights_is_not_overwritten_by_the_next_step(vectorize, runs):
    def pieces(checkpoint: Checkpoint) -> Pieces:
        return Pieces(checkpoint.parameters["embed.W_E"][:7])

    run = runs["one layer"]
    found = evaluate([pieces], run, vectorize=vectorize)["embedding"].values
    expected = run.params(["embed.W_E"])["embed.W_E"][:, :7].double().numpy()
    assert np.array_equal(found, expected)
    assert not np.array_equal(found[0], found[1])


def test_nothing_lazy_of_one_step_is_seen_at_the_next(runs):
    run = runs["two layers, LN, biases"]
    seen = []

    def look(checkpoint: Checkpoint) -> Pieces:
        parts = [checkpoint.logits, checkpoint.losses, checkpoint.activation("blocks.0.hook_resid_post")]
        seen.append(
            [part.clone() for part in (*parts, checkpoint.gradients["unembed.W_U"], checkpoint.readout.neurons)]
        )
        return Pieces(checkpoint.logits[:7])

    evaluate([look], run)
    for step, parts in zip(run.steps, seen, strict=True):
        alone: list[Tensor] = []
        own = run[step]
        alone += [own.logits, own.losses, own.activation("blocks.0.hook_resid_post")]
        alone += [own.gradients["unembed.W_U"], own.readout.neurons]
        assert all(torch.equal(left, right) for left, right in zip(parts, alone, strict=True))


def test_unknown_and_missing_arguments_are_named(runs):
    run = runs["one layer"]
    with pytest.raises(TypeError, match="progress_measures requires key_frequencies"):
        evaluate([performance, progress_measures], run)
    with pytest.raises(TypeError, match="keyfrequencies: not an argument of performance, weight_norms"):
        evaluate([performance, weight_norms], run, keyfrequencies=[1])
    with pytest.raises(TypeError, match="checkpoint: not an argument of performance"):
        evaluate([performance], run, checkpoint=run[0])


# --- damage ----------------------------------------------------------------------------------------------------------


def damage(run: Trajectory, step: int) -> None:
    """Flip one bit of the last tensor."""
    path = run.directory.checkpoint_path(step)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("vectorize", [False, True])
def test_a_damaged_checkpoint_is_skipped_named_and_costs_no_other(vectorize, tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=(0, 10, 20, 30, 40))
    whole = evaluate([performance, weight_norms], run)
    damage(run, 20)
    run.directory.checkpoint_path(30).write_bytes(b"\x80\x04 not a checkpoint")
    found = evaluate([performance, weight_norms], run, vectorize=vectorize)
    skipped = json.loads(found.attrs["skipped"])
    assert set(skipped) == {"20", "30"}
    assert "digest" in skipped["20"]
    xr.testing.assert_allclose(found, whole.sel(step=[0, 10, 40]), rtol=1e-12)


def test_a_checkpoint_of_another_model_is_skipped(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    other = changed(model={"d_mlp": 17}).build_model().state_dict()
    run.directory.checkpoint_path(10).unlink()
    run.directory.save_checkpoint(10, other)
    run.directory.save_checkpoint(30, {"W": torch.zeros(2)})
    good = run.weights(20)
    wrong = {f"update/{name}": torch.zeros(1) for name in good.update}
    run.directory.save_checkpoint(40, good.state | wrong)
    run.directory.save_checkpoint(50, good.state | {"update/unembed.W_U": good.update["unembed.W_U"]})
    found = evaluate([performance], run)
    skipped = json.loads(found.attrs["skipped"])
    assert found["step"].values.tolist() == [0, 20]
    assert skipped["10"] == "blocks.0.mlp.W_in has shape (16, 17), but (16, 16) in the model"
    assert skipped["30"].startswith("does not hold this model's parameters: W, ")
    assert "has shape (1,)" in skipped["40"]
    assert skipped["50"].startswith("does not hold this model's parameters: ")


def test_no_readable_checkpoint_is_one_line(tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=(0, 10))
    for step in run.steps:
        damage(run, step)
    with pytest.raises(RunDirectoryError, match=r"has no readable checkpoint \(2 damaged\)"):
        evaluate([performance], run)


# --- the trajectory --------------------------------------------------------------------------------------------------


def test_a_trajectory_is_read_when_asked(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    assert run.steps == (0, 10, 20)
    assert run.experiment == TINY
    assert Trajectory.open(run.path) == run
    stacked = run.params(["embed.W_E", "unembed.W_U"])
    assert stacked["embed.W_E"].shape == (3, 8, 16)
    assert torch.equal(run.params(["embed.W_E"], steps=[10])["embed.W_E"][0], stacked["embed.W_E"][1])
    assert torch.equal(run.model().W_E, stacked["embed.W_E"][2])
    assert torch.equal(run.model(step=10).W_E, stacked["embed.W_E"][1])
    logits, cache = run.model(step=10).run_with_cache(run.problem.tokens)
    assert cache["pattern", 0].shape == (49, 2, 3, 3)
    torch.testing.assert_close(logits[:, -1].double(), run[10].logits, rtol=1e-4, atol=1e-5)
    with pytest.raises(KeyError, match=r"no parameter 'W_X'; the model has .*embed\.W_E"):
        run.params(["W_X"])
    with pytest.raises(KeyError, match=r"no hook 'nowhere'; the model has .*hook_embed"):
        run[10].activation("nowhere")


def test_a_run_without_checkpoints_says_so(tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=())
    assert run.steps == ()
    for ask in (run.model, lambda: run.params(["embed.W_E"])):
        with pytest.raises(RunDirectoryError, match="has no checkpoint yet"):
            ask()


def test_gradients_of_a_checkpoint_are_autograds(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    checkpoint, problem = run[10], run.problem
    logits = checkpoint.model(problem.tokens[problem.is_train])[:, -1]
    loss = torch.nn.functional.cross_entropy(logits, problem.parts["train"].label)
    names, weights = zip(*checkpoint.model.named_parameters(), strict=True)
    for name, gradient in zip(names, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(checkpoint.gradients[name], gradient, rtol=1e-10, atol=1e-13)


def test_linear_algebra_is_loaded_once_before_threads_use_it(runs, monkeypatch):
    """On CUDA, loading it in several threads at once fails."""
    events, before = [], torch.get_num_threads()
    monkeypatch.setattr(torch.linalg, "inv", lambda matrix: events.append("loaded"))

    class Answer(NamedTuple):
        zero: Float[Tensor, ""]

    def noted(checkpoint: Checkpoint) -> Answer:
        events.append("used")
        return Answer(torch.zeros(()))

    torch.set_num_threads(2)
    try:
        evaluate([noted], runs["one layer"])
    finally:
        torch.set_num_threads(before)
    assert events == ["loaded", "used", "used", "used"]
