"""A run that is continued with other settings equals the run that was planned with them; its past does not change."""

from pathlib import Path

import pytest
import torch

from grokinterp.errors import ConfigError, GrokinterpError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.training import train
from grokinterp.training.continuation import continuation
from tests.support.groks import GROKS
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import train_until


def content(path: Path) -> tuple[dict, list[str], tuple]:
    """Tensors of all checkpoints, rows of metrics, and the tensors and values of the newest resume state."""
    run = RunDirectory.open(path)
    saved = run.resume.load()
    assert saved is not None
    state = {key: value for key, value in saved.state.items() if not key.endswith("_offset")}
    tensors = {step: run.load_checkpoint(step).tensors for step in run.steps()}
    return tensors, list(map(str, run.read_metrics()[0].rows())), (saved.step, saved.tensors, state)


def assert_same(path: Path, whole: Path) -> None:
    """All that both runs saved is equal bit for bit, and the run saved everything that the other did."""
    (tensors, rows, newest), (expected, expected_rows, expected_newest) = content(path), content(whole)
    assert set(expected) <= set(tensors)
    torch.testing.assert_close({step: tensors[step] for step in expected}, expected, rtol=0, atol=0)
    assert rows == expected_rows
    torch.testing.assert_close(newest[1], expected_newest[1], rtol=0, atol=0)
    assert (newest[0], newest[2]) == (expected_newest[0], expected_newest[2])


ADAPTIVE = {
    "filters": [{"kind": "grokfast_ema"}],
    "boost": 3.0,
    "average": 0.9,
    "batch_size": 9,
    "schedules": {
        "lr": {"kind": "adaptive", "patience": 5},
        "weight_decay": {"kind": "adaptive", "doubling": 3},
        "batch_size": {"kind": "curriculum", "hold": 3},
    },
    "curriculum": {"start": 0.5, "over": 20, "by": "loss"},
}
"""Everything that an additional evaluation at the end of the shorter run would change."""


@pytest.mark.parametrize("steps", [14, 15, 16])  # evaluations at multiples of 3, checkpoints at multiples of 10
@pytest.mark.parametrize("optimization", [{}, ADAPTIVE], ids=["plain", "adaptive"])
def test_an_extended_run_equals_the_run_that_was_planned_longer(steps, optimization, tmp_path):
    longer = changed(optimization=optimization)
    train(longer, tmp_path / "whole", device="cpu")
    train(changed(longer, steps=steps), tmp_path / "run", device="cpu")
    run = train(longer, tmp_path / "run", device="cpu", resume=True)
    assert_same(run.path, tmp_path / "whole")
    assert (run.experiment.budget, run.directory.configuration["steps"]) == (30, steps)
    (continued,) = Results.open(run.path).continuations
    assert continued is not None
    assert continued.record["settings"] == {"steps": {"before": str(steps), "after": "30"}}
    assert continued.text.endswith(f"changed settings: steps from {steps} to 30")
    again = written(run.path)
    train(run.experiment, run.path, device="cpu", resume=True)
    assert written(run.path) == again


def test_a_run_killed_after_its_extension_was_recorded_is_continued_to_its_new_end(tmp_path):
    whole = train(TINY, tmp_path / "whole", device="cpu")
    run = train(changed(steps=15), tmp_path / "run", device="cpu").directory
    with run.lock() as held:
        settings = {"steps": (15, 30)}
        held.record_continuation(continuation(15, "newest", run.environment, exact=True, settings=settings))
    train(Trajectory.open(run.path).experiment, run.path, device="cpu", resume=True)
    assert_same(run.path, whole.path)


def test_a_run_that_ended_by_patience_can_be_extended(tmp_path):
    short, longer = changed(GROKS, patience=0), changed(GROKS, patience=4)
    ended = train(short, tmp_path / "run", device="cpu").directory.status["step"]
    train(longer, tmp_path / "whole", device="cpu")
    before = written(tmp_path / "run")
    with pytest.raises(ConfigError, match="patience=0: must be above 0, the evaluations since grokking"):
        train(changed(short, steps=short.budget + 10), tmp_path / "run", device="cpu", resume=True)
    assert written(tmp_path / "run") == before
    run = train(longer, tmp_path / "run", device="cpu", resume=True)
    assert run.directory.status["step"] > ended
    assert_same(run.path, tmp_path / "whole")


def test_settings_that_concern_only_the_future_may_change_on_the_way(tmp_path):
    train_until(tmp_path / "run", 13)
    other = changed(steps=25, evaluate_every=5, save={"every": 4, "resume_every": 100})
    run = train(other, tmp_path / "run", device="cpu", resume=True)
    assert run.experiment == other
    whole = train(TINY, tmp_path / "whole", device="cpu")
    for step in set(run.steps) & set(whole.steps):
        torch.testing.assert_close(run.weights(step).state, whole.weights(step).state, rtol=0, atol=0)
    assert set(run.steps) >= {16, 20, 24, 25}
    assert list(run.directory.read_metrics()[0].steps) == [0, 3, 6, 9, 12, 15, 20, 25]
    RunDirectory.open(run.path).continuations.path.unlink()  # the run is then that of its creation
    assert Trajectory.open(run.path).experiment == TINY


def test_settings_that_a_complete_run_is_given_hold_when_it_is_extended(tmp_path):
    other = changed(evaluate_every=5)
    status = train(TINY, tmp_path / "run", device="cpu").directory.status
    for _ in range(2):
        run = train(other, tmp_path / "run", device="cpu", resume=True)
        assert (run.experiment, run.directory.status) == (other, status)
        assert len(Results.open(run.path).continuations) == 1
    longer = train(changed(run.experiment, steps=40), run.path, device="cpu", resume=True)
    assert list(longer.directory.read_metrics()[0].steps)[-4:] == [27, 30, 35, 40]


LENGTHS = {
    "lr": ("lr", {"kind": "cosine"}),
    "weight_decay": ("weight_decay", {"kind": "increasing"}),
}

REFUSED = {
    "steps below the last one": (changed(steps=12), r"steps=12: must be above 13, which the run in .* has reached"),
    "steps at the last one": (changed(steps=13), "steps=13: must be above 13"),
    "another seed": (changed(seed=1, steps=60), "seed=0 there, 1 here; only steps, patience"),
    "another name": (changed(name="other"), "name=tiny there, other here"),
}


@pytest.mark.parametrize(("experiment", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_change_the_past_is_refused(experiment: Experiment, message: str, stopped: Path):
    before = written(stopped)
    with pytest.raises(GrokinterpError, match=message) as refused:
        train(experiment, stopped, device="cpu", resume=True)
    assert "\n" not in str(refused.value)
    assert written(stopped) == before


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stopped") / "run"
    train_until(path, 13)
    return path


@pytest.mark.parametrize("name", LENGTHS)
def test_a_schedule_that_follows_the_length_keeps_it(name, tmp_path):
    key, schedule = LENGTHS[name]
    planned = changed(optimization={"schedules": {key: schedule}})
    train_until(tmp_path / "run", 13, planned)
    with pytest.raises(
        ConfigError, match=rf"^optimization.schedules.{key}.kind={schedule['kind']}: follows the planned"
    ):
        train(changed(planned, steps=60), tmp_path / "run", device="cpu", resume=True)
    train(changed(planned, save={"every": 5}), tmp_path / "run", device="cpu", resume=True)


def test_a_run_without_the_record_of_its_extension_is_not_continued_beyond_its_end(tmp_path):
    train(changed(steps=15), tmp_path / "run", device="cpu")
    run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    record = run.directory.continuations.path
    record.write_bytes(record.read_bytes().replace(b"30", b"31"))
    with pytest.raises(ConfigError, match="steps=15: must be above 30"):
        train(Trajectory.open(run.path).experiment, run.path, device="cpu", resume=True)
    with pytest.raises(RunDirectoryError, match="another configuration"):
        train(changed(seed=9), run.path, device="cpu", resume=True)
