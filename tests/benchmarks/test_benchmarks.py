"""Every benchmark runs, at a size that shows nothing but that it runs."""

import json
from argparse import Namespace

import pytest
import torch

from benchmarks import (
    accelerators,
    busy,
    clusters,
    database,
    demo_analyses,
    demo_seeds,
    gpu,
    infinite_data,
    interventions,
    large_database,
    memory,
    presets,
    queries,
    saving,
    several_answers,
    startup,
    training_memory,
)
from benchmarks.__main__ import run_part
from benchmarks.points import SMALL
from benchmarks.report import results
from benchmarks.turns import take_turns
from grokinterp.experiment.problem import Problem
from grokinterp.training import train
from tests.support.small_league import SMALL as SMALL_LEAGUE
from tests.support.small_runs import TINY, changed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TOY = ["steps=20", "task.p=7", "model.d_model=8", "model.d_mlp=8", "evaluate_every=5", "save.every=10"]


@pytest.mark.slow
def test_the_step_and_the_analyses_are_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # the run is kept under build/
    found = {}
    for part in ("train", "step", "analyses"):
        run_part(Namespace(part=part, small=True, rounds=1, checkpoints=1))
        found[part] = json.loads(capsys.readouterr().out)
    text = results([found["step"]], found["analyses"])
    assert f"end (step {SMALL.steps})" in text
    assert "that run on every checkpoint" in text


def test_the_branches_of_a_run_are_measured(tmp_path, capsys):
    out = tmp_path / "interventions.md"
    out.write_text("# Guide\n\nText.\n\n## Measured\n\nOld.\n")
    interventions.main(["--seeds", "0", "--out", str(out), *TOY])
    text = out.read_text()
    assert text.startswith("# Guide\n\nText.\n\n## Measured\n\nWritten by")
    for name in ("continued on 0.3", "from the start on 0.5", "weight decay 0", "grafted embedding, frozen"):
        assert f"| {name} | " in text
    assert "| key frequency removed | 0 | " in text
    assert "Old" not in text


def test_networks_with_several_answers_are_measured(tmp_path):
    out = tmp_path / "several_answers.md"
    several_answers.main(["--out", str(out), "steps=4", "evaluate_every=2", "save.every=4"])
    text = out.read_text()
    assert text.startswith("# Several answers")
    assert text.count("### ") == 4
    assert text.count("| answer |") == 4
    assert "Strongest induction head: " in text


def test_a_side_that_dies_ends_the_comparison():
    with pytest.raises(RuntimeError, match="the process that measures 'broken' died"):
        take_turns({"broken": broken}, rounds=1, start="fork")


def broken():
    raise ValueError("no run")


def test_inputs_and_labels_can_be_trained_on_after_inference_mode():
    problem = Problem.of(TINY)
    with torch.inference_mode():
        kept = [problem.parts["train"].label, problem.parts["test"].inputs.query, problem.held_out]
    assert not any(tensor.is_inference() for tensor in kept)


def test_the_demo_is_timed_with_other_seeds(tmp_path, capsys):
    demo_seeds.main(["--seeds", "0", "1", "--out", str(tmp_path / "DEMO.md"), *TOY])
    assert capsys.readouterr().out.count("\n| ") == 4


def test_presets_and_accelerators_are_measured(tmp_path):
    found = presets.measure("demo", tmp_path, TOY)
    assert found["steps"] == 20
    assert "20" in presets.row("demo", found)
    assert presets.measure("demo", tmp_path, TOY) == found, "a complete run is not trained again"
    costs = {"pizza": presets.cost("pizza", 0.0)}
    assert costs["pizza"]["hours"] > 0
    text = presets.page({"demo": found}, costs)
    assert "| pizza | 212,608 | 20,000 |" in text
    assert "nanda2023, nanda2023_subtraction" in text
    found["measures"] |= {"gradient_symmetricity": 0.5, "circularity": None}
    against = presets.page({"pizza": found}, costs).partition("## Against the sources")[2]
    assert "| pizza | gradient symmetricity | 0.994 | 0.5 | Zhong" in against
    assert "| pizza | circularity of the embedding | 0.998 | not defined | Zhong" in against
    small = ["steps=20", "task.p=7", "model.hidden=[8]"]
    found = accelerators.measure("OrthoAdamW, float32 cross-entropy", 0, small)
    assert accelerators.line("OrthoAdamW", "0", found | {"test": {}})[2] == "20"


def test_checkpoints_are_timed_and_weighed(tmp_path, capsys):
    train(changed(TINY, save={"every": 5}), tmp_path / "run", device="cpu")
    demo_analyses.main([str(tmp_path / "run"), "--rounds", "1"])
    assert "notebook, float64" in capsys.readouterr().out
    memory.main(["--counts", "2", "3", "--only", "performance", "task.p=7"])
    assert "2 checkpoints" in capsys.readouterr().out
    estimated, used = training_memory.measured(("task.p=53", "model.d_mlp=256"), limit=4)
    assert estimated > 0
    assert used > 0


def test_saving_is_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(saving, "STEPS", {"demo": 2})
    saving.main(["--rounds", "1", "--every", "1", "task.p=7", "model.d_model=8", "model.d_mlp=8"])
    assert "\n| demo | " in capsys.readouterr().out
    assert not list(saving.FOLDER.iterdir())


def test_commands_are_timed(capsys, monkeypatch):
    monkeypatch.setattr(startup, "PYTHON", {"import grokinterp": "import grokinterp"})
    startup.main(["--rounds", "1", "presets"])
    assert "\n| grokinterp presets | " in capsys.readouterr().out


def test_training_is_timed_beside_other_programs(tmp_path):
    document = tmp_path / "page.md"
    document.write_text(f"Steps:\n{busy.BEGIN}\nold\n{busy.END}\nafter\n")
    compared = busy.settings(2)
    rates = busy.measured(compared, [0, 1], seconds=0, rounds=1, overrides=TOY, start="fork")
    assert all(rate > 0 for of in rates.values() for rate in of.values())
    busy.write(busy.result(rates), document)
    alone, beside = (line for line in document.read_text().splitlines() if line[:3] in ("| 0", "| 1"))
    assert [alone.split("|").index(cell) for cell in alone.split("|") if "**" in cell] == [3]
    assert [beside.split("|").index(cell) for cell in beside.split("|") if "**" in cell] == [4]
    assert document.read_text().endswith("<!-- /measured -->\nafter\n")


def test_the_database_is_timed_and_its_page_is_written(tmp_path, capsys):
    database.main(["--runs", "1", "--rows", "20", "--unchanged", "2"])
    shown = capsys.readouterr().out
    assert "build: 20 rows" in shown
    assert "update: 2 unchanged runs" in shown
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n```sql\nSELECT count(*) AS runs FROM runs\n```\n\nAfter.\n")
    queries.main(["--page", str(page), "task.p=7", "steps=20", "evaluate_every=2", "save.every=20"])
    assert page.read_text().splitlines()[6:9] == ["```text", "runs", "8"]


@pytest.mark.parametrize("name", gpu.SECTIONS)
def test_what_a_gpu_will_run_runs_on_the_cpu(name):
    section, _ = gpu.SECTIONS[name]
    found = list(section(torch.device("cpu"), True))
    assert found or name in ("tests", "waits", "out of memory")  # for which only a GPU has results
    assert all(result.get("equal", True) and result.get("identical", True) for result in found)


def test_a_section_that_fails_is_a_line_of_the_table(capsys):
    found = gpu.in_process("speed", "no such device", small=True, limit=60)
    assert "no such device" in found[-1]["failed"]
    assert gpu.in_process("speed", "cpu", small=True, limit=0)[-1]["failed"] == "no time left"
    assert "| speed | failed: exit code 1" in gpu.table("here", {"speed": found})


@pytest.mark.slow
def test_the_cost_of_a_run_of_a_sweep_is_measured(capsys):
    """The engine ray is left out: its cluster takes half a minute to start, and tests/sweeps/test_on_ray.py has one."""
    clusters.main(["--runs", "1", "--workers", "1", "--known", "2", "--engines", "local"])
    out = capsys.readouterr().out
    assert "| `--engine local` | " in out
    assert "a sweep of 2 complete runs: " in out


def test_a_database_is_grown_and_asked(tmp_path, capsys):
    large_database.main(["--rows", "40", "60", "--evaluations", "20", "--folder", str(tmp_path)])
    list(large_database.grown(tmp_path, [40], 20))
    large_database.main(["--existing", str(tmp_path / "large.db")])
    out = capsys.readouterr().out
    assert "| rows | 40 | 60 |" in out
    assert "| rows | 40 |\n" in out
    assert "| a scan of all rows, s | " in out


@pytest.mark.slow
def test_the_league_of_tuned_methods_is_measured(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"a\n{accelerators.TUNED_BEGIN}\nold\n{accelerators.TUNED_END}\nb\n")
    accelerators.tuned(2, 1, tmp_path / "league", base=SMALL_LEAGUE, methods=["adamw", "orthograd"], document=page)
    text = page.read_text()
    assert text.startswith(f"a\n{accelerators.TUNED_BEGIN}\n1 reported seeds; 2 trials of 40 steps per method")
    assert "\n| orthograd | " in text
    assert "old" not in text


def test_finite_and_infinite_data_are_compared(tmp_path):
    infinite_data.main(["--out", str(tmp_path / "page.md"), "steps=4", "evaluate_every=1", "model.hidden=[4]"])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    before = infinite_data.OUT.read_text(encoding="utf-8")
    assert text.partition(infinite_data.BEGINS)[0] == before.partition(infinite_data.BEGINS)[0]
    assert "\n| finite | never | never | " in text
    assert "\n| infinite | never | never | " in text
