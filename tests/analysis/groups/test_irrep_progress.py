"""Losses with irreducible representations kept or removed: constructed networks, a naive twin, published networks."""

import json
import math
from dataclasses import replace

import pytest
import torch

from grokinterp.analysis.groups import irrep_progress
from grokinterp.analysis.groups.irrep_progress import IrrepProgress, random_sets
from grokinterp.analysis.groups.irreps import grid_of, irrep_names
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.losses import cross_entropy
from grokinterp.maths.representations import irreps
from grokinterp.models import Readout
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, Task
from tests.support.constructed import close
from tests.support.small_networks import SPEC, drawn, drawn_mlp, network

S4 = TASKS["group_composition"](group="S4")


def planted(task: Task, logits: torch.Tensor) -> Checkpoint:
    """A checkpoint whose neurons are its logits, W_U being the identity."""
    found = drawn_mlp(task, width=task.n_classes)
    found.model.unembed.W_U.copy_(torch.eye(task.n_classes))
    found.__dict__["readout"] = Readout(None, logits, logits, logits)
    return found


def cube(task: Task, *names: str) -> torch.Tensor:
    """Σ χ_ρ(x·y·z⁻¹), [example, z]."""
    g = task.algebra.group
    total = sum(rho.character for rho in irreps(g) if rho.name in names)
    return total[g.table[task.label()[:, None], g.inverse]]


def test_logits_of_the_keys_alone_lose_nothing_restricted_and_all_when_excluded():
    """log n is the loss of knowing nothing; the same at the neurons, for W_U is the identity."""
    logits = 5 * cube(S4, "standard", "sign")
    keys = torch.tensor([irrep_names(S4).index(name) for name in ("standard", "sign")])
    checkpoint = planted(S4, logits)
    found = irrep_progress(checkpoint, key_irreps=keys)
    loss = float(cross_entropy(logits, S4.label()).mean())
    for place in ("hidden", "irrep"):
        close(getattr(found, f"{place}_restricted_loss"), loss)
        close(getattr(found, f"{place}_excluded_loss"), math.log(24))
        close(getattr(found, f"{place}_restricted_loss_control"), math.log(24))
        close(getattr(found, f"{place}_excluded_loss_control"), loss)
        alone = getattr(found, f"{place}_restricted_loss_of")[keys]
        close(alone[0], cross_entropy(5 * cube(S4, "standard"), S4.label()).mean())
        close(getattr(found, f"{place}_excluded_loss_of")[keys[1]], alone[0])


SMALL: dict[str, Task] = {
    "S3": TASKS["group_composition"](group="S3"),
    "A4, the other way": TASKS["group_composition"](group="A4", convention="right_first"),
    "multiplication": TASKS["modular_multiplication"](p=7),
}


@pytest.mark.parametrize("task", SMALL.values(), ids=SMALL)
def test_the_losses_equal_their_naive_twin(task):
    """Projections onto bases of functions on all pairs, of drawn networks with biases."""
    checkpoint = drawn_mlp(task, width=40, act_fn="relu", biases=True, initialization="pytorch")
    algebra, model, problem = task.algebra, checkpoint.model, checkpoint.problem
    n, (a, b) = algebra.group.order, problem.tokens.T
    inside = (algebra.left[a] >= 0) & (algebra.right[b] >= 0)
    train, z = problem.is_train[inside], algebra.answer[task.label()][inside]
    order = algebra.answer.argsort()[-n:]  # the class of each element
    h, logits = checkpoint.readout.neurons[inside], checkpoint.logits[inside][:, order]
    W_U, b_U = model.W_U[:, order], model.unembed.b_U[order]
    found = irrep_progress(checkpoint, key_irreps=torch.tensor([0, 1]))
    kept_h, kept_l = torch.zeros_like(h), torch.zeros_like(logits)
    for i, rho in enumerate(irreps(algebra.group)[1:3]):
        left, values, _ = torch.linalg.svd(rho.matrices[z].flatten(1), full_matrices=False)
        Q = left[:, values > 1e-9]
        T = rho.character[algebra.group.table[z[:, None], algebra.group.inverse]]
        one_h, one_l = Q @ (Q.T @ h), (logits * T).sum() / T.square().sum() * T
        close(found.hidden_restricted_loss_of[i], cross_entropy(one_h @ W_U + b_U, z).mean())
        close(found.hidden_excluded_loss_of[i], cross_entropy((h - one_h) @ W_U + b_U, z)[train].mean())
        close(found.irrep_restricted_loss_of[i], cross_entropy(one_l, z).mean())
        close(found.irrep_excluded_loss_of[i], cross_entropy(logits - one_l, z)[train].mean())
        kept_h, kept_l = kept_h + one_h, kept_l + one_l
    close(found.hidden_restricted_loss, cross_entropy(kept_h @ W_U + b_U, z).mean())
    close(found.hidden_excluded_loss, cross_entropy((h - kept_h) @ W_U + b_U, z)[train].mean())
    close(found.irrep_restricted_loss, cross_entropy(kept_l, z).mean())
    close(found.irrep_excluded_loss, cross_entropy(logits - kept_l, z)[train].mean())


def test_a_run_trained_with_squared_error_is_measured_by_it():
    logits, task = cube(S4, "standard"), S4
    checkpoint = planted(task, logits)
    checkpoint.problem = Problem(task, task.tokens(), task.labels(), checkpoint.problem.is_train, loss="mse")
    found = irrep_progress(checkpoint, key_irreps=torch.tensor([irrep_names(S4).index("standard")]))
    wanted = torch.eye(24).double()[task.label()]
    close(found.irrep_restricted_loss, (logits - wanted).square().mean())
    close(found.irrep_excluded_loss, 1 / 24)


def test_random_sets_leave_the_keys_out_and_come_near_their_rank():
    """S_4: ranks 9 (standard), 4, 9, 1 of the non-trivial representations."""
    grid = grid_of(S4, "cpu")
    ranks = torch.tensor([rho.rank for rho in irreps(S4.structure)[1:]])
    keys = torch.tensor([name == "standard" for name in irrep_names(S4)])
    sets = random_sets(keys, grid.answers)
    assert sets.shape == (8, 4)
    assert not sets[:, keys].any()
    assert set((sets * ranks).sum(1).tolist()) <= {9, 10, 5, 13}
    assert random_sets(torch.ones(4).bool(), grid.answers).shape == (0, 4)
    assert torch.equal(sets, random_sets(keys, grid.answers))


def test_where_logits_are_not_linear_in_the_neurons_their_losses_are_missing():
    normalized = drawn(spec=replace(SPEC, normalization="LN"))
    assert not normalized.model.is_linear_in_neurons(normalized.problem.tokens)
    found = irrep_progress(normalized, key_irreps=torch.tensor([1]))
    for field, value in found._asdict().items():
        assert bool(value.isnan().any()) == field.startswith("hidden"), field


def test_without_key_or_without_others_or_without_training_examples():
    checkpoint = drawn()
    with pytest.raises(NotDefined, match="no representation is key"):
        irrep_progress(checkpoint, key_irreps=torch.tensor([], dtype=torch.int64))
    everything: IrrepProgress = irrep_progress(checkpoint, key_irreps=torch.tensor([0, 1, 2]))
    assert everything.irrep_restricted_loss_control.isnan()
    assert not everything.irrep_restricted_loss.isnan()
    task = checkpoint.problem.task
    unknown = Problem(task, checkpoint.problem.tokens, task.labels(), torch.zeros(49, dtype=torch.bool))
    found = irrep_progress(Checkpoint(0, network(), unknown), key_irreps=torch.tensor([0]))
    assert found.hidden_excluded_loss.isnan()
    assert not found.hidden_restricted_loss.isnan()


PUBLISHED = {"S5_MLP_seed1": "hidden logit", "D59_MLP_seed1": "hidden logit", "C113_T_seed2": "logit"}
FIELDS = {"hidden": "hidden", "logit": "irrep"}


@pytest.mark.parametrize("folder", PUBLISHED)
def test_published_networks_have_their_published_losses(published, folder, tmp_path):
    """But those at the neurons of C_113, whose published basis has two directions per frequency that rounding chose."""
    run = import_run("chughtai", published / "chughtai" / folder, tmp_path / "run")
    theirs = json.loads((published / "chughtai" / folder / "summary_metrics.json").read_text())
    names = {"(2,2,1)": "s5_5d_a", "(3,2)": "s5_5d_b", "(3,1,1)": "s5_6d"}
    there = [names.get(name, name) for name in irrep_names(run.experiment.task)]
    reps = (published / "chughtai" / folder / "key_reps.txt").read_text().split()
    keys = torch.tensor([i for i, name in enumerate(there) if name in reps])
    found = irrep_progress(run[run.steps[-1]], key_irreps=keys)
    for place in PUBLISHED[folder].split():
        for part in ("restricted", "excluded"):
            ours = f"{FIELDS[place]}_{part}_loss"
            assert float(getattr(found, ours)) == pytest.approx(theirs[f"total_{place}_{part}_loss"], rel=1e-4)
            for name, loss in zip(there, getattr(found, f"{ours}_of").tolist(), strict=True):
                assert loss == pytest.approx(theirs[f"{place}_{part}_loss_{name}_rep"], rel=1e-4)
    control = found.irrep_restricted_loss_control, found.irrep_excluded_loss_control
    assert float(control[0]) > 0.95 * math.log(run.experiment.task.n_classes)
    assert float(control[1]) < 1e-5
