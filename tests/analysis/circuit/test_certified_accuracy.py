"""Certified accuracy: at most the accuracy, exact at full rank and where planted, 0 where the rest is large."""

import pytest
import torch

from grokinterp.analysis.circuit.certified_accuracy import (
    PROOF_RANKS,
    OutputMap,
    certified_accuracy,
    class_basis,
    output_map,
    proven,
)
from grokinterp.analysis.circuit.idealized import idealized_network
from grokinterp.analysis.groups.irreps import power_by_irrep
from grokinterp.analysis.structure.answer_spectrum import answer_grid
from grokinterp.analysis.structure.cyclic_answers import cyclic_order
from grokinterp.analysis.whole_run import keys_of
from grokinterp.errors import GrokinterpError
from grokinterp.models import MLPSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import GroupComposition, ModularAddition, ModularMultiplication, Table, Task
from tests.cases.models import RECURSIVE, TINY_SPECS
from tests.support.any_model import checkpoint_of, solved
from tests.support.constructed import close
from tests.support.published_networks import chughtai_cyclic, nanda

KINDS = TINY_SPECS | {"recursive": RECURSIVE}
NONE = torch.tensor([], dtype=torch.int64)
NO_KEYS = {"key_frequencies": NONE, "key_irreps": NONE}


@pytest.mark.parametrize("margin", [2.9, 3.1])
def test_at_the_border_of_the_bound(margin):
    """The rest takes exactly 3 from the margin, so the bound is tight."""
    end = OutputMap(*(torch.tensor(x).double() for x in ([[1.5]], [[margin, 0.0]], [[-1.0, 1.0]])))
    assert proven(end, torch.zeros(1, 2).double(), torch.tensor([0])).tolist() == [margin > 3]
    assert proven(end, end.matrix, torch.tensor([0])).tolist() == [margin > 3]


@pytest.mark.parametrize("name", KINDS)
def test_the_output_map_gives_the_logits_and_its_proof_only_correct_answers(name):
    right = total = 0
    for seed in range(4):
        checkpoint = checkpoint_of(KINDS[name], ModularAddition(p=5), scale=1.5, seed=seed)
        end, labels = output_map(checkpoint), checkpoint.logits.argmax(1)
        labels = torch.where(torch.arange(25) % 5 == 0, (labels + 1) % 5, labels)  # a fifth is wrong
        close(end.beside + end.z @ end.matrix, checkpoint.logits)
        close(end.matrix.mean(1), torch.zeros(len(end.matrix)))
        for weight in (0.0, 0.5, 0.9, 1.0):
            found = proven(end, weight * end.matrix, labels)
            assert not (found & (checkpoint.logits.argmax(1) != labels)).any()
            total += 1
            right += int(found.sum())
    assert right > total  # it proves something, too


@pytest.mark.parametrize("name", KINDS)
def test_a_proof_equals_its_naive_twin(name):
    checkpoint = checkpoint_of(KINDS[name], ModularAddition(p=5))
    end, labels = output_map(checkpoint), checkpoint.problem.label
    low = 0.8 * end.matrix
    rest = end.matrix - low
    expected = []
    for z, beside, y in zip(end.z, end.beside, labels.tolist(), strict=True):
        logits = beside + z @ low
        margins = [logits[y] - logits[c] - z.norm() * (rest[:, c] - rest[:, y]).norm() for c in range(5) if c != y]
        expected.append(bool(min(margins) > 0))
    assert proven(end, low, labels).tolist() == expected


@pytest.mark.parametrize("name", KINDS)
def test_with_as_many_directions_as_classes_all_correct_answers_are_proven(name):
    checkpoint = checkpoint_of(KINDS[name], ModularAddition(p=5))
    found = certified_accuracy(checkpoint, **NO_KEYS)
    full = PROOF_RANKS.index(4)
    close(found.certified_share[full:], found.true_share.expand(len(PROOF_RANKS) - full))
    assert (found.certified_share <= found.true_share).all()


@torch.no_grad()
def few_frequencies(task: Task, noise: float = 0.0) -> tuple[Checkpoint, torch.Tensor]:
    """Gromov's network with the neurons of three frequencies only, and noise in its output map; the frequencies."""
    width, keys, half = 2200, torch.tensor([2, 4, 5]), cyclic_order(task) // 2
    checkpoint = solved(task, width)
    W_U, frequency = checkpoint.model.unembed.W_U, 1 + torch.arange(width) % half
    W_U[~torch.isin(frequency, keys)] = 0
    W_U += noise * torch.randn(W_U.shape, generator=torch.Generator().manual_seed(0), dtype=W_U.dtype) / width
    return checkpoint, keys


@pytest.mark.parametrize("task", [ModularAddition(p=23), ModularMultiplication(p=23)], ids=repr)
def test_the_solved_network_is_proven_by_its_waves_alone(task):
    """All but the pairs with a 0, under multiplication, whose logits are equal."""
    checkpoint, keys = few_frequencies(task)
    found = certified_accuracy(checkpoint, key_frequencies=keys, key_irreps=NONE)
    assert float(found.true_share) > 0.85
    assert float(found.true_share) - 0.05 < float(found.certified_share[0]) <= float(found.true_share)
    assert float(found.proof_cost[0]) < 0.3
    without = certified_accuracy(checkpoint, key_frequencies=keys[:2], key_irreps=NONE)
    assert float(without.certified_share[0]) < 0.2
    close(without.certified_share[1], found.certified_share[0])  # two directions are the third frequency's


def test_where_the_idealized_network_is_exact_its_margin_proves_all_it_answers():
    ideal = idealized_network(few_frequencies(ModularAddition(p=23))[0])
    close(ideal.idealized_certified, ideal.idealized_accuracy)


def test_the_more_is_left_out_the_less_is_proven():
    shares = []
    for noise in (0.0, 0.03, 0.1, 3.0):
        checkpoint, keys = few_frequencies(ModularAddition(p=23), noise)
        found = certified_accuracy(checkpoint, key_frequencies=keys, key_irreps=NONE)
        assert (found.certified_share <= found.true_share).all()
        shares.append(float(found.certified_share[0]))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.85
    assert 0 < shares[2] < shares[0]
    assert shares[-1] == 0


def test_the_cost_is_counted():
    checkpoint = solved(ModularAddition(p=11), 40)
    found = certified_accuracy(checkpoint, key_frequencies=torch.tensor([2, 5]), key_irreps=NONE)
    expected = [(4 + min(rank, 11)) * (40 + 11) / (40 * 11) for rank in PROOF_RANKS]
    close(found.proof_cost, expected)
    even = class_basis(solved(ModularAddition(p=12), 40), torch.tensor([6]), NONE)
    assert even.shape == (1, 12)
    close(even @ even.T, torch.eye(1))


@pytest.mark.parametrize(("group", "rows", "dimension"), [("S3", [0], 4), ("S4", [0, 1, 2, 3], 23), ("D5", [0, 1], 5)])
def test_key_representations_span_their_matrix_entries(group, rows, dimension):
    checkpoint = checkpoint_of(MLPSpec(hidden=(8,)), GroupComposition(group=group))
    keys, grid = torch.tensor(rows), answer_grid(checkpoint.problem.task, "cpu")
    basis = class_basis(checkpoint, NONE, keys)
    close(basis @ basis.T, torch.eye(len(basis)))
    assert len(basis) == dimension
    functions = basis[:, grid.class_of]
    close(functions.mean(1), torch.zeros(len(basis)))  # orthogonal to the trivial representation
    inside, outside = (power_by_irrep(functions.T, grid)[[i for i in range(len(grid.names)) if (i in rows) == of]]
                       for of in (True, False))  # fmt: skip
    close(inside.sum(), dimension)
    close(outside.sum(), 0)


def test_it_needs_no_group():
    task = Table.from_array([[0, 1, 1], [2, 0, 1], [0, 0, 2]])
    found = certified_accuracy(checkpoint_of(MLPSpec(hidden=(8,)), task), **NO_KEYS)
    close(found.certified_share[1:], found.true_share.expand(4))


def test_published_networks(published):
    """One network's circuit carries its accuracy; nothing is proven for the other, trained without decay."""
    cyclic, _ = chughtai_cyclic(published)
    for checkpoint, low, high in ((cyclic, 0.95, 1.0), (nanda(published), 0.0, 0.0)):
        found = certified_accuracy(checkpoint, **keys_of(checkpoint))
        assert low <= float(found.certified_share[0]) <= high
        assert float(found.proof_cost[0]) < 0.3
        assert float(found.true_share) == 1


def test_an_unknown_frequency_is_refused():
    with pytest.raises(GrokinterpError, match="key_frequencies=9"):
        certified_accuracy(checkpoint_of(MLPSpec(hidden=(4,))), key_frequencies=torch.tensor([9]), key_irreps=NONE)
