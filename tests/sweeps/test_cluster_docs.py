"""The commands of docs/clusters.md exist, and its batch script starts, stops and waits as the text says."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grokinterp.cli.sweeping import chosen_grid
from grokinterp.sweeps.grid import product

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")
SCRIPT = re.search(r"```bash\n(.*?)```", TEXT, re.DOTALL)[1]

PROGRAMS = {
    # runs the command after its options, as on the machines of a job
    "srun": 'while [[ $1 == --* ]]; do shift; done; exec "$@"',
    # listens like a head
    "ray": 'echo "ray $*" >> log; [[ $* == *--head* ]] && exec python -m http.server --bind "$(hostname)" "$PORT"',
    "grokinterp": 'echo "grokinterp $*" >> log; trap "echo saved >> log; exit 138" USR1; while :; do sleep 0.02; done',
}
"""Programs of a cluster, as shell scripts."""


def test_the_sweeps_of_the_text_exist():
    commands = re.findall(r"^grokinterp sweep (\w+).*--engine ray", TEXT, re.MULTILINE)
    assert len(commands) == 3
    for name in commands:
        _, grid = chosen_grid([name], None, None, None)
        assert product(grid.base, **grid.axes)


@pytest.mark.ray
def test_ray_has_the_options_of_the_text():
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = {option for line in re.findall(r"\bray start (.*)", TEXT) for option in re.findall(r"--[a-z-]+", line)}
    assert {"--head", "--block", "--address", "--num-cpus", "--include-dashboard"} <= used
    assert {option for option in used if option not in known} == set()


def test_the_batch_script_starts_a_cluster_and_passes_the_signal_on(tmp_path):
    for name, body in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "job.sh").write_text(SCRIPT)
    job = 40_000 + os.getpid() % 10_000
    settings = {"SLURM_JOB_ID": str(job), "SLURM_NNODES": "2", "SLURM_CPUS_PER_TASK": "4"}
    port = 20_000 + job % 20_000
    path = f"{tmp_path}:{os.environ['PATH']}"
    environment = os.environ | settings | {"PATH": path, "PORT": str(port)}
    with subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=environment, start_new_session=True) as process:
        try:
            log, end = tmp_path / "log", time.monotonic() + 60
            while not (log.exists() and "grokinterp" in log.read_text()):
                assert time.monotonic() < end
                time.sleep(0.02)
            time.sleep(0.2)  # until the script has set its trap
            process.send_signal(signal.SIGUSR1)
            assert process.wait(30) == 138
            lines = log.read_text().splitlines()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
    assert f"ray start --head --block --port={port} --num-cpus=4 --include-dashboard=false" in lines
    assert f"ray start --block --address={host}:{port} --num-cpus=4" in lines
    assert [shlex.split(line)[4:] for line in lines if line.startswith("grokinterp")] == [
        ["ray", "--address", f"{host}:{port}", "--out", "sweeps"]
    ]
    assert lines[-1] == "saved"
