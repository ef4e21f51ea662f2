"""Sweeps that are trained: what exists is not trained again, failures stop nothing, and processes share a folder."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.contents import sweeps_in
from grokinterp.sweeps.entry import Entry
from grokinterp.sweeps.estimate import LAUNCH, elapsed, seconds_of
from grokinterp.sweeps.grid import Grid
from grokinterp.sweeps.sweep import Sweep, plan, run_sweep
from grokinterp.training import train
from tests.support.small_league import SMALL
from tests.support.small_runs import changed, written

SHORT = replace(SMALL, steps=6)


HUGE = {"steps": [800_000, 900_000], "save.every": 1, "model.hidden": [[9000]]}
"""Two runs with more checkpoints than a disk has space for."""


def sweep(name: str = "decay", base=SHORT, **axes) -> Sweep:
    return Sweep.of(name, Grid(base, axes or {"optimization.weight_decay": [0.5, 1.0]}))


def states(entries: list[Entry]) -> list[str]:
    return [str(RunDirectory.open(entry.directory).status["status"]) for entry in entries]


def test_what_exists_is_not_trained_again_whichever_sweep_it_belongs_to(tmp_path):
    first = run_sweep(sweep(), tmp_path, engine="stack")
    before = [written(entry.directory) for entry in first]
    wider = {"optimization.weight_decay": [0.5, 1.0, 2.0]}
    again = run_sweep(sweep("decay", **wider), tmp_path, engine="stack")
    other = run_sweep(sweep("other", replace(SHORT, name="other"), seed=[0]), tmp_path, engine="stack")
    assert [entry.directory for entry in again[:2]] == [entry.directory for entry in first]
    assert [written(entry.directory) for entry in first] == before
    assert other[0].directory == first[1].directory
    found = sweeps_in(tmp_path)
    assert {name: len(one.runs) for name, one in found.items()} == {"decay": 3, "other": 1}
    for entry in again:
        member = found["decay"].runs[entry.run_id]
        assert (member.directory, member.settings) == (entry.directory.name, entry.experiment.flat)
    assert states(again) == ["finished"] * 3


@contextmanager
def trained_elsewhere(entry: Entry, seconds: float) -> Iterator[None]:
    """A run that another process seems to train for some seconds, after which it is left unfinished."""
    run = RunDirectory.create(entry.directory, entry.experiment.to_dict(), {})
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with run.lock():
            locked.set()
            release.wait(seconds)

    holder = threading.Thread(target=hold)
    holder.start()
    locked.wait()
    yield
    release.set()
    holder.join()


def test_processes_train_every_run_that_can_be_trained(tmp_path):
    """One run diverges, one cannot be created, one is in training elsewhere at first, and one was interrupted."""
    base = changed(steps=10, optimization={"loss": "mse"})
    grid = sweep("mixed", base, **{"optimization.init_scale": [1.0, 1000.0], "seed": [0, 1, 2]})
    planned = {(one.experiment.optimization.init_scale, one.experiment.seed): one for one in plan(grid, tmp_path)}
    blocked, elsewhere = planned[1.0, 0], planned[1.0, 1]
    blocked.directory.mkdir()
    (blocked.directory / "notes.txt").touch()
    train(planned[1.0, 2].experiment, planned[1.0, 2].directory, device="cpu")
    (planned[1.0, 2].directory / "status.json").unlink()
    with trained_elsewhere(elsewhere, 3.0):
        entries = run_sweep(grid, tmp_path, engine="local", workers=2)
    failed = [entry for entry in entries if entry.failure]
    assert [entry.directory for entry in failed] == [blocked.directory]
    assert "is not empty: it holds 'notes.txt'" in str(failed[0].failure)
    assert states([entry for entry in entries if not entry.failure]) == [*["finished"] * 2, *["diverged"] * 3]
    runs = sweeps_in(tmp_path)["mixed"].runs
    assert {key: run.failure for key, run in runs.items() if run.failure} == {failed[0].run_id: failed[0].failure}
    (blocked.directory / "notes.txt").unlink()
    again = run_sweep(grid, tmp_path, engine="local", workers=1)
    assert [entry.failure for entry in again] == [None] * 6
    assert {run.failure for run in sweeps_in(tmp_path)["mixed"].runs.values()} == {None}


@pytest.mark.filterwarnings("ignore:.*runs are trained in two parts", "ignore:the continuation will not be")
def test_two_sweeps_in_one_folder_never_fight(tmp_path):
    results: dict[str, list[Entry]] = {}

    def work(name: str, seeds: list[int]) -> None:
        results[name] = run_sweep(sweep(name, seed=seeds), tmp_path, engine="stack")

    with warnings.catch_warnings():
        threads = [threading.Thread(target=work, args=one) for one in (("a", [0, 1, 2]), ("b", [2, 1, 3]))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [entry.failure for name in "ab" for entry in results[name]] == [None] * 6
    assert states(results["a"] + results["b"]) == ["finished"] * 6
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 4
    assert {name: len(one.runs) for name, one in sweeps_in(tmp_path).items()} == {"a": 3, "b": 3}


def test_wrong_sweeps_are_refused_before_anything_is_written(tmp_path):
    impossible = {"optimization.weight_decay": [1.0, -1.0]}
    with pytest.raises(ConfigError, match=r"the run with optimization.weight_decay=-1.0 is impossible"):
        run_sweep(sweep("a", **impossible), tmp_path / "root")
    with pytest.raises(ConfigError, match=r"seed 0 is impossible: model=.* weights: at most"):
        run_sweep(sweep("a", **{"model.hidden": [[60_000, 60_000]], "seed": [0]}), tmp_path / "root")
    with pytest.raises(
        ConfigError, match=r"2 runs still need about .* of disk, but only .* are free; a larger save.every"
    ):
        run_sweep(sweep("a", **HUGE), tmp_path / "root")
    assert not (tmp_path / "root").exists()
    entries = run_sweep(sweep("a", **impossible), tmp_path / "root", engine="stack", skip_invalid=True)
    assert states(entries) == ["finished"]
    [left_out] = sweeps_in(tmp_path / "root")["a"].impossible
    assert left_out["settings"] == {"optimization.weight_decay": -1.0}
    with pytest.raises(RunDirectoryError, match="is a run: a sweep needs"):
        run_sweep(sweep(), entries[0].directory)


def test_the_time_of_runs_is_estimated_from_timed_steps():
    short, long = (seconds - LAUNCH for seconds in seconds_of([SHORT, replace(SHORT, steps=600)]))
    assert 0 < 50 * short < long < 150 * short
    assert elapsed([3.0, 3.0, 2.0, 2.0, 2.0], 2) == 7


def test_a_setting_at_its_default_is_a_value_of_the_sweep(tmp_path):
    """It is left out of the configuration of the run, whose id is that of a run of an earlier version."""
    grid = sweep("dropout", **{"model.dropout": [0.0, 0.5], "seed": [0, 1]})
    entries = plan(grid, tmp_path)
    assert [entry.label for entry in entries] == [
        f"dropout={rate} seed={seed}" for rate in (0.0, 0.5) for seed in (0, 1)
    ]
    assert [("dropout" in entry.experiment.to_dict()["model"]) for entry in entries] == [False, False, True, True]
