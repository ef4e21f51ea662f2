"""analyze: what is computed and what is kept, damaged files, the summary; and a run of any size."""

import inspect
import json
import math
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from grokinterp.analysis import ANALYSES, ENTRIES, Entry, evaluate, performance, progress_measures
from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.runs.datasets import analysis_names, read_analysis
from grokinterp.runs.results import Results
from grokinterp.runs.summary import lines as summary_lines
from grokinterp.runs.trajectory import Trajectory
from grokinterp.training import train
from tests.cases import analyses as cases
from tests.support.small_runs import TINY, changed, draw_checkpoints, drawn_tensors

NOISY = changed(split={"label_noise": 0.4}, task={"p": 9})  # every analysis is defined: noise, and subgroups
NAMES = [entry.name for entry in ENTRIES if entry.name not in cases.OF_SOME]
"""The analyses that run by default on a task of one operation."""


@pytest.fixture
def run(tmp_path) -> Trajectory:
    """Five drawn checkpoints; the last has the key frequencies that `keys` below states."""
    return draw_checkpoints(tmp_path / "run", NOISY, steps=(0, 10, 20, 30, 40))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run like ``run`` with all results for the key frequency 2; tests copy it."""
    run = draw_checkpoints(tmp_path_factory.mktemp("whole") / "run", NOISY, steps=(0, 10, 20, 30, 40))
    analyzed(run, keys=[2])
    return run.path


@pytest.fixture
def complete(whole, tmp_path, computed) -> Trajectory:
    """A copy of the run that has all results, and no call counted."""
    copy = Trajectory.open(shutil.copytree(whole, tmp_path / "complete"))
    computed.clear()
    return copy


COMPUTED: Counter[tuple[str, int]] = Counter()
"""How often each analysis was called at each step."""


def counted(entry: Entry) -> Entry:
    """The entry with an analysis that counts its calls."""
    analysis = entry.analysis

    @wraps(analysis)
    def count(checkpoint, **arguments):
        COMPUTED[entry.name, int(checkpoint.step)] += 1
        return analysis(checkpoint, **arguments)

    return replace(entry, analysis=count)


COUNTED = tuple(counted(entry) for entry in ENTRIES if entry.name in NAMES)


@pytest.fixture
def computed() -> Counter[tuple[str, int]]:
    COMPUTED.clear()
    return COMPUTED


def planted(keys: list[int]) -> dict[str, torch.Tensor]:
    """These key frequencies of the last checkpoint, and key representations in any case."""
    return {"key_frequencies": torch.tensor(keys, dtype=torch.int64)} | cases.IRREPS


def analyzed(run: Trajectory | Path, keys: list[int] | None = None, **options: Any) -> Results:
    """``analyze`` with analyses that count their calls, and with planted keys if any are given."""
    known = None if keys is None else planted(keys)
    return cases.analyze_briefly(run, COUNTED, known=known, **options)


def assert_same(found: xr.Dataset, run: Trajectory, keys: list[int]) -> None:
    """The results are those of ``evaluate``, maps in single precision."""
    several = [one for one in ANALYSES if one.__name__ in NAMES]
    expected = evaluate(several, run, **cases.arguments(several, run) | planted(keys))
    single = {name: expected[name].astype(variable.dtype) for name, variable in found.items()}
    xr.testing.assert_allclose(found.astype(float), expected.assign(single).astype(float), rtol=1e-12)


def that_declare(argument: str) -> set[str]:
    """The analyses that depend on it."""
    return {name for name, analysis in cases.ANALYSES.items() if argument in inspect.signature(analysis).parameters}


def files(run: Trajectory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run.path / "analysis").glob("*.nc")}


# --- what is computed ------------------------------------------------------------------------------------------------


def test_every_analysis_of_every_checkpoint_is_what_evaluate_gives(run, computed):
    results = analyzed(run, keys=[1, 3])
    assert set(analysis_names(run.path)) == set(NAMES)
    assert set(computed.values()) == {1}
    assert_same(results.dataset, run, [1, 3])
    for name in NAMES:
        dataset = read_analysis(run.path, name)
        assert all("long_name" in variable.attrs for key, variable in dataset.items() if key != "checkpoint_digest")


def test_unchanged_results_are_not_computed_again(complete, computed):
    before = files(complete)
    analyzed(complete.path, keys=[2])
    assert computed == {}
    assert files(complete) == before


def test_new_checkpoints_are_added(complete, computed):
    for step in (35, 50):
        complete.directory.save_checkpoint(step, drawn_tensors(NOISY, step))
    results, anew = analyzed(complete, every=1, keys=[2]), that_declare("final_weights")
    steps = {name: complete.steps if name in anew else (35, 50) for name in NAMES}
    assert computed == {(name, step): 1 for name in NAMES for step in steps[name]}
    assert results.dataset["step"].values.tolist() == [0, 10, 20, 30, 35, 40, 50]
    assert_same(results.dataset, complete, [2])
    assert "long_name" in read_analysis(complete.path, "performance")["train_loss"].attrs


def test_what_is_missing_of_one_analysis_is_all_that_is_computed(complete, computed):
    (complete.path / "analysis" / "logit_map.nc").unlink()
    analyzed(complete, keys=[2])
    assert {name for name, _ in computed} == {"logit_map"}


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"not netCDF", b"CDF\x01" + b"\xff" * 200])
def test_a_damaged_result_is_computed_again(content, complete, computed):
    before = files(complete)
    (complete.path / "analysis" / "logit_map.nc").write_bytes(content)
    analyzed(complete, keys=[2])
    assert {name for name, _ in computed} == {"logit_map"}
    assert files(complete) == before


def test_a_truncated_result_is_computed_again(run, computed):
    analyzed(run, only=["performance"])
    path = run.path / "analysis" / "performance.nc"
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 12):
        path.write_bytes(whole[:length])
        analyzed(run, only=["performance"])
        assert path.read_bytes() == whole


def test_other_key_frequencies_change_what_depends_on_them(complete, computed):
    results = analyzed(complete, keys=[1, 3])
    assert {name for name, _ in computed} == that_declare("key_frequencies") > {"progress_measures"}
    assert results.dataset["key"].values.tolist() == [1, 3]


def test_without_key_frequencies_there_are_no_circles(complete):
    with pytest.warns(UserWarning, match="removed 3 results of another version: "):
        results = analyzed(complete, keys=[])
    assert set(analysis_names(complete.path)) == set(NAMES) - {
        "embedding_circles",
        "frequency_probes",
        "key_directions",
    }
    assert np.isfinite(results.measures()["restricted_loss"])


def test_results_that_no_longer_hold_are_removed_not_mixed(run):
    analyzed(run, keys=[2], only=["performance", "progress_measures"])
    with pytest.warns(UserWarning, match="removed 1 result of another version: progress_measures"):
        analyzed(run, keys=[1, 3], only=["performance"])
    assert analysis_names(run.path) == ("performance",)


def test_another_checkpoint_of_a_step_is_computed_again(run, computed):
    analyzed(run, only=["performance"])
    before = read_analysis(run.path, "performance")
    run.directory.checkpoint_path(20).unlink()
    run.directory.save_checkpoint(20, drawn_tensors(NOISY, 21))
    computed.clear()
    analyzed(run, only=["performance"])
    assert computed == {("performance", 20): 1}
    after = read_analysis(run.path, "performance")
    changes = (before["train_loss"] != after["train_loss"]).values.tolist()
    assert changes == [False, False, True, False, False]


def test_a_checkpoint_that_is_gone_takes_its_results_along(run):
    analyzed(run, only=["performance"])
    run.directory.checkpoint_path(20).unlink()
    assert analyzed(run, only=["performance"]).dataset["step"].values.tolist() == [0, 10, 30, 40]


# --- a part of it ----------------------------------------------------------------------------------------------------


def test_every_nth_checkpoint_and_the_last(run, computed):
    assert analyzed(run, only=["performance"], every=3).dataset["step"].values.tolist() == [0, 30, 40]
    assert analyzed(run, only=["performance"], every=100).dataset["step"].values.tolist() == [0, 30, 40]
    assert analyzed(run, only=["performance"]).dataset["step"].values.tolist() == [0, 10, 20, 30, 40]
    assert set(computed.values()) == {1}


def test_only_some_analyses(run, computed):
    results = analyzed(run, only=["weight_norms", "performance"])
    assert {name for name, _ in computed} == {"weight_norms", "performance"}
    assert set(results.analyses) == {"weight_norms", "performance"}
    assert results.key_frequencies is None
    assert results.measures()["weight_norm"] == pytest.approx(float(results.dataset["weight_norm"][-1]))
    assert len(summary_lines(results)) == 3  # phases, losses, verdict: lines without a value are left out


@pytest.mark.parametrize("only", [["perfomance"], [], [""], ["performance", "x"]])
def test_an_unknown_analysis_is_refused_naming_those_there_are(only, run):
    with pytest.raises(ConfigError, match=r"only=.*: must be one of embedding_spectrum, .*performance"):
        analyzed(run, only=only)
    assert not (run.path / "analysis").exists()


@pytest.mark.parametrize("every", [0, -1])
def test_every_is_at_least_one(every, run):
    with pytest.raises(ConfigError, match=f"every={every}: must be an integer from 1"):
        analyzed(run, every=every)


# --- damage ----------------------------------------------------------------------------------------------------------


def flip(run: Trajectory, step: int, at: int) -> None:
    path = run.directory.checkpoint_path(step)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("at", [3, 60, -1])
@pytest.mark.parametrize("step", [0, 20, 40])
def test_a_damaged_checkpoint_is_skipped_named_and_the_rest_unchanged(step, at, run):
    whole = analyzed(run, only=["performance", "weight_norms"]).dataset
    for name in ("performance", "weight_norms"):
        (run.path / "analysis" / f"{name}.nc").unlink()
    flip(run, step, at)
    results = analyzed(run, only=["performance", "weight_norms"])
    rest = [other for other in run.steps if other != step]
    xr.testing.assert_identical(results.dataset, whole.sel(step=rest))
    assert list(results.skipped) == [step]
    assert [entry["step"] for entry in results.summary()["skipped"]] == [step]
    assert analyzed(run, only=["performance"], every=1).skipped == results.skipped


def test_with_a_damaged_last_checkpoint_the_one_before_is_the_last(run):
    flip(run, 40, -1)
    results = analyzed(run, only=["performance"], every=100)
    assert results.dataset["step"].values.tolist() == [0, 30]
    assert results.measures()["train_loss"] == pytest.approx(float(performance(run[30]).train_loss), rel=1e-12)


def test_all_checkpoints_damaged_is_one_line(run):
    for step in run.steps:
        flip(run, step, -1)
    with pytest.raises(RunDirectoryError, match=r"has no readable checkpoint \(5 damaged\)"):
        analyzed(run)


def test_a_run_of_one_checkpoint(tmp_path):
    results = cases.analyze_briefly(draw_checkpoints(tmp_path / "run", steps=(0,)))
    assert results.summary()["steps"] == [0]
    assert json.loads(json.dumps(results.summary(), allow_nan=False))["measures"]["update_weight_cosine_total"] is None


def test_a_run_of_no_checkpoints_says_so(tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=())
    with pytest.raises(RunDirectoryError, match="has no checkpoint yet"):
        analyzed(run)
    assert not (run.path / "analysis").exists()
    with pytest.raises(RunDirectoryError, match="has no metrics yet"):
        Results.open(run.path).summary()


def test_what_is_no_run_directory_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunDirectoryError):
            analyzed(path)
    assert list(tmp_path.iterdir()) == []


# --- the summary -----------------------------------------------------------------------------------------------------

NAMED = "train_loss test_loss all_loss train_accuracy test_accuracy key_frequencies logit_fve restricted_loss "
NAMED += "excluded_loss gini_embedding gini_neuron_logit weight_norm"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Results:
    return cases.analyze_briefly(train(TINY, tmp_path_factory.mktemp("trained") / "run", device="cpu"))


def test_the_summary_has_the_names_that_other_tools_call(trained):
    summary = trained.summary()
    assert {"run", "steps", "phases", "skipped", "measures"} <= set(summary)
    assert summary["run"] == str(trained.directory.path)
    assert summary["steps"] == list(Trajectory.open(trained.directory.path).steps)
    assert all(set(phase) == {"name", "start", "stop"} for phase in summary["phases"])
    assert (summary["phases"][0]["start"], summary["phases"][-1]["stop"]) == (0, 31)
    assert set(NAMED.split()) <= set(summary["measures"])
    assert summary["skipped"] == []
    assert summary["status"].items() >= {"status": "finished", "step": 30}.items()


def test_the_summary_is_the_last_checkpoint(trained):
    run = Trajectory.open(trained.directory.path)
    measured, last = trained.measures(), run[30]
    expected = performance(last)
    for name in expected._fields:
        assert measured[name] == pytest.approx(float(getattr(expected, name)), rel=1e-12)
    keys = torch.tensor(measured["key_frequencies"], dtype=torch.int64)
    measures = progress_measures(last, key_frequencies=keys)
    assert measured["restricted_loss"] == pytest.approx(float(measures.restricted_loss), rel=1e-9)
    assert list(measured["logit_margin"]) == ["train", "test", "all"]
    assert trained.leaked_share == pytest.approx(float(trained.analyses["performance"].attrs["leaked_share"]))


def no_constants(text: str):
    raise AssertionError(text)


def test_the_summary_is_json_without_nan(trained, monkeypatch):
    text = json.dumps(trained.summary(), allow_nan=False)
    assert json.loads(text, parse_constant=no_constants) == trained.summary()
    results = Results.open(trained.directory.path)
    broken = trained.dataset.assign(train_loss=trained.dataset["train_loss"] * math.inf)
    results.__dict__["dataset"] = results.__dict__["last"] = broken
    assert results.measures()["train_loss"] is None
    json.dumps(results.summary(), allow_nan=False)


def test_results_are_read_without_torch(trained, root):
    script = "import sys; from grokinterp.runs.results import Results; Results.open(sys.argv[1]).summary();"
    script += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script, str(trained.directory.path)], cwd=root, check=True)
