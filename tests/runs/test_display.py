"""Experiments, runs, checkpoints and results on one line and as a small table, also if damaged or hostile."""

import shutil

import pytest

from grokinterp.experiment import Experiment, Optimization
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.tasks import Composition, ModularAddition, ModularMultiplication, Table
from tests.support.small_runs import TINY, changed, draw_checkpoints

HOSTILE = "<script>alert(1)</script>\n\x1b[31m"
DAMAGED = {
    "status.json": b"{",
    "metrics.jsonl": b"\xff\x00",
    "environment.json": b"[]",
    "experiment.json": b"",
    "analysis/performance.nc": b"damaged",
}


@pytest.fixture
def run(tmp_path) -> Trajectory:
    trajectory = draw_checkpoints(tmp_path / "run")
    trajectory.directory.write_status({"status": "finished", "step": 20})
    return trajectory


def is_one_line(thing) -> bool:
    return repr(thing).isprintable()


def test_an_experiment_names_its_task_model_and_changed_settings():
    assert repr(Experiment()) == "Experiment('run': modular_addition p=113, transformer, 25,000 steps)"
    assert repr(TINY) == (
        "Experiment('tiny': modular_addition p=7, transformer d_model=16 n_heads=2 d_mlp=16, 30 steps, "
        "split.fraction=0.5, optimization.lr=0.02, optimization.weight_decay=0.5, optimization.warmup_steps=5, …)"
    )


def test_an_experiment_is_short_whatever_it_trains():
    rows = tuple(",".join(str((a + b) % 30) for b in range(30)) for a in range(30))
    inner = Composition(inner=ModularMultiplication(p=5), outer=ModularAddition(p=5))
    assert "composition outer.p=5 inner=modular_multiplication p=5" in repr(Experiment(task=inner))
    assert "table rows=30 values" in repr(Experiment(task=Table(rows=rows)))
    assert len(repr(Experiment(task=Table(rows=rows), optimization=Optimization(lr=0.5)))) < 200


def test_a_trajectory_says_what_is_saved(run):
    assert repr(run) == (
        f"Trajectory({str(run.path)!r}: modular_addition p=7, transformer d_model=16 n_heads=2 d_mlp=16, "
        "3 checkpoints, steps 0–20, finished)"
    )


def test_a_single_checkpoint_has_one_step(tmp_path):
    assert "1 checkpoint, step 20, " in repr(draw_checkpoints(tmp_path / "run", steps=(20,)))


def test_a_checkpoint_says_its_step_and_size(run):
    parameters = sum(weight.numel() for weight in run[10].model.parameters())
    assert repr(run[10]) == f"Checkpoint(step 10: modular_addition p=7, Transformer, {parameters:,} parameters)"


def test_results_say_the_verdict_and_what_was_measured(run):
    results = Results.open(run.path)
    assert repr(results) == f"Results({str(run.path)!r}: never memorized, 0 analyses)"
    (run.path / "analysis").mkdir()
    for name in ("performance", "weight_norms"):
        (run.path / "analysis" / f"{name}.nc").write_bytes(b"not read")
    assert "2 analyses: performance, weight_norms" in repr(results)


def test_a_run_without_anything_is_shown(tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=())
    assert repr(run).endswith("0 checkpoints, status unknown)")
    assert repr(Results.open(run.path)).endswith("no metrics yet, 0 analyses)")


@pytest.mark.parametrize("file", DAMAGED)
def test_damaged_runs_are_shown(file, run):
    (run.path / "analysis").mkdir()
    results, checkpoint = Results.open(run.path), run[20]
    (run.path / file).write_bytes(DAMAGED[file])
    for thing in (run, results, checkpoint):
        assert is_one_line(thing)
        assert thing._repr_html_().startswith("<table>")


def test_a_deleted_run_is_shown(run):
    results = Results.open(run.path)
    shutil.rmtree(run.path)
    for thing in (run, results):
        assert str(run.path) in repr(thing)
        assert str(run.path) in thing._repr_html_()


def test_hostile_names_stay_text(tmp_path):
    run = draw_checkpoints(tmp_path / HOSTILE.replace("/", ""))
    for thing in (run, Results.open(run.path)):
        assert is_one_line(thing)
        assert "<script>" not in thing._repr_html_()
        assert "&lt;script&gt;" in thing._repr_html_()


def test_an_html_table_has_a_row_for_each_fact(run):
    html = changed(name="mine")._repr_html_()
    assert "<caption>Experiment</caption>" in html
    assert "<tr><th>name</th><td>&#x27;mine&#x27;</td></tr>" in html
    assert "<tr><th>status</th><td>finished</td></tr>" in run._repr_html_()
