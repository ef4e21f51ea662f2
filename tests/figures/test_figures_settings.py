"""Figures of settings that training changed (rates, batches, λ, curriculum), and of averaged weights."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from grokinterp import figures
from grokinterp.figures.settings import SETTINGS, changing, unchanged
from grokinterp.numbers import number
from grokinterp.report.content import curves, view_of
from grokinterp.report.plate import View
from grokinterp.report.timeline import settings_caption
from grokinterp.report.vocabulary import Vocabulary
from grokinterp.runs.datasets import LONG_NAMES, metrics_table
from grokinterp.runs.results import Results
from grokinterp.storage import MetricsTable
from tests.support import report_data

STEPS = np.arange(0, 3001, 10)
WARMED = np.minimum(1e-3, 1e-4 * (STEPS + 1))
CHANGED = {
    "learning_rate": WARMED * (1 + np.cos(np.pi * STEPS / 3100)) / 2,
    "weight_decay": np.where(STEPS < 1000, 1.0, 4.0),
    "batch_size": 8.0 * 2 ** (STEPS // 1000),
    "lamb": np.where(STEPS < 2000, 2.0, 3.0),
    "examples": np.minimum(85, 10 + STEPS // 20),
}


def table(**columns: np.ndarray) -> xr.Dataset:
    rows = [
        {
            "step": int(step),
            **{name: None if np.isnan(values[i]) else values[i].item() for name, values in columns.items()},
        }
        for i, step in enumerate(STEPS)
    ]
    return table_of(rows)


def table_of(rows: list[dict], **options: str) -> xr.Dataset:
    stored = MetricsTable()
    for line, row in enumerate(rows, 1):
        stored.take(line, row)
    stored.fill()
    return metrics_table(stored, **options)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return Results.open(report_data.write_run(tmp_path_factory.mktemp("runs") / "planted"))


def test_every_setting_that_changed_has_a_panel_with_its_values_over_the_phases(results):
    history = results.history
    figure = figures.training_settings(table(**CHANGED), history)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == [title for title, _, _ in SETTINGS.values()]
    for axes, values in zip(panels, CHANGED.values(), strict=True):
        (line,) = axes.get_lines()[:1]
        assert line.get_xdata() == pytest.approx(STEPS)
        assert line.get_ydata() == pytest.approx(values)
        assert "[" in axes.get_ylabel()
        bands = [patch.get_x() for patch in axes.patches]
        assert bands == [phase.start for phase in history.phases]
    assert panels[-1].get_xlabel() == "optimizer step"


def test_nothing_leaves_the_figure_and_it_is_the_same_every_time(results):
    made = [figures.training_settings(table(**CHANGED), results.history) for _ in range(2)]
    made[0].draw_without_rendering()
    drawn, (width, height) = made[0].get_tightbbox(), made[0].get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01
    once, again = map(figures.to_svg, made)
    assert once == again


@pytest.mark.parametrize("name", list(SETTINGS))
def test_what_stays_is_said_and_not_drawn(name):
    still = {key: np.full(len(STEPS), values[5]) for key, values in CHANGED.items()}
    metrics = table(**(still | {name: CHANGED[name]}))
    assert changing(metrics) == [name]
    assert unchanged(metrics) == [key for key in SETTINGS if key != name]
    (panel,) = (axes for axes in figures.training_settings(metrics).axes if axes.axison)
    assert panel.get_title(loc="left") == SETTINGS[name][0]
    run = SimpleNamespace(metrics=metrics)
    text = settings_caption(metrics, View(run, None, Vocabulary()))
    values = [f"{key.replace('_', ' ')} {number(float(still[key][0]))}" for key in SETTINGS if key != name]
    assert text == f"Settings that changed during training. Unchanged: {', '.join(values[:3])} and {values[3]}."


def test_a_warm_up_in_the_first_hundredth_of_the_run_is_no_change():
    steps = np.arange(0, 1001, 2)
    warmed = [xr.Dataset({"learning_rate": ("step", np.minimum(steps, n))}, {"step": steps}) for n in (8, 10, 20, 200)]
    assert [changing(metrics) for metrics in warmed] == [[], [], ["learning_rate"], ["learning_rate"]]
    early = warmed[0].assign(examples=("step", np.minimum(steps + 10, 18)))
    assert (changing(early), unchanged(early)) == (["examples"], ["learning_rate"])
    assert changing(early.isel(step=slice(0))) == []


def test_without_anything_that_changes_there_is_no_figure():
    assert figures.training_settings(table(learning_rate=WARMED, batch_size=np.full(len(STEPS), 64.0))) is None
    assert figures.training_settings(table(train_loss=CHANGED["learning_rate"])) is None
    assert figures.training_settings(table(lamb=np.full(len(STEPS), np.nan))) is None
    assert figures.training_settings(xr.Dataset(coords={"step": np.array([], dtype=np.int64)})) is None


def test_the_report_shows_them_below_the_curves(results, tmp_path):
    path = report_data.write_run(tmp_path / "changed")
    columns = {key: values for key, values in report_data.curves(STEPS).items() if key not in report_data.OF_SOME}
    report_data.write_metrics(path, STEPS, columns | CHANGED, None)
    changed = Results.open(path)
    before, after = (curves(view_of(run)).pictures for run in (results, changed))
    assert len(before) == 1
    assert [picture.caption for picture in after] == [before[0].caption, "Settings that changed during training."]


def test_averaged_weights_are_dashed_beside_the_raw_ones(results):
    averaged = {f"average_{part}_accuracy": np.linspace(0, 1, len(STEPS)) for part in ("train", "test")}
    metrics = results.metrics.merge(table(**averaged, average_test_loss=np.linspace(3, 0.1, len(STEPS))))
    figure = figures.timeline(metrics, results.dataset, results.history)
    lines = {axes.get_title(loc="left"): axes.get_lines() for axes in figure.axes}
    raw, dashed = (
        {line.get_label(): line for line in lines["Accuracy"] if line.get_linestyle() == s} for s in ("-", "--")
    )
    assert list(dashed) == ["train, averaged", "test, averaged"]
    assert dashed["test, averaged"].get_color() == raw["test"].get_color()
    assert dashed["test, averaged"].get_ydata() == pytest.approx(np.linspace(0, 1, len(STEPS)))
    assert [line.get_label() for line in lines["Loss"] if line.get_linestyle() == "--"] == ["test, averaged"]


def test_new_columns_have_long_names_and_units():
    made = table(**CHANGED, average_test_loss=WARMED)
    assert made["batch_size"].attrs["units"] == made["examples"].attrs["units"] == "examples"
    assert made["average_test_loss"].attrs == {"long_name": "test loss of the averaged weights", "units": "nats"}
    assert set(SETTINGS) < set(LONG_NAMES)
    assert table_of([{"step": 0, "average_test_loss": 1.0}], loss="mse")["average_test_loss"].attrs["units"] == "1"
