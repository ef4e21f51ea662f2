"""An analysis of another package is on the page with one plate: its figure, its caption, and its glossary entry."""

import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from grokinterp.analysis import Entry, analyze
from grokinterp.report import render
from grokinterp.report.chapters import CHAPTERS
from grokinterp.report.plate import Plate
from grokinterp.runs.results import Results
from tests.support.report_page import Page
from tests.support.small_runs import draw_checkpoints

SOURCE = '''
"""Bias of the unembedding."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class UnembeddingNorm(NamedTuple):
    """Norm of the unembedding.

    norm_of_class: L2 norm of the column of each class [1]
    """

    norm_of_class: Float[Tensor, "class"]


def unembedding_norm(checkpoint) -> UnembeddingNorm:
    """Return the L2 norm of each class's column of the unembedding.

    Classes with larger norms are answered more often.

    Source: Elhage et al. 2021, §1.
    """
    return UnembeddingNorm(checkpoint.model.W_U.double().norm(dim=0))
'''


def draw(data, _view) -> Figure:
    figure = Figure()
    figure.add_subplot().plot(data["step"].values, data["norm_of_class"].values)
    return figure


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """The analysis of a package that is installed for one test."""
    package = tmp_path / "planted_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "unembedding.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    from planted_package.unembedding import unembedding_norm

    yield unembedding_norm
    for name in [name for name in sys.modules if name.startswith("planted_package")]:
        del sys.modules[name]


def page_with(run: Path, plate: Plate) -> Page:
    chapters = [
        chapter._replace(plates=(*chapter.plates, plate)) if chapter.name == "structure" else chapter
        for chapter in CHAPTERS
    ]
    return Page(render(Results.open(run), chapters))


def test_one_file_and_one_plate_make_figure_caption_and_glossary_entry(planted, tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=(0, 10))
    plate = Plate(draw, ("unembedding_norm",), "Norms by class", "Norm of each class's column, for {examples}.")
    before = page_with(run.path, plate)
    assert "Norms by class" not in before.figures
    analyze(run, entries=[Entry(planted)])
    page = page_with(run.path, plate)
    assert "Norms by class" in page.figures
    for text in (
        "Norm of each class's column, for pairs.",
        "Unembedding norm",
        "The L2 norm of each class's column of the unembedding.",
        "Classes with larger norms are answered more often.",
        "L2 norm of the column of each class [1]",
        "Source: Elhage et al. 2021, §1",
        "A Mathematical Framework for Transformer Circuits",
    ):
        assert text in page.text
