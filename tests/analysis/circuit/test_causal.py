"""Necessity and sufficiency: planted, memorizing and empty networks, naive twins, both roads."""

import math

import pytest
import torch

from grokinterp.analysis import progress_measures
from grokinterp.analysis.circuit.causal import causal_evidence, cyclic_pieces, group_pieces, scaled_losses
from grokinterp.analysis.groups.irreps import irrep_names
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.losses import cross_entropy
from grokinterp.maths.representations import irreps
from grokinterp.models import MLPSpec, Readout
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import GroupComposition, ModularAddition, ModularDivision, SparseParity, Task
from tests.cases.losses import LOSSES
from tests.support.any_model import checkpoint_of
from tests.support.constructed import CASES, close, planted_logits
from tests.support.published_networks import nanda
from tests.support.small_networks import assert_vmap_is_loop, drawn, planted, problem

NONE = torch.tensor([], dtype=torch.int64)


def with_logits(task: Task, logits: torch.Tensor, **options) -> Checkpoint:
    """A checkpoint whose logits are given."""
    checkpoint = checkpoint_of(MLPSpec(hidden=(3,)), task, **options)
    n = len(logits)
    checkpoint.__dict__["readout"] = Readout(None, torch.zeros(n, 1), torch.zeros(n, 1), logits.double())
    return checkpoint


def of_frequencies(checkpoint: Checkpoint, *keys: int):
    return causal_evidence(checkpoint, key_frequencies=torch.tensor(keys, dtype=torch.int64), key_irreps=NONE)


def of_irreps(checkpoint: Checkpoint, *keys: int):
    return causal_evidence(checkpoint, key_frequencies=NONE, key_irreps=torch.tensor(keys, dtype=torch.int64))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_the_constructed_network_is_all_its_frequencies(case):
    """Without its frequencies it is at chance, with them alone it is itself; other frequencies do nothing."""
    found = of_frequencies(case.checkpoint(), *case.amplitudes)
    own = case.loss(*case.amplitudes) / math.log(case.p)
    close(found.necessity, 1 - own)
    close(found.sufficiency, 1 - own)
    close([found.necessity_control, found.sufficiency_control], [0, 0])
    close(found.causal_score, 1 - own)


def test_frequencies_that_are_not_the_answers_cause_nothing():
    found = of_frequencies(CASES[2].checkpoint(), 3, 4)
    close([found.necessity, found.sufficiency, found.causal_score], [0, 0, 0])


def test_who_memorized_and_who_knows_nothing_have_no_cause():
    """Neither network has held-out accuracy to lose, for any choice of keys."""
    p = 23
    labels, is_train = problem(p).label, problem(p).is_train
    memory = 30 * torch.nn.functional.one_hot(labels, p).double() * is_train[:, None]
    noise = torch.randn(p * p, p, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for logits in (memory + noise, noise):
        for keys in ([2, 5], range(1, p // 2)):
            found = of_frequencies(planted(logits, labels, is_train), *keys)
            close(found.causal_score, 0)
    solved = planted(noise + planted_logits(p, {2: 12.0, 5: 12.0}), labels, is_train)
    assert float(of_frequencies(solved, 2, 5).causal_score) > 0.8


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("p", "keys"), [(7, [1, 3]), (8, [4]), (7, [])])
def test_evidence_is_the_progress_measures_in_units_of_chance(p, keys, loss):
    logits = torch.randn(p * p, p, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / p
    checkpoint = with_logits(ModularAddition(p=p), logits, loss=loss)
    found, keys = of_frequencies(checkpoint, *keys), torch.tensor(keys, dtype=torch.int64)
    held_out, labels = checkpoint.problem.held_out, checkpoint.problem.label
    assert 0 < int(held_out.sum()) < int(checkpoint.problem.is_test.sum())
    of = checkpoint.problem
    trained_there = Problem(of.task, of.tokens, of.labels, held_out, loss=loss)
    other = Checkpoint(0, checkpoint.model, trained_there)
    other.__dict__["readout"] = checkpoint.readout
    measures = progress_measures(other, key_frequencies=keys)
    chance = (p - 1) / p**2 if loss == "mse" else math.log(p)
    uniform = torch.full((1, p), 1 / p, dtype=torch.float64)
    close(chance, LOSSES[loss](uniform, torch.tensor([0]))[0])
    full = min(float(LOSSES[loss](logits, labels)[held_out].mean()) / chance, 1)
    close(found.necessity, min(float(measures.excluded_loss) / chance, 1) - full)
    close(found.sufficiency, 1 - min(float(measures.trig_loss[0]) / chance, 1))


# --- groups ----------------------------------------------------------------------------------------------------------


def characters_of(task: Task, weights: dict[int, float]) -> torch.Tensor:
    """Σ weight · χ_ρ(x y z⁻¹) over the examples and classes of a group task, element by element."""
    algebra = task.algebra
    group, (a, b) = algebra.group, task.tokens().T
    found = irreps(group)[1:]
    product = group.table[algebra.left[a], algebra.right[b]]
    quotient = group.table[product[:, None], group.inverse[algebra.answer]]
    return sum(weight * found[row].character[quotient] for row, weight in weights.items())


@pytest.mark.parametrize("name", ["S4", "D5", "A4"])
def test_a_network_of_characters_is_all_its_representations(name):
    task = GroupComposition(group=name)
    logits = characters_of(task, {0: 8.0})
    checkpoint = with_logits(task, logits)
    loss = float(cross_entropy(logits, task.label()).mean()) / math.log(task.n_classes)
    found = of_irreps(checkpoint, 0)
    close(found.necessity, 1 - loss)
    close(found.sufficiency, 1 - loss)
    close([found.necessity_control, found.sufficiency_control], [0, 0])
    close(found.causal_score, 1 - loss)
    close(of_irreps(checkpoint, 1).causal_score, 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["S3", "A4"])
def test_group_losses_equal_their_naive_twins(name, loss):
    """Projectors from a basis of matrix entries, example by example."""
    task, key = GroupComposition(group=name), 1
    n = task.n_classes
    logits = torch.randn(n * n, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64) / n
    checkpoint = with_logits(task, logits, loss=loss)
    algebra, (a, b) = task.algebra, task.tokens().T
    product = algebra.group.table[algebra.left[a], algebra.right[b]]
    entries = irreps(algebra.group)[1:][key].matrices.flatten(1)[product]
    u, s, _ = torch.linalg.svd(entries, full_matrices=False)
    basis = u[:, s > 1e-9]
    kept = basis @ (basis.T @ logits)
    measure, labels, held_out = LOSSES[loss], task.label(), checkpoint.problem.held_out
    chance = (n - 1) / n**2 if loss == "mse" else math.log(n)
    losses = [measure(x, labels)[held_out].mean() / chance for x in (logits, logits - kept, logits.mean(0) + kept)]
    full, without, alone = (min(float(x), 1) for x in losses)
    found = of_irreps(checkpoint, key)
    close([found.necessity, found.sufficiency], [without - full, 1 - alone])


def test_without_others_to_compare_with_or_held_out_pairs_it_is_not_defined():
    task = GroupComposition(group="S3")
    logits = characters_of(task, {0: 9.0, 1: 3.0})
    with pytest.raises(NotDefined, match="every nontrivial representation is key, so none is left as a control"):
        of_irreps(with_logits(task, logits), 0, 1)
    with pytest.raises(NotDefined, match="every frequency is key, so none is left as a control"):
        of_frequencies(with_logits(ModularAddition(p=5), torch.ones(25, 5)), 1, 2)
    with pytest.raises(NotDefined, match="no pair is held out of training together with its mirror image"):
        of_irreps(with_logits(task, logits, fraction=1.0), 0)


@pytest.mark.parametrize("task", [ModularAddition(p=7), ModularDivision(p=7)], ids=lambda task: task.kind)
def test_in_a_cyclic_group_both_roads_agree(task):
    """Frequencies and representations of C_n project on the same functions."""
    n = len(task.label())
    logits = torch.randn(n, task.n_classes, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    checkpoint = with_logits(task, logits)
    names = irrep_names(task)
    for row in range(len(names)):
        frequencies = cyclic_pieces(checkpoint, torch.tensor([row + 1]))
        representations = group_pieces(checkpoint, torch.tensor([row]))
        for one, other in zip(*(scaled_losses(p, "softplus") for p in (frequencies, representations)), strict=True):
            close(one[:2] if len(one) > 9 else one[:1], other[:2] if len(other) > 9 else other[:1])


def test_where_no_split_is_known_all_pairs_count():
    task = GroupComposition(group="S4")
    logits = characters_of(task, {0: 3.0, 2: 1.0})
    loss = float(cross_entropy(logits, task.label()).mean()) / math.log(task.n_classes)
    found = of_irreps(with_logits(task, logits, fraction=0.0), 0, 2)
    close(found.sufficiency, 1 - loss)


def test_what_has_no_group_says_so_and_rows_are_checked():
    with pytest.raises(NotDefined, match="causal_evidence is not defined here: no group is known"):
        of_irreps(checkpoint_of(MLPSpec(hidden=(3,)), SparseParity(n_bits=6, k=2)))
    with pytest.raises(GrokinterpError, match="key_irreps=9"):
        of_irreps(checkpoint_of(MLPSpec(hidden=(3,)), GroupComposition(group="S3")), 9)
    with pytest.raises(GrokinterpError, match="key_frequencies=9"):
        of_frequencies(checkpoint_of(MLPSpec(hidden=(3,))), 9)


@pytest.mark.parametrize("keys", [[], [2], [1, 3]])
def test_vmap_is_the_loop(keys):
    assert_vmap_is_loop(lambda checkpoint: of_frequencies(checkpoint, *keys), [drawn(seed, p=7) for seed in range(3)])


def test_the_published_network_is_caused_by_its_published_frequencies(published):
    checkpoint = nanda(published)
    found = of_frequencies(checkpoint, 36, 52)
    close(found.necessity, 1, atol=1e-5)
    close(found.sufficiency, 1, atol=1e-5)
    assert float(found.causal_score) > 0.95
    assert float(of_frequencies(checkpoint, 1, 2).causal_score) == pytest.approx(0, abs=1e-3)
