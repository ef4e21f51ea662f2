"""An analysis of this package takes its file, a line in its chapter's table, and a plate."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import grokinterp
from tests.support.report_page import Page

REPOSITORY = Path(__file__).parents[2]

FILE = '''
"""Singular values of the unembedding."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.runs.checkpoint import Checkpoint

RANKS = 3
AXES = {"direction": range(1, RANKS + 1)}


class UnembeddingDirections(NamedTuple):
    """The largest directions of the unembedding.

    unembedding_direction: singular value of W_U, largest first [1]
    """

    unembedding_direction: Float[Tensor, "direction"]


def unembedding_directions(checkpoint: Checkpoint) -> UnembeddingDirections:
    """Return the largest singular values of W_U [d_model, class].

    Source: docs/formulas.md, Geometry.
    """
    return UnembeddingDirections(torch.linalg.svdvals(checkpoint.parameters["unembed.W_U"])[:RANKS])
'''

IMPORT = "from grokinterp.analysis.landscape.unembedding import unembedding_directions as directions\n"
LINE = "    Entry(directions, most=FEW),\n"

PLATE = '''
def directions(data: xr.Dataset, view: View) -> Figure:
    """Draw the largest singular values of the unembedding."""
    values = data["unembedding_direction"]
    lines = [Line(f"direction {k}", values.sel(direction=k), color) for k, color in ((1, "black"), (2, "gray"))]
    return curves("Directions", "singular value [1]", lines, view.phases)


PLATES = (
    Plate(
        directions,
        ("unembedding_directions",),
        "Directions of the unembedding",
        "Largest singular values of the unembedding, at step {step}.",
    ),'''

PLATE_IMPORTS = "from matplotlib.figure import Figure\n\nfrom grokinterp.figures.series import Line, curves\n"

SCRIPT = """
from pathlib import Path

from grokinterp.analysis import analyze, unembedding_directions
from grokinterp.cli import listings
from grokinterp.report import write_report
from tests.support.blank_figures import blank_figures
from tests.support.small_runs import draw_checkpoints

run = draw_checkpoints(Path("run"))
analyze(run, only=["unembedding_directions"])
with blank_figures():
    write_report(run.path)
listings.analyses()
"""


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of this package with an analysis added to its chapter on the landscape."""
    copy = tmp_path / "grokinterp"
    shutil.copytree(Path(grokinterp.__file__).parent, copy)
    (copy / "analysis" / "landscape" / "unembedding.py").write_text(FILE)
    replace(
        copy / "analysis" / "landscape" / "__init__.py", "\nCHAPTER = (\n", f"{IMPORT}\nFEW = 2\n\nCHAPTER = (\n{LINE}"
    )
    replace(copy / "report" / "landscape.py", "\nPLATES = (", PLATE)
    replace(copy / "report" / "landscape.py", "import xarray as xr\n", f"import xarray as xr\n{PLATE_IMPORTS}")
    return copy


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.mark.slow
def test_a_file_a_line_and_a_plate_are_enough(package, tmp_path):
    """The line has a named constant and another name for the function, so that the listing imports the table."""
    paths = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    few = done.stdout.partition("at most 2 checkpoints")[2]
    assert "unembedding_directions" in few
    assert "Return the largest singular values of W_U [d_model, class]." in few
    page = Page((tmp_path / "reports" / "run.html").read_text())
    assert "Directions of the unembedding" in page.figures
    assert "Largest singular values of the unembedding, at step 20. Measured at" in page.text
    assert "The largest singular values of W_U [d_model, class]." in page.text
