"""Memory that is available to a process: of the machine, and of the containers around it."""

import os
from pathlib import Path

import pytest
import torch

from grokinterp import available

CPU, GIB = torch.device("cpu"), 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Four gibibytes available, and a process in the control group /outer/inner."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/outer/inner").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/outer/inner\n")
    monkeypatch.setattr(available, "ROOT", tmp_path)
    return tmp_path / "sys/fs/cgroup"


@pytest.mark.parametrize("group", [".", "outer", "outer/inner"])
def test_every_container_limits_its_processes(machine, group):
    assert available.bytes_available(CPU) == 4 * GIB
    folder = machine / group
    (folder / "memory.current").write_text(f"{2 * GIB}\n")
    (folder / "memory.max").write_text("max\n")
    assert available.bytes_available(CPU) == 4 * GIB
    (folder / "memory.max").write_text(f"{3 * GIB}\n")
    assert available.bytes_available(CPU) == GIB
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {GIB}\nactive_file 3\n")  # the kernel drops this cache
    assert available.bytes_available(CPU) == 2 * GIB
    (folder / "memory.max").write_text("0\n")
    assert available.bytes_available(CPU) == 0


def test_disk_and_memory_of_this_machine(tmp_path):
    stat = os.statvfs(tmp_path)
    assert available.disk_available(tmp_path / "run/that/does/not/exist") <= stat.f_blocks * stat.f_frsize
    assert 0 < available.resident() <= available.peak_resident()
    assert available.disk_available(Path("not_there")) == available.disk_available(Path.cwd())


def test_other_programs_that_compute_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(available, "ROOT", tmp_path)
    assert available.programs_running() == 0
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "loadavg").write_text("0.52 0.58 0.59 3/97 1234\n")
    assert available.programs_running() == 2
