"""Imported networks with an unknown split or without curves: numbers are absent, not wrong."""

import json
import math

import pytest

from grokinterp.analysis import analyze
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Split
from grokinterp.interop import import_run
from grokinterp.maths.groups import group
from grokinterp.models import TransformerSpec
from grokinterp.report import write_report
from grokinterp.runs.summary import lines
from grokinterp.tasks import ModularAddition
from grokinterp.training import train
from tests.support.released import cfg, drawn, lookup, pizza_config, save, transposed


@pytest.fixture(scope="module")
def unknown(tmp_path_factory):
    """A network of p = 5 with an unknown split, analyzed."""
    folder = tmp_path_factory.mktemp("pizza")
    spec = TransformerSpec(d_model=8, n_heads=2, d_mlp=12, biases="mlp", attention="bidirectional", read_at="last")
    model = drawn(ModularAddition(p=5), spec)
    path = save(folder, transposed(model), pizza_config(5), ("model_a.pt", "config_a.json"))
    return analyze(import_run("pizza", path, folder / "run"))


def test_without_a_split_numbers_on_all_examples_are_there_and_no_others(unknown):
    last, measured = unknown.dataset.isel(step=-1), unknown.measures()
    for name, variable in last.data_vars.items():
        if "split" in variable.dims:
            assert variable.sel(split="all").notnull().all(), name
            assert variable.sel(split=["train", "test"]).isnull().all(), name
    assert math.isfinite(measured["all_loss"])
    assert math.isfinite(measured["restricted_loss"])
    for name in ("train_loss", "test_loss", "excluded_loss", "excluded_loss_control"):
        assert measured[name] is None, name
    assert unknown.not_defined["gradient_weight_alignment"] == "the training examples are unknown"
    assert unknown.leaked_share is None


def test_without_curves_there_is_no_verdict(unknown, tmp_path):
    summary = json.loads(json.dumps(unknown.summary(), allow_nan=False))
    assert (summary["verdict"], summary["phases"], summary["grok_step"]) == (None, [], None)
    assert summary["sentence"].startswith("A trained network, no history: accuracy ")
    assert "on all examples. The run was imported without curves" in summary["sentence"]
    assert lines(unknown)[0] == "phases            unknown"
    assert "imported without curves" in write_report(unknown.directory.path, tmp_path / "a.html").read_text()
    path = save(tmp_path / "S3", lookup(group("S3")), cfg("SymmetricGroup", 3))
    known = analyze(import_run("chughtai", path, tmp_path / "run"))
    assert known.summary()["verdict"] == "generalized"
    assert known.summary()["sentence"].startswith("A trained network, no history: generalized: train accuracy 1.000, ")
    assert known.measures()["test_loss"] < 1e-6


def test_nothing_can_be_trained_without_a_split(tmp_path):
    with pytest.raises(ConfigError, match=r"split\.trained_on=unknown: leaves no training examples"):
        train(Experiment(split=Split(trained_on="unknown")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
