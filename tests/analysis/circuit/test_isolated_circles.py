"""The network's answers with one circle of its embedding: against an embedding that holds no other, and published."""

import math

import pytest
import torch

from grokinterp.analysis import isolated_circles
from grokinterp.analysis.circuit.isolated_circles import restricted_logits
from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.models import MLPSpec, ModelSpec, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, ModularAddition, Table, Task
from tests.support.constructed import close

MODELS: dict[str, ModelSpec] = {
    "transformer": TransformerSpec(d_model=8, n_heads=2, d_mlp=12),
    "tied": TransformerSpec(d_model=8, n_heads=2, d_mlp=12, read_at="last", tied_embeddings=True),
    "two tables": MLPSpec(d_embed=6, embedding="separate", hidden=(9,)),
}

TASKS_OF: dict[str, Task] = {
    "addition": ModularAddition(p=7),
    "subtraction": TASKS["modular_subtraction"](p=7),
    "multiplication": TASKS["modular_multiplication"](p=7),
    "tokens of their own": Table.from_array([[-1] * 5 + [(a + b) % 5 for b in range(5)] for a in range(5)]),
}


def checkpoint_of(spec: ModelSpec, task: Task) -> Checkpoint:
    experiment = Experiment(task=task, model=spec)
    model = experiment.build_model().double().requires_grad_(False)
    none = torch.zeros(task.n_examples, dtype=torch.bool)
    return Checkpoint(0, model, Problem(task, experiment.tokens(), task.labels(), none))


@pytest.mark.parametrize("task", TASKS_OF.values(), ids=TASKS_OF)
@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_rows_come_back_to_their_tokens(spec, task):
    checkpoint = checkpoint_of(spec, task)
    grid = cyclic_grid(checkpoint, "test")
    same = grid.embed(checkpoint.model, grid.embedding(checkpoint.model))
    assert torch.equal(same, checkpoint.model.embedding)
    close(restricted_logits(checkpoint, [same], checkpoint.problem.tokens)[0], checkpoint.logits)
    rows = torch.randn(grid.embedding(checkpoint.model).shape, generator=torch.Generator().manual_seed(0)).double()
    table = grid.embed(checkpoint.model, rows)
    plain = checkpoint_of(spec, task)
    if spec.kind != "transformer" or not spec.tied_embeddings:
        before = plain.model.embed.W_E.shape
        plain.model.embed.W_E.copy_(table.unflatten(1, (-1, before[-1])).transpose(0, 1).reshape(before))
        close(restricted_logits(checkpoint, [table, table], checkpoint.problem.tokens)[1], plain.logits)
        close(grid.embedding(plain.model), rows)


def test_a_network_of_two_circles_is_measured_at_each():
    """Its embedding is two circles around a mean; each restricted network equals a network with one circle."""
    p, checkpoint = 11, checkpoint_of(MODELS["transformer"], ModularAddition(p=11))
    axes = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)).double()).Q
    angle = 2 * math.pi / p * torch.arange(p).double()
    circles = [
        size * ((k * angle).cos()[:, None] * axes[2 * i] + (k * angle).sin()[:, None] * axes[2 * i + 1])
        for i, (k, size) in enumerate(((3, 2.0), (4, 1.0)))
    ]
    W_E = checkpoint.model.embed.W_E
    W_E[:p] = axes[7] + circles[0] + circles[1]
    found = isolated_circles(checkpoint)
    assert found.circle_frequency.tolist() == [3, 4, 0, 0, 0, 0]
    assert torch.isnan(found.circle_clock_fve).tolist() == [False, False, True, True, True, True]
    a, b, c = torch.meshgrid(*[torch.arange(p)] * 3, indexing="ij")
    for i, (k, circle) in enumerate(zip((3, 4), circles, strict=True)):
        W_E[:p] = axes[7] + circle
        logits = checkpoint_with(checkpoint).logits
        w = 2 * math.pi * k / p
        phases = torch.arange(0, 2 * math.pi, math.pi / 36).double()
        clocks = [torch.cos(w * (a + b - c) + phase) for phase in phases]
        slices = [(w * (a - b) / 2 + phase / 2).cos().abs() for phase in phases]
        halves = [(w * (a + b - c) + phase) / 2 for phase in phases]
        pizzas = [x * (half.cos().abs() - half.sin().abs()) for x in slices for half in halves]
        for name, shapes in (("clock", clocks), ("pizza", pizzas)):
            best = max(torch.corrcoef(torch.stack([x.flatten(), logits.flatten()]))[0, 1] for x in shapes)
            close(getattr(found, f"circle_{name}_fve")[i], 2 * best - 1, rtol=0, atol=0.01)
        close(found.circle_accuracy[i], (logits.argmax(1) == checkpoint.problem.label).double().mean())


def checkpoint_with(checkpoint: Checkpoint) -> Checkpoint:
    """The same model, nothing computed yet."""
    return Checkpoint(0, checkpoint.model, checkpoint.problem)


def test_one_hot_vectors_have_no_circle():
    with pytest.raises(NotDefined, match="isolated_circles is not defined here: the model mlp embeds one-hot vectors"):
        isolated_circles(checkpoint_of(MLPSpec(hidden=(4,)), ModularAddition(p=5)))


def test_the_circles_of_a_published_pizza(published, tmp_path):
    run = import_run("pizza", published / "pizza" / "model_p99zdpze5l.pt", tmp_path / "run")
    found = isolated_circles(run[run.steps[-1]])
    assert found.circle_frequency[:3].tolist() == [17, 3, 15]
    close(found.circle_clock_fve[:3], [0.754, 0.756, 0.754], rtol=0, atol=5e-4)
    close(found.circle_pizza_fve[:3], [0.983, 0.983, 0.984], rtol=0, atol=5e-4)
    close(found.circle_phase[:3], [0, 0, 0])


def test_the_circles_of_a_published_pizza_with_rotated_tables(published, tmp_path):
    """Without phases its circles fit the pizza to .93, .75 and .24."""
    run = import_run("pizza", published / "pizza" / "model_18c9ev5v5p.pt", tmp_path / "run")
    found = isolated_circles(run[run.steps[-1]])
    assert found.circle_frequency[:3].tolist() == [28, 7, 23]
    assert bool((found.circle_pizza_fve[:3] > 0.98).all())
    close(found.circle_phase[:3], [0.26, 1.62, 2.62], rtol=0, atol=0.04)
