"""Memory for analyses: the estimate, what is available, the refusal in one line, and parts that add up."""

import pytest
import torch

from grokinterp.analysis import analyze, norm_bounds, performance, weight_norms
from grokinterp.analysis.engine import memory, passes
from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.engine.memory import COPIES, bytes_needed, require_memory, workers_that_fit
from grokinterp.analysis.structure.progress import excluded_losses
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.maths.products import by_product, mean_by_product
from grokinterp.models import MLPSpec
from grokinterp.tasks import ModularAddition
from tests.cases.models import MODEL_SPECS
from tests.support.any_model import checkpoint_of
from tests.support.constructed import close, pair_sums
from tests.support.small_runs import TINY, draw_checkpoints

CPU = torch.device("cpu")


def tiny(p):
    return Experiment(task=ModularAddition(p=p), model=MLPSpec(hidden=(16,), d_embed=16))


@pytest.fixture
def small_machine(monkeypatch):
    """A machine with four gibibytes available."""
    monkeypatch.setattr(memory, "bytes_available", lambda device: 4 * 2**30)


def test_a_group_of_720_elements_is_refused_with_its_estimate(small_machine):
    large, small = tiny(720), tiny(113)
    kept = 720 + 16 + 16 + 16 + 2 * 16  # logits, neurons, vector of the answer, and features: neurons, two embeddings
    beside = 8 * large.empty_model().evaluated_at_once * large.empty_model().kept_per_example
    assert bytes_needed(large, large.empty_model(), copies=3) == 8 * 720**2 * (kept + 3 * 720) + beside
    with pytest.raises(ConfigError, match=r"518,400 examples × 720 classes: needs about .* GiB .* only 4.0 GiB are"):
        require_memory(large, large.empty_model(), CPU)
    require_memory(small, small.empty_model(), CPU)


def test_no_more_checkpoints_at_a_time_than_fit(small_machine):
    for p, most in ((113, 8), (330, 2), (720, 1)):
        assert workers_that_fit(tiny(p), tiny(p).empty_model(), CPU, 8) == most


def test_an_analysis_that_does_not_fit_is_named_and_the_others_run(tmp_path, monkeypatch):
    run = draw_checkpoints(tmp_path / "run", TINY, steps=(0, 10))
    needed = bytes_needed(TINY, TINY.empty_model(), copies=COPIES)
    for module in (memory, passes):
        monkeypatch.setattr(module, "bytes_available", lambda device: needed)
    entries = (
        Entry(weight_norms),
        Entry(performance, copies=COPIES + 1),
        Entry(norm_bounds, copies=COPIES + 1, most=9),
    )
    results = analyze(run, entries=entries)
    assert [*results.not_defined] == ["norm_bounds", "performance"]
    assert "iB of memory to analyze, but only" in results.not_defined["performance"]
    assert results.analyses["weight_norms"].sizes["step"] == 2
    for module in (memory, passes):
        monkeypatch.setattr(module, "bytes_available", lambda device: 2 * needed)
    again = analyze(run, entries=entries)
    assert not again.not_defined
    assert again.analyses["performance"].sizes["step"] == 2


@pytest.mark.parametrize("name", ["two layers, LN, biases", "mean", "mlp, deep", "recursive"])
def test_activations_of_some_examples_at_a_time_are_those_of_all(name, monkeypatch):
    def members():
        checkpoint = checkpoint_of(MODEL_SPECS[name])
        model, readout = checkpoint.model, checkpoint.readout
        patterns = [checkpoint.attention(hook) for hook in model.pattern_hooks]
        features = checkpoint.features(*model.feature_hooks)
        held = [part for part in (*readout, *features, *patterns) if part is not None]
        return [*held, checkpoint.activation(model.feature_hooks[-1]), *checkpoint.gradients.values()]

    whole = members()
    monkeypatch.setattr("grokinterp.models.model.FEWEST", 10)
    monkeypatch.setattr("grokinterp.models.model.MOST_VALUES", 1)
    for part, all_at_once in zip(members(), whole, strict=True):
        close(part, all_at_once)


def test_features_keep_only_the_position_of_the_answer():
    checkpoint = checkpoint_of(MODEL_SPECS["two layers"])
    for feature in checkpoint.features(*checkpoint.model.feature_hooks):
        assert feature.untyped_storage().nbytes() == feature.numel() * feature.element_size()


def test_a_checkpoint_forgets_what_it_can_compute_again():
    checkpoint = checkpoint_of(MODEL_SPECS["mlp"])
    before = checkpoint.logits
    checkpoint.forget()
    assert checkpoint.logits is not before
    assert torch.equal(checkpoint.logits, before)


def test_parts_of_the_logits_add_up_to_the_whole(monkeypatch):
    """Excluded losses, means over a + b and gradients, in one part and in many."""
    p, generator = 7, torch.Generator().manual_seed(0)
    logits = torch.randn(p * p, p, generator=generator, dtype=torch.float64)
    removed = torch.randn(3, p, p, generator=generator, dtype=torch.float64)
    is_train = torch.rand(p * p, generator=generator) < 0.5

    products = by_product(pair_sums(p), p)

    def measured():
        table = mean_by_product(logits, products)
        gradients = checkpoint_of(MLPSpec(hidden=(3,))).gradients
        return [table, excluded_losses(logits, products, is_train, table, removed), *gradients.values()]

    whole = measured()
    monkeypatch.setattr("grokinterp.analysis.structure.progress.CELLS", 1)
    monkeypatch.setattr("grokinterp.maths.products.CELLS_AT_ONCE", 1)
    monkeypatch.setattr("grokinterp.runs.checkpoint.CELLS_AT_ONCE", 20)
    for part, all_at_once in zip(measured(), whole, strict=True):
        close(part, all_at_once)
