"""Networks that other people trained, imported: their published losses, and a run that everything else takes."""

import json

import pytest
import torch

from grokinterp.analysis import analyze
from grokinterp.interop import RELEASES, import_run
from grokinterp.interop.release import loaded
from grokinterp.interop.splits import drawn
from grokinterp.tasks import GroupComposition, ModularAddition
from tests.support import naive_releases as naive
from tests.support.published_networks import STORED_LOSSES, nanda, problem_of_nanda

CHUGHTAI = {
    "A5_MLP_seed1": GroupComposition(group="A5"),
    "A5_T_seed3": GroupComposition(group="A5"),
    "C113_T_seed2": ModularAddition(p=113),
    "D59_MLP_seed1": GroupComposition(group="D59"),
    "S5_MLP_seed1": GroupComposition(group="S5"),
}


@pytest.fixture(scope="module")
def nanda_run(published, tmp_path_factory):
    return import_run("nanda", published / "nanda" / "mod_addition_no_wd.pth", tmp_path_factory.mktemp("nanda") / "run")


def test_nanda_has_the_weights_the_split_and_the_curves(nanda_run, published):
    run, twin = nanda_run, nanda(published)
    assert run.steps == (5000,)
    assert run.experiment.task == ModularAddition(p=113)
    assert run.experiment.optimization.weight_decay == 0
    assert (run[5000].logits - twin.logits).abs().max() < 1e-9
    assert torch.equal(run.problem.is_train, problem_of_nanda(113).is_train)
    metrics = run.metrics
    assert metrics["step"].values.tolist() == list(range(5001))
    assert set(metrics.data_vars) == {"train_loss", "test_loss"}
    for split, stored in STORED_LOSSES.items():
        assert float(metrics[f"{split}_loss"].sel(step=5000)) == pytest.approx(stored, rel=0.01)
        assert float(metrics[f"{split}_loss"].sel(step=4999)) == pytest.approx(stored, rel=1e-4)


def test_nanda_is_analyzed_like_a_run_of_ours(nanda_run):
    results = analyze(nanda_run, only=("performance", "logit_spectrum", "progress_measures"))
    measured = results.measures()
    assert results.key_frequencies == [36, 52]
    assert measured["logit_fve"] == pytest.approx(0.9460, abs=1e-4)
    assert measured["all_loss"] == pytest.approx(1.111e-7, rel=0.01)
    assert measured["restricted_loss"] == pytest.approx(1.13e-8, rel=0.01)
    assert measured["excluded_loss"] == pytest.approx(75.6, rel=0.01)
    assert results.history.verdict == "generalized without delay"


@pytest.mark.parametrize("folder", CHUGHTAI)
def test_chughtai_has_the_published_losses(published, tmp_path, folder):
    run = import_run("chughtai", published / "chughtai" / folder, tmp_path / "run")
    stored = json.loads((published / "chughtai" / folder / "summary_metrics.json").read_text())
    (step,) = run.steps
    losses, is_train = run[step].losses, run.problem.is_train
    right = (run[step].logits.argmax(1) == run.problem.label).double()
    assert run.experiment.task == CHUGHTAI[folder]
    assert step == stored["epoch"]
    assert float(losses.mean()) == pytest.approx(stored["all_loss"], rel=0.01)
    for split, examples in (("train", is_train), ("test", ~is_train)):
        assert float(losses[examples].mean()) == pytest.approx(stored[f"{split}_loss"], rel=0.01)
        assert float(right[examples].mean()) == pytest.approx(stored[f"{split}_acc"], abs=1e-6)
        last = run.metrics.isel(step=-1)
        assert float(last[f"{split}_loss"]) == pytest.approx(float(losses[examples].mean()), rel=1e-6)
        assert float(last[f"{split}_accuracy"]) == pytest.approx(stored[f"{split}_acc"], abs=1e-6)
    if stored["sum_of_squared_weights"]:
        assert float(last["weight_norm"]) == pytest.approx(stored["sum_of_squared_weights"], rel=1e-4)


def test_chughtai_keeps_the_log_in_the_order_of_its_epochs(published, tmp_path):
    run = import_run("chughtai", published / "chughtai" / "A5_MLP_seed1", tmp_path / "run")
    steps = run.metrics["step"].values
    assert (steps[1:] > steps[:-1]).all()
    assert len(steps) == 728
    assert float(run.metrics["test_loss"].sel(step=0)) == pytest.approx(4.09, abs=0.01)
    results = analyze(run)
    assert results.history.verdict == "grokked"
    assert results.skipped == {}


@pytest.mark.parametrize(("identity", "norm"), [("p99zdpze5l", 22.854), ("2k4ohj6bhd", None)])
def test_pizza_has_the_published_accuracy_and_norm(published, tmp_path, identity, norm):
    run = import_run("pizza", published / "pizza" / f"model_{identity}.pt", tmp_path / "run")
    checkpoint = run[20_000]
    assert run.experiment.task == ModularAddition(p=59)
    assert (checkpoint.logits.argmax(1) == checkpoint.problem.label).all()
    if norm:
        assert sum(float(w.square().sum()) for w in checkpoint.parameters.values()) ** 0.5 == pytest.approx(
            norm, abs=5e-4
        )


def test_pizza_claims_no_split(published, tmp_path):
    run = import_run("pizza", published / "pizza" / "model_p99zdpze5l.pt", tmp_path / "run")
    assert run.experiment.split.trained_on == "unknown"
    assert not run.problem.is_train.any()
    assert not run.problem.is_test.any()
    assert not {"train_loss", "test_loss", "train_accuracy", "test_accuracy"} & set(run.metrics.data_vars)


def test_pizza_has_the_published_distance_irrelevance(published, tmp_path):
    """mean over a - b of the deviation over a + b of the correct logit: .1717, and .7201 with a clock in it."""
    for identity, expected in (("p99zdpze5l", 0.1717), ("2k4ohj6bhd", 0.7201)):
        run = import_run("pizza", published / "pizza" / f"model_{identity}.pt", tmp_path / identity)
        logits, labels = run[20_000].logits, run.problem.label
        correct = logits.gather(1, labels[:, None]).reshape(59, 59)
        a = torch.arange(59)
        by_difference = torch.stack([correct[(a + d) % 59, a] for d in range(59)])
        q = by_difference.std(1, correction=0).mean() / correct.std(correction=0)
        assert float(q) == pytest.approx(expected, abs=2e-4)


# --- naive forward passes, and the networks of the second part ------------------------------------------------------

NAIVE = {
    "nanda/mod_addition_no_wd.pth": ("nanda", naive.nanda),
    "nanda/low_precision_mod_addition.pth": ("nanda", naive.nanda),
    "oracle/baseline.pt": ("nanda", naive.nanda),
    "pizza/model_p99zdpze5l.pt": ("pizza", lambda path: naive.pizza(path, 0, own_rows=False)),
    "pizza/model_2k4ohj6bhd.pt": ("pizza", lambda path: naive.pizza(path, 0.8041592198855598, own_rows=False)),
    "pizza/model_18c9ev5v5p.pt": ("pizza", lambda path: naive.pizza(path, 0.004066910851478034, own_rows=True)),
    "pizza/model_p71frej8t7.pt": ("pizza", naive.linear),
    "chughtai/D59_MLP_seed1/model.pt": ("chughtai", lambda path: naive.chughtai_mlp(path, 118)),
}


@pytest.mark.parametrize("name", NAIVE)
def test_the_logits_are_those_of_a_naive_forward_pass(published, name):
    kind, forward = NAIVE[name]
    release = RELEASES[kind](published / name)
    experiment, some = release.experiment(), slice(2000, 3000)
    model = loaded(experiment, release.states[max(release.states)])
    found = model(experiment.tokens()[some])[:, -1]
    expected = forward(published / name)[some]
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max()


def test_a_bare_state_dict_has_its_configuration_and_history_beside_it(published, tmp_path):
    """Stored on CUDA, in the layout of Nanda et al."""
    run = import_run("nanda", published / "oracle" / "baseline.pt", tmp_path / "run")
    assert run.steps == (10_600,)
    assert run.experiment.task == ModularAddition(p=113)
    assert torch.equal(run.problem.is_train, drawn("random.shuffle", 113**2, fraction=0.3, seed=0))
    last = run.metrics.isel(step=-1)
    assert run.metrics["step"].values.tolist() == [*range(0, 10_501, 500), 10_600]
    assert float(last["test_loss"]) == pytest.approx(2.00969e-4, rel=1e-3)
    assert float(run.metrics["test_loss"].sel(step=10_500)) == pytest.approx(3.25819e-4, rel=1e-5)
    assert float(run[10_600].parameters["embed.W_E"][:113].norm()) == pytest.approx(16.7358, abs=1e-4)
    assert run.directory.environment["warnings"] == []


def test_low_precision_has_its_split_from_losses_at_two_strides(published, tmp_path):
    run = import_run("nanda", published / "nanda" / "low_precision_mod_addition.pth", tmp_path / "run")
    assert run.steps == (50_000,)
    assert torch.equal(run.problem.is_train, drawn("random.shuffle", 113**2, fraction=0.3, seed=1))
    stored = run.metrics["test_loss"]
    assert stored.sel(step=slice(49_989, 49_991)).isnull().values.tolist() == [True, False, True]
    assert float(stored.sel(step=49_990)) == pytest.approx(4.254124e-3, rel=1e-6)
    losses, test = run[50_000].losses, run.problem.is_test
    assert float(losses[~test].mean()) == pytest.approx(3.045e-4, rel=1e-3)
    assert float(losses[test].mean()) == pytest.approx(3.995e-3, rel=1e-3)
    assert run.directory.environment["accuracy"] == pytest.approx(0.99945, abs=5e-6)


def test_a_linear_model_is_a_perceptron(published, tmp_path):
    run = import_run("pizza", published / "pizza" / "model_p71frej8t7.pt", tmp_path / "run")
    spec = run.experiment.model
    assert (spec.kind, spec.d_embed, spec.combine, spec.hidden) == ("mlp", 256, "sum", (256, 256))
    assert (run[20_000].logits.argmax(1) == run.problem.label).all()


def test_the_linear_model_has_its_form_by_its_weights(published):
    """As in docs/formulas.md, a ReLU follows the second layer, and nothing is between embedding and first layer."""
    path = published / "pizza" / "model_p71frej8t7.pt"
    w, (a, b) = naive.weights_of(path), naive.pairs(59)
    x = torch.relu(
        torch.nn.functional.linear(w["embed.weight"][a] + w["embed.weight"][b], w["l1.weight"], w["l1.bias"])
    )
    before = torch.nn.functional.linear(x, w["l2.weight"], w["l2.bias"])
    assert float((before > 0).double().mean()) == pytest.approx(0.97, abs=0.005)
    others = ~torch.eye(256, dtype=torch.bool)
    inner = torch.stack([(w[name].T @ w[name])[others] for name in ("embed.weight", "l1.weight")])
    assert float(torch.corrcoef(inner)[0, 1]) == pytest.approx(0.998, abs=5e-4)


def test_a_chughtai_transformer_is_a_transformer_lens_file(published, tmp_path):
    path = published / "chughtai" / "C113_T_seed2" / "model.pt"
    one = import_run("transformer-lens", path, tmp_path / "one")
    other = import_run("chughtai", path.parent, tmp_path / "other")
    assert torch.equal(one[50_000].logits, other[50_000].logits)
    assert one.experiment.split == other.experiment.split
