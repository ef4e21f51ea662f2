"""Measures of the answer alone with more than two operands, of each of several operators, and of two groups."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from grokinterp.analysis import (
    branch_evidence,
    branch_performance,
    branch_spectrum,
    causal_evidence,
    coset_scores,
    embedding_spectrum,
    factor_power,
    irrep_progress,
    irrep_spectrum,
    key_directions,
    logit_spectrum,
    neuron_frequencies,
    progress_measures,
    rival_groups,
)
from grokinterp.analysis.groups.branches import branch_irreps
from grokinterp.analysis.structure.answer_spectrum import product_grid
from grokinterp.analysis.whole_run import branch_keys_of
from grokinterp.errors import NotDefined
from grokinterp.models import MLPSpec, Readout, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import (
    AmbiguousGroups,
    GroupProduct,
    LinearRecurrence,
    ModularAddition,
    ModularProduct,
    ModularSum,
    OperatorExpression,
    ParityOperation,
    Polynomial,
    Task,
)
from tests.support.any_model import checkpoint_of
from tests.support.constructed import close

NONE = torch.tensor([], dtype=torch.int64)

CYCLIC: dict[str, Task] = {
    "three": ModularSum(p=7, n=3),
    "four, sampled": ModularSum(p=7, n=4, samples=300),
    "product": ModularProduct(p=11, n=3),
    "weighted": LinearRecurrence(p=7, coefficients=(3, -1, 1), length=3),
    "signs": OperatorExpression(p=7),
    "parity": ParityOperation(p=7),
    "squares": Polynomial(p=7, expression="x^2+y^2"),
}


def with_logits(task: Task, logits: torch.Tensor, **options) -> Checkpoint:
    """A checkpoint whose logits are given, and serve as neurons."""
    checkpoint = checkpoint_of(MLPSpec(hidden=(task.n_classes,)), task, **options)
    checkpoint.__dict__["readout"] = Readout(None, logits.double(), logits.double(), logits.double())
    return checkpoint


def exponents(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The exponent of the answer of each example, and of each class, by the group of the task; -1 outside."""
    group, element = task.product_group
    power = np.append(group.logarithm.numpy(), -1)
    return power[element.numpy()[task.label().numpy()]], power[element.numpy()]


def waves_of(task: Task, amplitudes: dict[int, float]) -> torch.Tensor:
    """Σ α cos w_k(s - c) over the examples and classes in the group; 0 outside."""
    s, c = exponents(task)
    n = task.product_group.group.order
    total = sum(alpha * np.cos(2 * np.pi * k / n * (s[:, None] - c)) for k, alpha in amplitudes.items())
    return torch.from_numpy(np.where((s[:, None] < 0) | (c < 0), 0.0, total))


@pytest.mark.parametrize("task", CYCLIC.values(), ids=CYCLIC)
def test_planted_frequencies_are_found_and_are_the_whole_answer(task):
    logits = waves_of(task, {2: 6.0})
    checkpoint = with_logits(task, logits)
    found = logit_spectrum(checkpoint)
    assert (found.is_key.nonzero().flatten() + 1).tolist() == [2]
    close(found.logit_similarity[1], 1)
    close(found.logit_fve, 1)
    s, c = exponents(task)
    n, inside = task.product_group.group.order, torch.from_numpy(s >= 0)
    own = cross_entropy(logits[inside][:, c >= 0], torch.from_numpy(np.argsort(c[c >= 0])[s[s >= 0]]))
    measured = progress_measures(checkpoint, key_frequencies=torch.tensor([2]))
    close(measured.restricted_loss, own)
    close(measured.excluded_loss, math.log(n))
    close(measured.excluded_loss_of[0], own)
    evidence = causal_evidence(checkpoint, key_frequencies=torch.tensor([2]), key_irreps=NONE)
    close([evidence.necessity, evidence.sufficiency], [1 - own / math.log(n)] * 2)
    close([evidence.necessity_control, evidence.sufficiency_control], [0, 0])
    by_irrep = irrep_spectrum(checkpoint)
    close(by_irrep.irrep_similarity, found.logit_similarity)


@pytest.mark.parametrize("name", ["three", "four, sampled"])
def test_measures_of_any_logits_equal_their_naive_twins(name):
    """Loops over examples; the samples have unequal numbers of examples for each sum."""
    task, p = CYCLIC[name], 7
    random = np.random.default_rng(0)
    logits, label = random.standard_normal((task.n_examples, p)), task.label().numpy()
    checkpoint = with_logits(task, torch.from_numpy(logits))
    table = np.stack([logits[label == s].mean(0) for s in range(p)])
    shift = np.exp(-2j * np.pi * np.arange(p)[:, None] * np.arange(p) / p)
    spectrum = shift @ table / p
    kept = 2 * np.real(np.exp(2j * np.pi * 3 * np.arange(p) / p)[:, None] * spectrum[3])
    train = checkpoint.problem.is_train.numpy()

    def loss(x, of):
        picked = x[np.arange(len(x)), label]
        return (np.log(np.exp(x).sum(1)) - picked)[of].mean()

    alone, everything = (kept + table.mean(0))[label], np.ones(len(label), dtype=bool)
    found = progress_measures(checkpoint, key_frequencies=torch.tensor([3]))
    close(found.restricted_loss, loss(alone, everything))
    close(found.trig_loss, [loss(alone, train), loss(alone, ~train), loss(alone, everything)])
    close(found.excluded_loss, loss(logits - kept[label], train))
    held_out = checkpoint.problem.held_out.numpy()
    evidence = causal_evidence(checkpoint, key_frequencies=torch.tensor([3]), key_irreps=NONE)
    chance = np.log(p)
    full, without, only = (min(loss(x, held_out) / chance, 1) for x in (logits, logits - kept[label], alone))
    close([evidence.necessity, evidence.sufficiency], [without - full, 1 - only])


def test_products_of_a_group_by_its_representations():
    task = GroupProduct(group="S3", n=3)
    grid = product_grid(task, "cpu")
    logits = 5 * grid.characters[1][grid.quotient[grid.element]]
    checkpoint = with_logits(task, logits)
    found = irrep_spectrum(checkpoint)
    close(found.irrep_similarity.square().max(), 1)
    assert found.is_key_irrep.tolist() == [False, True]
    measured = irrep_progress(checkpoint, key_irreps=torch.tensor([1]))
    close(measured.irrep_restricted_loss, cross_entropy(logits, task.label()))
    close(measured.irrep_excluded_loss, math.log(6))
    with pytest.raises(NotDefined, match="group_product has 3 operands, not two"):
        coset_scores(checkpoint)


def test_directions_and_embeddings_of_three_operands():
    """The neurons are the logits, read by the identity: waves of the sum. Each operand has a circle of its own."""
    task, p = ModularSum(p=7, n=3), 7
    checkpoint = with_logits(task, waves_of(task, {2: 1.0}))
    model = checkpoint.model
    model.unembed.W_U.copy_(torch.eye(p))
    angle = 2 * math.pi / p * torch.arange(p).double()
    rows = torch.zeros(3, p, p, dtype=torch.float64)
    for operand, k in enumerate((1, 2, 3)):
        rows[operand, :, 0], rows[operand, :, 1] = (k * angle).cos(), (k * angle).sin()
    model.layers[0].W_in.copy_(rows.flatten(0, 1))
    close(key_directions(checkpoint, key_frequencies=torch.tensor([2])).direction_fve, torch.ones(1, 2))
    close(factor_power(checkpoint).factor_power, torch.eye(3))
    close(embedding_spectrum(checkpoint).embedding_power, torch.full((3,), float(p)))


def test_signs_of_the_operands_are_one_circle_in_a_shared_embedding():
    """a + b and a - b: the tokens of the residues, not those of the operators."""
    task = OperatorExpression(p=7)
    checkpoint = checkpoint_of(TransformerSpec(d_model=8, n_heads=2, d_mlp=8), task)
    table = checkpoint.model.embed.W_E
    table.zero_()
    table[:7, 0] = (2 * math.pi * 3 / 7 * torch.arange(7).double()).cos()
    table[7:9] = 5.0
    close(embedding_spectrum(checkpoint).embedding_power, [0, 0, 3.5])
    close(factor_power(checkpoint).factor_power, [[0, 0, 1]] * 2)


def test_each_operator_has_its_own_keys():
    task = OperatorExpression(p=7)
    plus, minus = (branch.examples for branch in task.branches)
    logits = torch.where(plus[:, None], waves_of(task, {1: 8.0}), waves_of(task, {3: 8.0}))
    checkpoint = with_logits(task, logits)
    found = branch_spectrum(checkpoint)
    names = branch_irreps(task)
    assert names == ("+: freq_1", "+: freq_2", "+: freq_3", "-: freq_1", "-: freq_2", "-: freq_3")
    close(found.branch_similarity, [1, 0, 0, 0, 0, 1])
    close(found.branch_explained, [1, 1])
    keys = branch_keys_of(checkpoint)["branch_keys"]
    assert keys.tolist() == [0, 5]
    evidence = branch_evidence(checkpoint, branch_keys=keys)
    own = torch.stack([cross_entropy(logits[of], task.label()[of]) for of in (plus, minus)])
    close(evidence.branch_restricted_loss, own)
    close(evidence.branch_excluded_loss, [math.log(7)] * 2)
    close(evidence.branch_causal_score, 1 - own / math.log(7))
    swapped = branch_evidence(checkpoint, branch_keys=torch.tensor([2, 3]))
    close(swapped.branch_causal_score, [0, 0])
    performance = branch_performance(checkpoint)
    close(performance.branch_loss[:, 2], own)
    close(performance.branch_accuracy, torch.ones(2, 3))


def test_operators_of_different_groups_have_representations_of_their_own():
    """Power et al. 2022: x - y in C7 and x / y in C6; a + b · c is in none."""
    task = ParityOperation(p=7, even="-", odd="/", decides="right")
    assert branch_irreps(task)[0::3] == ("even -: freq_1", "odd /: freq_1")
    memory = 9.0 * one_hot(task.label(), 7)
    found = branch_spectrum(with_logits(task, memory))
    assert len(found.branch_similarity) == 6
    close(found.branch_explained, [1, 1])
    mixed = OperatorExpression(p=5, n=3, operators=("+", "*"))
    by = dict(
        zip([branch.name for branch in mixed.branches], branch_spectrum(blank(mixed)).branch_explained, strict=True)
    )
    assert {name for name, share in by.items() if not share.isfinite()} >= {"+ *", "* +"}
    evidence = branch_evidence(blank(mixed), branch_keys=NONE)
    assert evidence.branch_restricted_loss.isnan().tolist() == [False, True, True, False]


def blank(task: Task) -> Checkpoint:
    """A checkpoint with random logits."""
    generator = torch.Generator().manual_seed(0)
    return with_logits(task, torch.randn(task.n_examples, task.n_classes, generator=generator))


@pytest.mark.parametrize("learned", [0, 1])
def test_which_of_two_groups_was_learned(learned):
    task = AmbiguousGroups(first="C2xC5", second="D5")
    answers = task.structures[learned].table.flatten()
    found = rival_groups(with_logits(task, 9.0 * one_hot(answers, 10)))
    close(found.agreed_accuracy, 1)
    close(found.disputed_accuracy, [1 - learned, learned])
    assert found.is_learned.tolist() == [learned == 0, learned == 1]
    assert found.disputed_explained[learned] > 0.99
    assert found.disputed_explained[1 - learned] < 0.3
    assert found.disputed_loss[learned] < 0.01 < 5 < found.disputed_loss[1 - learned]


def test_what_does_not_apply_says_so():
    checkpoint = blank(ModularAddition(p=5))
    for analysis, why in (
        (branch_spectrum, "applies the same operation to every example"),
        (branch_performance, "applies the same operation to every example"),
        (rival_groups, "do not come from two groups"),
    ):
        with pytest.raises(NotDefined, match=f"{analysis.__name__} is not defined here: .*{why}"):
            analysis(checkpoint)
    with pytest.raises(NotDefined, match="modular_sum has 3 operands, not two"):
        neuron_frequencies(blank(ModularSum(p=5, n=3)))
    with pytest.raises(NotDefined, match="an operand of operator_expression represents other elements"):
        neuron_frequencies(blank(OperatorExpression(p=5)))
    with pytest.raises(NotDefined, match="not every element of C7 is"):
        embedding_spectrum(blank(Polynomial(p=7, expression="x^2+y^2")))


@pytest.mark.parametrize("name", ["three", "four, sampled", "signs"])
def test_vmap_is_the_loop(name):
    task = CYCLIC[name]
    logits = torch.randn(3, task.n_examples, task.n_classes, generator=torch.Generator().manual_seed(0)).double()
    template = with_logits(task, logits[0])

    def measured(x):
        at = Checkpoint(torch.tensor(0), template.model, template.problem)
        at.__dict__["readout"] = Readout(None, x, x, x)
        found = progress_measures(at, key_frequencies=torch.tensor([1]))
        evidence = causal_evidence(at, key_frequencies=torch.tensor([1]), key_irreps=NONE)
        return (*found, *evidence, *logit_spectrum(at))

    together = torch.vmap(measured)(logits)
    for field, parts in zip(together, zip(*map(measured, logits), strict=True), strict=True):
        torch.testing.assert_close(field, torch.stack(parts))
