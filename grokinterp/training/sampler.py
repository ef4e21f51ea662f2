"""The training examples of every step: all, mini-batches, or those that a curriculum admits."""

from collections.abc import Mapping
from typing import Any, final

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.experiment import Optimization
from grokinterp.experiment.problem import Part, Problem
from grokinterp.experiment.random_streams import DIFFICULTY, stream
from grokinterp.losses import exact_losses, mean_of_answers
from grokinterp.models import Model, ReadoutInputs
from grokinterp.training.batches import Batches
from grokinterp.training.rates import Rates


@final
class Sampler:
    """The examples of every step of one run.

    ``batch`` holds the positions of the examples of this step in the training set, None for all of them. ``drawn`` are
    the examples of this step if they are drawn anew, with infinite data. ``order`` is
    the order in which a curriculum admits the examples, None without one. ``seen`` is the position in the stream of
    epochs.

    Args:
        model: the model, whose current losses may order the examples.
        problem: the training problem, on the model's device.
        optimization: the batch size and the curriculum.
        rates: the batch size of every step.
        seed: seed of the order of mini-batches.
    """

    def __init__(self, model: Model, problem: Problem, optimization: Optimization, rates: Rates, *, seed: int) -> None:
        self.model, self.problem, self.optimization, self.rates, self.seed = model, problem, optimization, rates, seed
        self.inputs, self.labels, _ = problem.parts["train"]
        self.batches = Batches(len(self.labels), seed=seed, device=self.labels.device)
        self.batch: Int[Tensor, "batch"] | None = None
        self.drawn: Part | None = None
        self.seen = 0
        self.settled: tuple[int, Tensor | None] | None = None
        self.order = self.order_by_difficulty() if optimization.curriculum.is_active else None

    @property
    def is_constant(self) -> bool:
        """Whether every step has the same number of examples."""
        is_fixed = self.order is None and self.problem.fresh is None
        return is_fixed and self.optimization.schedules.batch_size.kind == "constant"

    @property
    def size(self) -> int:
        """The number of examples of this step."""
        if self.drawn is not None:
            return len(self.drawn.labels)
        return len(self.labels if self.batch is None else self.batch)

    def examples(self) -> tuple[ReadoutInputs, Int[Tensor, "batch answer"]]:
        """Return the training examples of this step and their labels."""
        if self.drawn is not None:
            return self.drawn.inputs, self.drawn.labels
        if self.batch is None:
            return self.inputs, self.labels
        return self.inputs.at(self.batch), self.labels[self.batch]

    def draw(self, step: int) -> None:
        """Draw the examples of this step anew, if data are infinite."""
        if self.problem.fresh is not None:
            tokens, labels = self.problem.fresh.at(step, self.rates.batch_size(step) or len(self.labels))
            device = self.labels.device
            labels = labels.to(device)
            self.drawn = Part(ReadoutInputs.of(tokens.to(device)), labels, labels)

    def let_in(self, step: int) -> int:
        """Return the number of training examples that the curriculum admits."""
        return self.optimization.curriculum.count(step, len(self.labels))

    def at(self, step: int) -> Int[Tensor, "batch"] | None:
        """Return the positions of the training examples of this step; None for all."""
        if self.problem.fresh is not None:
            return None
        if self.settled is not None and self.settled[0] == step:
            return self.settled[1]
        size, let_in = self.rates.batch_size(step), self.let_in(step)
        if self.order is not None and let_in < len(self.labels):
            pool = self.order[:let_in]
            return pool.clone() if size is None else self.batches.among(pool, step, size)
        return None if size is None else self.batches.at(self.seen, size)

    def advance(self, step: int) -> None:
        """Move on after the update from ``step``."""
        if self.batch is not None and self.let_in(step) == len(self.labels):
            self.seen += len(self.batch)

    def observe(self) -> None:
        """Order the examples by their current losses, if the curriculum does so, at an evaluation."""
        if self.order is not None and self.optimization.curriculum.by == "loss":
            self.order = self.order_by_difficulty()

    @torch.no_grad()
    def order_by_difficulty(self) -> Int[Tensor, "train"]:
        """Order the training examples for the curriculum, at the current weights."""
        curriculum, examples, device = self.optimization.curriculum, len(self.labels), self.labels.device
        if curriculum.by == "random":
            return torch.randperm(examples, generator=stream(self.seed, DIFFICULTY)).to(device)
        if curriculum.by == "size":
            difficulty = self.problem.task.difficulty()[self.problem.is_train.cpu()].to(device)
        else:
            form, many = self.optimization.loss, self.model.evaluated_at_once
            parts = zip(map(self.model.answers, self.inputs.split(many)), self.labels.split(many), strict=True)
            losses = (mean_of_answers(exact_losses(*some, labels, form=form), labels) for some, labels in parts)
            difficulty = torch.cat(list(losses))
        return curriculum.order(difficulty.double())

    @property
    def state(self) -> dict[str, Any]:
        """All state on which later steps depend."""
        answers = self.order is not None or bool(self.rates.schedules["batch_size"].start())
        settled = {"batch": self.batch} if answers else {}  # chosen before the following evaluation
        return {"order": self.order, **settled, "seen": self.seen}

    def load(self, state: Mapping[str, Any], step: int) -> None:
        """Continue at ``step`` from ``state``. Raises KeyError if a value is missing."""
        order, device = state["order"], self.labels.device
        self.seen, self.order = state["seen"], None if order is None else order.to(device)
        if "batch" in state:
            self.settled = step, None if state["batch"] is None else state["batch"].to(device)
