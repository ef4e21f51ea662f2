"""The explorer of a run: its views, its slider, a part of a run, damaged checkpoints; the guide to figures."""

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import grokinterp
from grokinterp.cli import drawing
from grokinterp.cli.entry import code_of
from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from tests.support.small_runs import draw_checkpoints

ROOT = Path(__file__).resolve().parents[2]
ANALYSES = (
    "pair_answers",
    "embedding_spectrum",
    "embedding_circles",
    "neuron_frequencies",
    "logit_map",
    "attention_map",
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    run = draw_checkpoints(tmp_path_factory.mktemp("explorer") / "run")
    grokinterp.analyze(run, only=ANALYSES)
    return run.path


class Explored:
    """The parts of an explorer."""

    def __init__(self, run) -> None:
        controls, *curves, self.menu, self.picture = grokinterp.explore(run).children
        self.play, self.slider = controls.children
        self.curves = curves[0] if curves else None

    @property
    def title(self) -> str:
        return self.picture.layout.title.text


def test_every_analysis_and_weight_has_its_views(path):
    options = Explored(path).menu.options
    assert options[0] == "Embedding spectrum"
    assert {"Neurons", "Logits by label", "Attention to a, head 0", "Attention to a, head 1"} <= set(options)
    assert {"Weights embed.W_E", "Weights blocks.0.attn.W_Q"} <= set(options)


def test_the_slider_moves_every_view(path):
    shown, run = Explored(path), Trajectory.open(path)
    results = run.results
    for name in shown.menu.options:
        shown.menu.value = name
        for step in (0, 10, 20):
            shown.slider.value = step
            assert shown.title == f"{name}, step {step}"
    shown.menu.value, shown.slider.value = "Logits by label", 10
    assert np.allclose(shown.picture.data[0].z, results.dataset["logit_by_label"].sel(step=10))
    shown.menu.value = "Weights unembed.W_U"
    assert np.allclose(shown.picture.data[0].z, run.weights(10).state["unembed.W_U"])
    assert shown.curves.layout.shapes[-1].x0 == 10


def test_a_part_of_a_run_has_its_own_steps(path):
    shown = Explored(Trajectory.open(path)[5:])
    assert [step for _, step in shown.slider.options] == [10, 20]


def test_a_run_that_was_not_analyzed_shows_its_weights(tmp_path):
    shown = Explored(draw_checkpoints(tmp_path / "run"))
    assert all(name.startswith("Weights ") for name in shown.menu.options)


def test_a_damaged_checkpoint_is_named(tmp_path):
    run = draw_checkpoints(tmp_path / "run")
    shown = Explored(run)
    run.directory.checkpoint_path(10).write_bytes(b"damaged")
    shown.slider.value = 10
    assert "checkpoint" in shown.title
    shown.slider.value = 0
    assert shown.title == "Weights embed.W_E, step 0"


def test_a_run_without_anything_is_refused(tmp_path, path):
    with pytest.raises(RunDirectoryError, match="has neither results nor checkpoints to explore"):
        grokinterp.explore(draw_checkpoints(tmp_path / "run", steps=()))
    copied = shutil.copytree(path, tmp_path / "results")
    shutil.rmtree(copied / "checkpoints")
    assert "Neurons" in Explored(copied).menu.options


def test_without_ipywidgets_one_line_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(GrokinterpError, match=r'ipywidgets is not installed, .* pip install "grokinterp\[notebooks\]"'):
        grokinterp.explore(path)


def test_the_commands_of_the_guide_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(drawing, "analyzed", Results.open)  # the other analyses would take a minute
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "seed3").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    guide = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    for line in re.findall(r"^grokinterp (.*?)(?: +#.*)?$", guide, re.MULTILINE):
        words = shlex.split(line)
        few = ["--only", "weights_embed.W_E"] if words[0] == "figures" and "--only" not in words else []
        assert code_of([*words, *few]) == 0
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {
        "index.csv", "structure_prediction_field.csv", "structure_prediction_field.pdf",
        "weights_embed.W_E.csv", "weights_embed.W_E.pdf", "weights_embed.W_E.png",
    }  # fmt: skip
    assert "figures: 2 figures with their data, listed in index.csv" in capsys.readouterr().out
    assert (tmp_path / "seed3.gif").stat().st_size > 1000


def test_the_code_of_the_documents_runs(path, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "seed3").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    guide = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "figures.md").read_text(encoding="utf-8"), re.DOTALL)
    readme = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for blocks in (guide, readme[:2]):
        names = {}
        for block in blocks:
            exec(compile(block, "guide.md", "exec"), names)
        assert len(names["results"].to_frame()) == 3
    assert (tmp_path / "seed3.csv").read_text().startswith("step,")
