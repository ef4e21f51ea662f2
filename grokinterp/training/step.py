"""An optimizer step, as two halves that a CUDA graph can replay."""

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.experiment import Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.random_streams import DIFFICULTY, stream
from grokinterp.losses import exact_losses, example_losses
from grokinterp.models import Model
from grokinterp.optim import Evaluation, filters_of
from grokinterp.optim.filtering import filtering_of
from grokinterp.training.answers import Answers, answers_of
from grokinterp.training.batches import Batches
from grokinterp.training.optimizers import optimizer_of
from grokinterp.training.packing import Packed, pack, unpack
from grokinterp.training.rates import Rates


class Step:
    """The gradients of the mean training loss, and the resulting update.

    Between ``gradients(t)`` and ``apply(t)`` the weights are the weights of step t, with the ``logits``, ``loss`` and
    ``gradient_norm`` of its batch: the moment to evaluate and save. No method here waits for the device. An update with
    a non-finite gradient is not applied; ``applied`` counts the applied updates.

    Args:
        model: the model with its initial weights, whose norm is constrained if the optimization requires it.
        problem: the training problem, on the model's device.
        optimization: the optimization settings.
        seed: seed of the order of mini-batches.
        steps: planned number of steps, on which schedules may depend.
    """

    def __init__(
        self, model: Model, problem: Problem, optimization: Optimization, *, seed: int = 0, steps: int = 1
    ) -> None:
        self.model, self.problem, self.optimization, self.seed = model, problem, optimization, seed
        self.inputs, self.labels, _ = problem.parts["train"]
        self.device = device = self.labels.device
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters: list[Tensor] = list(model.parameters())
        self.previous = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.averaged = None if optimization.average is None else [p.detach().clone() for p in self.parameters]
        self.learning_rate = torch.zeros((), device=device)
        named = dict(zip(self.names, self.parameters, strict=True))
        self.optimizer: Any = optimizer_of(optimization, named, self.learning_rate)
        self.filtering = filtering_of(self.optimizer)
        self.rates = Rates(optimization, steps, self.filtering)
        self.applied = torch.zeros((), device=device, dtype=torch.float64)  # float32 counts to 2^24 only
        self.held = torch.zeros((), device=device)
        self.loss = self.gradient_norm = torch.zeros((), device=device)
        self.logits = torch.empty(0, device=device)
        self.supervised: Tensor | None = None
        self.batches = Batches(len(self.labels), seed=seed, device=device)
        self.batch: Tensor | None = None
        self.seen = 0
        self.settled: tuple[int, Tensor | None] | None = None
        self.order = self.order_by_difficulty() if optimization.curriculum.is_active else None
        self.kept_norm = norm(self.parameters) if optimization.constrain_norm else None
        self._gradients, self._apply, self.is_captured = self._compute_gradients, self._update, False

    def prepare(self) -> None:
        """Capture, on CUDA, the part that is the same at every step, without changing the weights.

        Only AdamW is run during capture, since SGD would use uninitialized memory as its first momentum.
        """
        plan, device = self.optimization.schedules, self.device
        self.held.fill_(1)
        self.gradients(0)
        if self.order is None and plan.batch_size.kind == "constant":
            self._gradients = captured(self._compute_gradients, device)
            self.is_captured = self._gradients != self._compute_gradients
            self._gradients()
        plain = self.optimization.optimizer == "adamw" and not self.optimization.filters
        if plain and plan.weight_decay.kind == "constant":
            self._apply = captured(self._update, device)
            self._apply()
        self.held.zero_()

    def gradients(self, step: int) -> None:
        """Compute loss, logits, gradients and gradient norm of this step's batch at the current weights."""
        batch = self.batch_at(step)
        if self.is_captured and batch is not None and self.batch is not None:
            self.batch.copy_(batch)  # the graph reads this buffer
        else:
            self.batch = batch
        self._gradients()

    def apply(self, step: int) -> None:
        """Take the update from ``step`` to ``step + 1``."""
        rate = self.rates.learning_rate(step)
        self.learning_rate.fill_(rate)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate if self.optimizer.defaults.get("fused") else rate
            group["weight_decay"] = self.rates.weight_decay(step)
        self._apply()
        if self.batch is not None and self.let_in(step) == len(self.labels):
            self.seen += len(self.batch)

    def observe(self, evaluation: Evaluation) -> None:
        """Pass the state of the run at the current weights to the adaptive schedules."""
        self.rates.observe(evaluation)
        if self.order is not None and self.optimization.curriculum.by == "loss":
            self.order = self.order_by_difficulty()

    def boost(self, factor: float) -> None:
        """Multiply every λ of the filters by a factor from now on."""
        filters_of(self.optimizer).boost(factor)

    def freeze(self) -> None:
        """Keep the weights and moments from now on."""
        self.held.fill_(1)

    def let_in(self, step: int) -> int:
        """Return the number of training examples that the curriculum admits."""
        return self.optimization.curriculum.count(step, len(self.labels))

    def batch_at(self, step: int) -> Int[Tensor, "batch"] | None:
        """Return the positions of the training examples of this step; None for all."""
        if self.settled is not None and self.settled[0] == step:
            return self.settled[1]
        size, let_in = self.rates.batch_size(step), self.let_in(step)
        if self.order is not None and let_in < len(self.labels):
            pool = self.order[:let_in]
            return pool.clone() if size is None else self.batches.among(pool, step, size)
        return None if size is None else self.batches.at(self.seen, size)

    @torch.no_grad()
    def order_by_difficulty(self) -> Int[Tensor, "train"]:
        """Order the training examples for the curriculum, at the current weights."""
        curriculum, examples = self.optimization.curriculum, len(self.labels)
        if curriculum.by == "random":
            return torch.randperm(examples, generator=stream(self.seed, DIFFICULTY)).to(self.device)
        if curriculum.by == "size":
            difficulty = self.problem.task.difficulty()[self.problem.is_train.cpu()].to(self.device)
        else:
            form, many = self.optimization.loss, self.model.evaluated_at_once
            parts = zip(answers_of(self.model.readout, self.inputs, many), self.labels.split(many), strict=True)
            difficulty = torch.cat([exact_losses(*some, labels, form=form) for some, labels in parts])
        return curriculum.order(difficulty.double())

    def train_answers(self) -> Iterator[Answers]:
        """Yield the logits of the whole training set at the current weights, in parts that fit into memory."""
        many = self.model.evaluated_at_once
        if self.batch is not None:
            return answers_of(self.model.readout, self.inputs, many)
        return Answers(self.logits, self.supervised).split(many)

    def last_update(self) -> list[Tensor]:
        """Return the change of each parameter by the last ``apply``."""
        return [now.detach() - before for now, before in zip(self.parameters, self.previous, strict=True)]

    def finite(self) -> Tensor:
        """Return whether the loss and its gradient are finite at the current weights, as a scalar on the device."""
        return torch.isfinite(self.gradient_norm) & torch.isfinite(self.loss)

    def state(self) -> Packed:
        """Return all state besides the weights on which later steps depend."""
        optimizer = {key: value for key, value in self.optimizer.state_dict().items() if key != "param_groups"}
        state = {"optimizer": optimizer, "averaged": self.averaged, "order": self.order}
        answers = self.order is not None or bool(self.rates.schedules["batch_size"].start())
        settled = {"batch": self.batch} if answers else {}  # chosen before the following evaluation
        return pack({**state, **settled, "seen": self.seen, "rates": self.rates.state}, "step")

    def load_state(self, plan: Any, tensors: dict[str, Tensor], step: int) -> None:
        """Continue at ``step`` from ``state``. Raises KeyError if a tensor or a value is missing."""
        state = unpack(plan, tensors)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({**state["optimizer"], "param_groups": groups})
        self.rates.load(state["rates"])
        self.seen, order = state["seen"], state["order"]
        self.order = None if order is None else order.to(self.device)
        if "batch" in state:
            self.settled = step, None if state["batch"] is None else state["batch"].to(self.device)
        if self.averaged is not None:
            torch._foreach_copy_(self.averaged, state["averaged"])
        self.applied.fill_(step)

    def _compute_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        inputs, labels = self.inputs, self.labels
        if self.batch is not None:
            inputs, labels = inputs.at(self.batch), labels[self.batch]
        readout = self.model.readout(inputs)
        form = self.optimization.loss
        loss = example_losses(readout.logits, labels, form=form, supervised=readout.supervised).mean()
        loss.backward()
        # detached: a graph that stays alive ties the gradients to this stream, and a capture runs on another
        self.loss, self.logits = loss.detach(), readout.logits.detach()
        self.supervised = None if readout.supervised is None else readout.supervised.detach()
        norms = torch._foreach_norm([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        self.gradient_norm = torch.stack(norms).norm()

    @torch.no_grad()
    def _update(self) -> None:
        skip = torch.maximum((~self.finite()).float(), self.held)
        torch._foreach_copy_(self.previous, self.parameters)
        if self.filtering is not None:
            self.optimizer.found_inf = None  # filters would wait for it, and a diverged run ends before the next update
            self.filtering.filter_gradients()
        self.optimizer.found_inf = skip  # if it is 1, weights and moments do not change
        self.optimizer.step()
        if self.kept_norm is not None:
            scale = torch.where(skip == 0, self.kept_norm / norm(self.parameters), 1.0)
            torch._foreach_mul_(self.parameters, scale.to(self.parameters[0].dtype))
        if self.averaged is not None and self.optimization.average is not None:
            share = (1 - self.optimization.average) * (1 - skip.double())
            torch._foreach_lerp_(self.averaged, self.parameters, [share.to(p.dtype) for p in self.parameters])
        self.applied += 1 - skip


@torch.no_grad()
def norm(parameters: list[Tensor]) -> Float[Tensor, ""]:
    """Return the L2 norm of all parameters together, in float64."""
    return torch.stack([parameter.double().square().sum() for parameter in parameters]).sum().sqrt()


def captured(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return ``work`` as a CUDA graph, whose replay costs a single launch, or ``work`` itself on other devices."""
    if device.type != "cuda":
        return work
    graph, own = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    own.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(own):
        for _ in range(3):
            work()
    with without_garbage_collection(), torch.cuda.graph(graph, stream=own):
        work()
    torch.cuda.current_stream().wait_stream(own)
    return graph.replay


@contextmanager
def without_garbage_collection() -> Generator[None]:
    """Keep Python from freeing objects of the device while the block runs, which would end a capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
