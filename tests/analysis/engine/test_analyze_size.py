"""analyze: on how many checkpoints, what an interrupt leaves, and how much memory a run of any size needs."""

import math
import os
import subprocess
import sys
from typing import Any

import pytest

from grokinterp.analysis import Entry, analyze, performance
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.datasets import analysis_names
from grokinterp.runs.results import Results
from tests.support.small_runs import TINY, draw_checkpoints, drawn_tensors


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
    results = analyze(run, only=["singular_values", "circuit"])
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


MEASURE = """
import resource, sys
from grokinterp.analysis import analyze
base = None
for path in sys.argv[1:]:
    analyze(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    base = base or peak
print(peak - base)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_checkpoints_need_no_more_memory_than_a_few(tmp_path, root, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # 1,000 files: durability is not what is tested here
    few = draw_checkpoints(tmp_path / "few", steps=(0, 10, 20))
    many = draw_checkpoints(tmp_path / "many", steps=(0, 10))
    for step in range(20, 10_000, 10):
        many.directory.save_checkpoint(step, drawn_tensors(TINY, 10))
    command = [sys.executable, "-c", MEASURE, few.path, many.path]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert float(done.stdout) <= 75  # MB, half of what is promised for two thousand
    results = Results.open(many.path)
    assert (results.dataset.sizes["step"], results.joined("logit_map", "attention_map").sizes["step"]) == (1000, 128)
