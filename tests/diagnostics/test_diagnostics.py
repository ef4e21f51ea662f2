"""Every rule fires on the run that it describes, with its numbers, and not on a similar run."""

import json

import numpy as np
import pytest

from grokinterp.diagnostics import RULES, Diagnosis, diagnose, diagnosis_lines
from grokinterp.experiment import Experiment
from grokinterp.runs.results import Results
from tests.support.curves import LAST, MEMORIZED, run
from tests.support.diagnosed import EXPERIMENT, diagnosis_of, failing, ramp, settings, stuck, write

N = len(run()["steps"])
ORTHOGRAD = {"filters": [{"kind": "orthograd"}]}
GROKFAST = {"filters": [{"kind": "grokfast_ema", "lamb": 2.0}]}


def spikes(at, height=3.0):
    """Curves of a stuck run whose train loss jumps at some evaluations and returns."""
    curves = stuck()
    loss, norm = np.full(N, 0.01), curves["weight_norm"].copy()
    loss[at] = height
    return curves | {"train_loss": loss, "weight_norm": norm}


def lost():
    curves = run()
    return curves | {"test_accuracy": np.where(curves["steps"] > 2600, 0.3, curves["test_accuracy"])}


def flickering():
    curves = run()
    away = (curves["steps"] > 2100) & (curves["steps"] % 40 != 0)
    return curves | {"test_accuracy": np.where(away, 0.3, curves["test_accuracy"])}


def nan_from(step):
    curves = failing(gradient_norm=np.linspace(0.5, 40, N))
    late = curves["steps"] >= step
    return curves | {name: np.where(late, np.nan, curves[name]) for name in ("train_loss", "gradient_norm")}


def sudden():
    """Memorization and generalization within a few evaluations."""
    return run(grokked=MEMORIZED + 10, cleanup=MEMORIZED)


COLLAPSE = {"collapsed_share": [[0, 0], [0, 0], [0.4, 0]]}
ALIGNED = {"gradient_weight_cosine_total": [-0.1, -0.5, -0.93]}
FLOAT32 = settings(optimization={"loss": "float32"})
FLOAT16 = settings(optimization={"loss": "float16"})
PLAIN = settings(optimization={"weight_decay": 0.0})
ORTHO = settings(optimization={"weight_decay": 0.0} | ORTHOGRAD)

# symptom, the run that has it, numbers and settings that it must name, a similar run without the symptom
CASES = {
    "diverged": (
        "The loss is no", {"columns": nan_from(900), "status": {"status": "diverged", "step": 897}},
        ["at step 897", "2 at step 890", "12.2 at step 890", "0.5 at step 0"], "optimization.lr=0.0001",
        {"columns": failing()},
    ),
    "NaN in the curves": (
        "The loss is no", {"columns": nan_from(900)}, ["2 at step 890"], "optimization.lr=0.0001",
        {"columns": nan_from(900) | {"train_loss": np.where(run()["steps"] == 900, np.nan, 1.0)}},
    ),
    "over-decayed": (
        "The weights shrink", {"columns": failing(weight_norm=ramp(900, 9, 0))},
        ["from 900 to 9 (1 %) by step 3000", "0.3 at best"], "optimization.weight_decay=0.1",
        {"columns": failing(weight_norm=ramp(900, 95, 0))},
    ),
    "warm-up": (
        "The run ends during or soon after warm-up",
        {"columns": failing(), "experiment": settings(optimization={"warmup_steps": 2000})},
        ["last evaluation is at step 3000", "takes 2000 steps"], "optimization.warmup_steps=150",
        {"columns": failing(), "experiment": settings(optimization={"warmup_steps": 1500})},
    ),
    "still learning": (
        "Not memorized yet", {"columns": failing(train_loss=ramp(3, 1, 0))},
        ["fell from 1.75", "to 1.25", "to step 3000"], "steps=6000",
        {"columns": failing(train_loss=ramp(3, 2.6, 0))},
    ),
    "flat": (
        "The train loss hardly", {"columns": failing()}, ["2 in the third quarter", "0.3 at best"],
        "optimization.lr=0.003", {"columns": failing(train_loss=ramp(3, 1, 0))},
    ),
    "never began": (
        "The train loss hardly", {"columns": failing(train_loss=ramp(3, 2.9, 0))}, ["2.94", "2.91"],
        "optimization.lr=0.01", {"columns": failing(train_loss=ramp(3, 1, 0))},
    ),
    "squared error": (
        "The squared error hardly",
        {"columns": failing(), "experiment": settings(optimization={"loss": "mse"})}, ["0.3 at best"],
        "optimization.loss=softplus", {"columns": failing()},
    ),
    "collapse": (
        "Softmax collapse", {"columns": stuck(), "experiment": FLOAT32, "measures": COLLAPSE},
        ["40 % of the training examples collapsed at step 3000", "by step 3000", "accuracy 0.05"],
        "optimization.loss=softplus", {"columns": stuck(), "experiment": EXPERIMENT, "measures": COLLAPSE},
    ),
    "collapse in the other precision": (
        "Softmax collapse", {"columns": stuck(), "experiment": FLOAT32, "measures": COLLAPSE}, [],
        "optimization.loss=softplus",
        {"columns": stuck(), "experiment": settings(optimization={"loss": "float64"}), "measures": COLLAPSE},
    ),
    "collapse by the curves": (
        "Softmax collapse", {"columns": stuck(train_loss=ramp(1, 5e-8)), "experiment": FLOAT32},
        ["5e-08 at step 3000", "up to 6e-08 the loss is 0 in float32"], "optimization.loss=softplus",
        {"columns": stuck(train_loss=ramp(1, 7e-8)), "experiment": FLOAT32},
    ),
    "collapse of 16 bits": (
        "Softmax collapse", {"columns": stuck(train_loss=ramp(1, 4e-4)), "experiment": FLOAT16},
        ["0.0004 at step 3000", "up to 0.0005 the loss is 0 in float16"], "optimization.loss=softplus",
        {"columns": stuck(train_loss=ramp(1, 6e-4)), "experiment": FLOAT16},
    ),
    "naive loss minimization": (
        "Naive loss", {"columns": stuck(logit_mean_abs=ramp(5, 50)), "experiment": PLAIN, "measures": ALIGNED},
        ["at 1 of 2 checkpoints", "-0.93 at step 3000", "5 at step 120 to 50 at step 3000"],
        """optimization.filters='[{kind="orthograd"}]'""",
        {"columns": stuck(logit_mean_abs=np.full(N, 5.0)), "experiment": PLAIN, "measures": ALIGNED},
    ),
    "naive loss minimization by the gradient": (
        "Naive loss", {"columns": stuck(logit_mean_abs=ramp(5, 50)), "experiment": PLAIN, "measures": ALIGNED}, [],
        """optimization.filters='[{kind="orthograd"}]'""",
        {
            "columns": stuck(logit_mean_abs=ramp(5, 50)), "experiment": PLAIN,
            "measures": {"gradient_weight_cosine_total": [-0.9, -0.7, -0.7]},
        },
    ),
    "naive loss minimization under OrthoGrad": (
        "Naive loss", {"columns": stuck(logit_mean_abs=ramp(5, 50)), "experiment": PLAIN, "measures": ALIGNED}, [],
        """optimization.filters='[{kind="orthograd"}]'""",
        {"columns": stuck(logit_mean_abs=ramp(5, 50)), "experiment": ORTHO, "measures": ALIGNED},
    ),
    "no decay": (
        "Memorized, and nothing removes", {"columns": stuck(weight_norm=ramp(900, 2700)), "experiment": PLAIN},
        ["weight decay is 0", "900 at step 120 to 2.7e+03 at step 3000", "accuracy 0.05"],
        "optimization.weight_decay=1", {"columns": stuck(weight_norm=ramp(900, 2700))},
    ),
    "on its way": (
        "Not generalizing yet", {"columns": stuck(test_loss=ramp(9, 3))}, ["from 5.35", "to 3.78", "accuracy 0.05"],
        "steps=6000", {"columns": stuck(test_loss=ramp(9, 8.2))},
    ),
    "on its way by the restricted loss": (
        "Not generalizing yet", {"columns": stuck(), "measures": {"restricted_loss": [3, 3, 1.2]}},
        ["restricted loss changed from 3 at step 120 to 1.2 at step 3000"], "steps=6000",
        {"columns": stuck(), "measures": {"restricted_loss": [9, 3, 2.9]}},
    ),
    "on its way by the excluded loss": (
        "Not generalizing yet", {"columns": stuck(), "measures": {"excluded_loss": [3, 0.5, 4]}},
        ["excluded loss changed from 0.5 at step 120 to 4"], "steps=6000",
        {"columns": stuck(), "measures": {"excluded_loss": [9, 0.5, 0.9]}},
    ),
    "few examples": (
        "Memorized, perhaps from too few",
        {"columns": stuck(), "experiment": settings(split={"fraction": 0.2}), "measures": {}},
        ["20 % of the examples", "0.05"], "split.fraction=0.4",
        {"columns": stuck(), "experiment": settings(split={"fraction": 0.3}), "measures": {}},
    ),
    "at rest": (
        "Memorized, with no sign of generalization so far", {"columns": stuck(), "measures": {}},
        ["at step 120", "weight decay 1", "0.05"], "optimization.weight_decay=3", {"columns": stuck()},
    ),
    "at rest in its curves": (
        "Memorized, with no sign of generalization in the curves", {"columns": stuck()}, ["at step 120", "0.05"], "",
        {"columns": stuck(), "measures": {}},
    ),
    "partly, on its way": (
        "Partly generalized, still improving", {"columns": stuck(test_accuracy=ramp(0.05, 0.8), test_loss=ramp(9, 3))},
        ["from 5.35", "to 3.78", "accuracy 0.8"], "steps=6000", {"columns": stuck(test_accuracy=ramp(0.05, 0.8))},
    ),
    "partly": (
        "Partly generalized, not improving", {"columns": stuck(test_accuracy=ramp(0.05, 0.8))}, ["accuracy 0.8"],
        "split.fraction=0.75", {"columns": stuck(test_accuracy=ramp(0.05, 0.4))},
    ),
    "unstable": (
        "Training is unstable", {"columns": spikes([50, 100, 150])},
        ["3 loss spikes and 0 slingshots from step 500 to step 1500", "from 0.01 to 3"], "optimization.lr=0.000333",
        {"columns": spikes([50, 100])},
    ),
    "unstable with Grokfast": (
        "Training is unstable",
        {"columns": spikes([50, 100, 150]), "experiment": settings(optimization=GROKFAST)}, ["3 loss spikes"],
        "optimization.lr_normalize=true", {"columns": spikes([]), "experiment": settings(optimization=GROKFAST)},
    ),
    "lost": (
        "Generalized and lost", {"columns": lost()}, ["at step 2000", "accuracy 0.3 at step 3000"],
        "optimization.lr=0.000333", {"columns": run()},
    ),
    "comes and goes": (
        "Generalization comes and goes", {"columns": flickering()}, ["at step 2000", "accuracy 0.99 at step 3000"],
        "optimization.lr=0.000333", {"columns": run()},
    ),
    "collapsed": (
        "Collapsed", {"columns": lost() | {"train_accuracy": np.where(run()["steps"] > 2600, 0.2, 1.0)}},
        ["at step 2000", "accuracy 0.3 at step 3000", "train accuracy 0.2"], "optimization.lr=0.000333",
        {"columns": lost()},
    ),
    "radial updates": (
        "The updates still scale",
        {"columns": stuck(), "experiment": ORTHO, "measures": ALIGNED | {"update_weight_cosine_total": [0, 0.2, 0.25]}},
        ["-0.93 for the raw", "0.25 for the update", "step 3000"], "optimization.optimizer=sgd",
        {"columns": stuck(), "experiment": ORTHO, "measures": ALIGNED | {"update_weight_cosine_total": [0, 0.2, 0.05]}},
    ),
    "wrong labels": (
        "The wrong labels stay",
        {"columns": run() | {"noisy_accuracy": np.full(N, 0.8), "restored_accuracy": np.full(N, 0.1)}},
        ["step 3000, 80 %", "10 % correctly"], "optimization.weight_decay=3",
        {"columns": run() | {"noisy_accuracy": ramp(0.8, 0.1), "restored_accuracy": ramp(0.1, 0.8)}},
    ),
    "leak": (
        "The test set leaks",
        {"columns": run(), "experiment": settings(split={"pairs": "ordered"}), "measures": {}, "leaked": 0.47},
        ["47 % of the test examples", "0.99"], "split.pairs=unordered",
        {"columns": run(), "experiment": settings(split={"pairs": "ordered"}), "measures": {}, "leaked": 0.0},
    ),
    "no delay": (
        "No delay", {"columns": sudden()}, ["at step 120", "generalized at step 130", "0.99"], "split.fraction=0.333",
        {"columns": run()},
    ),
    "evaluations": (
        "Too few evaluations", {"columns": run(every=500, last=8000)}, ["2 evaluations", "step 500", "step 2000"],
        "evaluate_every=75", {"columns": run(every=200, last=8000)},
    ),
    "checkpoints": (
        "Too few checkpoints", {"columns": run(), "checkpoints": 5}, ["2 checkpoints", "step 120"], "save.every=94",
        {"columns": run(), "checkpoints": 12},
    ),
    "damaged log": (
        "The log of the metrics is damaged", {"columns": run(), "status": {"status": "finished", "step": 3010}},
        ["ends at step 3000, but the run finished at step 3010"], "", {"columns": run()},
    ),
    "continued elsewhere": (
        "The run was continued", {"columns": run(), "exact": False}, ["step 90", "threads 1 became 2"], "",
        {"columns": run(), "exact": True},
    ),
}  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:.*the run finished at step")  # a planted damage


@pytest.mark.parametrize("case", CASES)
def test_a_rule_speaks_with_its_numbers(case, tmp_path):
    symptom, planted, numbers, setting, _ = CASES[case]
    found = diagnosis_of(write(tmp_path / "run", **planted), symptom)
    assert found is not None
    assert [number for number in numbers if number not in found.evidence] == []
    assert found.setting == setting


@pytest.mark.parametrize("case", CASES)
def test_a_rule_is_silent_for_a_similar_run(case, tmp_path):
    symptom, *_, similar = CASES[case]
    assert diagnosis_of(write(tmp_path / "run", **similar), symptom) is None


def test_every_rule_has_its_case(tmp_path):
    silent = set(RULES)
    for i, (_, planted, *_) in enumerate(CASES.values()):
        from grokinterp.diagnostics.facts import Facts

        facts = Facts.of(write(tmp_path / str(i), **planted))
        silent -= {rule for rule in silent if rule(facts) is not None}
    assert silent == set()


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][3]])
def test_the_setting_can_be_given_to_train(case):
    setting = CASES[case][3].replace("'", "")
    changes = [setting, "optimization.filters=[{kind='grokfast_ema'}]"] if "lr_normalize" in setting else [setting]
    before = Experiment().override(["optimization.loss=mse", "optimization.weight_decay=0"])
    assert before.override(changes) != before


def test_a_run_that_groks_has_none(tmp_path):
    results = write(tmp_path / "run", run(), measures={"restricted_loss": [3, 3, 0.1]})
    assert results.verdict == "grokked"
    assert diagnose(results) == []
    assert diagnosis_lines([]) == []


def test_a_network_that_is_right_on_everything_needs_no_remedy(tmp_path):
    right = {"train_accuracy": np.ones(N), "test_accuracy": np.where(run()["steps"] >= 130, 1.0, 0.1)}
    spiky = spikes([50, 100, 150]) | right
    assert diagnose(write(tmp_path / "b", spiky, PLAIN, measures=COLLAPSE, checkpoints=0)) == []
    write(tmp_path / "d", sudden(), checkpoints=0)
    (tmp_path / "d" / "environment.json").write_text('{"accuracy": 1.0}')
    assert diagnose(Results.open(tmp_path / "d")) == []
    assert diagnose(write(tmp_path / "e", sudden(), measures={"all_accuracy": [0.1, 0.9, 1.0]}, checkpoints=0)) == []
    (rarely,) = diagnose(write(tmp_path / "c", run(every=500, last=8000) | {"test_accuracy": ended(500, 8000)}))
    assert rarely.symptom == "Too few evaluations to see the transition"


def test_an_analyzed_answer_that_is_right_does_not_excuse_the_others(tmp_path):
    write(tmp_path / "run", sudden(), measures={"all_accuracy": [0.1, 0.9, 1.0]}, checkpoints=0)
    log = tmp_path / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    each = [{"test_accuracy_of_answer": {"0": row["test_accuracy"], "1": 1.0}} for row in rows]
    log.write_text("".join(json.dumps(row | one) + "\n" for row, one in zip(rows, each, strict=True)))
    (found,) = diagnose(Results.open(tmp_path / "run"))
    assert found.symptom.startswith("No delay")


def test_on_infinite_data_nothing_is_memorized_and_no_share_is_trained_on(tmp_path):
    infinite = settings(data="infinite")
    assert diagnose(write(tmp_path / "a", sudden(), infinite, checkpoints=0)) == []
    (found,) = diagnose(write(tmp_path / "b", failing(train_loss=ramp(3, 1, 0)), infinite, checkpoints=0))
    assert (found.symptom, found.setting) == ("Not learned yet, and improving", "steps=6000")
    few = settings(data="infinite", split={"fraction": 0.2})
    symptoms = [found.symptom for found in diagnose(write(tmp_path / "c", stuck(), few, measures={}))]
    assert "Memorized, perhaps from too few examples" not in symptoms


def ended(every, last):
    steps = run(every=every, last=last)["steps"]
    return np.where(steps >= 2000, 1.0, 0.0)


def test_a_plateau_has_one_name(tmp_path):
    """The general remedy applies only if no other rule explains the run."""
    for i, experiment in enumerate([EXPERIMENT, PLAIN, settings(split={"fraction": 0.2})]):
        assert len(diagnose(write(tmp_path / str(i), stuck(), experiment))) == 1
        assert len(diagnose(write(tmp_path / f"analyzed {i}", stuck(), experiment, measures={}))) == 1


def test_an_unfinished_run_is_to_be_continued(tmp_path):
    running = {"status": {"status": "interrupted", "step": LAST}, "experiment": settings(steps=9000)}
    found = diagnosis_of(write(tmp_path / "a", stuck(test_loss=ramp(9, 3)), **running), "Not generalizing yet")
    assert (found.setting, found.remedy) == ("", "Continue training to step 9000: grokinterp train --resume.")
    assert diagnose(write(tmp_path / "b", stuck(), **running)) == []
    assert diagnose(write(tmp_path / "c", failing(), **running)) == []


def test_of_a_recorded_run_settings_are_not_judged(tmp_path):
    """The configuration of somebody else's run holds defaults that nobody gave, all but the loss."""
    theirs = settings(model={"kind": "recorded"}, optimization={"weight_decay": 0.0})
    (rests,) = diagnose(write(tmp_path / "a", stuck(), theirs, measures={}, leaked=0.5))
    assert (rests.symptom, rests.setting) == ("Memorized, with no sign of generalization so far", "")
    (grows,) = diagnose(write(tmp_path / "b", stuck(weight_norm=ramp(900, 2700)), theirs))
    assert (grows.symptom, grows.setting) == ("Memorized, and the weights grow", "")
    (shrunk,) = diagnose(write(tmp_path / "c", failing(weight_norm=ramp(900, 9, 0)), {"model": {"kind": "recorded"}}))
    assert shrunk.setting == ""
    theirs["optimization"]["loss"] = "float32"
    (collapsed,) = diagnose(write(tmp_path / "d", stuck(), theirs, measures=COLLAPSE))
    assert (collapsed.symptom[:16], collapsed.setting) == ("Softmax collapse", "")


def test_a_recorded_optimizer_is_known_by_the_metrics(tmp_path):
    theirs = {"model": {"kind": "recorded"}}
    rates = {"learning_rate": np.full(N, 1e-3)}
    none = rates | {"weight_decay": np.zeros(N)}
    (found,) = diagnose(write(tmp_path / "a", stuck(**none, weight_norm=ramp(900, 2700)), theirs))
    assert found.symptom == "Memorized, and nothing removes the memorized solution"
    assert found.evidence.startswith("weight decay is 0; ")
    assert found.setting == "torch.optim.AdamW(..., weight_decay=1)"
    (found,) = diagnose(write(tmp_path / "b", stuck(**rates, weight_decay=np.full(N, 0.1)), theirs, measures={}))
    assert found.evidence.endswith("; weight decay 0.1")
    assert found.setting == "torch.optim.AdamW(..., weight_decay=0.3)"
    (found,) = diagnose(write(tmp_path / "c", stuck(**none | {"learning_rate": ramp(2, 0)}), theirs, measures={}))
    assert found.setting == ""  # times the largest rate, a decay of 1 would take more than all
    assert diagnose(write(tmp_path / "d", failing(**none, weight_norm=ramp(900, 9, 0)), theirs))[0].symptom[:14] == (
        "The train loss"
    )


@pytest.mark.parametrize("columns", [{}, {"steps": [0], "train_loss": [1.0]}, {"steps": [0], "test_accuracy": [None]}])
def test_what_is_not_known_is_not_judged(columns, tmp_path):
    columns = {name: np.array(values, dtype=float) for name, values in ({"steps": []} | columns).items()}
    results = write(tmp_path / "run", columns, {}, status={"status": "running", "step": 0}, checkpoints=0)
    assert diagnose(results) == []


def test_a_run_without_a_configuration_is_diagnosed_by_its_curves(tmp_path):
    (found,) = diagnose(write(tmp_path / "run", failing(), {}))
    assert (found.symptom, found.setting) == ("The train loss hardly falls, and nothing is memorized", "")


def test_diagnoses_are_printed_as_lines():
    lines = diagnosis_lines([Diagnosis("Ill", "a is 1", "Take b.", "b=2"), Diagnosis("Worse", "c is 3", "Rest.")])
    assert lines == [
        "diagnosis         Ill", "                  a is 1", "remedy            Take b. Try b=2",
        "diagnosis         Worse", "                  c is 3", "remedy            Rest.",
    ]  # fmt: skip


def test_a_damaged_record_of_a_continuation_does_not_claim_another_environment(tmp_path):
    results = write(tmp_path / "a", run(), exact=True)
    record = results.directory.path / "continuations.jsonl"
    record.write_bytes(record.read_bytes().replace(b"newest", b"oldest"))
    with pytest.warns(match="damaged record 1"):
        found = diagnosis_of(results, "The run was continued, perhaps in another environment")
    assert found.evidence == "the record of this continuation is damaged"
