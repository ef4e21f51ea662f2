"""Networks with known answers: planted characters with distractors, untrained networks, memorizers."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, answer_grid
from grokinterp.experiment import Experiment, Split
from grokinterp.experiment.problem import Problem
from grokinterp.maths.representations import irreps
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.tasks import GroupComposition, ModularAddition, Task

SPECS = {
    "MLP": MLPSpec(hidden=(64,), d_embed=32),
    "transformer": TransformerSpec(d_model=32, n_heads=2, d_mlp=64),
}


class Planted(NamedTuple):
    """Logits of a network and its planted characters."""

    problem: Problem
    logits: Float[Tensor, "example class"]
    keys: tuple[int, ...]

    @property
    def grid(self) -> AnswerGrid:
        """The characters of the answer."""
        found = answer_grid(self.problem.task, "cpu")
        assert isinstance(found, AnswerGrid), found
        return found


def task_of(name: str) -> Task:
    """Return addition modulo a number, or composition in the named group."""
    return ModularAddition(p=int(name)) if name.isdigit() else GroupComposition(group=name)


def problem_of(name: str, *, fraction: float = 0.5, seed: int = 0) -> Problem:
    """Return the task with a random split."""
    return Problem.of(Experiment(task=task_of(name), split=Split(fraction=fraction), seed=seed))


def planted(name: str, *, keys: int, noise: float, seed: int) -> Planted:
    """Return characters of amplitudes 1 to 0.1, on a log scale, with distractors and noise."""
    generator = torch.Generator().manual_seed(seed)
    problem = problem_of(name, seed=seed)
    grid = answer_grid(problem.task, "cpu")
    assert isinstance(grid, AnswerGrid), grid
    rows = torch.randperm(len(grid.names), generator=generator)[:keys]
    amplitudes = 10 ** -torch.rand(keys, generator=generator, dtype=torch.float64)
    amplitudes[0] = 1.0
    part = of_neurons if name.isdigit() else of_matrices
    signal = sum(alpha * part(problem.task, int(row), generator) for alpha, row in zip(amplitudes, rows, strict=True))
    assert isinstance(signal, Tensor)
    logits = signal + signal.std() * distractors(problem, noise, generator)
    return Planted(problem, logits, tuple(sorted(rows.tolist())))


def of_neurons(task: Task, row: int, generator: torch.Generator) -> Float[Tensor, "pair class"]:
    """Return six neurons relu(cos(wa + φ) + cos(wb + φ)) cos(wc + 2φ), φ random."""
    p = task.n_classes
    w, angle = 2 * math.pi * (row + 1) / p, torch.arange(p, dtype=torch.float64)
    found = torch.zeros(p * p, p, dtype=torch.float64)
    for phase in 2 * math.pi * torch.rand(6, generator=generator, dtype=torch.float64):
        wave = (w * angle + phase).cos()
        neuron = (wave[:, None] + wave).relu().flatten()
        found += torch.outer(neuron - neuron.mean(), (w * angle + 2 * phase).cos())
    return found / found.std()


def of_matrices(task: Task, row: int, generator: torch.Generator) -> Float[Tensor, "pair class"]:
    """Return tr ρ(x·y·z⁻¹) plus half of tr A ρ(x·y) B ρ(z⁻¹), A and B random."""
    assert task.answer_group is not None
    group, element = task.answer_group
    rho = irreps(group)[1:][row]
    d, labels = rho.dimension, element[task.label()]
    product, inverse = rho.matrices[labels].double(), rho.matrices[group.inverse][element].double()
    character = torch.einsum("eij,zji->ez", product, inverse)
    a, b = torch.randn(2, d, d, generator=generator, dtype=torch.float64)
    other = torch.einsum("ij,ejk,kl,zli->ez", a, product, b, inverse)
    return character / character.std() + 0.5 * other / other.std()


def distractors(problem: Problem, noise: float, generator: torch.Generator) -> Float[Tensor, "example class"]:
    """Return logits without information about the answers of held-out pairs."""
    n, (a, b) = problem.task.n_classes, problem.task.tokens().T
    bias, of_a, of_b = (torch.randn(size, n, generator=generator, dtype=torch.float64) for size in (1, n, n))
    memory = 5 * problem.is_train[:, None] * one_hot(problem.label, n).double()
    every = noise * torch.randn(len(a), n, generator=generator, dtype=torch.float64)
    return bias + of_a[a] + of_b[b] + memory + every


def untrained(name: str, model: str, seed: int) -> Planted:
    """Return a network at its initialization."""
    experiment = Experiment(task=task_of(name), model=SPECS[model], split=Split(fraction=0.5), seed=seed)
    with torch.no_grad():
        logits = experiment.build_model().double()(experiment.tokens())[:, -1]
    return Planted(Problem.of(experiment), logits, ())


def memorizer(name: str, model: str, seed: int, *, fraction: float = 0.5, steps: int = 300) -> Planted:
    """Return a network trained on the training pairs without weight decay, by full-batch Adam."""
    experiment = Experiment(task=task_of(name), model=SPECS[model], split=Split(fraction=fraction), seed=seed)
    problem, network = Problem.of(experiment), experiment.build_model()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    tokens, labels = problem.tokens[problem.is_train], problem.label[problem.is_train]
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(network(tokens)[:, -1], labels).backward()
        optimizer.step()
    with torch.no_grad():
        return Planted(problem, network.double()(problem.tokens)[:, -1], ())


def accuracy(of: Planted, examples: Bool[Tensor, "example"]) -> float:
    """Return the share of some examples that are answered correctly."""
    return float((of.logits.argmax(1) == of.problem.label)[examples].double().mean())
