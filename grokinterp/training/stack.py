"""The optimizer steps of several runs as one program, with a leading run axis."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.func import functional_call, vmap

from grokinterp.experiment import Experiment, Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.losses import example_losses
from grokinterp.models import Model, ReadoutInputs, ReadoutProgram
from grokinterp.optim import Evaluation, GradientFilter
from grokinterp.training.answers import Answers, answers_of
from grokinterp.training.batches import Batches
from grokinterp.training.flat_filters import FlatFilters
from grokinterp.training.flat_optimizers import column, flat_optimizer
from grokinterp.training.flat_weights import FlatWeights, joined_row
from grokinterp.training.packing import Packed, pack, unpack
from grokinterp.training.rates import Rates

RUN_AXES: Any = ReadoutInputs._make((0, None, None, 0, None, 0))
"""The run axis of each part of the inputs; None for the tables of distinct rows, which all runs share."""


class Member(NamedTuple):
    """A run of a stack: its model with initial weights, its problem, and its settings."""

    model: Model
    problem: Problem
    optimization: Optimization
    seed: int = 0
    steps: int = 1


@final
class Stack:
    """The gradients of the mean training loss of every run, and the resulting updates.

    All runs are at the same step. A run that is frozen, or whose loss or gradient is not finite, keeps its weights and
    moments, and affects no other run. As with ``Step``, between ``gradients(t)`` and ``apply(t)`` the weights are the
    weights of step t, and no method waits for the device.

    Args:
        members: runs of the same task, model, loss, optimizer, kinds of filters, batch size and number of training
            examples, on the same device. ``key_of`` is equal for runs that fit together.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.optimizations = [one.optimization for one in members]
        self.model, self.device = members[0].model, members[0].problem.labels.device
        self.weights = FlatWeights([one.model for one in members])
        self.previous = torch.zeros_like(self.weights.values)
        self.optimizer = flat_optimizer(self.optimizations, self.weights.values)
        self.filters = FlatFilters([one.filters for one in self.optimizations], self.weights)
        averaged = self.optimizations[0].average is not None
        self.averages = self.weights.values.clone() if averaged else None
        self.kept_norms = norms(self.weights.values) if self.optimizations[0].constrain_norm else None
        self.held = torch.zeros(len(members), 1, dtype=torch.bool, device=self.device)
        self.applied = torch.zeros(len(members), dtype=torch.float64, device=self.device)
        self.lr = torch.zeros(len(members), 1, device=self.device)  # in float32, as the rate of a single run
        self.weight_decay = torch.zeros_like(self.optimizer.steps)
        self.losses = self.gradient_norms = torch.zeros(len(members), device=self.device)
        self.inputs, self.labels = stacked_examples(members)
        self.runs = [Run(self, i) for i in range(len(members))]

    def gradients(self, step: int) -> None:
        """Compute losses, logits and gradients of this step's batches at the current weights.

        When half of the runs are frozen, the others continue without them.
        """
        active = [run.place for run in self.runs if not run.is_frozen]
        if 0 < 2 * len(active) <= len(self.runs):
            self.keep(active)
        inputs, labels = self.batch()
        losses, self.logits, *supervised = vmap(self.loss_of_run, in_dims=(0, RUN_AXES, 0))(
            self.weights.leaves, inputs, labels
        )
        leaves = list(self.weights.leaves.values())
        parts = torch.autograd.grad(losses.sum(), leaves, allow_unused=True, materialize_grads=True)
        torch.cat([part.flatten(1) for part in parts], dim=1, out=self.weights.gradients)
        self.losses, self.logits = losses.detach(), self.logits.detach()
        self.supervised = supervised[0].detach() if supervised else None
        self.gradient_norms = self.weights.gradients.norm(dim=1)

    def keep(self, places: Sequence[int]) -> None:
        """Remove all other runs, whose models keep their weights."""
        rows = torch.tensor(places, device=self.device)
        self.members = [self.members[i] for i in places]
        self.optimizations = [one.optimization for one in self.members]
        self.weights = FlatWeights([one.model for one in self.members])
        self.optimizer.keep(rows, self.weights.values)
        self.filters.keep(places, self.weights)
        self.previous, self.held, self.applied = self.previous[rows], self.held[rows], self.applied[rows]
        self.lr, self.weight_decay, self.labels = self.lr[rows], self.weight_decay[rows], self.labels[rows]
        self.averages = None if self.averages is None else self.averages[rows]
        self.kept_norms = None if self.kept_norms is None else self.kept_norms[rows]
        tokens, row, query = (part[rows] for part in (self.inputs.tokens, self.inputs.row, self.inputs.query))
        self.inputs = self.inputs._replace(tokens=tokens, row=row, query=query)
        self.runs = [self.runs[i] for i in places]
        for place, run in enumerate(self.runs):
            run.place = place

    def loss_of_run(
        self, leaves: dict[str, Tensor], inputs: ReadoutInputs, labels: Int[Tensor, "example"]
    ) -> tuple[Tensor, ...]:
        """Return loss and logits of a run, and the logits of all supervision steps, if there are any."""
        named = {f"model.{name}": leaf for name, leaf in leaves.items()}
        readout = functional_call(ReadoutProgram(self.model), named, (inputs,))
        form = self.optimizations[0].loss
        loss = example_losses(readout.logits, labels, form=form, supervised=readout.supervised).mean()
        return loss, readout.logits, *(() if readout.supervised is None else (readout.supervised,))

    def batch(self) -> tuple[ReadoutInputs, Int[Tensor, "run example"]]:
        """Return the examples of this step of every run, and their labels."""
        batches = [batch for run in self.runs if (batch := run.next_batch()) is not None]
        if not batches:
            return self.inputs, self.labels
        chosen = torch.stack(batches)
        rows = torch.arange(len(chosen), device=self.device).unsqueeze(1)
        tokens, row, query = (part[rows, chosen] for part in (self.inputs.tokens, self.inputs.row, self.inputs.query))
        return self.inputs._replace(tokens=tokens, row=row, query=query), self.labels[rows, chosen]

    @torch.no_grad()
    def apply(self, step: int) -> None:
        """Take the update of every run from ``step`` to ``step + 1``."""
        weights = self.weights.values
        self.lr.copy_(column([run.rates.learning_rate(step) for run in self.runs], weights))
        self.weight_decay.copy_(column([run.rates.weight_decay(step) for run in self.runs], weights))
        frozen = self.held | ~self.are_finite().unsqueeze(1)
        self.previous.copy_(weights)
        gradients = torch.where(frozen, 0.0, self.filters(self.weights.gradients))
        self.optimizer.step(gradients, self.lr, self.weight_decay, frozen)
        if self.kept_norms is not None:
            scale = torch.where(frozen, 1.0, (self.kept_norms / norms(weights)).unsqueeze(1))
            weights.mul_(scale.to(weights.dtype))
        if self.averages is not None:
            shares = column([1 - (one.average or 0.0) for one in self.optimizations], weights)
            self.averages.lerp_(weights, torch.where(frozen, 0.0, shares).expand_as(weights))
        self.applied += ~frozen.squeeze(1)
        for run in self.runs:
            run.seen += 0 if run.batch is None else len(run.batch)

    def are_finite(self) -> Bool[Tensor, "run"]:
        """Return whether loss and gradient of each run are finite at the current weights."""
        return torch.isfinite(self.losses) & torch.isfinite(self.gradient_norms)


@final
class Run:
    """One run of a stack, to be evaluated and saved as a ``Step`` is."""

    def __init__(self, stack: Stack, place: int) -> None:
        self.stack, self.place, self.is_frozen = stack, place, False
        self.model, self.problem, self.optimization, seed, steps = stack.members[place]
        self.names, self.labels = stack.weights.names, self.problem.parts["train"].labels
        self.rates = Rates(self.optimization, steps, self)
        self.batches = Batches(len(self.labels), seed=seed, device=stack.device)
        self.batch: Int[Tensor, "batch"] | None = None
        self.seen, self.order = 0, None

    @property
    def gain(self) -> float:
        """The factor by which the filters of this run multiply a constant gradient."""
        return self.stack.filters.gain(self.place)

    def next_batch(self) -> Int[Tensor, "batch"] | None:
        """Set and return the training examples of the next step; None for all."""
        size = self.optimization.batch_size
        self.batch = None if size is None else self.batches.at(self.seen, size)
        return self.batch

    def observe(self, evaluation: Evaluation) -> None:
        """Pass the state of the run at the current weights to the adaptive schedules."""
        self.rates.observe(evaluation)

    def boost(self, factor: float) -> None:
        """Multiply every λ of the filters by a factor from now on."""
        self.stack.filters.boost(self.place, factor)

    def freeze(self) -> None:
        """Keep the weights and moments of this run from now on."""
        self.stack.held[self.place] = self.is_frozen = True

    def let_in(self, step: int) -> int:
        """Return the number of training examples, which no curriculum restricts."""
        return len(self.labels)

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The loss of the batch at the current weights."""
        return self.stack.losses[self.place]

    @property
    def gradient_norm(self) -> Float[Tensor, ""]:
        """The norm of the gradient at the current weights."""
        return self.stack.gradient_norms[self.place]

    @property
    def applied(self) -> Float[Tensor, ""]:
        """The number of applied updates."""
        return self.stack.applied[self.place]

    @property
    def averaged(self) -> list[Tensor] | None:
        """The moving average of each parameter, if there is one."""
        return None if self.stack.averages is None else self.stack.weights.split(self.stack.averages[self.place])

    def finite(self) -> Bool[Tensor, ""]:
        """Return whether loss and gradient are finite at the current weights."""
        return self.stack.are_finite()[self.place]

    def last_update(self) -> list[Tensor]:
        """Return the change of each parameter by the last ``apply``."""
        now, before = self.stack.weights.values[self.place], self.stack.previous[self.place]
        return self.stack.weights.split(now - before)

    def train_answers(self) -> Iterator[Answers]:
        """Yield the logits of the whole training set at the current weights, in parts that fit into memory."""
        many = self.model.evaluated_at_once
        if self.batch is not None:
            return answers_of(self.model.readout, self.problem.parts["train"].inputs, many)
        supervised = self.stack.supervised
        own = None if supervised is None else supervised[self.place]
        return Answers(self.stack.logits[self.place], own).split(many)

    def state(self) -> Packed:
        """Return all state besides the weights on which later steps depend, as ``Step.state`` does."""
        place, weights, optimizer = self.place, self.stack.weights, self.stack.optimizer
        moments = {name: weights.split(moment[place]) for name, moment in optimizer.state.items()}
        if optimizer.counts:
            moments["step"] = [optimizer.steps[place, 0].float()] * len(weights.places)
        state = {i: {name: views[i].clone() for name, views in moments.items()} for i in weights.places}
        saved: dict[str, Any] = {"state": state}
        if self.optimization.filters:
            filters, given = self.stack.filters, [asdict(one) for one in self.optimization.filters]  # ty: ignore[invalid-argument-type]
            saved["filters"] = {"given": given, "boost": filters.factors[place], "memory": filters.saved(place)}
        averaged = None if self.averaged is None else [one.clone() for one in self.averaged]
        state = {"optimizer": saved, "averaged": averaged, "order": None}
        return pack({**state, "seen": self.seen, "rates": self.rates.state}, "step")

    @torch.no_grad()
    def load_state(self, plan: Any, tensors: dict[str, Tensor], step: int) -> None:
        """Continue at ``step`` from ``state``. Raises KeyError if a tensor or a value is missing."""
        state, stack, place = unpack(plan, tensors), self.stack, self.place
        optimizer, places = state["optimizer"], stack.weights.places
        for name, moment in stack.optimizer.state.items():
            moment[place] = joined_row([optimizer["state"][i][name] for i in places])
        stack.optimizer.steps[place] = step
        if self.optimization.filters:
            stack.filters.load(place, optimizer["filters"]["boost"], optimizer["filters"]["memory"])
        if stack.averages is not None:
            stack.averages[place] = joined_row(state["averaged"])
        self.rates.load(state["rates"])
        self.seen = state["seen"]
        stack.applied[place] = step


def stacked_examples(members: Sequence[Member]) -> tuple[ReadoutInputs, Int[Tensor, "run example"]]:
    """Return the training examples of every run, with one table of distinct rows, and their labels."""
    every = members[0].problem.parts["all"].inputs
    chosen = [every.at(one.problem.is_train.nonzero().squeeze(1)) for one in members]
    tokens, row, query = (
        torch.stack(parts) for parts in zip(*((one.tokens, one.row, one.query) for one in chosen), strict=True)
    )
    labels = torch.stack([one.problem.parts["train"].labels for one in members])
    return every._replace(tokens=tokens, row=row, query=query), labels


def key_of(experiment: Experiment) -> Hashable | None:
    """Return a key that is equal for experiments that fit in one stack; None for those that are trained singly.

    Muon, a curriculum, and a batch size that changes make the work of a step depend on the run.
    """
    o = experiment.optimization
    if o.optimizer == "muon" or o.curriculum.is_active or o.schedules.batch_size.kind != "constant":
        return None
    filters = tuple(structure(one) for one in o.filters)
    size = experiment.split.sizes(experiment.task).train
    choices = o.optimizer, o.loss, o.batch_size, o.constrain_norm, o.average is None, o.momentum == 0
    return experiment.task, experiment.model, size, choices, filters


def structure(filter: GradientFilter) -> Hashable:
    """Return everything in which filters that run together must agree: all settings but floating-point numbers."""
    values = ((field.name, getattr(filter, field.name)) for field in fields(filter))  # ty: ignore[invalid-argument-type]
    return tuple(
        (name, structure(value) if isinstance(value, GradientFilter) else value)
        for name, value in values
        if not isinstance(value, float)
    )


def norms(weights: Float[Tensor, "run weight"]) -> Float[Tensor, "run"]:
    """Return the L2 norm of all weights of each run, in float64."""
    return weights.double().square().sum(1).sqrt()
