"""The map of learning coefficients over the settings, and its lines on the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grokinterp.analysis import calibrate_llc, local_learning_coefficient
from grokinterp.analysis.landscape.llc_calibration import axes_of, parse_settings
from grokinterp.cli.measuring import llc
from grokinterp.errors import ConfigError, NotDefined
from grokinterp.runs import summary
from tests.cases.models import TINY_SPECS
from tests.support.any_model import checkpoint_of
from tests.support.small_runs import TINY, draw_checkpoints

QUICK = {"chains": 2, "burn_in": 1, "draws": 4}
GRID = {"step_sizes": [10.0, 1e-5], "localizations": [100.0], "inverse_temperatures": [5.0]}


def test_every_point_is_the_analysis_there():
    checkpoint = checkpoint_of(TINY_SPECS["mlp"])
    found = calibrate_llc(checkpoint, **GRID, **QUICK)
    assert dict(found.sizes) == {"inverse_temperature": 1, "localization": 1, "step_size": 2}
    assert found["step_size"].values.tolist() == [1e-5, 10.0]
    one = local_learning_coefficient(checkpoint, step_size=1e-5, localization=100.0, inverse_temperature=5.0, **QUICK)
    for name in ("llc", "llc_spread", "llc_equilibrium", "llc_step_error", "llc_held"):
        assert float(found[name][0, 0, 0]) == pytest.approx(float(getattr(one, name)))
    assert found["llc_diverged"].values.flatten().tolist() == [False, True]
    assert np.isnan(found["llc"].values[0, 0, 1])
    lines = summary.calibration_lines(found)
    assert lines[0] == "step 1, 2 chains of 1 + 4 steps"
    assert lines[-1].endswith("no estimate: the chains diverged")
    assert len(lines) == 4


def test_the_default_grid_surrounds_the_defaults():
    found = calibrate_llc(checkpoint_of(TINY_SPECS["mlp"]), chains=1, burn_in=0, draws=1)
    assert found["step_size"].values.tolist() == [2.5e-5, 1e-4, 4e-4, 1.6e-3]
    assert found["localization"].values.tolist() == [10.0, 100.0, 1000.0]
    assert found.sizes["inverse_temperature"] == 3


def test_bad_grids_are_named():
    checkpoint = checkpoint_of(TINY_SPECS["mlp"])
    with pytest.raises(ConfigError, match=r"step_size=-1.0: must be above 0"):
        calibrate_llc(checkpoint, step_sizes=[1e-4, -1.0])
    with pytest.raises(ConfigError, match=r"localization=0.0: must be above 0"):
        calibrate_llc(checkpoint, localizations=[])
    with pytest.raises(NotDefined, match="the training examples are unknown"):
        calibrate_llc(checkpoint_of(TINY_SPECS["mlp"], fraction=0.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gamma=1", r"setting=gamma=1: must be key=value, key one of step_size, localization, "),
        ("chains=2.5", r"chains=2.5: must be an integer"),
        ("step_size=", r"step_size=: must be a number"),
    ],
)
def test_settings_on_the_command_line_are_judged(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_settings([text])


def test_a_setting_fixes_an_axis_of_the_map():
    settings = parse_settings(["localization=5", "draws=7"])
    assert axes_of(settings) == {"localizations": [5.0], "draws": 7}


def test_the_command_measures_and_draws(tmp_path, capsys):
    run = draw_checkpoints(tmp_path / "run", replace(TINY, model=TINY_SPECS["mlp"])).path
    llc(run, ["chains=2", "burn_in=1", "draws=4"], step=None, calibrate=False, out=None, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["step"] == 20
    assert printed["llc_localization"] == 100.0
    few = ["chains=1", "burn_in=0", "draws=4", "step_size=1e-4", "inverse_temperature=5"]
    llc(run, few, step=None, calibrate=True, out=tmp_path / "new" / "map.png", as_json=False)
    assert len(capsys.readouterr().out.splitlines()) == 2 + 3
    assert (tmp_path / "new" / "map.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=r"out=map.pdf: is for the map of --calibrate"):
        llc(run, [], step=None, calibrate=True, out=Path("map.pdf"), as_json=False)
