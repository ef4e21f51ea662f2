"""The training loop: its numbers and its files."""

import pytest
import torch
from torch.nn import functional

from grokinterp.experiment import Experiment
from grokinterp.training import default_directory, loop, train
from grokinterp.trajectory import Trajectory
from tests.small_runs import TINY, changed, written


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Trajectory:
    """TINY, trained without interruption."""
    return train(TINY, tmp_path_factory.mktemp("finished") / "run", device="cpu")


# --- the numbers ---------------------------------------------------------------------------------------------------


def naive_rows(experiment: Experiment) -> list[dict[str, float]]:
    """A plain PyTorch loop: the hooked module at all positions, torch's cross-entropy, AdamW, LambdaLR."""
    model, is_train = experiment.build_model(), experiment.is_train()
    tokens, labels = experiment.task.tokens(), experiment.task.labels()
    settings = experiment.optimization
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, foreach=True
    )
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / settings.warmup_steps))
    rows = []
    for at in range(experiment.steps + 1):
        logits = model(tokens)[:, -1]
        losses = functional.cross_entropy(logits.double(), labels, reduction="none")
        optimizer.zero_grad()
        losses[is_train].mean().backward()
        correct = (logits.argmax(-1) == labels).double()
        logits, losses = logits.detach(), losses.detach()
        others = logits[is_train].scatter(1, labels[is_train, None], -torch.inf).max(1).values
        own = logits[is_train].gather(1, labels[is_train, None])[:, 0]
        norms = {name: float(weight.detach().double().square().sum()) for name, weight in model.named_parameters()}
        gradients = torch.cat([weight.grad.flatten() for weight in model.parameters()])
        rows.append(
            {
                "step": at,
                "train_loss": float(losses[is_train].mean()),
                "test_loss": float(losses[~is_train].mean()),
                "train_accuracy": float(correct[is_train].mean()),
                "test_accuracy": float(correct[~is_train].mean()),
                "gradient_norm": float(gradients.norm()),
                "weight_norm": sum(norms.values()),
                "logit_mean_abs": float(logits[is_train].abs().mean()),
                "logit_max_abs": float(logits[is_train].abs().max()),
                "logit_margin": float((own - others).mean()),
                "learning_rate": warmup.get_last_lr()[0],
                "weight_norm_of": norms,
            }
        )
        optimizer.step()
        warmup.step()
    return rows


@pytest.mark.parametrize("form", ["softplus", "float32", "float64"])
def test_every_number_equals_that_of_a_plain_loop(form, tmp_path):
    experiment = changed(optimization={"loss": form}, evaluate_every=1, steps=30)
    rows = train(experiment, tmp_path / "run", device="cpu").directory.metrics.read()
    expected = naive_rows(experiment)
    assert [row["step"] for row in rows] == list(range(31))
    for row, naive in zip(rows, expected, strict=True):
        assert set(row) == set(naive)
        norms, naive_norms = row.pop("weight_norm_of"), naive.pop("weight_norm_of")
        assert row == pytest.approx(naive, rel=2e-4, abs=1e-5)
        assert norms == pytest.approx(naive_norms, rel=1e-4)


@pytest.mark.parametrize(
    "spec",
    [
        {"n_layers": 2, "normalization": "LN"},
        {"attention": "bidirectional", "biases": True},
        {"normalization": "LNPre", "act_fn": "gelu"},
    ],
)
def test_other_models_train_as_in_a_plain_loop(spec, tmp_path):
    experiment = changed(model=spec, evaluate_every=5, steps=20)
    rows = train(experiment, tmp_path / "run", device="cpu").directory.metrics.read()
    naive = naive_rows(experiment)[::5]
    for key in ("train_loss", "test_loss", "gradient_norm"):
        assert [row[key] for row in rows] == pytest.approx([row[key] for row in naive], rel=1e-3)


def test_metrics_become_a_dataset(finished):
    metrics = finished.metrics
    assert metrics["step"].values.tolist() == [*range(0, 31, 3)]
    assert metrics["weight_norm_of"].dims == ("step", "parameter")
    assert float(metrics["train_loss"][-1]) < float(metrics["train_loss"][0])


# --- the files -----------------------------------------------------------------------------------------------------


def test_the_save_schedule(finished):
    expected, memorized, in_transition = set(), False, False
    rows = {row["step"]: row for row in finished.directory.metrics.read()}
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


def test_the_mode_for_subnormal_numbers_is_left_as_it_was(finished):
    tiny = torch.full((1,), 2e-38).mul(0.01)
    assert float(tiny) > 0
    with loop.flushed_denormals():
        assert float(torch.full((1,), 2e-38).mul(0.01)) == 0
        with loop.flushed_denormals():
            pass
        assert float(torch.full((1,), 2e-38).mul(0.01)) == 0
