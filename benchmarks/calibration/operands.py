"""Keys and causal evidence of more operands, operators: ``python -m benchmarks.calibration.operands [--small]``."""

import argparse
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from grokinterp.analysis.circuit.causal import evidence_of, pieces_of
from grokinterp.analysis.groups.branches import branch_grids
from grokinterp.analysis.groups.rivals import rival_groups
from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, product_grid, spectrum_of_logits
from grokinterp.experiment import Experiment, Split
from grokinterp.experiment.problem import Problem
from grokinterp.models import MLPSpec, Readout
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import AmbiguousGroups, GroupProduct, ModularProduct, ModularSum, OperatorExpression, Task

TASKS: dict[str, Task] = {
    "7, n = 3": ModularSum(p=7, n=3),
    "13, n = 3": ModularSum(p=13, n=3),
    "7, n = 4": ModularSum(p=7, n=4),
    "7, n = 4, ordered split": ModularSum(p=7, n=4),
    "13, n = 4, 1,000 sampled": ModularSum(p=13, n=4, samples=1000),
    "97, n = 6, 4,000 sampled": ModularSum(p=97, n=6, samples=4000),
    "product modulo 13, n = 3": ModularProduct(p=13, n=3),
    "S3, n = 4": GroupProduct(group="S3", n=4),
    "13, + and -": OperatorExpression(p=13),
    "11, n = 3, + and -": OperatorExpression(p=11, n=3),
}
SMALL = {"7, n = 3": ModularSum(p=7, n=3), "7, + and -": OperatorExpression(p=7)}
RIVALS = (("C2xC7", "D7"), ("C2xC13", "D13"), ("C9", "C3xC3"), ("C8", "C2xC2xC2"))


class Planted(NamedTuple):
    """A network with given logits, a grid of its examples, and its planted characters."""

    checkpoint: Checkpoint
    grid: AnswerGrid
    keys: set[int]


def with_logits(
    task: Task, seed: int, pairs: Literal["ordered", "unordered"] = "unordered"
) -> tuple[Checkpoint, torch.Generator]:
    """Return a checkpoint of a random split whose logits are 0, and a generator."""
    experiment = Experiment(task=task, model=MLPSpec(hidden=(1,)), split=Split(fraction=0.5, pairs=pairs), seed=seed)
    checkpoint = Checkpoint(0, experiment.empty_model().double(), Problem.of(experiment))
    nothing = torch.zeros(task.n_examples, 1, dtype=torch.float64)
    logits = nothing.expand(-1, task.n_classes).clone()
    checkpoint.__dict__["readout"] = Readout(None, nothing, nothing, logits)
    return checkpoint, torch.Generator().manual_seed(seed)


def planted(
    task: Task,
    *,
    keys: int,
    noise: float,
    seed: int,
    strength: float = 1.0,
    pairs: Literal["ordered", "unordered"] = "unordered",
) -> list[Planted]:
    """Return characters of amplitudes 1 to 0.1 with distractors: a network, once for every branch with its own keys.

    The distractors are a bias, a function of each operand and the class, and, with three or more operands, a function
    of the sum of the first two tokens and the class, each with the deviation of the strongest character; memory of the
    training examples; and noise. ``strength`` multiplies the characters.
    """
    checkpoint, generator = with_logits(task, seed, pairs)
    every = product_grid(task, "cpu")
    assert isinstance(every, AnswerGrid), every
    grids = [grid for grid in branch_grids(task, "cpu") if grid is not None] or [every]
    logits, found = checkpoint.logits, []
    for grid in grids:
        rows = torch.randperm(len(grid.names), generator=generator)[:keys]
        sizes = 10 ** -torch.rand(keys, generator=generator, dtype=torch.float64)
        sizes[:1] = 1.0
        inside = (grid.element < len(grid.class_of)).nonzero().flatten()
        for size, chi in zip(sizes, grid.characters[rows], strict=True):
            part = chi[grid.quotient[grid.element[inside]]]
            logits[inside[:, None], grid.class_of] += strength * size * part / part.std()
        found.append(Planted(checkpoint, grid, set(rows.tolist())))
    logits += distractors(checkpoint.problem, noise, generator)
    return found


def distractors(problem: Problem, noise: float, generator: torch.Generator) -> Float[Tensor, "example class"]:
    """Return logits without information about the answers of held-out examples."""
    task, n, m = problem.task, problem.task.n_classes, problem.task.d_vocab
    tokens = task.tokens()
    normal = torch.randn(1, n, generator=generator, dtype=torch.float64).expand(len(tokens), n).clone()
    for column in tokens.T:
        normal += torch.randn(m, n, generator=generator, dtype=torch.float64)[column]
    if len(task.operand_positions) > 2:
        both = tokens[:, list(task.operand_positions[:2])].sum(1)
        normal += torch.randn(2 * m, n, generator=generator, dtype=torch.float64)[both]
    memory = 5 * problem.is_train[:, None] * one_hot(problem.label, n).double()
    return normal + memory + noise * torch.randn(len(tokens), n, generator=generator, dtype=torch.float64)


def of_planted(tasks: dict[str, Task], draws: int) -> list[str]:
    """Return how many planted and other characters are key, and the causal score of ten times larger ones."""
    columns = ("noise", "planted keys", "found + extra", "causal score", "none planted: with a key", "largest score")
    lines = [f"| planted, {draws} each | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for name in tasks:
        for noise in (0.1, 1.0):

            def drawn(keys: int, strength: float = 1.0, name: str = name, noise: float = noise) -> list[Planted]:
                found = []
                for seed in range(draws):
                    count = keys and 1 + seed % keys
                    pairs = "ordered" if "ordered" in name else "unordered"
                    found += planted(tasks[name], keys=count, noise=noise, seed=seed, strength=strength, pairs=pairs)
                return found

            of, strong, empty = drawn(2), drawn(2, strength=10.0), drawn(0)
            keys = [(found(one), one.keys) for one in of]
            right, extra = sum(len(f & k) for f, k in keys), sum(len(f - k) for f, k in keys)
            scores = mean([score(one, one.keys) for one in strong]), max(score(one, {0}) for one in empty)
            by_chance = f"{sum(bool(found(one)) for one in empty)} of {len(empty)}"
            count = sum(len(one.keys) for one in of)
            shown = f"{count} | {right} + {extra} | {scores[0]:.2f} | {by_chance} | {scores[1]:.3f}"
            lines.append(f"| {name} | {noise} | {shown} |")
    return lines


def found(network: Planted) -> set[int]:
    """Return the key characters by the rule of the package."""
    held_out = network.checkpoint.problem.held_out
    is_key = spectrum_of_logits(network.checkpoint.logits, network.grid, held_out).is_key_answer
    return set(is_key.nonzero().flatten().tolist())


def score(network: Planted, keys: set[int]) -> float:
    """Return the causal score of some characters."""
    mask = torch.zeros(len(network.grid.names), dtype=torch.bool)
    mask[list(keys)] = True
    if mask.all():
        return float("nan")
    pieces = pieces_of(network.checkpoint, network.grid, mask)
    return float(evidence_of(pieces, "softplus").causal_score)


def mean(values: Sequence[float]) -> float:
    """Return the mean of the numbers that are defined."""
    known = [value for value in values if value == value]
    return sum(known) / max(1, len(known))


def of_rivals(pairs: Sequence[tuple[str, str]], draws: int) -> list[str]:
    """Return what is measured on networks that answer in the first, the second, or neither of two groups."""
    lines = ["| groups | network | disputed as in first | as in second | explained by first | by second | learned |"]
    lines.append("|---|---|---|---|---|---|---|")
    for first, second in pairs:
        task = AmbiguousGroups(first=first, second=second)
        for what in ("first", "second", "memory"):
            rows = []
            for seed in range(draws):
                checkpoint, generator = with_logits(task, seed)
                checkpoint.logits.add_(answering(task, what, checkpoint.problem))
                checkpoint.logits.add_(torch.randn(checkpoint.logits.shape, generator=generator, dtype=torch.float64))
                rows.append(rival_groups(checkpoint))
            shares = torch.stack([row.disputed_accuracy for row in rows]).mean(0).tolist()
            explained = torch.stack([row.disputed_explained for row in rows]).mean(0).tolist()
            learned = torch.stack([row.is_learned for row in rows]).sum(0).tolist()
            numbers = " | ".join(f"{value:.3f}" for value in (*shares, *explained))
            lines.append(f"| {first}, {second} | {what} | {numbers} | {learned[0]} and {learned[1]} of {draws} |")
    return lines


def answering(task: AmbiguousGroups, what: str, problem: Problem) -> Float[Tensor, "example class"]:
    """Return logits 8 of the answers in a group, or of the training answers alone."""
    n = task.n_classes
    if what == "memory":
        return 8.0 * problem.is_train[:, None] * one_hot(problem.label, n)
    answers = task.structures[0 if what == "first" else 1].table.flatten()
    return 8.0 * one_hot(answers, n)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration.operands", description=__doc__)
    parser.add_argument("--small", action="store_true", help="toy size for the test suite; the numbers are meaningless")
    small = parser.parse_args(arguments).small
    torch.set_num_threads(1)
    print("\n".join(of_planted(SMALL if small else TASKS, 2 if small else 20)), "\n")
    print("\n".join(of_rivals(RIVALS[:1] if small else RIVALS, 1 if small else 10)))


if __name__ == "__main__":
    main()
