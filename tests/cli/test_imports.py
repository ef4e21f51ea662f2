"""Imports of commands: listings, help and errors are light; diagnoses, phases and finished reports need no torch."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from grokinterp.analysis import analyze
from grokinterp.runs.completeness import mark_complete
from tests.support.small_runs import draw_checkpoints

TORCH = {"torch", "transformer_lens"}
TABLES = {"xarray", "pandas", "matplotlib", "scipy", "seaborn", "sympy", "transformers"}

COMMANDS = """
import json, sys
from grokinterp.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["grokinterp", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert ended.code in (None, 0, 2), arguments
print("modules:", *sys.modules)
"""


def modules_after(*commands: list[str], folder: Path) -> set[str]:
    """Return the modules that one process has loaded after it ran some commands."""
    call = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
    done = subprocess.run(call, capture_output=True, text=True, cwd=folder, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules: ")[2].split())


def test_listings_help_and_errors_are_light(tmp_path):
    listings = [[name] for name in ("presets", "tasks", "models", "methods", "analyses")]
    help_texts = [["--help"], ["--version"], ["train", "--help"]]
    errors = [["train", "task.p=1"], ["train", "--preset", "none"], ["league", "task.p=1"], ["report", "nothing"]]
    before = processor_seconds()
    modules = modules_after(*listings, *help_texts, *errors[:-1], folder=tmp_path)
    assert modules & (TORCH | TABLES) == set()
    assert "grokinterp.league.methods" in modules  # the commands did run
    assert processor_seconds() - before < 3
    assert modules_after(errors[-1], folder=tmp_path) & TORCH == set()


def processor_seconds() -> float:
    """Return the processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def analyzed(tmp_path) -> Path:
    """A run whose results count as complete, although one analysis alone has been run."""
    run = draw_checkpoints(tmp_path / "run")
    analyze(run, only=["weight_norms"])
    mark_complete(run.path)
    return run.path


def test_what_reads_results_and_logs_needs_no_torch(analyzed, tmp_path):
    (tmp_path / "log.csv").write_text("step,train_loss,test_loss\n0,1.0,1.0\n10,0.1,2.0\n20,0.01,0.02\n")
    commands = [["diagnose", str(analyzed)], ["phases", "log.csv", str(analyzed)], ["report", str(analyzed)]]
    assert modules_after(*commands, folder=tmp_path) & TORCH == set()
    assert (tmp_path / "reports" / "run.html").is_file()


def test_the_package_itself_is_light(tmp_path):
    script = "import sys, grokinterp; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert set(done.stdout.split()) & (TORCH | TABLES | {"numpy", "pydantic", "typer"}) == set()
