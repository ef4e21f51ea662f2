"""Common settings of all tests: a quiet, single-threaded, offline process, and the treatment of missing tools."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.blank_figures import blank_figures

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # read once, when torch and numpy are imported; child processes inherit it
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every child process would compile all its imports anew
sys.dont_write_bytecode = False
os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "MPLBACKEND": "Agg", "NO_COLOR": "1"}

MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK):  # every save is synced, for which tests would wait longer than for anything else
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI") == "true"
TOOLS = {"browser": ("chromium", "chromedriver"), "strace": ("strace",), "ffmpeg": ("ffmpeg",)}
MAY_SKIP_IN_CI = {"gpu", "ray", "published", "mount", "ffmpeg"}

settings.register_profile("grokinterp", deadline=None, derandomize=IN_CI, print_blob=True)
settings.load_profile("grokinterp")


@cache
def can_mount() -> bool:
    """Whether this process may mount file systems in a namespace of its own."""
    command = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of networks that other people trained; the test is skipped where it is not beside the repository."""
    folder = ROOT.parent / "shared" / "published"
    if not folder.is_dir():
        pytest.skip("no published networks beside this repository")
    return folder


@pytest.fixture
def quick() -> Iterator[None]:
    """Figures are drawn and left blank."""
    with blank_figures():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker names a tool or device that this machine lacks."""
    missing = [tool for marker, tools in TOOLS.items() if item.get_closest_marker(marker) for tool in tools]
    missing = [tool for tool in missing if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    if item.get_closest_marker("ray") and find_spec("ray") is None:
        pytest.skip("ray is not installed")
    if item.get_closest_marker("mount") and not can_mount():
        pytest.skip("no right to mount in a namespace")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """In CI a skipped test fails, unless the machine cannot provide what the test needs."""
    report = yield
    markers = {mark.name for mark in item.iter_markers()} | set(getattr(item, "fixturenames", ()))
    if IN_CI and report.skipped and not hasattr(report, "wasxfail") and not markers & MAY_SKIP_IN_CI:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {call.excinfo.value if call.excinfo else report.longrepr}"
    return report
