"""Laws of every plate: labeled axes inside the figure, the same bytes every time, and nothing drawn from nothing."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.analysis import ENTRIES
from grokinterp.experiment import SaveAt
from grokinterp.experiment.problem import Problem
from grokinterp.report import timeline
from grokinterp.report.chapters import CHAPTERS
from grokinterp.report.content import view_of
from grokinterp.report.plate import Plate, View
from grokinterp.runs.results import Results
from grokinterp.training import train
from tests.cases.analyses import analyze_briefly
from tests.cases.tasks import TASKS
from tests.support.deep_data import deep_analyses
from tests.support.figure_axes import assert_labeled, assert_nothing_leaves
from tests.support.report_data import KINDS, analyses, write_kind, write_run
from tests.support.small_runs import TINY, draw_checkpoints

ALL = [plate for chapter in CHAPTERS for plate in (*chapter.checkpoint_plates, *chapter.plates)]
AT = np.array([0, 1])
PLANTED = analyses(AT, 13).keys() | deep_analyses(AT, 13).keys()
"""Analyses for which tests/support plants values."""

PLATES = {plate.title: plate for plate in (*ALL, *timeline.PLATES) if PLANTED.issuperset(plate.analyses)}
OF_METRICS = {"Curves over the optimizer steps", "Settings over the optimizer steps", "Order of learning"}
"""Figures that need more than analyses."""

OF_A_COURSE = {
    "Grafts", "Loss on the line to the final weights", "Loss barrier on the line to the final weights",
    "Distance of the weights from both ends of training", "Direction of the weights and of their updates",
}  # fmt: skip
"""Figures that need two checkpoints."""

COUNTS = {
    "Verdict on the circuit and its evidence", "Local learning coefficient", "Spectra of the operands",
    "Neurons that are constant on cosets", "Spectra and logits", "Attention patterns", "Embedding circles",
    "Singular values of the weight matrices",
}  # fmt: skip
"""Drawn although every number is NaN, as a verdict, a count or an empty plot."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> View:
    path = write_run(tmp_path_factory.mktemp("runs") / "planted", deep=True, n_heads=4)
    return view_of(Results.open(path))


@pytest.fixture(scope="module")
def by_answers(tmp_path_factory) -> View:
    """A run whose answers alone form a group."""
    path = write_run(tmp_path_factory.mktemp("runs") / "answers", deep=True, without=("irrep_spectrum",))
    return view_of(Results.open(path))


@pytest.fixture
def view(request, planted, by_answers) -> View:
    plate = PLATES[request.node.callspec.params["title"]]
    return by_answers if {"answer_spectrum", "operand_spectrum"} & {*plate.analyses} else planted


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, View]:
    folder = tmp_path_factory.mktemp("kinds")
    return {kind: view_of(Results.open(write_kind(folder / f"{i}", kind))) for i, kind in enumerate(KINDS)}


def drawn(plate: Plate, view: View) -> Figure:
    figure = plate.draw(plate.data(view), view)
    assert figure is not None
    return figure


DRAWN = [title for title in PLATES if title not in ("Settings over the optimizer steps", "Accuracy of each answer")]


def test_every_plate_has_a_title_of_its_own():
    titles = [plate.title for plate in (*ALL, *timeline.PLATES)]
    assert len(set(titles)) == len(titles)
    assert all(title[0].isupper() for title in titles)


def assert_readable(plate: Plate, view: View) -> None:
    """Every axis has a label, nothing leaves the figure, and the caption is a sentence."""
    figure = drawn(plate, view)
    assert_labeled(figure)
    assert_nothing_leaves(figure)
    text = plate.text(plate.data(view), view)
    assert text.endswith(".")
    assert "{" not in text


@pytest.mark.parametrize("title", DRAWN)
def test_every_axis_is_labeled_and_nothing_leaves_the_figure(title, view):
    assert_readable(PLATES[title], view)


def test_a_plate_without_planted_values_draws_what_is_measured(tmp_path):
    """A new plate needs no line in tests/support."""
    others = [plate for plate in ALL if not (PLANTED.issuperset(plate.analyses) or plate.of_some)]
    names = {name for plate in others for name in plate.analyses}
    results = analyze_briefly(draw_checkpoints(tmp_path / "run"), only=names or ["performance"])
    for plate in others:
        assert_readable(plate, view_of(results))


@pytest.mark.parametrize("task", ["sum of three", "operators", "ambiguous", "recurrence"])
def test_plates_of_some_tasks_draw_what_is_measured_there(task, tmp_path):
    experiment = replace(TINY, task=TASKS[task])
    steps = draw_checkpoints(tmp_path / "run", experiment)
    some = [plate for plate in ALL if plate.of_some]
    where = {entry.name: entry.where for entry in ENTRIES}
    problem = Problem.of(experiment)
    there = [plate for plate in some if all(where[name](problem) for name in plate.analyses)]
    assert there
    results = analyze_briefly(steps, only=[name for plate in there for name in plate.analyses])
    for plate in there:
        assert_readable(plate, view_of(results))
    assert not [plate for plate in some if plate not in there and plate.picture(view_of(results))]


@pytest.mark.parametrize(("kind", "title"), [
    ("group by MLP", "Spectra and logits"), ("three operands", "Attention patterns"),
    ("division", "Attention patterns"), ("label noise", "Curves over the optimizer steps"),
    ("group by MLP", "Effective rank of the weight matrices"),
    ("group by MLP", "Singular values of the weight matrices"),
])  # fmt: skip
def test_plates_fit_every_kind_of_run(kind, title, kinds):
    figure = drawn(PLATES[title], kinds[kind]._replace(steps=kinds[kind].steps[:2]))
    assert_labeled(figure)
    assert_nothing_leaves(figure)


@pytest.mark.parametrize("title", DRAWN)
def test_nothing_is_drawn_from_nothing(title, view):
    plate, nothing = PLATES[title], xr.Dataset(coords={"step": np.array([], dtype=np.int64)})
    assert title in OF_METRICS or plate.draw(nothing, view) is None


@pytest.mark.parametrize("title", DRAWN)
def test_one_checkpoint_and_values_that_are_not_finite(title, view):
    plate = PLATES[title]
    data = plate.data(view)
    nan = data.map(lambda values: values.where(False) if values.dtype.kind == "f" else values)
    last = view._replace(steps=view.steps[-1:])
    for changed, seen in ((data.isel(step=slice(-1, None)), last), (nan, view)):
        figure = plate.draw(changed, seen)
        assert figure is None or figure.draw_without_rendering() is None
        assert figure is None or seen is view or title not in OF_A_COURSE
    assert (plate.draw(nan, view) is None) == (title not in COUNTS | OF_METRICS)


@pytest.mark.parametrize("title", [plate.title for plate in (timeline.PLATES[0], *CHAPTERS[0].checkpoint_plates)])
def test_the_same_data_give_the_same_bytes(title, view):
    once, again = (figures.to_svg(drawn(PLATES[title], view)) for _ in range(2))
    assert once == again
    assert b"<dc:date>" not in once
    ElementTree.fromstring(once)


def test_drawing_changes_no_setting_of_matplotlib_and_leaves_no_figure_with_pyplot(planted):
    from matplotlib import pyplot

    before = dict(mpl.rcParams)
    figures.to_svg(drawn(PLATES["Softmax collapse"], planted))
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


def test_the_accuracies_of_several_answers_are_drawn(tmp_path):
    train(replace(TINY, task=TASKS["sort"], steps=4, evaluate_every=2, save=SaveAt(every=4)), tmp_path / "run")
    plate = PLATES["Accuracy of each answer"]
    assert_readable(plate, view_of(Results.open(tmp_path / "run")))
    assert plate.picture(view_of(Results.open(draw_checkpoints(tmp_path / "single").path))) is None
