"""A sweep on a real Ray cluster: workers, a node and the sweep itself are killed, and every run ends exactly once."""

import json
import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory
from grokinterp.storage.configuration import identity_of
from grokinterp.sweeps.contents import sweeps_in
from tests.support.ray_cluster import GUARDED, RayCluster, ray_cluster
from tests.support.small_runs import changed, written
from tests.support.warm_cli import WarmCommandLine, warm_command_line

pytestmark = [pytest.mark.slow, pytest.mark.ray]

BASE = changed(steps=800, evaluate_every=10, save={"every": 200, "resume_every": 50}, optimization={"loss": "mse"})

EXPERIMENTS = [
    Experiment.from_dict(changed(BASE, seed=seed, optimization={"init_scale": scale}).to_dict())
    for scale in (1.0, 1000.0)
    for seed in range(3)
]
"""Three runs, and three that diverge at once."""

SWEEP = "sweep optimization.init_scale=1.0,1000.0 --seeds 3 --config base.json --name six --engine ray"


@pytest.fixture
def command(monkeypatch) -> Iterator[WarmCommandLine]:
    for name, value in GUARDED.items():
        monkeypatch.setenv(name, value)
    with warm_command_line() as warm:
        yield warm


@pytest.fixture
def cluster(tmp_path) -> Iterator[RayCluster]:
    """Two nodes of one core, which begin to start before the command line is warm."""
    (tmp_path / "nodes").mkdir()
    with ray_cluster(2, tmp_path / "nodes") as cluster:
        yield cluster


def results(path: Path) -> dict[str, bytes]:
    """The files that a run wrote, without its times."""
    return {name: content for name, content in written(path).items() if name != "clock.json"}


def has_saved(path: Path) -> bool:
    """Whether a run is in training, and beyond its first resume state."""
    if not (path / "experiment.json").exists():
        return False
    return RunDirectory(path).status.get("status") == "running" and bool(RunDirectory(path).resume.steps())


RAY_ABORTS = "Check failed: it != submissible_tasks_.end()"
"""Ray 2.60 aborts its driver at times if a task is cancelled while its node dies; the next call continues as well."""


def wait_for(wanted: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.02)


def worker_of(path: Path) -> int:
    """The process that has the lock of a run."""
    return json.loads((path / "lock").read_text())["pid"]


def trained_alone(command: WarmCommandLine, folder: Path) -> Path:
    """Train each run by a command of its own, without the type checks of the tests, which take longer than it."""
    (folder / "serial").mkdir()
    processes = []
    for one in EXPERIMENTS:
        name = identity_of(one.to_dict())
        (folder / f"{name}.json").write_text(json.dumps(one.to_dict()))
        words = ("train", "--config", f"{name}.json", "--out", f"serial/{name}", "--device", "cpu")
        processes.append(command.start(folder, *words))
    codes = [command.wait(process) for process in processes]
    assert codes[:3] == [0, 0, 0], Path(f"{folder}.err").read_text()
    return folder / "serial"


def test_every_run_ends_once_whatever_is_killed(cluster, command, tmp_path):
    """Then with the nodes' own disks: ``/proc/self/cwd`` is another folder for them, as if they shared no storage."""
    folder = tmp_path / "driver"
    first, second, blocked, *diverged = [folder / "root" / identity_of(one.to_dict()) for one in EXPERIMENTS]
    blocked.mkdir(parents=True)
    (blocked / "notes.txt").touch()
    (folder / "base.json").write_text(json.dumps(BASE.to_dict()))

    def begin(root: Path | str) -> int:
        return command.start(folder, *shlex.split(SWEEP), "--address", cluster.address, "--out", root)

    def output(name: str) -> str:
        return Path(f"{folder}.{name}").read_text()

    process = begin(folder / "root")
    wait_for(lambda: has_saved(first))
    os.kill(worker_of(first), signal.SIGKILL)
    wait_for(lambda: has_saved(second))
    cluster.kill_node(cluster.node_of(worker_of(second)))
    wait_for(lambda: "node it was running on is dead" in output("err"))
    wait_for(lambda: has_saved(first) or has_saved(second))
    os.kill(process, signal.SIGINT)
    code = command.wait(process)
    assert "the worker died, so it is started again (1 of 3)" in output("err")
    if RAY_ABORTS not in output("err"):
        assert code == 130, output("err")
        assert "interrupted" in {RunDirectory(path).status["status"] for path in (first, second)}
        failures = [run.failure for run in sweeps_in(folder / "root")["six"].runs.values() if run.failure]
        assert [failure.partition(": ")[2] for failure in failures] == ["is not empty: it holds 'notes.txt'"]
    (blocked / "notes.txt").unlink()

    process = begin("/proc/self/cwd/root")
    assert command.wait(process) == 0, output("err")
    assert "3 finished, 3 diverged" in output("out")
    [scratch] = (tmp_path / "nodes").glob(f"grokinterp-{os.getuid()}/*")
    assert list(scratch.glob("tiny-*")) == []
    runs = (first, second, blocked, *diverged)
    serial = trained_alone(command, tmp_path)
    for path in runs:
        assert results(path) == results(serial / path.name)

    before = {path: written(path) for path in runs}
    assert command.wait(begin(folder / "root")) == 0, output("err")
    assert {path: written(path) for path in runs} == before
    assert [path.name for path in (folder / "root").iterdir() if path.name.startswith(".")] == []
