"""Characters of the answer: planted ones on tasks without a group of operands, a naive twin, agreement with irreps."""

import math

import pytest
import torch

from grokinterp.analysis import answer_spectrum, irrep_spectrum, operand_spectrum
from grokinterp.analysis.structure.answer_spectrum import answer_names, residue_frequencies
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.maths.representations import irreps
from grokinterp.models import MLPSpec, Model, Readout, build
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, ModularAddition, Table, Task
from tests.support.constructed import close
from tests.support.small_networks import assert_vmap_is_loop, drawn, network


def of(task: Task, logits: torch.Tensor) -> Checkpoint:
    """A checkpoint of a task with given outputs."""
    is_train = torch.ones(task.n_examples, dtype=torch.bool)
    found = Checkpoint(0, network(), Problem(task, task.tokens(), task.labels(), is_train))
    found.__dict__["readout"] = Readout(None, torch.zeros(task.n_examples, 1).double(), logits, logits)
    return found


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


POLYNOMIAL = TASKS["polynomial"](p=7, expression="x^2+xy+y^2")

GROUPLESS: dict[str, tuple[Task, str]] = {
    "polynomial": (POLYNOMIAL, "C7"),
    "composite modulus": (TASKS["modular_multiplication"](p=6), "C6"),
    "conjugation": (TASKS["group_conjugation"](group="S3"), "S3"),
    "composition": (TASKS["composition"](outer=ModularAddition(p=5), inner=ModularAddition(p=5)), "C5"),
    "recurrence": (TASKS["linear_recurrence"](p=5), "C5"),
}


@pytest.mark.parametrize(("task", "name"), GROUPLESS.values(), ids=GROUPLESS)
def test_planted_characters_of_the_answer_have_their_similarities(task, name):
    """Also where some answers are right more often than others; rows may have any mean."""
    assert task.answer_group.group.name == name
    found = irreps(task.answer_group.group)[1:]
    group, amplitudes = task.answer_group.group, [3.0, 1.0, 0.5][: len(found)]
    quotient = group.table[task.label()[:, None], group.inverse]
    logits = sum(alpha * rho.character[quotient] for alpha, rho in zip(amplitudes, found, strict=False))
    spectrum = answer_spectrum(of(task, logits + uniform(len(logits), 1)))
    lengths = [alpha * float(rho.character.norm()) for alpha, rho in zip(amplitudes, found, strict=False)]
    expected = [length / math.hypot(*lengths) for length in lengths]
    close(spectrum.answer_similarity[: len(expected)], expected)
    close(spectrum.answer_fve, 1)
    assert answer_names(task) == tuple(rho.name for rho in found)
    assert spectrum.is_key_answer.nonzero().flatten().tolist() == list(range(len(expected)))


def test_the_spectrum_equals_its_naive_twin():
    """x² + xy + y² modulo 7: 0 is right more often than any other class."""
    assert POLYNOMIAL.label().bincount().tolist() == [13, 6, 6, 6, 6, 6, 6]
    logits = uniform(49, 7)
    centered = logits - logits.mean(1, keepdim=True)
    expected = []
    for k in (1, 2, 3):
        rows = [[math.cos(2 * math.pi * k * (y - z) / 7) for z in range(7)] for y in POLYNOMIAL.label().tolist()]
        cube = torch.tensor(rows, dtype=torch.float64)
        expected.append(float((centered * cube).sum() / centered.norm() / cube.norm()))
    found = answer_spectrum(of(POLYNOMIAL, logits))
    close(found.answer_similarity, expected)
    close(found.answer_fve, found.answer_similarity.square().sum())


PRODUCTS: dict[str, Task] = {
    "S3": TASKS["group_composition"](group="S3"),
    "the other way": TASKS["group_composition"](group="D5", convention="right_first"),
    "multiplication": TASKS["modular_multiplication"](p=7),
    "division": TASKS["modular_division"](p=7),
    "affine": TASKS["polynomial"](p=7, expression="2x-y+3"),
    "matrices": TASKS["matrix_multiplication"](n=2, p=2, invertible=True),
}


@pytest.mark.parametrize("task", PRODUCTS.values(), ids=PRODUCTS)
def test_where_the_task_is_a_product_it_is_the_spectrum_of_irreps(task):
    checkpoint = of(task, uniform(task.n_examples, task.n_classes))
    for ours, theirs in zip(answer_spectrum(checkpoint), irrep_spectrum(checkpoint), strict=True):
        close(ours.double(), theirs.double())


@pytest.mark.parametrize("task", [*PRODUCTS.values(), *(task for task, _ in GROUPLESS.values())], ids=str)
def test_every_element_is_the_answer_of_one_class(task):
    group, element = task.answer_group
    assert element.shape == (task.n_classes,)
    assert element[element >= 0].sort().values.tolist() == list(range(group.order))


def test_a_task_whose_classes_are_no_group_has_none():
    table = Table.from_array([[0, 1, 2], [0, 0, 1], [2, 2, 2]])
    for task, why in (
        (table, "the classes of table are not known to be elements of a group"),
        (TASKS["sparse_parity"](), "the classes of sparse_parity are not known"),
        (TASKS["group_composition"](group="C2"), "the group of group_composition, C2, has fewer than three elements"),
    ):
        assert answer_names(task) == ()
        with pytest.raises(NotDefined) as refused:
            answer_spectrum(of(task, torch.zeros(task.n_examples, task.n_classes).double()))
        assert refused.value.why.startswith(why)


def mlp(task: Task, **choices) -> Model:
    spec = MLPSpec(hidden=(6,), **choices)
    generator = torch.Generator().manual_seed(0)
    model = build(spec, d_vocab=task.d_vocab, d_vocab_out=task.n_classes, n_ctx=2, generator=generator)
    return model.double().requires_grad_(False)


@torch.no_grad()
def test_operand_power_of_planted_waves():
    """Two waves of amplitude 2 and 1 on the left, with shares 4/5 and 1/5; one on the right."""
    model, a = mlp(POLYNOMIAL), torch.arange(7).double()
    left, right = model.layers[0].W_in.view(2, 7, 6)
    left.zero_()
    right.zero_()
    left[:, 0], left[:, 1] = 2 * torch.cos(6 * math.pi * a / 7), torch.sin(2 * math.pi * a / 7)
    left += 5
    right[:, 2] = torch.cos(4 * math.pi * a / 7 + 0.3)
    found = operand_spectrum(Checkpoint(0, model, Problem(POLYNOMIAL, *examples(POLYNOMIAL))))
    close(found.operand_power, [[0.2, 0, 0.8], [0, 1, 0]])
    assert list(residue_frequencies(POLYNOMIAL)) == [1, 2, 3]


def examples(task: Task) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return task.tokens(), task.labels(), torch.ones(task.n_examples, dtype=torch.bool)


def test_operands_that_are_no_residues_have_no_frequencies():
    task = TASKS["group_conjugation"](group="S3")
    assert list(residue_frequencies(task)) == []
    with pytest.raises(NotDefined, match="the operands of group_conjugation are not the residues modulo p"):
        operand_spectrum(of(task, torch.zeros(36, 6).double()))


def test_what_is_read_of_an_operand():
    """Separate tables, a shared one, summed and concatenated positions; a transformer's embedding is shared."""
    task = ModularAddition(p=5)
    one = torch.eye(5).double()
    separate = mlp(task, d_embed=4, embedding="separate")
    left, right = separate.operand_tables
    torch.testing.assert_close(left, separate.embed.W_E[0] @ separate.layers[0].W_in[:4])
    torch.testing.assert_close(right, separate.embed.W_E[1] @ separate.layers[0].W_in[4:])
    onehot = mlp(task)
    assert torch.equal(onehot.operand_tables[1], one @ onehot.layers[0].W_in[5:])
    summed = mlp(task, combine="sum").operand_tables
    assert torch.equal(*summed)
    transformer = network(p=5)
    assert all(torch.equal(table, transformer.embed.W_E) for table in transformer.operand_tables)


@pytest.mark.parametrize("analysis", [answer_spectrum, operand_spectrum])
def test_vmap_is_the_loop(analysis):
    assert_vmap_is_loop(analysis, [drawn(seed) for seed in range(3)])
