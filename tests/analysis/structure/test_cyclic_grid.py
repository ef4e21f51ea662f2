"""Tasks laid out over their operands and over the exponents of their cyclic group."""

import math

import pytest
import torch

from grokinterp import analysis
from grokinterp.analysis.structure.cyclic_answers import cyclic_order
from grokinterp.analysis.structure.cyclic_grid import by_operands, cyclic_grid
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.models import MLPSpec, Readout, build
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, ModularAddition, Task
from tests.support.small_networks import drawn, network

CYCLIC: dict[str, tuple[Task, int]] = {
    "addition": (ModularAddition(p=7), 7),
    "subtraction": (TASKS["modular_subtraction"](p=7), 7),
    "multiplication": (TASKS["modular_multiplication"](p=7), 6),
    "division": (TASKS["modular_division"](p=7), 6),
    "the group C9": (TASKS["group_composition"](group="C9"), 9),
    "C3xC5, which is C15": (TASKS["group_composition"](group="C3xC5"), 15),
    "x + 3y": (TASKS["polynomial"](p=7, expression="x+3y"), 7),
}

OTHERS: dict[str, Task] = {
    "not abelian": TASKS["group_composition"](group="S3"),
    "abelian, not cyclic": TASKS["group_composition"](group="C3xC3"),
    "too small": TASKS["group_composition"](group="C2"),
    "no group": TASKS["polynomial"](p=5, expression="x^2+xy+y^2"),
    "no inverses": TASKS["modular_multiplication"](p=6),
    "three operands": TASKS["composition"](outer=TASKS["modular_multiplication"](p=3), inner=ModularAddition(p=3)),
}


def checkpoint_of(task: Task, logits: torch.Tensor | None = None, neurons: torch.Tensor | None = None) -> Checkpoint:
    """A checkpoint of a task with given outputs."""
    is_train = torch.rand(task.n_examples, generator=torch.Generator().manual_seed(0)) < 0.5
    found = Checkpoint(0, network(), Problem(task, task.tokens(), task.labels(), is_train))
    logits = torch.zeros(task.n_examples, task.n_classes).double() if logits is None else logits
    neurons = torch.zeros(task.n_examples, 1).double() if neurons is None else neurons
    found.__dict__["readout"] = Readout(None, neurons, logits, logits)
    return found


@pytest.mark.parametrize(("task", "n"), CYCLIC.values(), ids=CYCLIC)
def test_the_exponents_of_a_pair_add_up_to_that_of_its_label(task, n):
    grid = cyclic_grid(checkpoint_of(task), "test")
    exponent = {int(c): e for e, c in enumerate(grid.class_of)}
    i, j = torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)
    assert (grid.n, cyclic_order(task)) == (n, n)
    assert len(set(grid.example.tolist())) == n * n
    assert [exponent[int(c)] for c in task.label()[grid.example]] == ((i + j) % n).tolist()
    assert torch.equal(task.tokens()[grid.example], torch.stack([grid.left[i], grid.right[j]], 1))
    assert grid.is_plain == isinstance(task, ModularAddition) or task.kind == "group_composition"


@pytest.mark.parametrize(("task", "n"), CYCLIC.values(), ids=CYCLIC)
def test_a_planted_frequency_is_found_in_the_basis_of_the_task(task, n):
    k, grid = 2, cyclic_grid(checkpoint_of(task), "test")
    exponent = torch.full((task.n_classes,), -1).index_put((grid.class_of,), torch.arange(n))
    sums = exponent[task.label()]
    wave = torch.cos(2 * math.pi * k / n * (sums[:, None] - exponent)).double()
    outside = (sums < 0)[:, None] | (exponent < 0)
    logits = torch.where(outside, 7.0, 10 * wave)
    checkpoint = checkpoint_of(task, logits, neurons=torch.where(sums < 0, 3.0, wave[:, [0]].squeeze(1))[:, None])
    found = analysis.logit_spectrum(checkpoint)
    expected = torch.zeros(n // 2).double()
    expected[k - 1] = 1
    torch.testing.assert_close(found.logit_similarity, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.logit_fve, torch.tensor(1.0).double(), atol=1e-6, rtol=0)
    measured = analysis.progress_measures(checkpoint, key_frequencies=torch.tensor([k]))
    torch.testing.assert_close(measured.excluded_loss, torch.tensor(math.log(n)).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("task", OTHERS.values(), ids=OTHERS)
def test_where_there_is_no_cyclic_group_the_analysis_and_the_reason_are_named(task):
    with pytest.raises(NotDefined, match=r"^logit_spectrum is not defined here: \S.*$") as refused:
        analysis.logit_spectrum(checkpoint_of(task))
    assert task.kind in refused.value.why
    assert cyclic_order(task) == 0


def test_values_by_operands_have_a_hole_where_the_operation_is_not_defined():
    task = TASKS["modular_division"](p=5)
    grid = by_operands(task.label().double(), task, "test")
    for a in range(5):
        assert grid[a, 0].isnan()
        for b in range(1, 5):
            assert int(grid[a, b]) * b % 5 == a
    with pytest.raises(NotDefined, match="composition does not have two operands"):
        by_operands(torch.zeros(27), OTHERS["three operands"], "test")


def test_without_attention_the_model_is_named():
    checkpoint = drawn()
    checkpoint.__dict__["readout"] = checkpoint.readout._replace(pattern=None)
    for name in ("attention_pattern", "attention_map", "attention_periodicity"):
        with pytest.raises(NotDefined, match=f"^{name} is not defined here: the model transformer has no attention$"):
            getattr(analysis, name)(checkpoint)


def exponents_of(tokens: torch.Tensor, n: int, d_vocab: int) -> torch.Tensor:
    """The exponent of every token, 0 for those outside the group."""
    return torch.zeros(d_vocab, dtype=torch.int64).index_put((tokens,), torch.arange(n))


@pytest.mark.parametrize(("task", "n"), CYCLIC.values(), ids=CYCLIC)
def test_attention_is_compared_by_the_tokens_exponents(task, n):
    """A head that scores every token by the same function attends by the difference of its values."""
    k, checkpoint = 2, checkpoint_of(task)
    exponent = exponents_of(cyclic_grid(checkpoint, "test").left, n, task.d_vocab)
    score = torch.sin(2 * math.pi * k / n * exponent).double()
    a, b = task.tokens().T
    pattern = (0.5 + 0.1 * (score[a] - score[b]))[:, None, None].expand(-1, 1, 2)
    checkpoint.__dict__["readout"] = checkpoint.readout._replace(pattern=pattern)
    found = analysis.attention_periodicity(checkpoint)
    assert found.attention_frequency.tolist() == [k]
    torch.testing.assert_close(found.attention_fve, torch.ones(1).double())


@pytest.mark.parametrize(("task", "n"), CYCLIC.values(), ids=CYCLIC)
def test_a_table_of_each_position_is_taken_by_its_operands_exponents(task, n):
    k, checkpoint = 2, checkpoint_of(task)
    grid, spec = cyclic_grid(checkpoint, "test"), MLPSpec(d_embed=2, embedding="separate", hidden=(4,))
    model = build(spec, d_vocab=task.d_vocab, d_vocab_out=task.n_classes, n_ctx=2).double().requires_grad_(False)
    for table, tokens in zip(model.embed.W_E, (grid.left, grid.right), strict=True):
        angle = 2 * math.pi * k / n * torch.arange(n).double()
        table[tokens] = torch.stack([angle.cos(), angle.sin()], 1)
    checkpoint.model = model
    power = analysis.embedding_spectrum(checkpoint).embedding_power
    expected = torch.zeros(n // 2).double()
    expected[k - 1] = 2 * n
    torch.testing.assert_close(power, expected, atol=1e-9, rtol=0)
    circle = analysis.embedding_circles(checkpoint, key_frequencies=torch.tensor([k])).embedding_circle[0]
    torch.testing.assert_close(circle.norm(dim=1), torch.full((n,), 2**0.5).double())
