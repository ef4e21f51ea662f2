"""kill -9 and signals against a real training process: nothing lost, and the run continues as if nothing had been."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from grokinterp.analysis import analyze
from grokinterp.errors import RunDirectoryError
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from tests.support.small_runs import TINY, changed, written
from tests.support.warm_cli import Done, WarmCommandLine, warm_command_line

KILLS = 20
SAVED_OFTEN = changed(save={"every": 3, "resume_every": 5}, steps=60)


@pytest.fixture(scope="module")
def command() -> Iterator[WarmCommandLine]:
    with warm_command_line() as warm:
        yield warm


def settings_of(experiment) -> list[str]:
    """The command line of an experiment."""
    changes = [f"{key}={value}" for key, value in experiment.flat.items()]
    return [change.replace("=False", "=false").replace("=True", "=true") for change in changes]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory) -> tuple[dict[str, bytes], float]:
    """The files that SAVED_OFTEN writes without interruption, and the seconds that it takes."""
    folder = tmp_path_factory.mktemp("whole")
    started = time.monotonic()
    done = command.run(folder, "train", *settings_of(SAVED_OFTEN), "--out", "run", "--device", "cpu")
    assert done.code == 0, done.err
    return written(folder / "run"), time.monotonic() - started


def train_and_kill(command: WarmCommandLine, folder: Path, after: float) -> bool:
    """Start or continue the run and kill it after some seconds; whether the kill came before its end."""
    resume = ["--resume"] if (folder / "run" / "experiment.json").exists() else []
    pid = command.start(folder, "train", *settings_of(SAVED_OFTEN), "--out", "run", "--device", "cpu", *resume)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    code = command.wait(pid)
    assert code in (0, -signal.SIGKILL), Path(f"{folder}.err").read_text()
    return code != 0


def assert_nothing_is_lost(path: Path, expected: dict[str, bytes], before: dict[str, bytes]) -> dict[str, bytes]:
    """Every checkpoint that was there is there, and all are those of the uninterrupted run."""
    found = {f"checkpoints/{file.name}": file.read_bytes() for file in path.glob("checkpoints/step*")}
    assert set(before) <= set(found)
    assert all(content == expected[name] for name, content in found.items())
    if path.joinpath("experiment.json").exists():
        run = Trajectory.open(path)
        for step in run.steps:
            run.weights(step)
        run.directory.read_metrics()
        run.directory.resume.load()
    return found


@pytest.mark.slow
def test_kills_at_random_moments(command, whole, tmp_path):
    expected, seconds = whole
    choose = random.Random(0)
    kills = runs = 0
    while kills < KILLS:
        folder = tmp_path / str(runs)
        folder.mkdir()
        found: dict[str, bytes] = {}
        while True:  # a sixth of the moments come after the end, so that every run ends, however slowly it starts
            killed = train_and_kill(command, folder, choose.uniform(0.02, 1.2 * seconds))
            found = assert_nothing_is_lost(folder / "run", expected, found)
            kills += killed
            if not killed:
                break
        assert written(folder / "run") == expected
        runs += 1
    assert not [path for path in tmp_path.rglob("*.tmp") if "resume" in path.parts or "checkpoints" in path.parts]


def started_training(command: WarmCommandLine, folder: Path, experiment) -> int:
    """The process id of a training run that has got going."""
    pid = command.start(folder, "train", *settings_of(experiment), "--out", "run", "--device", "cpu")
    metrics, until = folder / "run" / "metrics.jsonl", time.monotonic() + 30
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < until, Path(f"{folder}.err").read_text()
        time.sleep(0.005)
    return pid


LONG = changed(save={"every": 200, "resume_every": 10_000}, steps=300)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_state_and_the_run_continues_exactly(number, code, command, tmp_path):
    folder, other = tmp_path / "stopped", tmp_path / "whole"
    folder.mkdir()
    other.mkdir()
    pid = started_training(command, folder, LONG)
    os.kill(pid, number)
    assert command.wait(pid) == code
    run = RunDirectory.open(folder / "run")
    assert run.status["status"] == "interrupted"
    assert run.resume.steps() == (run.status["step"],)
    assert 0 < run.status["step"] < 300
    for where, more in ((folder, ["--resume"]), (other, [])):
        done = command.run(where, "train", *settings_of(LONG), "--out", "run", "--device", "cpu", *more)
        assert done.code == 0, done.err
    assert written(folder / "run") == written(other / "run")


def test_a_second_trainer_is_refused_and_a_kill_frees_the_run(command, tmp_path):
    folder, second = tmp_path / "first", tmp_path / "second"
    folder.mkdir()
    second.mkdir()
    pid = started_training(command, folder, changed(steps=100_000))
    more = settings_of(changed(steps=100_000))
    refused: Done = command.run(second, "train", *more, "--out", folder / "run", "--device", "cpu", "--resume")
    assert refused.code == 2
    assert f"in use by process {pid} on host" in refused.err
    with pytest.raises(RunDirectoryError, match=f"in use by process {pid}"), RunDirectory.open(folder / "run").lock():
        pass
    os.kill(pid, signal.SIGKILL)
    assert command.wait(pid) == -signal.SIGKILL
    with RunDirectory.open(folder / "run").lock():
        pass


def test_reading_while_training_writes(command, tmp_path):
    folder = tmp_path / "live"
    folder.mkdir()
    pid = started_training(command, folder, changed(save={"every": 5, "dense_until": 60}, steps=500))
    seen, analyzed = [], 0
    try:
        while RunDirectory.open(folder / "run").status.get("status", "running") == "running":
            run = Trajectory.open(folder / "run")
            seen.append(len(run.steps))
            assert run.metrics.sizes["step"] >= 1
            if run.steps:
                assert run[run.steps[-1]].logits.isfinite().all()
                assert run.params(["embed.W_E"])["embed.W_E"].shape[1:] == (8, 16)
            if len(seen) % 3 == 0 and run.steps:
                results = analyze(run, only=["performance", "weight_norms"])
                assert results.summary()["skipped"] == []
                analyzed += 1
    finally:
        assert command.wait(pid) == 0
    assert analyzed >= 1
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    results = analyze(folder / "run", only=["performance", "weight_norms"])
    assert results.dataset["step"].values.tolist() == list(Trajectory.open(folder / "run").steps)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("verb", ["analyze", "report"])
def test_a_signal_ends_analyze_and_report(verb, number, code, command, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    many = changed(save={"every": 1}, steps=150, evaluate_every=50)
    assert command.run(folder, "train", *settings_of(many), "--out", "r", "--device", "cpu").code == 0
    pid = command.start(folder, verb, "r")
    time.sleep(0.7)
    os.kill(pid, number)
    ended = command.wait(pid)
    assert ended == code, Path(f"{folder}.err").read_text()
    assert command.run(folder, "analyze", "r", "--only", "performance").code == 0


def test_the_command_line_of_an_experiment_is_that_experiment():
    from grokinterp.experiment import Experiment

    assert Experiment().override(settings_of(TINY)) == TINY
