"""The training step compared with published styles of loop, taking turns, at several points of training."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.baselines import FirstTransformer, PlainTransformer, layout
from benchmarks.machine import multiplication_rate, naive_products, step_limit, table_products
from benchmarks.points import Size, points_of_training, trained_run
from benchmarks.turns import take_turns
from grokinterp.allocator import keep_freed_memory
from grokinterp.experiment import Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.losses import LossForm, cross_entropy
from grokinterp.models import Transformer
from grokinterp.training.step import Step

STILL = 1e-12
"""Learning rate of the timed steps: AdamW does all its work, but the weights stay in place."""


@dataclass
class Side:
    """A training loop: ``step`` does all the work, and ``losses`` are the losses of the weights before it."""

    name: str
    model: nn.Module
    step: Callable[[], tuple[Tensor, Tensor]]


def grokinterp_side(model: Transformer, problem: Problem, *, form: LossForm = "softplus") -> Side:
    """Return this package's step as ``grokinterp train`` takes it, with the test loss as it evaluates it."""
    step = Step(model, problem, Optimization(lr=STILL, weight_decay=1.0, warmup_steps=0, loss=form))
    step.prepare()
    test = problem.parts["test"]

    def both() -> tuple[Tensor, Tensor]:
        step.gradients(0)
        step.apply(0)
        with torch.inference_mode():
            return step.loss, cross_entropy(model.answers(test.inputs).logits, test.labels).mean()

    return Side("grokinterp", model, both)


def adamw(model: nn.Module) -> torch.optim.AdamW:
    """Return the optimizer as a typical script creates it."""
    return torch.optim.AdamW(model.parameters(), lr=STILL, weight_decay=1.0, betas=(0.9, 0.98))


def plain_side(model: Transformer, problem: Problem) -> Side:
    """Return a plain loop: float32 cross-entropy, test loss without gradients."""
    net = PlainTransformer(model)
    optimizer, train, test = adamw(net), problem.tokens[problem.is_train], problem.tokens[~problem.is_train]

    def both() -> tuple[Tensor, Tensor]:
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(train), problem.parts["train"].label)
        loss.backward()
        optimizer.step()
        with torch.inference_mode():
            return loss, functional.cross_entropy(net(test), problem.parts["test"].label)

    return Side("plain PyTorch", net, both)


def high_precision(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the last position in float64, as in the published notebooks."""
    return cross_entropy(logits[:, -1], labels, form="float64").mean()


def hooked_side(model: Transformer, problem: Problem) -> Side:
    """Return the loop of the TransformerLens demo: hooked einsums, all positions, float64 loss."""
    optimizer, train, test = adamw(model), problem.tokens[problem.is_train], problem.tokens[~problem.is_train]

    def both() -> tuple[Tensor, Tensor]:
        optimizer.zero_grad()
        loss = high_precision(model(train), problem.parts["train"].label)
        loss.backward()
        optimizer.step()
        with torch.inference_mode():
            return loss, high_precision(model(test), problem.parts["test"].label)

    return Side("TransformerLens style", model, both)


def first_side(model: Transformer, problem: Problem) -> Side:
    """Return the first published loop: pairs as a Python list, and the test loss with its graph."""
    net = FirstTransformer(model)
    optimizer = adamw(net)
    train, test = (
        [tuple(row) for row in problem.tokens[rows].tolist()] for rows in (problem.is_train, ~problem.is_train)
    )

    def both() -> tuple[Tensor, Tensor]:
        loss = high_precision(net(train), problem.parts["train"].label)
        test_loss = high_precision(net(test), problem.parts["test"].label)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss, test_loss

    return Side("first published code", net, both)


MAKERS = {
    "grokinterp": grokinterp_side,
    "plain PyTorch": plain_side,
    "TransformerLens style": hooked_side,
    "first published code": first_side,
}


def work_of(name: str, size: Size) -> dict[str, Callable[[], object]]:
    """Return a side's step at every point of training; this package's with the settings of ``grokinterp train``."""
    if name == "grokinterp":
        torch.set_flush_denormal(True)
        keep_freed_memory()
    run = trained_run(size)
    return {point: MAKERS[name](model, run.problem).step for point, model in points_of_training(run).items()}


def check_equal(model: Transformer, problem: Problem) -> float:
    """Assert that all sides agree in float64; return the largest relative difference of the gradient."""
    model = copy.deepcopy(model).double()
    ours = grokinterp_side(copy.deepcopy(model), problem, form="float64")  # log-softmax's own rounding on all sides
    others = [make(copy.deepcopy(model), problem) for name, make in MAKERS.items() if name != "grokinterp"]
    sides = [ours, *others]
    losses = [torch.stack([part.detach().double() for part in side.step()]) for side in sides]
    for side, both in zip(sides, losses, strict=True):
        torch.testing.assert_close(both, losses[0], rtol=1e-9, atol=1e-12, msg=lambda text, s=side: f"{s.name}: {text}")
    fast, plain, hooked = (side.model for side in sides[:3])
    reference = flat(list(layout(hooked, gradients=True)))
    candidates = [list(layout(fast, gradients=True)), [weight.grad for weight in plain.parameters()]]
    differences = [float((flat(part) - reference).norm() / reference.norm()) for part in candidates]
    assert max(differences) < 1e-9, differences
    return max(differences)


def flat(parts: list[Tensor]) -> Tensor:
    """Concatenate all entries in a vector."""
    return torch.cat([part.flatten() for part in parts])


def measure(size: Size, *, rounds: int) -> dict[str, Any]:
    """Return medians at every point of training, and the time of the products alone."""
    run = trained_run(size)
    points, problem, threads = points_of_training(run), run.problem, torch.get_num_threads()
    gradients = {name: check_equal(model, problem) for name, model in points.items()}
    rate = multiplication_rate()
    sides = {name: partial(work_of, name, size) for name in MAKERS}
    model, n_train, n_test = (
        next(iter(points.values())),
        len(problem.parts["train"].label),
        len(problem.parts["test"].label),
    )
    return {
        "threads": threads,
        "points": take_turns(sides, rounds=rounds, threads=threads, start=size.start),
        "rate": max(rate, multiplication_rate()),
        "products": {"naive": naive_products(model), "tables": table_products(model)},
        "limits": {
            "naive": step_limit(naive_products(model), n_train, n_test, rate),
            "tables": step_limit(table_products(model), n_train, n_test, rate),
        },
        "gradient_difference": max(gradients.values()),
        "train": n_train,
        "test": n_test,
    }
