"""Irreducible representations in the logits: planted ones, a naive twin, the Fourier road, published networks."""

import math
from itertools import product

import pytest
import torch

from grokinterp.analysis import irrep_spectrum, logit_spectrum
from grokinterp.analysis.groups.irreps import GroupGrid, grid_of, irrep_names, irrep_rows, power_by_irrep
from grokinterp.analysis.structure.answer_spectrum import spectrum_of_logits
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.maths.groups import group
from grokinterp.maths.representations import irreps
from grokinterp.models import Readout
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, ModularAddition, Table, Task
from tests.support.constructed import close
from tests.support.small_networks import assert_vmap_is_loop, drawn, network

AMPLITUDES = (3.0, 2.0, 1.0, 0.5, 0.25)


def composition(name: str, **arguments: str) -> Task:
    return TASKS["group_composition"](group=name, **arguments)


def checkpoint_of(task: Task, logits: torch.Tensor) -> Checkpoint:
    """A checkpoint of a task with given outputs."""
    is_train = torch.ones(task.n_examples, dtype=torch.bool)
    found = Checkpoint(0, network(), Problem(task, task.tokens(), task.labels(), is_train))
    found.__dict__["readout"] = Readout(None, torch.zeros(task.n_examples, 1).double(), logits, logits)
    return found


def grid(task: Task) -> GroupGrid:
    found = grid_of(task, "cpu")
    assert isinstance(found, GroupGrid)
    return found


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def cubes(task: Task) -> dict[str, torch.Tensor]:
    """tr ρ(label · z⁻¹), [example, class], of every ρ but the trivial one; 0 outside the group."""
    algebra, labels = task.algebra, task.label()
    g = algebra.group
    found = {}
    for rho in irreps(g)[1:]:
        cube = torch.zeros(task.n_examples, task.n_classes).double()
        for example, (a, b) in enumerate(task.tokens().tolist()):
            for c, z in enumerate(algebra.answer.tolist()):
                if algebra.left[a] >= 0 and algebra.right[b] >= 0 and z >= 0:
                    xy = g.table[algebra.left[a], algebra.right[b]]
                    assert xy == algebra.answer[labels[example]]
                    cube[example, c] = (rho.matrices[xy] @ rho.matrices[g.inverse[z]]).trace()
        found[rho.name] = cube
    return found


PLANTED: dict[str, Task] = {
    "S3": composition("S3"),
    "S3, the other way": composition("S3", convention="right_first"),
    "D5": composition("D5"),
    "A4": composition("A4"),
    "C6": composition("C6"),
    "C3xC3": composition("C3xC3"),
    "subtraction": TASKS["modular_subtraction"](p=7),
    "multiplication": TASKS["modular_multiplication"](p=7),
    "matrices": TASKS["matrix_multiplication"](n=2, p=2, invertible=True),
}


@pytest.mark.parametrize("task", PLANTED.values(), ids=PLANTED)
def test_planted_characters_have_their_similarities(task):
    """⟨χ, χ⟩ is 1, 2 or 4 by the type, so Σ α T_ρ has s_ρ ∝ α √⟨χ, χ⟩; what is outside the group does not count."""
    found = cubes(task)
    amplitude = dict(zip(found, AMPLITUDES, strict=False))
    logits = sum((alpha * found[name] for name, alpha in amplitude.items()), torch.zeros(()))
    n, outside = grid(task).group.order, torch.stack([cube == 0 for cube in found.values()]).all(0)
    rows, classes = outside.all(1, keepdim=True), outside.all(0)
    noise = torch.where(rows | classes, 1e3 * uniform(*logits.shape), 10 * uniform(len(logits), 1, seed=1))
    spectrum = irrep_spectrum(checkpoint_of(task, logits + noise))
    length = [amplitude.get(rho.name, 0) * float(rho.character.norm()) for rho in irreps(task.algebra.group)[1:]]
    assert irrep_names(task) == tuple(found)
    assert int((~classes).sum()) == n
    close(spectrum.irrep_similarity, [x / math.hypot(*length) for x in length])
    close(spectrum.irreps_explained, 1)


def test_the_spectrum_equals_its_naive_twin():
    """Four nested loops over S_3 and its representations."""
    g, task = group("S3"), composition("S3")
    logits = uniform(36, 6) + sum(0.2 * cube for cube in cubes(task).values())

    def similarities(cube: torch.Tensor) -> list[float]:
        centered = cube - cube.mean(2, keepdim=True)
        found = []
        for rho in irreps(g)[1:]:
            inner = squares = 0.0
            for x, y, z in product(range(6), repeat=3):
                trace = float((rho.matrices[x] @ rho.matrices[y] @ rho.matrices[z].T).trace())
                inner, squares = inner + float(centered[x, y, z]) * trace, squares + trace**2
            found.append(inner / math.sqrt(squares) / float(centered.norm()))
        return found

    cube, spectrum = logits.view(6, 6, 6), irrep_spectrum(checkpoint_of(task, logits))
    close(spectrum.irrep_similarity, similarities(cube))
    close(spectrum.irreps_explained, sum(s**2 for s in similarities(cube)))


def test_a_planted_representation_is_key_and_hardly_ever_another():
    """The chance of another key is 1 % a network: of two in these 27, 3 %."""
    extra = 0
    for name in ["C12", "D8", "S4", "A4", "C3xC3", "S3xC2"]:
        task = composition(name)
        g, found = task.algebra.group, grid(task)
        quotient = g.table[task.label()[:, None], g.inverse]
        for i, chi in enumerate(found.answers.characters):
            noise = 0.3 * chi.std() * uniform(task.n_examples, task.n_classes, seed=i)
            is_key = spectrum_of_logits(chi[quotient] + noise, found.answers).is_key_answer
            assert is_key[i]
            extra += int(is_key.sum()) - 1
    assert extra <= 1


def test_a_sign_is_key_alone():
    """One of the six orders of the sign's classes is the sign itself; it is still key, because nothing else is left."""
    task = composition("S3")
    spectrum = irrep_spectrum(checkpoint_of(task, cubes(task)["sign"]))
    assert dict(zip(irrep_names(task), spectrum.is_key_irrep.tolist(), strict=True)) == {
        "sign": True,
        "standard": False,
    }


@pytest.mark.parametrize("name", ["S4", "C6", "A4", "D6", "C3xC3"])
def test_power_is_that_of_the_projection_onto_the_matrix_entries(name):
    """By QR of the entries themselves, as published."""
    g, answers = group(name), grid(composition(name)).answers
    f = uniform(g.order, 3)
    expected = []
    for rho in irreps(g)[1:]:
        left, values, _ = torch.linalg.svd(rho.matrices.flatten(1), full_matrices=False)
        entries = left[:, values > 1e-9]
        assert entries.shape[1] == rho.rank
        expected.append(float((entries.T @ f).square().sum()))
    close(power_by_irrep(f, answers), expected)
    close(sum(expected) + g.order * f.mean(0).square().sum(), f.square().sum())


def test_rows_of_key_representations_become_a_mask():
    answers = grid(composition("S4")).answers
    assert irrep_rows(torch.tensor([3, 0]), answers).tolist() == [True, False, False, True]
    with pytest.raises(GrokinterpError, match=r"^key_irreps=4: must be integers from 0 to 3"):
        irrep_rows(torch.tensor([4]), answers)


CYCLIC: dict[str, Task] = {
    "addition": ModularAddition(p=7),
    "even": ModularAddition(p=8),
    "subtraction": TASKS["modular_subtraction"](p=11),
    "division": TASKS["modular_division"](p=11),
    "113": ModularAddition(p=113),
}


@pytest.mark.parametrize("task", CYCLIC.values(), ids=CYCLIC)
def test_in_a_cyclic_group_it_is_the_fourier_spectrum(task):
    logits = uniform(task.n_examples, task.n_classes)
    logits[torch.arange(task.n_examples), task.label()] += 0.3
    checkpoint = checkpoint_of(task, logits)
    ours, theirs = irrep_spectrum(checkpoint), logit_spectrum(checkpoint)
    assert irrep_names(task) == tuple(f"freq_{k}" for k in range(1, len(theirs.logit_similarity) + 1))
    close(ours.irrep_similarity, theirs.logit_similarity)
    close(ours.irrep_similarity_held_out, theirs.logit_similarity_held_out)
    close(ours.irrep_threshold, theirs.similarity_threshold)
    assert ours.is_key_irrep.equal(theirs.is_key)
    assert float(ours.irreps_explained) < 0.5


def test_renaming_operands_and_classes_changes_no_similarity():
    """An unknown table that is S_3 with everything renamed; its representations have no names of their own."""
    task, logits = composition("S3"), uniform(36, 6) + cubes(composition("S3"))["standard"]
    left, right, answer = (torch.randperm(6, generator=torch.Generator().manual_seed(s)) for s in range(3))
    table = answer[task.table()[left][:, right]]
    renamed = Table.from_array(table.tolist())
    moved = torch.empty_like(logits.view(6, 6, 6))
    moved[:, :, answer] = logits.view(6, 6, 6)[left][:, right]
    found = irrep_spectrum(checkpoint_of(renamed, moved.view(36, 6)))
    expected = irrep_spectrum(checkpoint_of(task, logits))
    assert sorted(irrep_names(renamed)) == ["1d_1", "2d_1"]
    close(found.irrep_similarity.sort().values, expected.irrep_similarity.sort().values)
    close(found.irreps_explained, expected.irreps_explained)


def test_logits_that_tell_no_class_from_another_have_no_similarity():
    found = irrep_spectrum(checkpoint_of(composition("S3"), torch.zeros(36, 6).double()))
    assert found.irrep_similarity.isnan().all()
    assert not found.is_key_irrep.any()


OTHERS: dict[str, tuple[Task, str]] = {
    "conjugation": (TASKS["group_conjugation"](group="S3"), "no group is known in which group_conjugation is the"),
    "two groups": (
        TASKS["composition"](outer=TASKS["modular_multiplication"](p=3), inner=ModularAddition(p=3)),
        "no group",
    ),
    "two elements": (composition("C2"), "the group of group_composition, C2, has fewer than three elements"),
    "squares": (
        TASKS["polynomial"](p=7, expression="x^2*y^2"),
        "no example of polynomial has 3 of the 6 elements as its answer",
    ),
}


@pytest.mark.parametrize(("task", "why"), OTHERS.values(), ids=OTHERS)
def test_without_all_pairs_of_a_group_the_reason_is_given(task, why):
    with pytest.raises(NotDefined, match=r"^irrep_spectrum is not defined here: ") as refused:
        irrep_spectrum(checkpoint_of(task, torch.zeros(task.n_examples, task.n_classes).double()))
    assert refused.value.why.startswith(why)
    assert irrep_names(task) == ()


@pytest.mark.parametrize("p", [7, 8])
def test_vmap_is_the_loop_over_networks(p):
    assert_vmap_is_loop(irrep_spectrum, [drawn(seed, p=p) for seed in range(3)])


@pytest.mark.parametrize("task", [PLANTED["S3"], PLANTED["multiplication"]], ids=["S3", "multiplication"])
def test_vmap_is_the_loop_over_logits(task):
    logits = uniform(3, task.n_examples, task.n_classes)
    at_once = torch.vmap(lambda x: spectrum_of_logits(x, grid(task).answers))(logits)
    alone = [spectrum_of_logits(x, grid(task).answers) for x in logits]
    for field, together in at_once._asdict().items():
        close(together, torch.stack([getattr(one, field) for one in alone]))


PUBLISHED = {
    "S5_MLP_seed1": (0.39054, {"sign": 0.3090, "standard": 0.4109, "standard_sign": 0.2944, "(2,2,1)": 0.1990}),
    "C113_T_seed2": (0.96696, {}),
    "D59_MLP_seed1": (0.48650, {}),
    "A5_MLP_seed1": (None, {"standard": 0.53509, "(3,2)": 0.00474}),
    "A5_T_seed3": (None, {"standard": -0.00004, "(3,2)": 0.49882}),
}
NAMES = {"s5_5d_a": "(2,2,1)", "a5_5d_a": "(3,2)", "a5_3d_a": "(3,1,1)_a", "a5_3d_b": "(3,1,1)_b"}


@pytest.mark.parametrize("folder", PUBLISHED)
def test_published_networks_have_their_published_similarities_and_keys(published, folder, tmp_path):
    """In A_5_T the inexact published ρ of dimension 3 are both key; the exact first has s = 0.00005."""
    explained, expected = PUBLISHED[folder]
    run = import_run("chughtai", published / "chughtai" / folder, tmp_path / "run")
    found, names = irrep_spectrum(run[run.steps[-1]]), irrep_names(run.experiment.task)
    by_name = dict(zip(names, found.irrep_similarity.tolist(), strict=True))
    keys = {NAMES.get(rep, rep) for rep in (published / "chughtai" / folder / "key_reps.txt").read_text().split()}
    exact = keys - {"(3,1,1)_a"} if folder == "A5_T_seed3" else keys
    assert {name for name, key in zip(names, found.is_key_irrep.tolist(), strict=True) if key} == exact
    for name, similarity in expected.items():
        assert by_name[name] == pytest.approx(similarity, abs=1e-4)
    if explained is not None:
        assert float(found.irreps_explained) == pytest.approx(explained, abs=1e-4)
