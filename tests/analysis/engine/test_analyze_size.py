"""analyze: on how many checkpoints, what an interrupt leaves, and how much memory a run of any size needs."""

import math
from typing import Any

import pytest

from benchmarks import memory
from grokinterp.analysis import ENTRIES, Entry, analyze, performance
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.datasets import analysis_names
from grokinterp.runs.results import Results
from tests.support.small_runs import TINY, draw_checkpoints, drawn_tensors

COUNT = 150
"""More than the 128 checkpoints on which analyses that store large maps run."""


def test_costly_analyses_run_on_few_checkpoints_unless_all_are_asked_for(tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=tuple(range(0, 200, 10)))
    only = ["performance", "grafts"]
    results = analyze(run, only=only)
    grafts = results.analyses["grafts"]
    assert (grafts.sizes["step"], grafts.attrs["thinned"]) == (5, "5 of 20 checkpoints")
    assert grafts["step"].values[[0, -1]].tolist() == [0, 190]
    assert results.dataset.sizes["step"] == 20
    assert "graft_loss" not in results.dataset
    every = analyze(run, only=only, every=1)
    assert "thinned" not in every.analyses["grafts"].attrs
    assert every.dataset["graft_loss"].sizes["step"] == 20
    assert analyze(run, only=only).dataset["graft_loss"].sizes["step"] == 20


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_cost_their_checkpoint_alone(value, tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    broken = drawn_tensors(TINY, 30)
    broken["blocks.0.mlp.W_in"][3, 4] = value
    run.directory.save_checkpoint(30, broken)
    results = analyze(run, only=["singular_values", "circuit_verdict"])
    assert results.dataset["step"].values.tolist() == [0, 10, 20]
    assert results.skipped == {30: "blocks.0.mlp.W_in is not finite"}


def test_results_are_written_group_by_group(tmp_path):
    run, written = draw_checkpoints(tmp_path / "run", steps=tuple(range(0, 90, 10))), []

    def stopped(checkpoint: Checkpoint) -> Any:
        written.extend(analysis_names(run.path))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyze(run, entries=(Entry(performance), Entry(stopped, most=5)))
    assert written == ["performance"]


@pytest.mark.slow
def test_hundreds_of_checkpoints_need_no_more_memory_than_a_few(tmp_path):
    """A checkpoint kept with its activations would cost above 1 MB. A costly analysis runs on a few of them anyway."""
    few, many = (memory.draw(tmp_path / str(count), count, ["task.p=23"]) for count in (3, COUNT))
    least, most = memory.peaks([few, many], only=[entry.name for entry in ENTRIES if not entry.costly])
    assert most - least <= 40  # MB
    results = Results.open(many)
    assert (results.dataset.sizes["step"], results.joined("logit_map", "attention_map").sizes["step"]) == (COUNT, 128)
