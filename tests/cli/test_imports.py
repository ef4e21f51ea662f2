"""Imports of commands: listings, help and errors are light; diagnoses, phases and finished reports need no torch."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from grokinterp.analysis import analyze
from grokinterp.experiment import Experiment
from grokinterp.runs.completeness import mark_complete
from grokinterp.storage import RunDirectory
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
    listings = [[name] for name in ("presets", "sweeps", "tasks", "models", "edits", "methods", "analyses")]
    help_texts = [["--help"], ["--version"], ["train", "--help"]]
    errors = [["train", "task.p=1"], ["train", "--preset", "none"], ["league", "task.p=1"]]
    before = processor_seconds()
    modules = modules_after(*listings, *help_texts, *errors, folder=tmp_path)
    assert modules & (TORCH | TABLES) == set()
    assert "grokinterp.league.methods" in modules  # the commands did run
    assert processor_seconds() - before < 3


def processor_seconds() -> float:
    """Return the processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


ERRORS = """
import contextlib, io, json, sys
from grokinterp.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv, printed, before = ["grokinterp", *arguments], io.StringIO(), set(sys.modules)
    with contextlib.redirect_stderr(printed):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, printed.getvalue(), *(set(sys.modules) - before)]))
"""

MISTAKES = {
    "train --device tpu": "config error: device=tpu: must be auto",
    "train --log foo": "config error: log=foo: must be one of tensorboard",
    "train --resume": "error: run directory checkpoints/run-",
    "train --resume --out nowhere": "error: run directory nowhere: does not exist",
    "train --out run": "error: run directory run: contains a run",
    "train --out full": "error: run directory full: is not empty",
    "train model.kind=recorded": "config error: model.kind=recorded: cannot be trained here",
    "train optimization.filters=[egd,{kind=foo}]": "config error: optimization.filters.1.kind=foo: must be one of",
    "league --methods foo": "config error: methods=foo: must be one of adamw",
    "league --methods adamw,egd,adamw": "config error: methods=adamw: must be given once",
    "league --seeds 0": "config error: seeds=0: must be an integer from 1",
    "league --jobs -1": "config error: jobs=-1: must be an integer from 1",
    "league --patience -1": "config error: patience=-1: must be an integer from 1",
    "league steps=10": "config error: steps=10: gives 3 evaluations",
    "league model.kind=recorded": "config error: model.kind=recorded: cannot be trained here",
    "sweep": "config error: sweep=: needs a named sweep, a file, or axes",
    "sweep foo": "config error: sweep=foo: must be one of exp1_weight_decay",
    "sweep foo.toml": "config error: config=foo.toml: no such file",
    "sweep exp3_prime --scale tiny": "config error: scale=tiny: must be one of full, small",
    "sweep exp3_prime task.p=5,1": "config error: sweep=exp3_prime: the run with task.p=1 is impossible: task.p=1:",
    "sweep exp3_prime --engine mpi": "config error: engine=mpi: must be one of local, stack, ray",
    "sweep exp3_prime --seeds 0": "config error: seeds=0: must be an integer from 1",
    "sweep exp3_prime --workers 0": "config error: workers=0: must be an integer from 1",
    "sweep exp3_prime --out run": "error: run directory run: is a run",
    "sweep exp2_hidden_dim model.d_mlp=5": "config error: model.d_mlp=5: is set by the axis",
    "sweep seed=1,2 --name a/b": "config error: name=a/b: must be 1-64 letters",
    "analyze run --only foo": "config error: only=foo: must be one of",
    "analyze run --every 0": "config error: every=0: must be an integer from 1",
    "analyze run --every 2 --last": "config error: every=2: give it or --last, not both",
    "figures run --out out --format jpg": "config error: format=jpg: must be one of png, svg, pdf",
    "figures run --out out --steps 1,x": "config error: steps=x: must be steps, as in --steps 0,100,2000",
    "animate run --out run.png": "config error: out=run.png: must end in .gif or .mp4",
    "animate run --out run.gif --frames 1": "config error: frames=1: must be from 2 to 2000",
    "analyze run --device tpu": "config error: device=tpu: must be auto",
    "analyze nowhere": "error: run directory nowhere: does not exist",
    "branch nowhere": "error: run directory nowhere: does not exist",
    "branch run": "config error: step=none: must be given",
    "branch run --step 7": "config error: origin.step=7: was not saved; run has none",
    "branch run --step 7 origin.edits=[{kind=foo}]": "config error: origin.edits.0.kind=foo: must be one of graft,",
    "train --resume --out run seed=1": "error: run directory run: was trained with another configuration",
    "llc nowhere": "error: run directory nowhere: does not exist",
    "llc run --out a.png": "config error: out=a.png: is for the map",
    "report nowhere": "error: run directory nowhere: does not exist",
    "diagnose nowhere": "error: run directory nowhere: does not exist",
    "verify nowhere": "error: run directory nowhere: is not a directory",
    "verify full": "error: run directory full: contains no release",
    "runs nowhere": "config error: root=nowhere: does not exist",
    "runs full": "config error: root=full: contains no run",
    "compare nowhere": "config error: runs=nowhere: does not exist",
    "compare run": "config error: runs=run: is a single run: a comparison needs at least 2",
    "compare run run": "config error: runs=run: is given twice",
    "compare run full --out a.x": "config error: out=a.x: must end in .html",
    "export nowhere x": "error: run directory nowhere: does not exist",
    "export run x --to onnx": "config error: to=onnx: must be one of hf, transformer-lens",
    "cite nowhere": "error: run directory nowhere: does not exist",
    "cite run --out full": "config error: out=full: is a directory",
    "gallery nowhere": "config error: root=nowhere: does not exist",
    "gallery full": "config error: root=full: contains no run",
    "gallery run": "config error: root=run: is a run",
    "gallery --out full": "config error: out=full: is a directory",
    "watch nowhere --wait 0": "error: run directory nowhere: does not exist, after 0 seconds of waiting",
    "watch run --every 0": "config error: every=0.0: must be at least 0.1 seconds",
    "watch run --wait -1": "config error: wait=-1.0: must be a number of seconds from 0",
    "watch run --out full": "config error: out=full: is a directory",
    "watch full": "error: run directory full: is not a run directory",
    "watch run --wait 0": "error: run directory run: has not begun: no process is writing to it",
    "sweep-report nowhere": "config error: root=nowhere: does not exist",
    "sweep-report full": "config error: root=full: contains no run",
    "sweep-report run --out full": "config error: out=full: is a directory",
    "sweep-report run --out a.x": "config error: out=a.x: must end in .html",
    "sweep-report run --db full": "config error: db=full: is a directory",
    "db build nowhere": "config error: root=nowhere: does not exist",
    "db update run": "config error: db=experiments.db: does not exist",
    "db query select": "config error: db=experiments.db: does not exist",
}
"""Command lines with one mistake each, and the beginning of the line that they print."""


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory) -> dict[str, tuple[int, str, set[str]]]:
    """Exit code, standard error and newly loaded modules of every mistaken command, all run in one process."""
    folder = tmp_path_factory.mktemp("mistakes")
    RunDirectory.create(folder / "run", Experiment().to_dict(), {})
    (folder / "full").mkdir()
    (folder / "full" / "note.txt").touch()
    call = [sys.executable, "-c", ERRORS, json.dumps([command.split() for command in MISTAKES])]
    done = subprocess.run(call, capture_output=True, text=True, cwd=folder, timeout=120, check=True)
    answers = map(json.loads, done.stdout.splitlines())
    return {command: (code, err, set(new)) for command, (code, err, *new) in zip(MISTAKES, answers, strict=True)}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_loads_nothing_heavy(mistaken, command):
    code, err, loaded = mistaken[command]
    assert err.startswith(MISTAKES[command])
    assert (code, err.count("\n")) == (2, 1)
    assert loaded & (TORCH | TABLES) == set()


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
    commands += [["db", "build", str(analyzed)], ["db", "query", "SELECT * FROM runs"]]
    assert modules_after(*commands, folder=tmp_path) & TORCH == set()
    assert (tmp_path / "reports" / "run.html").is_file()


def test_runs_are_listed_without_tables(analyzed, tmp_path):
    assert modules_after(["runs", str(analyzed)], folder=tmp_path) & (TORCH | TABLES) == set()


def test_the_package_itself_is_light(tmp_path):
    script = "import sys, grokinterp; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert set(done.stdout.split()) & (TORCH | TABLES | {"numpy", "pydantic", "typer", "sqlite3"}) == set()
