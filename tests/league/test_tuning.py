"""Tuning: an equal budget for every method, on a seed that is not reported, beside the untuned methods."""

import json
from dataclasses import replace

import pytest

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.league import run_league, tuned_text, tuning, write_page
from grokinterp.league.methods import configured, plain
from grokinterp.league.run import read_league
from grokinterp.league.table import as_text
from grokinterp.league.tuned_table import tuned_rows
from grokinterp.league.tuning import best, factors_of, scaled, trial_factors, trials_of, tuning_of
from grokinterp.storage import RunDirectory
from grokinterp.sweeps import build_db, open_db
from grokinterp.sweeps.contents import sweeps_in
from tests.support.report_page import Page
from tests.support.small_league import SMALL

BASE = plain(SMALL)
METHODS = ["adamw", "orthograd"]


def trial(number: int, event: int | None, accuracy: float = 0.5, status: str | None = "finished") -> dict:
    return {"trial": number, "event_step": event, "final_test_accuracy": accuracy, "status": status}


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([trial(0, None, 1.0), trial(1, 300), trial(2, 200)], 2),
        ([trial(0, 200), trial(1, 200)], 0),
        ([trial(0, None, 0.2), trial(1, None, 0.6), trial(2, None, 0.9, "diverged")], 1),
        ([trial(0, None, 0.2, None), trial(1, None, 0.1), trial(2, None, 0.9, "interrupted")], 1),
        ([trial(0, None, 0.2, None)], None),
    ],
)
def test_the_first_to_generalize_is_chosen_and_censored_trials_come_after(rows, chosen):
    assert best(rows) == chosen


def test_every_method_has_the_same_factors_and_more_trials_begin_with_them(tmp_path):
    factors = factors_of(BASE, 6)
    assert factors[0] == (1, 1)
    assert factors_of(BASE, 9)[:6] == factors
    assert factors_of(replace(BASE, seed=1), 6)[1:] != factors[1:]
    assert all(0.1 <= factor <= 10 for pair in factors for factor in pair)
    assert len({factor for pair in factors[1:] for factor in pair}) == 10
    for name in ("adamw", "grokfast_ema", "orthograd", "sgd"):
        entries, refused = trials_of(name, BASE, factors, tmp_path)
        assert (len(entries), refused) == (6, {})
        own = configured(name, BASE).optimization
        for entry, (lr, decay) in zip(entries, factors, strict=True):
            made = entry.experiment.optimization
            assert made.lr == pytest.approx(own.lr * lr)
            assert made.weight_decay == pytest.approx(own.weight_decay * decay)
            assert replace(made, lr=own.lr, weight_decay=own.weight_decay) == own
            assert entry.experiment.seed == BASE.seed + 1000


def test_an_impossible_trial_is_listed_with_its_reason(tmp_path):
    fast = replace(BASE, optimization=replace(BASE.optimization, lr=9.0, weight_decay=0.0))
    entries, refused = trials_of("adamw", fast, [(1.0, 1.0), (5.0, 1.0)], tmp_path)
    assert (len(entries), list(refused)) == (1, [1])
    assert "lr=45" in refused[1]


def test_further_trials_replace_those_that_are_impossible(tmp_path, monkeypatch):
    fast = replace(BASE, optimization=replace(BASE.optimization, lr=0.5, weight_decay=1.0))
    adamw, undecayed = (trial_factors(name, fast, 6) for name in ("adamw", "no_weight_decay"))
    assert undecayed == factors_of(fast, 6)
    assert len(adamw) > 6
    assert adamw[:6] == undecayed
    entries, refused = trials_of("adamw", fast, adamw, tmp_path)
    assert (len(entries), len(refused)) == (6, len(adamw) - 6)
    assert all(0.5 * adamw[number][0] * adamw[number][1] >= 1 for number in refused)
    monkeypatch.setattr(tuning, "MOST_DRAWS", 1)
    with pytest.raises(ConfigError, match=r"tune=6: adamw has only \d possible trials among 6 draws: .*must be"):
        trial_factors("adamw", fast, 6)


def test_a_method_that_is_not_tuned_again_keeps_its_trials(tmp_path):
    first = tuning_of(tmp_path, BASE, {"muon": trial_factors("muon", BASE, 2)}, {}, 20)
    both = tuning_of(tmp_path, BASE, {"adamw": trial_factors("adamw", BASE, 3)}, {"tuning": first}, 20)
    assert {name: (one["possible"], len(one["trials"])) for name, one in both["methods"].items()} == {
        "adamw": (3, 3), "muon": (2, 2),
    }  # fmt: skip
    assert both["methods"]["muon"] == first["methods"]["muon"]
    assert tuning_of(tmp_path, BASE, {}, {"tuning": both}, 20) == both
    text = tuned_text({"base": BASE.to_dict(), "runs": [], "tuning": both})
    assert "tuned: 2 to 3 trials of 40 steps per method" in text
    assert "the numbers of trials differ, so that the budgets are not equal" in text
    assert "0 of 2" in text


@pytest.fixture(scope="module")
def league(tmp_path_factory):
    top = tmp_path_factory.mktemp("league") / "league"
    run_league(SMALL, METHODS, 2, top, device="cpu", stacked=True, jobs=1, tune=3)
    return top


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestTunedLeague:
    def test_the_best_trial_is_trained_on_the_reported_seeds(self, league):
        found = json.loads((league / "league.json").read_text())
        tuning = found["tuning"]
        assert (tuning["trials"], tuning["seed"], list(tuning["methods"])) == (3, 1000, METHODS)
        factors = factors_of(BASE, 3)
        for name, method in tuning["methods"].items():
            assert [(one["lr"], one["weight_decay"]) for one in method["trials"]] == factors
            assert [one["status"] for one in method["trials"]] == ["finished"] * 3
            assert method["chosen"] == best(method["trials"])
            runs = [run for run in tuning["runs"] if run["method"] == name]
            assert [run["seed"] for run in runs] == [0, 1]
            wanted = scaled(configured(name, BASE), factors[method["chosen"]]).optimization
            for run in runs:
                trained = Experiment.from_dict(RunDirectory.open(league / run["directory"]).experiment)
                assert trained.optimization == wanted
                assert trained.seed == run["seed"]
        assert [(run["method"], run["seed"]) for run in found["runs"]] == [(m, s) for m in METHODS for s in (0, 1)]

    def test_it_is_shown_beside_the_untuned_methods(self, league):
        found = read_league(league)
        text, shown = tuned_text(found), Page(write_page(league).read_text(encoding="utf-8")).text
        for row in tuned_rows(found):
            assert all(cell in text and cell in shown for cell in row)
        for words in ("3 trials of 40 steps per method on seed 1000", "which is not among the reported seeds"):
            assert words in text
            assert words in shown
        assert "No method was tuned" not in shown
        assert "tuned" not in as_text(found)

    def test_a_second_call_trains_nothing_and_one_without_tuning_keeps_it(self, league):
        before = (league / "league.json").read_bytes()
        again = run_league(SMALL, METHODS, 2, league, device="cpu", stacked=True, jobs=1, tune=3)
        assert again["tuning"] == json.loads(before)["tuning"]
        kept = run_league(SMALL, METHODS, 2, league, device="cpu", stacked=True, jobs=1)
        assert kept["tuning"] == again["tuning"]

    def test_the_folder_is_that_of_sweeps(self, league, tmp_path):
        sweeps = sweeps_in(league)
        assert {name: len(one.runs) for name, one in sweeps.items() if name != "league_tuned"} == {
            "league": 4, "league_tuning": 6,
        }  # fmt: skip
        build_db(league, tmp_path / "a.db")
        overview = open_db(tmp_path / "a.db").experiment_overview.set_index("experiment")
        assert set(overview.index) == {"league", "league_tuning", "league_tuned"}
        assert (overview.runs == overview.finished).all()
        assert overview.runs["league_tuned"] == 4

    def test_a_league_json_with_other_directories_is_damaged(self, league):
        found = json.loads((league / "league.json").read_text())
        original = json.dumps(found)
        found["tuning"]["runs"][0]["directory"] = "../elsewhere/seed-0"
        (league / "league.json").write_text(json.dumps(found))
        assert read_league(league) == {}
        (league / "league.json").write_text(original)
        assert read_league(league) != {}


@pytest.mark.parametrize("tune", [0, 1, 1001])
def test_a_wrong_number_of_trials_is_refused_before_any_work(tune, tmp_path):
    with pytest.raises(ConfigError, match=f"tune={tune}: must be an integer from 2 to 1000"):
        run_league(SMALL, ["adamw"], 1, tmp_path / "league", tune=tune)
    assert not (tmp_path / "league").exists()


def test_a_league_without_tuning_has_no_tuned_table():
    assert tuned_rows({"tuning": None}) == []
    assert tuned_text({}) == ""
