"""Runs in training are predicted, and stopped by choice only; a stopped run can be continued."""

import json
import sys
from dataclasses import dataclass, field, replace

import pytest

from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.storage import RunDirectory
from grokinterp.sweeps import Grid, Sweep, build_db, open_db, run_sweep
from grokinterp.sweeps.contents import sweeps_in
from grokinterp.sweeps.prediction import DatabaseForecaster
from grokinterp.sweeps.prediction.extrapolation import extrapolations, range_settings
from grokinterp.sweeps.prediction.stopping import warn_of_extrapolation
from grokinterp.training import train
from grokinterp.training.loop import train_stack
from grokinterp.training.outlook import Outlook
from tests.support.planted_groks import LONG, curve_run, planted_folder
from tests.support.small_runs import TINY, changed, written


@dataclass
class Fixed:
    """Ends a run at a step; keeps the steps at which it was asked."""

    ends_at: int | None = None
    asked: list[int] = field(default_factory=list)

    def outlook(self, run: RunDirectory, step: int) -> Outlook | None:
        assert run.read_metrics()[0].steps[-1] == step
        self.asked.append(step)
        return Outlook("predicted not to grok", ends=True) if step == self.ends_at else None


@dataclass
class Broken(Fixed):
    def outlook(self, run: RunDirectory, step: int) -> Outlook | None:
        super().outlook(run, step)
        raise GrokinterpError("no more space")


def test_a_stopped_run_says_why_and_goes_on_as_if_it_had_not_been_stopped(tmp_path):
    forecaster = Fixed(ends_at=12)
    run = train(TINY, tmp_path / "run", device="cpu", forecaster=forecaster)
    status = run.directory.status
    assert (status["status"], status["step"], status["why"]) == ("stopped", 12, "predicted not to grok")
    assert forecaster.asked == [0, 3, 6, 9, 12]
    assert run.steps[-1] == 12
    again = train(TINY, tmp_path / "run", device="cpu", resume=True)
    whole = train(TINY, tmp_path / "whole", device="cpu", forecaster=Fixed())
    assert again.directory.status["status"] == whole.directory.status["status"] == "finished"
    went_on, straight = (written(one.path) for one in (again, whole))
    same = [name for name in straight if name.startswith(("metrics", "checkpoints"))]
    assert len(same) > 5
    assert [name for name in same if went_on[name] != straight[name]] == []


def test_a_forecaster_that_fails_stops_nothing(tmp_path):
    forecaster = Broken()
    with pytest.warns(UserWarning, match="not predicted any more: no more space"):
        run = train(TINY, tmp_path / "run", device="cpu", forecaster=forecaster)
    assert (run.directory.status["status"], forecaster.asked) == ("finished", [0])


def test_one_run_of_a_stack_is_stopped(tmp_path):
    places = [tmp_path / "a", tmp_path / "b"]
    train_stack([TINY, replace(TINY, seed=1)], places, device="cpu", forecasters=[Fixed(ends_at=9), None])
    found = [RunDirectory.open(place).status for place in places]
    assert [(one["status"], one["step"]) for one in found] == [("stopped", 9), ("finished", 30)]


def test_a_stopped_run_is_censored_in_the_database(tmp_path):
    run = curve_run(tmp_path / "runs" / "run", LONG, 500, until=240)
    run.write_status({"status": "stopped", "step": 240, "why": "predicted at step 240 not to grok"})
    build_db(tmp_path / "runs", tmp_path / "a.db")
    db = open_db(tmp_path / "a.db")
    assert db.runs[["status", "why", "horizon"]].values.tolist() == [
        ["stopped", "predicted at step 240 not to grok", 150]
    ]
    assert db.run_summary[["grokked", "decided", "predicted"]].values.tolist() == [[0, 1, 1]]
    assert db.phase_boundary[["runs", "grokked", "success_rate", "predicted"]].values.tolist() == [[1, 0, 0, 1]]
    assert db.experiment_overview[["stopped", "unfinished"]].values.tolist() == [[1, 0]]


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    """The database of 42 runs, about half of which do not grok; they differ in weight decay."""
    return planted_folder(tmp_path_factory.mktemp("many"), settings=42, seeds=1, factor=1.04)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The database of 12 runs."""
    return planted_folder(tmp_path_factory.mktemp("few"), settings=12, seeds=1, factor=1.2)


def experiment(decay: float, **values):
    return replace(changed(LONG, optimization={"weight_decay": decay}), name="new", **values)


def test_only_a_hopeless_run_is_stopped_and_only_by_choice(db, tmp_path):
    hopeless, other = experiment(0.122), experiment(0.4)
    never, groks = curve_run(tmp_path / "a", hopeless, 820), curve_run(tmp_path / "b", other, 250)
    stops = DatabaseForecaster.of(hopeless, db, stops=True)
    assert sorted(stops.runs) == [30, 60, 120, 240]
    found = {step: stops.outlook(never, step) for step in range(0, 250, 10)}
    assert [step for step, outlook in found.items() if outlook] == [30, 60, 120, 240]
    assert [step for step, outlook in found.items() if outlook and outlook.ends] == [120, 240]
    assert found[120].text == (
        "predicted at step 120 not to grok within its budget of 600 steps (nominal risk 5 %, valid only if the run "
        "resembles those in the database)"
    )
    shows = DatabaseForecaster.of(hopeless, db, stops=False)
    assert not any(outlook.ends for step in (120, 240) if (outlook := shows.outlook(never, step)))
    assert not DatabaseForecaster.of(other, db, stops=True).outlook(groks, 120).ends


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({}, None),
        ({"optimization": {"weight_decay": 0.03}}, "weight decay 0.03 is outside 0.12 to 0.13"),
        ({"optimization": {"lr": 1e-3}}, "learning rate 0.001 is outside 0.02 to 0.02"),
        ({"optimization": {"batch_size": 4}}, "batch size 4 is not among the whole training set"),
        ({"optimization": {"filters": [{"kind": "egd"}]}}, "filters egd is not among none"),
        ({"optimization": {"loss": "mse"}}, "loss mse is not among softplus"),
        ({"steps": 400}, "budget 400 is outside 600 to 600"),
        ({"task": {"p": 5}}, "prime 5 is outside 7 to 7"),
        ({"task": {"kind": "modular_subtraction"}}, "task modular_subtraction is not among modular_addition"),
        ({"model": {"d_model": 8}}, "width 8 is outside 16 to 16"),
        ({"model": {"n_layers": 2}}, "depth 2 is outside 1 to 1"),
        ({"split": {"fraction": 0.3}}, "training fraction 0.3 is outside 0.5 to 0.5"),
    ],
)
def test_a_setting_outside_those_of_the_other_runs_is_named(changes, phrase):
    others = [range_settings(experiment(decay).to_dict()) for decay in (0.12, 0.13)]
    unlike = range_settings(changed(experiment(0.122), **changes).to_dict())
    assert extrapolations(unlike, others) == (() if phrase is None else (phrase,))


def test_a_run_outside_the_settings_of_the_database_is_never_stopped(db, tmp_path):
    unlike = experiment(0.03)
    run, stops = curve_run(tmp_path / "a", unlike, 3300), DatabaseForecaster.of(unlike, db, stops=True)
    phrase = "weight decay 0.03 is outside 0.12 to 0.599"
    outlook = stops.outlook(run, 120)
    assert outlook is not None
    assert not outlook.ends
    assert f", extrapolated: {phrase}" in outlook.text
    with pytest.warns(UserWarning, match=f"1 run is never stopped, because .* would extrapolate .*: {phrase}") as shown:
        warn_of_extrapolation(stops, [unlike, experiment(0.3)])
    assert len(shown) == 1


def test_few_runs_stop_nothing_and_incomparable_ones_are_refused(db, small, tmp_path):
    hopeless = experiment(0.03)
    run = curve_run(tmp_path / "a", hopeless, 3300)
    assert not DatabaseForecaster.of(hopeless, small, stops=True).outlook(run, 120).ends
    with pytest.raises(ConfigError, match=r"contains 0 comparable runs, of which 0 grokked .* at least 10 and 5"):
        DatabaseForecaster.of(changed(LONG, optimization={"loss": "mse"}), db, stops=True)


def command(monkeypatch, capsys, *arguments) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["grokinterp", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run_command_line()
    return ended.value.code or 0, capsys.readouterr().err


def test_train_prints_the_prediction(small, tmp_path, monkeypatch, capsys):
    (tmp_path / "long.json").write_text(json.dumps(replace(LONG, steps=60, evaluate_every=1).to_dict()))
    out = tmp_path / "run"
    code, err = command(
        monkeypatch, capsys, "train", "--config", tmp_path / "long.json", "--out", out, "--predict-from", small
    )
    assert code == 0, err
    assert "step 6: predicted " in err
    assert RunDirectory.open(out).status["status"] == "finished"


@pytest.mark.parametrize("option", ["--predict-from", "--stop-predicted"])
def test_a_wrong_database_is_one_line_before_any_work(option, tmp_path, monkeypatch, capsys):
    code, err = command(
        monkeypatch, capsys, "train", "--preset", "demo", "--out", tmp_path / "run", option, tmp_path / "no.db"
    )
    assert (code, err.count("\n")) == (2, 1)
    assert "no.db: does not exist" in err
    assert not (tmp_path / "run").exists()
    if option == "--stop-predicted":
        code, err = command(
            monkeypatch,
            capsys,
            "sweep",
            "--preset",
            "demo",
            "seed=0,1",
            "--out",
            tmp_path / "s",
            option,
            tmp_path / "no.db",
        )
        assert (code, err.count("\n")) == (2, 1)
        assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("engine", [pytest.param("local", marks=pytest.mark.slow), "stack"])
def test_a_sweep_passes_the_choice_on(engine, small, tmp_path, monkeypatch):
    sweep = Sweep.of("two", Grid(replace(LONG, steps=60, evaluate_every=1), {"seed": [0, 1]}))
    seen = []
    of = DatabaseForecaster.of.__func__
    monkeypatch.setattr(DatabaseForecaster, "of", classmethod(lambda cls, *a, **k: seen.append(k) or of(cls, *a, **k)))
    with pytest.warns(UserWarning, match="2 runs are never stopped, .*: .*budget 60 is outside 600 to 600"):
        entries = run_sweep(sweep, tmp_path / engine, engine=engine, workers=1, stop_predicted=small)
    assert [entry.failure for entry in entries] == [None, None]
    assert seen == [{"stops": True}] * (3 if engine == "stack" else 1)
    assert list(sweeps_in(tmp_path / engine)) == ["two"]
