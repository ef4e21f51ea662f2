"""The command line: what it prints, its exit codes, and one line for everything a user can get wrong."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from grokinterp import presets
from grokinterp.analysis import analyze
from grokinterp.cli.entry import run as run_command_line
from grokinterp.experiment import Experiment
from grokinterp.models import MODELS
from grokinterp.presets import Preset
from grokinterp.report import write_report
from grokinterp.runs.trajectory import Trajectory
from grokinterp.tasks import TASKS
from grokinterp.training import train
from tests.support.small_runs import TINY, changed, draw_checkpoints, written
from tests.support.summary_lines import SUMMARY
from tests.support.warm_cli import Done

SMALL = ["task.p=7", "model.d_model=16", "model.n_heads=2", "model.d_mlp=16", "steps=20", "save.every=5"]
SMALL += ["split.pairs=unordered"]  # nothing to diagnose
FEW = changed(save={"every": 100, "dense_until": 0, "transition_every": 100}, steps=6)
"""A run of two checkpoints, because every analysis runs on both."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty folder to work in, and a process that is left as it was."""
    place = tmp_path / "folder"
    place.mkdir()
    monkeypatch.chdir(place)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield place


@pytest.fixture
def grokinterp(monkeypatch, capsys):
    """The command line in this process, without its signals."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["grokinterp", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        code = ended.value.code
        return Done(0 if code is None else int(code), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return train(TINY, tmp_path_factory.mktemp("finished") / "run", device="cpu").path


def one_line(done: Done) -> str:
    """The one line of standard error; nothing on standard output; exit code 2."""
    assert (done.code, done.out) == (2, ""), done
    assert done.err.endswith("\n")
    assert done.err.count("\n") == 1, done.err
    assert done.err[:-1].isprintable()
    return done.err[:-1]


# --- messages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["train", "--help"], ["analyze", "--help"], ["report", "--help"]]
)
def test_help_is_printed(arguments, grokinterp):
    done = grokinterp(*arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.lstrip().startswith("Usage: ")
    assert len(done.out.splitlines()) > 5


def test_the_help_describes_every_command_in_a_whole_sentence(grokinterp):
    described = grokinterp("--help").out.partition("Commands:")[2]
    assert "train" in described
    assert "..." not in described


def test_every_preset_has_a_line(grokinterp):
    listed = grokinterp("presets")
    assert (listed.code, listed.err) == (0, "")
    assert [line.split()[0] for line in listed.out.splitlines()] == list(presets.PRESETS)


@pytest.mark.parametrize(("verb", "classes"), [("tasks", TASKS), ("models", MODELS)])
def test_tasks_and_models_are_listed_with_every_parameter_as_an_override(grokinterp, verb, classes):
    listed = grokinterp(verb)
    assert (listed.code, listed.err) == (0, "")
    heads = [line for line in listed.out.splitlines() if not line.startswith(" ")]
    assert heads == [f"{kind}: {cls.about}" for kind, cls in classes.items()]
    for part in listed.out.replace("\n    ", " ").splitlines():
        kind, _, rest = part.partition(": ")
        written = [word for word in rest.removeprefix(classes[kind].about).split() if not word.startswith("path=")]
        assert {word.split("=")[0].split(".")[0] for word in written} | {"kind", "path"} >= {
            field.name for field in fields(classes[kind])
        }
        if kind != "table":
            table = verb.removesuffix("s")
            made = Experiment().override([f"{table}.kind={kind}", *(f"{table}.{word}" for word in written)])
            assert getattr(made, table) == classes[kind]()


# --- the line from training to the report ----------------------------------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_train_analyze_and_report(grokinterp, folder):
    small = [*SMALL, "save.every=20", "name=mine", "seed=3"]
    done = grokinterp("train", *small, "--device", "cpu")
    assert done.code == 0, done.err
    (run,) = folder.glob("checkpoints/mine-*")
    assert re.fullmatch(r"mine-[0-9a-f]{10}", run.name)
    assert done.out == f"checkpoints/{run.name}: 2 checkpoints, finished at step 20\n"
    assert re.search(r"training 20/20, [\d.]+/s, 0 s left", done.err)
    assert Trajectory.open(run).experiment == Experiment().override(small)

    done = grokinterp("analyze", run, "--every", 1)
    assert done.code == 0, done.err
    assert list(dict.fromkeys(line[:18].strip() for line in done.out.splitlines())) == SUMMARY
    assert re.search(r"^analyzing (\d+)/\1, [\d,.]+/s, 0 s left$", done.err, re.MULTILINE)

    done = grokinterp("analyze", run, "--every", 1, "--json")
    summary = json.loads(done.out)
    assert set(summary) >= {"run", "steps", "phases", "skipped", "measures"}
    assert summary["steps"] == [0, 20]
    assert done.err == ""

    done = grokinterp("report", run, "--out", "deep/report.html")
    assert done.code == 0, done.err
    assert done.out == "deep/report.html\n"
    page = Path("deep/report.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    done = grokinterp("report", run)
    assert Path(f"reports/{run.name}.html").read_text() == page


def test_train_from_a_file_with_overrides(grokinterp):
    Path("mine.toml").write_text("steps = 10\nevaluate_every = 5\n[task]\np = 5\n[model]\nd_model = 8\nd_mlp = 8\n")
    done = grokinterp("train", "--config", "mine.toml", "task.p=7", "--out", "run", "--device", "cpu")
    assert done.code == 0, done.err
    experiment = Trajectory.open("run").experiment
    assert (experiment.task.p, experiment.steps, experiment.model.d_model) == (7, 10, 8)


def test_train_from_a_preset(grokinterp, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "tiny", Preset(TINY, "tiny"))
    done = grokinterp("train", "--preset", "tiny", "steps=6", "--device", "cpu", "--out", "run")
    assert done.code == 0, done.err
    assert Trajectory.open("run").experiment == changed(steps=6)


def test_resume_needs_no_configuration(grokinterp, finished):
    before = written(finished)
    assert grokinterp("train", "--out", finished, "--resume", "--device", "cpu").code == 0
    assert written(finished) == before
    line = one_line(grokinterp("train", "--out", finished, "--resume", "seed=5", "steps=7", "--device", "cpu"))
    assert "was trained with another configuration: seed=0 there, 5 here; only steps, " in line


def contents(folder: Path) -> dict[str, bytes]:
    """The content of every file under a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.usefixtures("quick")
def test_a_second_demo_neither_trains_nor_analyzes(grokinterp, monkeypatch, folder):
    monkeypatch.setitem(presets.PRESETS, "demo", Preset(FEW, "tiny"))
    first = grokinterp("demo")
    assert first.code == 0, first.err
    *summary, blank, report, run = first.out.splitlines()
    assert [line for line in summary if line.startswith("verdict  ")]
    assert blank == ""
    assert report == f"report  {folder.resolve()}/reports/demo.html"
    assert re.search(r"^analyzing (\d+)/\1, ", first.err, re.MULTILINE)
    run = Path(run.split()[1])
    before, saved = contents(folder), [file.stat().st_mtime_ns for file in run.glob("checkpoints/*")]
    again = grokinterp("demo")
    assert (again.code, again.out) == (0, first.out)
    assert all(" 0.0/s" in line for line in re.findall(r"^training .*$", again.err, re.MULTILINE))
    assert "analyzing" not in again.err
    assert [file.stat().st_mtime_ns for file in run.glob("checkpoints/*")] == saved
    after = contents(folder)
    changed_files = {name for name in before | after if before.get(name) != after.get(name)}
    notes = ("lock", "analysis/lock", "analysis/complete.json")  # last holder, last holder, times of files
    assert changed_files <= {str(run / name) for name in notes}


@pytest.mark.usefixtures("quick")
def test_a_damaged_checkpoint_is_skipped_named_counted_and_left_alone(grokinterp, tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=(0, 10, 20, 30))
    truncated, flipped = (run.directory.checkpoint_path(step) for step in (10, 20))
    truncated.write_bytes(truncated.read_bytes()[:-7])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    done = grokinterp("analyze", run.path, "--json", "--only", "performance, weight_norms")
    assert done.code == 0
    summary = json.loads(done.out)
    assert [entry["step"] for entry in summary["skipped"]] == [10, 20]
    assert all(len(entry["reason"]) > 10 for entry in summary["skipped"])
    assert summary["steps"] == [0, 30]
    *_, first, second, count = done.err.splitlines()
    assert first.startswith("skipped checkpoint 10: truncated")
    assert second.startswith("skipped checkpoint 20: ")
    assert count == "2 damaged checkpoints skipped"
    page = write_report(run.path, tmp_path / "damaged.html").read_text(encoding="utf-8")
    assert "2 damaged checkpoint" in page
    assert all(entry["reason"].split(":")[0] in page for entry in summary["skipped"])
    assert flipped.read_bytes() == bytes(content)


def test_a_file_that_is_left_out_is_named_once(grokinterp, finished, tmp_path):
    status = shutil.copytree(finished, tmp_path / "run") / "status.json"
    status.write_text(status.read_text().replace("finished", "finishes"))
    done = grokinterp("analyze", status.parent, "--json", "--only", "weight_norms")
    assert done.code == 0
    (line,) = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert line == f"warning: {status} is left out: damaged: its content does not match its digest"
    assert [found["file"] for found in json.loads(done.out)["left_out"]] == ["status.json"]


def test_a_diverged_run_is_an_error(grokinterp):
    squares = ["model.n_layers=3", "model.act_fn=quadratic", "optimization.init_scale=1000"]
    done = grokinterp("train", *SMALL, *squares, "--out", "run", "--device", "cpu")
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"error: run diverged at step 0: .*", done.err.splitlines()[-1])
    assert "diagnosis         The loss is no longer finite" in done.err.splitlines()


def test_a_warning_is_one_line(grokinterp, finished, monkeypatch, tmp_path):
    monkeypatch.setitem(presets.PRESETS, "tiny", Preset(TINY, "tiny"))
    train(TINY, tmp_path / "run", device="cpu")
    newest = tmp_path / "run" / "resume" / "step_00000030.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    done = grokinterp("train", "--preset", "tiny", "--out", tmp_path / "run", "--resume", "--device", "cpu")
    assert done.code == 0
    assert done.err.splitlines()[0].startswith("warning: resume state step_00000030.safetensors skipped: truncated")
    assert written(tmp_path / "run") == written(finished)


# --- bad input -------------------------------------------------------------------------------------------------------

BAD = {
    "task.p=1": "config error: task.p=1: must be an integer from 3 to 1000",
    "task.p=2": "config error: task.p=2: must be an integer from 3 to 1000",
    "task.p=seven": "config error: task.p=seven: input should be a valid integer",
    "sead=1": "config error: sead=1: unknown key",
    "split.fraction=0": "config error: split.fraction=0.0: must lie strictly between 0 and 1",
    "split.fraction=1": "config error: split.fraction=1.0: must lie strictly between 0 and 1",
    "model.n_heads=3": "config error: model.n_heads=3: must divide d_model=128 (or give d_head)",
    "optimization.lr=0": "config error: optimization.lr=0.0: must be positive and below 10",
    "optimization.lr=nan": "config error: optimization.lr=nan: input should be a finite number",
    "name=../../etc": "config error: name=../../etc: must be 1-64 letters, digits, '.', '_' or '-', "
    "not starting with a sign",
    "model.d_mlp=65536 model.d_model=65536": "config error: model=",
    "p": "config error: override=p: must be written key=value",
    "--preset nanda": "config error: preset=nanda: must be one of demo, nanda2023",
    "--config nowhere.toml": "config error: config=nowhere.toml: no such file or directory",
    "--preset demo --config x.toml": "config error: config=x.toml: give --preset or --config, not both",
    "--device tpu": "config error: device=tpu: must be auto, cpu or cuda",
    "--resume": "error: run directory checkpoints/run-",
    "--resume --out nowhere": "error: run directory nowhere: does not exist",
    "--seed 3": "error: No such option: --seed",
    "--out": "error: Option '--out' requires an argument.",
}


@pytest.mark.parametrize("arguments", BAD)
def test_a_bad_configuration_is_one_line_and_nothing_is_created(arguments, grokinterp, folder):
    assert one_line(grokinterp("train", *arguments.split())).startswith(BAD[arguments])
    assert list(folder.iterdir()) == []


def test_missing_cuda_is_one_line_and_nothing_is_created(grokinterp, folder, tmp_path_factory, monkeypatch):
    run = draw_checkpoints(tmp_path_factory.mktemp("drawn") / "run")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    why = "config error: device=cuda: PyTorch finds no CUDA device on this machine"
    assert one_line(grokinterp("train", *SMALL, "--device", "cuda")) == why
    assert one_line(grokinterp("analyze", run.path, "--device", "cuda")) == why
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", ["task.p = 1", "task: {p: 1}", "[task]\nq = 1", "\0", "[" * 10_000])
def test_a_bad_file_is_one_line_and_nothing_is_created(content, grokinterp, folder):
    Path("bad.toml").write_text(content)
    assert one_line(grokinterp("train", "--config", "bad.toml")).startswith("config error: ")
    assert [path.name for path in folder.iterdir()] == ["bad.toml"]


def test_a_taken_directory_is_refused_and_left_alone(grokinterp, finished):
    before = written(finished)
    line = one_line(grokinterp("train", *SMALL, "--out", finished))
    rule = "contains a run: continue it with --resume, or choose another --out"
    assert line == f"error: run directory {finished}: {rule}"
    assert written(finished) == before
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("precious")
    assert "is not empty: it holds 'notes.txt'" in one_line(grokinterp("train", *SMALL, "--out", "mine"))
    Path("file").write_text("precious")
    assert "cannot be used" in one_line(grokinterp("train", *SMALL, "--out", "file"))
    assert Path("file").read_text() == Path("mine/notes.txt").read_text() == "precious"


def test_a_directory_that_cannot_be_made_is_one_line(grokinterp):
    assert one_line(grokinterp("train", *SMALL, "--out", "/proc/nowhere/run")).startswith("error: cannot write /proc")


@pytest.mark.parametrize("verb", ["analyze", "report"])
def test_what_is_no_run_is_one_line(verb, grokinterp, folder):
    assert one_line(grokinterp(verb, "nowhere")) == "error: run directory nowhere: does not exist"
    Path("empty").mkdir()
    assert one_line(grokinterp(verb, "empty")).endswith("is not a run directory: it has no experiment.json")
    Path("damaged").mkdir()
    for content in ("{", "[]", '{"task": {"p": 1}}', '{"x": NaN}', "\0" * 100):
        Path("damaged/experiment.json").write_text(content)
        assert re.match(r"(config )?error: ", one_line(grokinterp(verb, "damaged")))
    assert one_line(grokinterp(verb)) == "error: Missing argument 'RUN_DIR'."
    assert not list(folder.rglob("*.nc"))


@pytest.mark.usefixtures("quick")
def test_a_report_without_checkpoint_files_shows_the_stored_results(grokinterp, tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    analyze(run, only=["performance"])
    for step in run.steps:
        run.directory.checkpoint_path(step).unlink()
    done = grokinterp("report", str(run.path))
    assert done.code == 0
    assert "cannot be updated" in done.err
    assert Path("reports/run.html").is_file()


def test_bad_arguments_of_analyze_are_one_line(grokinterp, finished):
    refused = one_line(grokinterp("analyze", finished, "--only", "perfomance"))
    assert refused.startswith("config error: only=perfomance: must be one of ")
    assert " performance, " in refused
    assert one_line(grokinterp("analyze", finished, "--only", "")).startswith("config error: only=: must be one of ")
    assert (
        one_line(grokinterp("analyze", finished, "--every", "0")) == "config error: every=0: must be an integer from 1"
    )
    assert "Invalid value for '--every'" in one_line(grokinterp("analyze", finished, "--every", "x"))
    assert one_line(grokinterp("analyze", finished, "--device", "x")).startswith("config error: device=x")
    assert not (finished / "analysis").exists()


def test_a_run_without_a_readable_checkpoint_is_one_line(grokinterp, tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=(0, 10))
    for step in run.steps:
        run.directory.checkpoint_path(step).write_bytes(b"not a checkpoint")
    for verb in ("analyze", "report"):
        line = one_line(grokinterp(verb, run.path))
        assert line == f"error: run directory {run.path}: has no readable checkpoint (2 damaged)"


@pytest.mark.parametrize("verb", ["trian", "", "../train", "\x1b[2J"])
def test_an_unknown_command_is_one_line(verb, grokinterp):
    assert "No such command" in one_line(grokinterp(verb))


def test_an_error_of_the_system_is_one_line(grokinterp, finished, monkeypatch):
    def full(*_: object, **__: object):
        raise OSError(28, "No space left on device", "/full")

    monkeypatch.setattr("grokinterp.analysis.analyze", full)
    assert one_line(grokinterp("analyze", finished)) == "error: /full: No space left on device"


def test_an_interrupted_command_says_so(grokinterp, finished, monkeypatch):
    def interrupted(*_: object, **__: object):
        raise KeyboardInterrupt

    monkeypatch.setattr("grokinterp.analysis.analyze", interrupted)
    assert grokinterp("analyze", finished) == Done(130, "", "interrupted\n")


def test_the_installed_command_and_the_module_are_the_same(root):
    for command in ([sys.executable, "-m", "grokinterp"], [str(Path(sys.executable).with_name("grokinterp"))]):
        done = subprocess.run([*command, "train", "task.p=1"], cwd=root, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "config error: task.p=1: must be an integer from 3 to 1000\n"
