"""Results as one table with a row for each step, and as CSV."""

import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from grokinterp.errors import ConfigError
from grokinterp.phases import Phase
from grokinterp.runs.frame import frame_of
from grokinterp.runs.results import Results
from tests.support.report_data import GROKKED, write_run
from tests.support.small_runs import draw_checkpoints


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return Results.open(write_run(tmp_path_factory.mktemp("frame") / "run"))


def test_every_evaluated_and_analyzed_step_has_a_row(results):
    table = results.to_frame()
    steps = set(results.metrics["step"].values.tolist())
    steps |= {step for part in results.analyses.values() for step in part["step"].values.tolist()}
    assert table.index.name == "step"
    assert table.index.tolist() == sorted(steps)


def test_columns_are_the_phase_the_metrics_and_single_numbers(results):
    table = results.to_frame()
    assert table.columns[:2].tolist() == ["phase", "train_loss"]
    assert table["phase"].iloc[0] == "memorization"
    assert table["phase"].loc[GROKKED:].iloc[-1] == "generalization"
    assert np.array_equal(table["test_loss"].reindex(results.metrics["step"].values), results.metrics["test_loss"])
    trig = results.analyses["progress_measures"]["trig_loss"].sel(split="test")
    assert np.array_equal(table["trig_loss.test"].reindex(trig["step"].values), trig)
    assert not [name for name in table if name.startswith("embedding_power")]


def test_a_named_measure_has_a_column_for_each_label(results):
    table = results.to_frame("embedding_power", "test_loss")
    power = results.analyses["embedding_spectrum"]["embedding_power"]
    names = [f"embedding_power.{k}" for k in power["frequency"].values]
    assert table.columns.tolist() == ["phase", "test_loss", *names]
    assert np.array_equal(table.reindex(power["step"].values)[names], power.transpose("step", "frequency"))


def test_an_unknown_measure_is_named(results):
    with pytest.raises(ConfigError, match="names=loss: must be one of train_loss, "):
        results.to_frame("loss")


def test_the_first_dataset_precedes_and_the_next_fills_gaps():
    first = xr.Dataset({"loss": ("step", [1.0, 2.0])}, {"step": [0, 10]})
    second = xr.Dataset({"loss": ("step", [9.0, 3.0]), "is_key": ("step", [True, False])}, {"step": [10, 20]})
    table = frame_of((first, second), [Phase("memorization", 0, 11), Phase("generalization", 11, 21)])
    assert table["loss"].tolist() == [1, 2, 3]
    assert table["is_key"].fillna(-1).tolist() == [-1, 1, 0]
    assert table["phase"].tolist() == ["memorization", "memorization", "generalization"]


def test_a_run_without_evaluations_has_an_empty_table(tmp_path):
    assert Results.open(draw_checkpoints(tmp_path / "run", steps=()).path).to_frame().empty


def test_csv_holds_the_table(results, tmp_path):
    results.to_csv(tmp_path / "run.csv")
    again = pd.read_csv(io.BytesIO((tmp_path / "run.csv").read_bytes()), index_col="step")
    pd.testing.assert_frame_equal(again, results.to_frame(), check_dtype=False)
    results.to_csv(tmp_path / "run.csv", "test_loss")
    assert (tmp_path / "run.csv").read_text().startswith("step,phase,test_loss\n0,memorization,")
    with pytest.raises(ConfigError, match="path="):
        results.to_csv(tmp_path)


def test_axes_of_plots_are_short_and_measures_described(results, tmp_path):
    long = xr.Dataset({"test_loss": ("step", [1.0], {"long_name": "mean loss of the test examples", "units": "nats"})})
    from grokinterp.runs.labels import description, with_short_names

    assert with_short_names(long)["test_loss"].attrs["long_name"] == "test loss"
    assert description(with_short_names(long)["test_loss"]) == description(long["test_loss"])
    assert description(results.metrics["test_loss"]) == "test loss"
