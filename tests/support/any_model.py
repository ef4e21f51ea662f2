"""A checkpoint of a network of any kind, with random numbers in it, on addition modulo a small prime."""

import torch

from grokinterp.analysis.structure.cyclic_grid import grid_of
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.losses import LossForm
from grokinterp.models import MLPSpec, ModelSpec, solved_addition
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition, Task


def checkpoint_of(
    spec: ModelSpec,
    task: Task | None = None,
    *,
    loss: LossForm = "softplus",
    fraction: float = 0.6,
    scale: float = 1.0,
    seed: int = 0,
) -> Checkpoint:
    """A drawn network on a task (default: modulo 5), that share of the examples in training."""
    experiment = Experiment(task=ModularAddition(p=5) if task is None else task, model=spec)
    model = experiment.empty_model().double().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for _, weight in model.named_parameters():
        weight.copy_(0.5 * scale * torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
    return Checkpoint(1, model, problem_of(experiment, loss=loss, fraction=fraction))


def problem_of(experiment: Experiment, *, loss: LossForm = "softplus", fraction: float = 0.6) -> Problem:
    """All examples, the first of a random order in training; nothing is known of the split when the share is 0."""
    labels = experiment.task.labels()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    return Problem(experiment.task, experiment.tokens(), labels, order < fraction * len(labels), loss=loss)


@torch.no_grad()
def solved(task: Task, width: int) -> Checkpoint:
    """Return Gromov's analytic network for a cyclic task, permuted from exponents to tokens and classes."""
    grid = grid_of(task, "cpu")
    exponents = solved_addition(grid.n, width=width, generator=torch.Generator().manual_seed(0)).double()
    experiment = Experiment(task=task, model=MLPSpec(hidden=(width,)))
    model = experiment.empty_model().double().requires_grad_(False)
    W_in = exponents.layers[0].W_in
    model.layers[0].W_in[grid.left], model.layers[0].W_in[task.d_vocab + grid.right] = W_in.chunk(2)
    model.unembed.W_U[:, grid.class_of] = exponents.W_U
    return Checkpoint(0, model, problem_of(experiment))
