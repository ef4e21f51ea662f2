"""Predictions of run directories from a database, in Python and as a command."""

import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import prediction
from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError
from grokinterp.sweeps import build_db, predict
from grokinterp.sweeps.prediction import conformal
from tests.support.planted_groks import LONG, curve_run, planted_folder
from tests.support.small_runs import changed


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    return planted_folder(tmp_path_factory.mktemp("runs"), settings=9, seeds=3)


@pytest.fixture
def new(tmp_path):
    """A run in training of a new setting, which will grok at step 450."""
    experiment = replace(changed(LONG, optimization={"weight_decay": 0.23}), name="another")
    return curve_run(tmp_path / "new", experiment, 450, until=80).path


def command(monkeypatch, capsys, *arguments) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["grokinterp", "predict", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run_command_line()
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err


def test_a_planted_step_is_found(db, new):
    found = predict(new, db)
    assert (found.at, found.budget, found.horizon, found.exchangeable, found.observed) == (
        80,
        600,
        510,
        "settings",
        None,
    )
    assert found.step == pytest.approx(450, rel=0.1)
    assert found.low < 450 < found.high
    assert set(found.baselines) == prediction.PREDICTORS.keys() - {prediction.OURS}
    assert abs(math.log(found.step / 450)) < abs(math.log(found.baselines["sweep median"] / 450))
    assert predict(new, db, fraction=0.1).at == 60
    assert predict(new, db, at=75).at == 70


def test_the_run_itself_and_other_kinds_are_left_out(db, new, tmp_path):
    shutil.copytree(db.parent, tmp_path / "all")
    whole = curve_run(
        tmp_path / "all" / "new", replace(changed(LONG, optimization={"weight_decay": 0.23}), name="another"), 450
    )
    curve_run(tmp_path / "all" / "mse", changed(LONG, optimization={"loss": "mse"}), 40)
    build_db(tmp_path / "all", tmp_path / "all.db")
    again = predict(whole.path, tmp_path / "all.db", at=80)
    assert again.observed == 450
    assert replace(again, observed=None) == predict(new, db, at=80)
    assert (again.outcome, again.compared) == ("grokked at step 450", "had not grokked at step 80")
    assert predict(new, db, at=80).outcome == ""


def test_a_setting_with_other_seeds_is_calibrated_on_runs(db, tmp_path):
    experiment = replace(changed(LONG, optimization={"weight_decay": 0.12 * 1.3**4}), seed=9, name="renamed")
    found = predict(curve_run(tmp_path / "new", experiment, 330, until=80).path, db)
    assert found.exchangeable == "seeds"
    assert "other seeds" in found.factors
    assert found.baselines["setting median"] == pytest.approx(330)


def test_the_command_prints_a_table_or_json(db, new, monkeypatch, capsys):
    code, out, err = command(monkeypatch, capsys, new, "--db", db, "--fraction", 0.1)
    assert code == 0, err
    assert "at step 60 of 600: predicted to grok at step" in out
    assert "if the setting was drawn like the" in out
    assert "comparable runs that had not grokked in the first 10 % of their budgets; the strongest features" in out
    for name in prediction.PREDICTORS.keys() - {prediction.OURS}:
        assert name in out
    code, out, _ = command(monkeypatch, capsys, new, "--db", db, "--json", "--level", 0.99)
    found = json.loads(out)
    assert (code, found["at"], found["high"], found["ends"]) == (0, 80, None, False)


def test_the_outcome_of_a_run_that_did_not_grok_is_printed_too(db, tmp_path, monkeypatch, capsys):
    path = curve_run(tmp_path / "never", changed(LONG, optimization={"weight_decay": 0.23}), 10_000).path
    code, out, err = command(monkeypatch, capsys, path, "--db", db, "--at", 80)
    assert code == 0, err
    assert "  observed: had not grokked at step 5" in out
    assert "comparable runs that had not grokked at step 80; the strongest features" in out


def test_the_command_states_the_settings_that_are_outside_the_database(db, tmp_path, monkeypatch, capsys):
    unlike = replace(changed(LONG, optimization={"weight_decay": 2.0}), steps=800)
    path = curve_run(tmp_path / "unlike", unlike, 450, until=80).path
    code, out, err = command(monkeypatch, capsys, path, "--db", db)
    assert code == 0, err
    assert "  extrapolated, so that the interval is not valid: weight decay 2 is outside 0.12 to 0.97" in out
    assert (
        "  extrapolated, so that the interval is not valid: budget 800 is outside 600 to 600 of the comparable" in out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "50", "--fraction", "0.1"], "fraction=0.1: give it or at, not both"),
        (["--at", "0"], "at=0: must be an integer from 1"),
        (["--at", "90"], "at=90: must be at most 80, the last evaluation"),
        (["--fraction", "1.5"], "fraction=1.5: must be above 0 and at most 1"),
        (["--level", "1"], "level=1.0: must be between 0 and 1"),
        (["--at", "20"], "has too few evaluations"),
        (["--db", "missing.db"], "db=missing.db: does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_one_line(arguments, message, db, new, monkeypatch, capsys):
    code, out, err = command(monkeypatch, capsys, new, "--db", db, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert message in err


def test_a_run_that_has_grokked_and_few_runs_are_refused(db, new, tmp_path):
    with pytest.raises(ConfigError, match="has grokked at step 40"):
        predict(curve_run(tmp_path / "grokked", LONG, 40).path, db)
    with pytest.raises(ConfigError, match="has not grokked at step 600, after which it cannot within its budget"):
        predict(curve_run(tmp_path / "ended", LONG, 1000).path, db)
    few = planted_folder(tmp_path / "few", settings=2, seeds=2)
    with pytest.raises(
        ConfigError,
        match=r"db=.*experiments.db: contains 4 comparable runs that had not grokked at step 80, of which 0 did",
    ):
        predict(new, few)


def test_nothing_imports_torch(db, new, root):
    script = "import sys; from grokinterp.sweeps import predict; predict(*sys.argv[1:]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, new, db], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_benchmark_writes_both_tables(db, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "FRACTIONS", (0.1,))
    monkeypatch.setattr(prediction, "NOISES", {"normal": prediction.NOISES["normal"]})
    monkeypatch.setattr(prediction, "FOLDS", 3)
    monkeypatch.setattr(conformal, "MOST_FOLDS", 3)
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- planted -->\n<!-- /planted -->\nb\n<!-- measured -->\nold\n<!-- /measured -->\nc\n")
    prediction.main([str(db.parent), "--repeats", "1", "--out", str(page)])
    text = page.read_text()
    assert text.startswith("a\n<!-- planted -->\n1 populations each.")
    assert "27 runs, of which" in text
    for name in prediction.PREDICTORS:
        assert f"| settings | 10% | {name} | 27 (" in text
    assert "old" not in text
