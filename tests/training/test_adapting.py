"""Adaptive parts of training: detection, patience, λ, schedules, curriculum, averages; all resumable."""

import shutil

import pytest
import torch

from grokinterp.errors import ConfigError, NotDefined
from grokinterp.optim import FILTERS
from grokinterp.phases import grok_step
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.training import train
from grokinterp.training.loggers import evaluation_line
from grokinterp.training.packing import pack
from tests.support.groks import GROKS
from tests.support.small_runs import changed, written
from tests.support.stopped_runs import train_until

DUAL = {"kind": "grokfast_dual", "ema": {"alpha": 0.8, "lamb": 0.5}, "ma": {"window": 5, "lamb": 0.5}}

ADAPTS = changed(
    GROKS,
    optimization={
        "filters": [DUAL],
        "boost": 1.5,
        "average": 0.9,
        "batch_size": 200,
        "schedules": {
            "lr": {"kind": "adaptive", "patience": 9, "lowest": 0.3},
            "weight_decay": {"kind": "adaptive", "doubling": 20, "most": 2.0},
            "batch_size": {"kind": "curriculum", "hold": 5, "low": 0.5, "accuracy": 0.8},
        },
        "curriculum": {"start": 0.8, "over": 10, "by": "loss"},
    },
    save={"every": 20, "resume_every": 1000},
    evaluate_every=2,
    patience=4,
    steps=400,
)
"""Everything that adapts at once."""

AT = 85
"""A step at which every adaptive part is active and the run has not grokked."""


@pytest.fixture(scope="module")
def adapted(tmp_path_factory) -> Trajectory:
    return train(ADAPTS, tmp_path_factory.mktemp("adapted") / "run", device="cpu")


def rows_of(run: Trajectory) -> list[dict]:
    return list(run.directory.read_metrics()[0].rows())


def test_everything_that_adapts_has_adapted(adapted):
    """Or the tests below would show nothing."""
    rows = rows_of(adapted)
    for column in ("learning_rate", "weight_decay", "batch_size", "lamb", "examples"):
        assert len({row[column] for row in rows}) > 1, column


def test_detection_online_is_that_of_the_whole_curve_and_patience_ends_the_run(adapted):
    rows = rows_of(adapted)
    found = grok_step(*([row[key] for row in rows] for key in ("step", "train_accuracy", "test_accuracy")))
    assert found is not None
    window = 10
    assert rows[-1]["step"] == found + 2 * (window - 1 + ADAPTS.patience)
    assert adapted.steps[-1] == rows[-1]["step"] < ADAPTS.steps
    status = adapted.directory.status
    assert (status["status"], status["step"]) == ("finished", rows[-1]["step"])
    assert "4 evaluations" in status["why"]


def test_amplification_is_boosted_from_detection_on(adapted):
    rows = rows_of(adapted)
    detected = rows[-1]["step"] - 2 * ADAPTS.patience
    assert {row["lamb"] for row in rows if row["step"] < detected} == {1.0}
    assert {row["lamb"] for row in rows if row["step"] >= detected} == {1.5}


def test_resuming_a_run_that_patience_ended_changes_nothing(adapted):
    before = written(adapted.path)
    train(ADAPTS, adapted.path, device="cpu", resume=True)
    assert written(adapted.path) == before


def test_without_patience_nothing_stops_a_run_that_has_grokked(tmp_path):
    run = train(GROKS, tmp_path / "run", device="cpu")
    assert run.metrics["test_accuracy"].values[-20:].min() > 0.95
    assert run.steps[-1] == GROKS.steps


@pytest.mark.parametrize("at", [7, AT, 105])
def test_a_resumed_run_is_byte_identical(at, adapted, tmp_path):
    train_until(tmp_path / "run", at, ADAPTS)
    run = train(ADAPTS, tmp_path / "run", device="cpu", resume=True)
    assert written(run.path) == written(adapted.path)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> RunDirectory:
    path = tmp_path_factory.mktemp("interrupted") / "run"
    train_until(path, AT, ADAPTS)
    return RunDirectory.open(path)


def place(plan, *path):
    """The entry at a path in a packed plan, as the list [key, value] that contains it."""
    for key in path:
        ((_, content),) = plan.items()
        entry = next(entry for entry in content if entry[0] == key)
        plan = entry[1]
    return entry


FRESH = {
    "the place in the stream of batches": (("seen",), lambda value: 0),
    "the learning rate's schedule": (("rates", "schedules", "lr"), lambda value: {"dict": [["factor", 0.5]]}),
    "the weight decay's schedule": (("rates", "schedules", "weight_decay"), lambda value: {"dict": []}),
    "the batch size's schedule": (("rates", "schedules", "batch_size"), lambda value: {"dict": []}),
}


@pytest.mark.parametrize("name", FRESH)
def test_no_adaptive_state_can_be_forgotten(name, adapted, interrupted, tmp_path):
    path, fresh = FRESH[name]
    saved = interrupted.resume.load()
    entry = place(saved.state["training_step"], *path)
    entry[1] = fresh(entry[1])
    assert gone_on(interrupted, tmp_path / "run", saved.tensors, saved.state) != written(adapted.path)


@pytest.mark.parametrize("part", ["filters/memory", "averaged/", "optimizer/state"])
def test_no_memory_can_be_forgotten(part, adapted, interrupted, tmp_path):
    saved = interrupted.resume.load()
    forgotten = {name: torch.zeros_like(value) if part in name else value for name, value in saved.tensors.items()}
    assert any(part in name for name in forgotten)
    assert gone_on(interrupted, tmp_path / "run", forgotten, saved.state) != written(adapted.path)
    gone = {name: value for name, value in saved.tensors.items() if part not in name}
    with pytest.raises(Exception, match="written by another version"):
        gone_on(interrupted, tmp_path / "gone", gone, saved.state)


def test_the_state_that_is_put_back_unchanged_gives_the_same_run(adapted, interrupted, tmp_path):
    saved = interrupted.resume.load()
    assert gone_on(interrupted, tmp_path / "run", saved.tensors, saved.state) == written(adapted.path)


def test_the_detector_and_the_count_behind_it_cannot_be_forgotten(adapted, interrupted, tmp_path):
    for name in ("detector", "after"):
        saved = interrupted.resume.load()
        state = dict(saved.state)
        if name == "detector":
            state[name] = {**state[name], "memorized_step": None, "streak": 0, "streak_start": None, "grok_step": None}
        else:
            state[name] = 2
        assert gone_on(interrupted, tmp_path / name, saved.tensors, state) != written(adapted.path), name


def gone_on(run: RunDirectory, path, tensors, state) -> dict[str, bytes]:
    shutil.copytree(run.path, path)
    RunDirectory.open(path).resume.save(AT, tensors, state)
    return written(train(ADAPTS, path, device="cpu", resume=True).path)


# --- averaged weights ----------------------------------------------------------------------------------------------


def test_averaged_weights_follow_their_formula_and_are_saved(tmp_path):
    experiment = changed(GROKS, optimization={"average": 0.75}, save={"every": 1}, steps=6)
    run = train(experiment, tmp_path / "run", device="cpu")
    wanted = {name: value.clone() for name, value in run.model(step=0).named_parameters()}
    for step in run.steps[1:]:
        now = dict(run.model(step=step).named_parameters())
        wanted = {name: 0.75 * value + 0.25 * now[name] for name, value in wanted.items()}
        found = dict(run.model(step=step, averaged=True).named_parameters())
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value)


def test_averaged_weights_are_evaluated_beside_the_raw_ones(tmp_path):
    experiment = changed(GROKS, optimization={"average": 0.9}, steps=40)
    run = train(experiment, tmp_path / "run", device="cpu")
    model, problem = run.model(averaged=True), run.problem
    right = model(problem.tokens)[:, -1].argmax(1) == problem.label
    last = rows_of(run)[-1]
    assert last["average_test_accuracy"] == pytest.approx(float(right[problem.is_test].double().mean()))
    assert last["average_train_accuracy"] == pytest.approx(float(right[problem.is_train].double().mean()))
    assert last["average_test_loss"] != last["test_loss"]


def test_averaging_changes_nothing_in_the_run(tmp_path):
    plain = rows_of(train(changed(GROKS, steps=20), tmp_path / "plain", device="cpu"))
    averaged = rows_of(train(changed(GROKS, steps=20, optimization={"average": 0.9}), tmp_path / "run", device="cpu"))
    assert plain == [{key: value for key, value in row.items() if "average" not in key} for row in averaged]


def test_a_run_without_average_says_so(adapted, tmp_path):
    run = train(changed(GROKS, steps=1), tmp_path / "run", device="cpu")
    with pytest.raises(NotDefined, match=r"optimization\.average"):
        run.model(averaged=True)


# --- the configuration ---------------------------------------------------------------------------------------------


def test_filters_can_be_named_alone():
    named = GROKS.override(['optimization.filters=["orthograd", "grokfast_ema"]'])
    assert [filter.kind for filter in named.optimization.filters] == ["orthograd", "grokfast_ema"]
    assert GROKS.override(["optimization.filters=egd"]).optimization.filters[0].kind == "egd"


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optimization.boost=1.5", "optimization.boost=1.5: needs a filter that amplifies"),
        ("optimization.lr_normalize=true", "optimization.lr_normalize=True: needs a filter that amplifies"),
        ('optimization.filters=["adam"]', "optimization.filters.0.kind=adam: must be one of grokfast_ema"),
        ("optimization.schedules.lr.kind=linear", "optimization.schedules.lr.kind=linear: must be one of constant"),
        ("optimization.schedules.batch_size.kind=increasing", "needs a batch_size to change"),
        ("optimization.average=1", "optimization.average=1.0: must lie strictly between 0 and 1"),
        ("optimization.optimizer=lion", "optimization.optimizer=lion: must be one of adamw, adam, sgd, muon"),
        ("optimization.momentum=1", "optimization.momentum=1.0: must be from 0 to below 1"),
        ("patience=-1", "patience=-1: must be an integer from 0"),
        (
            'optimization.filters=[{kind="grokfast_ema", alpha=2}]',
            "optimization.filters.0.alpha=2.0: must be from 0 to 1",
        ),
    ],
)
def test_a_bad_setting_is_one_line(override, line):
    with pytest.raises(ConfigError, match=line.replace(".", r"\.").replace("[", r"\[")):
        GROKS.override([override])


# --- messages ------------------------------------------------------------------------------------------------------


def test_detection_is_said_once_on_standard_error(tmp_path, capsys):
    train(changed(GROKS, evaluate_every=2), tmp_path / "run", device="cpu", progress=True)
    lines = [line for line in capsys.readouterr().err.splitlines() if "detected" in line]
    assert len(lines) == 1
    rows = rows_of(Trajectory.open(tmp_path / "run"))
    found = grok_step(*([row[key] for row in rows] for key in ("step", "train_accuracy", "test_accuracy")))
    (row,) = (row for row in rows if row["step"] == found + 18)
    numbers = evaluation_line(row)
    assert lines[0] == f"step {found + 18}: grokking detected, generalizing since step {found}; {numbers}"


def test_loggers_know_of_the_detection(tmp_path):
    """The flag ``detected`` is 1 from the evaluation on that detects grokking; metrics.jsonl does not need it."""

    class Listed:
        def __init__(self):
            self.flags = {}

        def log_metrics(self, values, step):
            self.flags[step] = values["detected"]

    logger = Listed()
    run = train(changed(GROKS, evaluate_every=2), tmp_path / "run", device="cpu", loggers=[logger])
    rows = rows_of(run)
    found = grok_step(*([row[key] for row in rows] for key in ("step", "train_accuracy", "test_accuracy")))
    assert found is not None
    assert logger.flags == {row["step"]: float(row["step"] >= found + 18) for row in rows}
    assert not any("detected" in row for row in rows)


# --- cost ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILTERS)
def test_a_filter_remembers_as_many_numbers_as_it_says(kind):
    filter, memory, most = FILTERS[kind](), None, 0
    for _ in range(250):
        _, memory = filter(torch.randn(2, 3), torch.ones(2, 3), memory)
        most = max(most, len(pack(memory, "memory")[0]))
    assert most == filter.copies


def test_a_resume_file_that_would_be_too_large_is_refused_before_any_work(tmp_path):
    wide = changed(GROKS, optimization={"filters": ["grokfast_ma"]}, model={"hidden": [60_000, 200]})
    with pytest.raises(ConfigError, match=r"model=.* weights: at most .* fit in a resume file"):
        train(wide, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
