"""A sweep of the command line that is stopped by Ctrl-C, or by a full disk: the same command completes it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grokinterp.experiment import Experiment
from grokinterp.storage import RunDirectory
from grokinterp.storage.configuration import identity_of
from grokinterp.training import train
from tests.support.small_runs import changed, written

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
BASE = changed(steps=300, evaluate_every=10, save={"every": 100, "resume_every": 15})
EXPERIMENTS = [Experiment.from_dict(changed(BASE, seed=seed).to_dict()) for seed in range(2)]
NAMES = [identity_of(one.to_dict()) for one in EXPERIMENTS]


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """The files of the two runs, each trained alone without interruption."""
    folder = tmp_path_factory.mktemp("serial")
    for name, one in zip(NAMES, EXPERIMENTS, strict=True):
        train(one, folder / name, device="cpu")
    return {name: results(folder / name) for name in NAMES}


def results(path: Path) -> dict[str, bytes]:
    """The files that a run wrote, without its times."""
    return {name: content for name, content in written(path).items() if name != "clock.json"}


def statuses(root: Path) -> dict[str, object]:
    return {
        name: RunDirectory(root / name).status["status"] for name in NAMES if (root / name / "status.json").exists()
    }


def command(folder: Path) -> subprocess.Popen[str]:
    (folder / "base.json").write_text(json.dumps(BASE.to_dict()))
    words = ["sweep", "--config", "base.json", "--seeds", "2", "--engine", "local", "--workers", "2", "--out", "root"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-m", "grokinterp", *words],
        cwd=folder,
        env=environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in the background
    )


def test_an_interrupt_saves_all_runs_and_the_same_command_completes_them(serial, tmp_path):
    with command(tmp_path) as process:
        while len(list((tmp_path / "root").glob("*/resume/*.safetensors"))) < 2:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    same = "the runs in training were saved; the same command continues them"
    assert (process.returncode, errors.splitlines()[-2:]) == (130, [same, "interrupted"]), errors
    found = statuses(tmp_path / "root")
    assert "interrupted" in found.values()
    assert set(found.values()) <= {"interrupted", "finished"}
    with command(tmp_path) as process:
        out, errors = process.communicate()
    assert (process.returncode, out.splitlines()[-1]) == (0, "tiny: 2 runs in root: 2 finished"), errors
    assert {name: results(tmp_path / "root" / name) for name in NAMES} == serial


@pytest.mark.mount
def test_a_full_disk_is_one_line_and_loses_nothing(serial, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "base.json").write_text(json.dumps(BASE.to_dict()))
    words = ["unshare", "--mount", "--map-root-user", sys.executable, "-m", "tests.support.full_disk", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("runs ", "  "))]
    assert [line for line in lines if line.startswith(("first", "second"))] == ["first 2", "second 0"]
    [error] = [line for line in lines if line.startswith("error: ")]
    assert error.startswith("error: the disk is full, so no further runs were started: cannot write ")
    assert "No space left on device" in error
    assert "Traceback" not in done.stderr
    assert "finished" not in statuses(tmp_path / "first").values()
    for name in statuses(tmp_path / "first"):
        for path in (tmp_path / "first" / name / "checkpoints").iterdir():
            assert serial[name][f"checkpoints/{path.name}"] == path.read_bytes()
    assert {name: results(tmp_path / "second" / name) for name in NAMES} == serial
