"""Coset scores: planted cosets, a naive twin, random functions, published networks."""

import pytest
import torch

from grokinterp.analysis import coset_scores
from grokinterp.analysis.groups.cosets import cosets_of, scores
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.maths.groups import group
from grokinterp.maths.subgroups import conjugate_subgroups, generated, left_cosets, right_cosets, subgroups
from grokinterp.models import Readout
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, ModularAddition, Task
from tests.support.constructed import close
from tests.support.small_networks import drawn, drawn_mlp, network, plant

S4 = TASKS["group_composition"](group="S4")


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_neurons_that_are_constant_on_cosets_have_score_zero_and_the_largest_such_subgroup():
    """Columns: a function of the right (left) coset of a conjugate of S_3, of the other side's, of nothing."""
    s4, checkpoint = S4.structure, drawn_mlp(S4, width=3)
    s3 = conjugate_subgroups(s4, next(one for one in subgroups(s4) if int(one.sum()) == 6))[2]
    levels = uniform(4)
    right, left = levels[right_cosets(s4, s3)], levels[left_cosets(s4, s3)]
    constant = torch.full((24,), 0.3).double()
    plant(
        checkpoint.model,
        torch.stack([right, left, constant], 1),
        torch.stack([left, right, left], 1),
        torch.zeros(3, 24),
    )
    found = coset_scores(checkpoint)
    close(found.coset_score_left[[0, 2]], [0, 1])
    close(found.coset_score_right[[0, 2]], [0, 0])
    assert found.coset_order_left.tolist()[::2] == [6, 1]
    assert found.coset_order_right.tolist()[::2] == [6, 6]
    close(found.coset_share, (torch.maximum(*found[:2]) < 0.1).double().mean())


@pytest.mark.parametrize("name", ["S3", "D4", "A4", "C12"])
def test_the_scores_equal_their_naive_twin(name):
    """Cosets listed as sets; the mean of the variances within them over the variance."""
    g, task = group(name), TASKS["group_composition"](group=name)
    checkpoint = drawn_mlp(task, width=5, seed=1)
    left, right = checkpoint.model.first_layer_rows
    found = coset_scores(checkpoint)
    everything = [one for representative in subgroups(g)[1:-1] for one in conjugate_subgroups(g, representative)]
    for f, score, order, side in (
        (left, found.coset_score_left, found.coset_order_left, "right"),
        (right, found.coset_score_right, found.coset_order_right, "left"),
    ):
        within = torch.stack([naive(g, one.nonzero().flatten().tolist(), f, side) for one in everything])
        close(score, within.amin(0))
        orders = torch.stack([one.sum() for one in everything])
        close(order, torch.where(within < 0.1, orders[:, None], 1).amax(0))


def naive(g, members: list[int], f: torch.Tensor, side: str) -> torch.Tensor:
    cosets = {
        frozenset(int(g.table[h, x]) if side == "right" else int(g.table[x, h]) for h in members)
        for x in range(g.order)
    }
    within = torch.stack([f[sorted(coset)].var(0, correction=0) for coset in cosets])
    return within.mean(0) / f.var(0, correction=0)


def test_other_models_are_judged_by_their_neurons_mean_over_the_other_operand():
    """A neuron u(x) + v(y) + w(x, y) whose w has mean zero over either."""
    task = ModularAddition(p=6)
    checkpoint = Checkpoint(0, network(p=6), Problem(task, task.tokens(), task.labels(), torch.ones(36).bool()))
    u, v = torch.tensor([0.0, 1, 2, 0, 1, 2]).double(), torch.tensor([0.0, 1, 0, 1, 0, 1]).double()
    w = uniform(6, 6)
    w = w - w.mean(0) - w.mean(1, keepdim=True) + w.mean()
    neurons = (u[:, None] + v + 3 * w).reshape(36, 1)
    checkpoint.__dict__["readout"] = Readout(None, neurons, neurons, torch.zeros(36, 6))
    found = coset_scores(checkpoint)
    close(found.coset_score_left, [0])
    close(found.coset_score_right, [0])
    assert (int(found.coset_order_left), int(found.coset_order_right)) == (2, 3)
    close(found.coset_share, 1)


def test_a_random_function_has_the_expected_share_within():
    """1 - (n/|H| - 1)/(n - 1) over many random functions."""
    f, s4 = uniform(24, 4000), group("S4")
    for element, order in ((1, 2), (3, 3)):
        one = generated(s4, element)
        assert int(one.sum()) == order
        assert float(scores(f, [left_cosets(s4, one)]).mean()) == pytest.approx(1 - (24 / order - 1) / 23, abs=5e-3)


def test_the_score_never_grows_towards_a_smaller_subgroup():
    f, c12 = uniform(12, 7), group("C12")
    found = scores(f, [left_cosets(c12, generated(c12, step)) for step in (6, 3, 1)])
    assert (found.diff(dim=0) >= 0).all()
    close(found[-1], torch.ones(7))


def test_groups_without_such_subgroups():
    assert cosets_of(group("C7")) == "C7 has no subgroups except the trivial group and itself"
    with pytest.raises(
        NotDefined, match="coset_scores is not defined here: C7 has no subgroups except the trivial group"
    ):
        coset_scores(drawn())
    other: Task = TASKS["group_conjugation"](group="S3")
    with pytest.raises(NotDefined, match="no group is known"):
        coset_scores(Checkpoint(0, network(p=6), Problem(other, other.tokens(), other.labels(), torch.ones(36).bool())))


def test_every_proper_subgroup_is_there_once():
    """S_4 has 30 subgroups, the trivial one and itself among them."""
    found = cosets_of(group("S4"))
    assert len(found) == 28
    assert len({tuple(one.left.tolist()) for one in found}) == 28
    assert all(int(one.left.max()) + 1 == 24 // one.order == int(one.right.max()) + 1 for one in found)


@pytest.mark.parametrize("folder", ["S5_MLP_seed1", "A5_MLP_seed1"])
def test_every_neuron_of_published_networks_sees_cosets(published, folder, tmp_path):
    """As Stander et al. found in networks of their own."""
    run = import_run("chughtai", published / "chughtai" / folder, tmp_path / "run")
    found = coset_scores(run[run.steps[-1]])
    close(found.coset_share, 1)
    assert float(found.coset_score_left.median()) < 0.01
