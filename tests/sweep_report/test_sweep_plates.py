"""Laws of every plate of a sweep's page: labeled axes inside the figure, captions, the same bytes every time."""

import pytest

from grokinterp.sweep_report.chapters import CHAPTERS
from grokinterp.sweep_report.plate import Absent
from grokinterp.sweep_report.speed import series_times
from grokinterp.sweep_report.study import studies
from grokinterp.sweeps import build_db, open_db
from tests.support.figure_axes import assert_labeled, assert_nothing_leaves
from tests.support.planted_sweeps import boundary, plant, ratios_by_decay

PLATES = {plate.title: plate for chapter in CHAPTERS for plate in chapter.plates}
OWN = (
    "Grok step by setting", "Success rate by setting", "Success rates and critical value",
    "Shift of the critical value",
    "Grok step over the setting", "Survival curves", "Memorization and generalization",
    "Accuracy curves with the spread of the seeds", "Weight norm at the end",
)  # fmt: skip
"""Figures that need the metrics only."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> dict:
    """Studies with two series, with one, and with many of many values."""
    many = [
        {"optimization.weight_decay": decay, "optimization.lr": rate, "seed": 0}
        for decay in (0.1, 0.2, 0.3, 0.5, 1.0) for rate in (0.0001, 0.001, 0.003, 0.01)
    ]  # fmt: skip
    sweeps = {
        "two": (ratios_by_decay([1.0, 3.0], seeds=2), boundary),
        "one": (ratios_by_decay([1.0], seeds=2), boundary),
        "many": (many, lambda change: 5 / change["optimization.lr"]),
    }
    found = {}
    for name, (changes, grok) in sweeps.items():
        root = tmp_path_factory.mktemp(name)
        plant(root, name, changes, grok)
        build_db(root, root / "a.db")
        (found[name],) = studies(open_db(root / "a.db"), root)
    return found


def test_a_fitted_curve_ends_with_the_values_to_which_it_was_fitted(planted):
    study = planted["one"]
    found, drawn = study.shapes[0], series_times(study, 0)
    tried = [drawn.at[drawn.at == value] for value in sorted({*drawn.at})]
    most = [values[0] for values in tried if drawn.observed[drawn.at == values[0]].mean() >= 0.5]
    assert len(most) < len(tried), "at some values, most runs did not grok"
    assert (drawn.curve[0].min(), drawn.curve[0].max()) == pytest.approx((most[0], most[-1]))
    assert found.span == pytest.approx((most[0], most[-1]))


def test_every_plate_has_a_title_of_its_own():
    titles = [plate.title for chapter in CHAPTERS for plate in chapter.plates]
    assert len(set(titles)) == len(titles)
    assert set(titles) >= set(OWN)


@pytest.mark.parametrize("kind", ["two", "one", "many"])
@pytest.mark.parametrize("title", PLATES)
def test_axes_are_labeled_inside_the_figure_and_captions_are_sentences(title, kind, planted):
    plate, study = PLATES[title], planted[kind]
    drawn = plate.draw(study)
    if isinstance(drawn, Absent):
        assert title not in OWN or kind != "two"
        assert not drawn.why.endswith(".")
        return
    assert_labeled(drawn)
    assert_nothing_leaves(drawn)
    assert plate.text(study).endswith(".")


def test_tables_and_sentences_have_no_gaps(planted):
    for study in planted.values():
        for chapter in CHAPTERS:
            table = chapter.table(study)
            assert table is None or all(len(row) == len(table.columns) for row in table.rows)
            sentences = [*chapter.findings(study), *chapter.doubts(study)]
            assert [text for text in sentences if not text.endswith(".") or "nan" in text or "  " in text] == []
