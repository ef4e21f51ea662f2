"""Label noise: some training labels permuted, and remembered."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from grokinterp.experiment import Split
from grokinterp.experiment.problem import Problem
from grokinterp.phases import Curves, find_phases
from grokinterp.tasks import ModularAddition
from grokinterp.training import train
from tests.support.listed_task import Listed
from tests.support.plain_loop import assert_trains_plainly
from tests.support.small_runs import changed

NOISY = changed(split={"label_noise": 0.5})


@given(p=st.integers(5, 15), noise=st.floats(0.2, 1), seed=st.integers(0, 2**63 - 1))
def test_noise_stays_in_the_training_set_and_keeps_every_class_as_frequent(p, noise, seed):
    task, split = ModularAddition(p=p), Split(fraction=0.6, label_noise=noise)
    is_train = split.is_train(task, seed=seed)
    labels, trained = task.label(), split.trained_labels(task, is_train, seed=seed).squeeze(1)
    assert torch.equal(trained[~is_train], labels[~is_train])
    assert torch.equal(trained[is_train].bincount(minlength=p), labels[is_train].bincount(minlength=p))
    assert int((trained != labels).sum()) <= int(noise * int(is_train.sum()) + 1e-9)
    assert torch.equal(split.trained_labels(task, is_train, seed=seed).squeeze(1), trained)


@given(noise=st.floats(0.1, 1), seed=st.integers(0, 2**32))
def test_the_permuted_labels_are_one_cycle_of_exactly_that_length(noise, seed):
    """Seen on a task whose labels are all different."""
    task, split = Listed(classes=tuple(range(50))), Split(fraction=0.8, label_noise=noise)
    comes_from = split.trained_labels(task, split.is_train(task, seed=seed), seed=seed).flatten().tolist()
    moved = [i for i, label in enumerate(comes_from) if label != i]
    assert len(moved) == int(noise * 40 + 1e-9)
    at, cycle = moved[0], []
    while at not in cycle:
        cycle.append(at)
        at = comes_from[at]
    assert sorted(cycle) == moved


def test_about_one_in_p_of_the_permuted_labels_comes_out_as_it_was():
    task, split, everything = ModularAddition(p=5), Split(label_noise=1.0), torch.ones(25, dtype=torch.bool)
    trained = torch.stack([split.trained_labels(task, everything, seed=seed) for seed in range(400)])
    assert float((trained == task.labels()).double().mean()) == pytest.approx(4 / 24, abs=0.02)


def test_noise_follows_the_seed_and_is_drawn_apart_from_the_split():
    task = ModularAddition(p=11)
    clean, noisy = Split(fraction=0.5), Split(fraction=0.5, label_noise=0.3)
    assert torch.equal(clean.is_train(task, seed=1), noisy.is_train(task, seed=1))
    is_train = clean.is_train(task, seed=1)
    drawn = {tuple(noisy.trained_labels(task, is_train, seed=seed).flatten().tolist()) for seed in range(10)}
    assert len(drawn) == 10
    own = Split(fraction=0.5, label_noise=0.3, seed=7)
    assert torch.equal(own.trained_labels(task, is_train, seed=1), noisy.trained_labels(task, is_train, seed=7))


def test_noise_does_not_follow_the_order_in_which_the_split_was_drawn():
    """A generator seeded alike would permute the very examples that it drew first."""
    task, split = Listed(classes=tuple(range(60))), Split(fraction=0.5, label_noise=0.5)
    everything, shared = torch.ones(60, dtype=torch.bool), []
    for seed in range(20):
        drawn = split.is_train(task, seed=seed)
        permuted = (split.trained_labels(task, everything, seed=seed) != task.labels()).squeeze(1)
        shared.append(int((drawn & permuted).sum()) / 30)
    assert sum(shared) / 20 == pytest.approx(0.5, abs=0.1)


def test_every_training_example_is_as_likely_to_be_permuted():
    task, split = Listed(classes=tuple(range(12))), Split(fraction=0.9, label_noise=0.5)
    everything = torch.ones(12, dtype=torch.bool)
    share = torch.stack(
        [split.trained_labels(task, everything, seed=seed) != task.labels() for seed in range(2000)]
    ).double()
    assert float((share.mean(0) - 1 / 2).abs().max()) < 5 * (0.25 / 2000) ** 0.5


# --- content of a problem ------------------------------------------------------------------------------------------


def test_a_problem_knows_the_right_labels_and_those_trained_on():
    problem = Problem.of(NOISY)
    right, trained = problem.labels, problem.trained_labels
    assert torch.equal(right, NOISY.task.labels())
    assert torch.equal(problem.is_noisy, (right != trained).squeeze(1))
    assert 0 < int(problem.is_noisy.sum()) <= 12
    assert not (problem.is_noisy & ~problem.is_train).any()
    train, test = problem.parts["train"], problem.parts["test"]
    assert torch.equal(train.labels, trained[problem.is_train])
    assert torch.equal(train.correct_labels, right[problem.is_train])
    assert torch.equal(test.labels, right[problem.is_test])
    assert problem.has_noise
    assert "validation" not in problem.parts


def test_a_problem_of_four_parts_has_neither_noise_nor_validation():
    task, is_train = ModularAddition(p=5), torch.arange(25) < 10
    problem = Problem(task, task.tokens(), task.labels(), is_train)
    assert torch.equal(problem.is_test, ~is_train)
    assert not problem.is_noisy.any()
    assert not problem.is_validation.any()
    assert (problem.has_noise, problem.loss, [*problem.parts]) == (False, "softplus", ["train", "test", "all"])


def test_parts_of_a_problem_with_validation():
    problem = Problem.of(changed(split={"validation": 0.2}, optimization={"loss": "mse"}))
    parts = problem.is_train, problem.is_validation, problem.is_test
    assert torch.equal(sum(part.int() for part in parts), torch.ones(49, dtype=torch.int32))
    assert [int(part.sum()) for part in parts] == [24, 9, 16]
    for name, mask in zip(("train", "validation", "test"), parts, strict=True):
        assert torch.equal(problem.parts[name].inputs.tokens, problem.tokens[mask])
        assert torch.equal(problem.parts[name].labels, problem.labels[mask])
    assert torch.equal(problem.parts["all"].inputs.tokens, problem.tokens)
    assert problem.loss == "mse"


def test_a_problem_moves_whole():
    problem = Problem.of(changed(NOISY, split={"validation": 0.2}, optimization={"loss": "mse"})).to("meta")
    tensors = {name: value for name, value in vars(problem).items() if isinstance(value, torch.Tensor)}
    assert {"tokens", "labels", "is_train", "is_validation", "trained_labels"} <= set(tensors)
    assert {value.device.type for value in tensors.values()} == {"meta"}
    assert problem.loss == "mse"


# --- training on it ------------------------------------------------------------------------------------------------


def test_noise_and_validation_are_measured_as_in_a_plain_loop(tmp_path):
    experiment = changed(NOISY, split={"validation": 0.2, "stratified": True}, evaluate_every=1)
    assert_trains_plainly(experiment, tmp_path / "run")


def test_without_noise_or_validation_nothing_is_said_of_them(tmp_path):
    metrics = train(changed(steps=1), tmp_path / "run", device="cpu").metrics
    assert not {"validation_loss", "validation_accuracy", "noisy_accuracy", "restored_accuracy"} & set(metrics)


def test_noise_is_memorized_and_counted_as_right(tmp_path):
    """Every label is learned, the wrong ones too; then no mislabeled example is answered correctly."""
    metrics = train(
        changed(NOISY, steps=120, optimization={"weight_decay": 0.0}), tmp_path / "run", device="cpu"
    ).metrics
    last = metrics.isel(step=-1)
    assert [float(last[name]) for name in ("train_accuracy", "noisy_accuracy", "restored_accuracy")] == [1, 1, 0]
    assert float(last["train_loss"]) < 0.1


def test_memorization_is_dated_by_the_correctly_labeled_examples(tmp_path):
    """A network that answers every example correctly contradicts the wrong labels, and has still generalized."""
    steps = np.arange(0, 4000, 10)
    late, early = (steps >= 2000).astype(float), (steps >= 200).astype(float)
    columns = {"train_accuracy": 0.9 * early, "clean_accuracy": early, "test_accuracy": late}
    metrics = xr.Dataset({name: ("step", values) for name, values in columns.items()}, coords={"step": steps})
    found = find_phases(Curves.from_dataset(metrics))
    assert (found.verdict, found.memorized_step, found.grok_step) == ("grokked", 200, 2000)
    assert find_phases(Curves.from_dataset(metrics.drop_vars("clean_accuracy"))).memorized_step != 200


def test_where_every_label_is_wrong_there_is_no_clean_accuracy(tmp_path):
    metrics = train(
        changed(task={"p": 97}, split={"label_noise": 1.0}, steps=1), tmp_path / "run", device="cpu"
    ).metrics
    assert float(metrics["noisy_accuracy"][0]) <= 1
    assert ("clean_accuracy" in metrics) == bool(np.isfinite(metrics.get("clean_accuracy", np.nan)).all())


def test_noise_that_changed_no_label_is_no_noise(tmp_path):
    two_of_one_class = {"label_noise": 0.1, "seed": 6}
    run = train(changed(split=two_of_one_class, steps=3), tmp_path / "run", device="cpu")
    assert run.problem.trained_labels.equal(run.problem.labels), "the two labels differ now: choose another seed"
    assert run.directory.status["status"] == "finished"
    assert "noisy_accuracy" not in run.metrics


def test_validation_examples_if_any_determine_the_transition(tmp_path):
    save = {"every": 1000, "dense_until": 0, "transition_every": 1, "resume_every": 1000}
    split = {"fraction": 0.6, "validation": 0.05, "seed": 7}  # two examples, accuracy 0 while test accuracy is not
    run = train(changed(split=split, save=save, evaluate_every=1), tmp_path / "run", device="cpu")
    expected, memorized, between = {0, 30}, False, {"validation": set(), "test": set()}
    for row in run.directory.read_metrics()[0].rows():
        memorized = memorized or row["train_accuracy"] >= 0.99
        for part, steps in between.items():
            if memorized and 0.05 < row[f"{part}_accuracy"] < 0.99:
                steps.add(row["step"])
    assert set(run.steps) == expected | between["validation"]
    assert between["validation"] != between["test"], "they no longer differ: choose another seed"
