"""The training loop: its numbers and its files."""

import pytest
import torch

from grokinterp.runs.trajectory import Trajectory
from grokinterp.training import default_directory, train
from tests.cases.losses import SOFTMAX_FORMS
from tests.support.plain_loop import assert_trains_plainly
from tests.support.small_runs import TINY, changed, written


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Trajectory:
    """TINY, trained without interruption."""
    return train(TINY, tmp_path_factory.mktemp("finished") / "run", device="cpu")


# --- the numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", SOFTMAX_FORMS)
def test_every_number_equals_that_of_a_plain_loop(form, tmp_path):
    assert_trains_plainly(changed(optimization={"loss": form}, evaluate_every=1, steps=30), tmp_path / "run")


@pytest.mark.parametrize(
    "spec",
    [
        {"n_layers": 2, "normalization": "LN"},
        {"attention": "bidirectional", "biases": True},
        {"normalization": "LNPre", "act_fn": "gelu"},
        {"read_at": "mean", "norm_position": "post", "normalization": "LN"},
    ],
)
def test_other_models_train_as_in_a_plain_loop(spec, tmp_path):
    assert_trains_plainly(changed(model=spec, evaluate_every=5, steps=20), tmp_path / "run", rel=1e-3)


def test_metrics_become_a_dataset(finished):
    metrics = finished.metrics
    assert metrics["step"].values.tolist() == [*range(0, 31, 3)]
    assert metrics["weight_norm_of"].dims == ("step", "parameter")
    assert float(metrics["train_loss"][-1]) < float(metrics["train_loss"][0])


# --- the files -----------------------------------------------------------------------------------------------------


def test_the_save_schedule(finished):
    expected, memorized, in_transition = set(), False, False
    rows = {row["step"]: row for row in finished.directory.read_metrics()[0].rows()}
    for at in range(31):
        if at in rows:
            memorized = memorized or rows[at]["train_accuracy"] >= 0.99
            in_transition = memorized and 0.05 < rows[at]["test_accuracy"] < 0.99
        if at % 10 == 0 or (at <= 8 and at % 2 == 0) or (in_transition and at % 3 == 0) or at == 30:
            expected.add(at)
    assert set(finished.steps) == expected
    assert {2, 4, 6, 8} < expected
    assert {24, 27} < expected, "TINY no longer enters the transition: choose another seed"
    assert finished.directory.resume.steps() == (28, 30)


def test_a_checkpoint_holds_the_state_and_the_update_that_led_to_it(tmp_path):
    run = train(changed(save={"every": 1}, steps=12), tmp_path / "run", device="cpu")
    names = [name for name, _ in run.experiment.empty_model().named_parameters()]
    before = run.weights(0)
    assert before.update is None
    for at in run.steps[1:]:
        now = run.weights(at)
        assert sorted(now.update) == sorted(names)
        assert all(torch.equal(now.update[name], now.state[name] - before.state[name]) for name in names)
        before = now


def test_the_first_checkpoint_holds_the_initial_weights(finished):
    initial = TINY.build_model().state_dict()
    assert all(torch.equal(value, initial[name]) for name, value in finished.weights(0).state.items())


def test_the_default_directory_is_named_by_name_and_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = changed(steps=3)
    run = train(experiment, device="cpu")
    assert run.path == default_directory(experiment)
    assert str(run.path).startswith("checkpoints/tiny-")
    assert default_directory(changed(steps=4)) != run.path


def test_training_is_deterministic(finished, tmp_path):
    assert written(train(TINY, tmp_path / "run", device="cpu").path) == written(finished.path)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("batch_size", [None, 800])
def test_training_on_two_threads_is_deterministic(batch_size, tmp_path):
    """Large enough that both threads add to the same row of an embedding's gradient."""
    sizes = {"task": {"p": 41}, "model": {"d_model": 64, "d_mlp": 128}, "optimization": {"batch_size": batch_size}}
    experiment = changed(**sizes, steps=6, save={"every": 6, "dense_until": 0})
    one, other = (written(train(experiment, tmp_path / name, device="cpu").path) for name in "ab")
    assert other == one
