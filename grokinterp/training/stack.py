"""The optimizer steps of several runs as one program, with a leading run axis."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.experiment import Optimization
from grokinterp.experiment.problem import Problem
from grokinterp.models import Answers, Model
from grokinterp.optim import Evaluation
from grokinterp.training.capture import captured
from grokinterp.training.flat_filters import FlatFilters
from grokinterp.training.flat_muon import FlatMuon
from grokinterp.training.flat_optimizers import FlatAdam, FlatOptimizer, FlatSGD, column
from grokinterp.training.flat_weights import FlatWeights, joined_row
from grokinterp.training.host_copy import pinned
from grokinterp.training.metrics import Answered, held_out, joined_metrics, measure, paired, rows
from grokinterp.training.packing import Packed, pack, unpack
from grokinterp.training.rates import Rates
from grokinterp.training.regularizers import clipping
from grokinterp.training.sampler import Sampler
from grokinterp.training.stacked_pass import over_runs, rows_of, stacked_answers, stacked_gradients, stacked_part

OPTIMIZERS: dict[str, Callable[[FlatWeights, Sequence[Optimization]], FlatOptimizer]] = {
    "adamw": FlatAdam,
    "adam": FlatAdam,
    "sgd": FlatSGD,
    "muon": FlatMuon,
}
"""The optimizers by name."""


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
    weights of step t, and neither method waits for the device.

    Args:
        members: runs of the same task, model, loss, optimizer, kinds of filters, curriculum, batch size and sizes of
            the parts, on the same device. ``key_of`` is equal for runs that fit together.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.members = members
        self.optimizations = [one.optimization for one in members]
        self.model, self.device = members[0].model, members[0].problem.labels.device
        self.form, self.held_out = members[0].problem.loss, held_out(members[0].problem)
        self.has_noise = any(one.problem.has_noise for one in members)
        self.parts = {name: stacked_part([one.problem for one in members], name) for name in ("train", *self.held_out)}
        self.weights = FlatWeights([one.model for one in members])
        self.previous = torch.zeros_like(self.weights.values)
        self.optimizer = OPTIMIZERS[self.optimizations[0].optimizer](self.weights, self.optimizations)
        self.filters = FlatFilters([one.filters for one in self.optimizations], self.weights)
        self.averaged = self.weights.values.clone() if self.optimizations[0].average is not None else None
        self.shares = column([1 - (one.average or 0.0) for one in self.optimizations], self.weights.values)
        self.kept_norms = norms(self.weights.values) if self.optimizations[0].constrain_norm else None
        starts_at = self.optimizations[0].weight_decay_form == "to_init"
        self.initial = self.weights.values.clone() if starts_at else None
        self.regularizers = {
            "l1": column([one.l1 for one in self.optimizations], self.weights.values),
            "l2": column([one.l2 for one in self.optimizations], self.weights.values),
            "clip": column([one.clip_norm or torch.inf for one in self.optimizations], self.weights.values),
        }
        self.is_penalized = any(one.l1 or one.l2 for one in self.optimizations)
        self.is_clipped = any(one.clip_norm is not None for one in self.optimizations)
        self.applied = torch.zeros(len(members), dtype=torch.float64, device=self.device)
        self.settings = torch.zeros(3, len(members), 1, dtype=torch.float64, device=self.device)
        self.losses = self.gradient_norm = torch.zeros(len(members), device=self.device)
        self.answers = Answers(torch.empty(0, device=self.device), None)
        self.batch: Int[Tensor, "run batch"] | None = None
        self.metric_names, self.metrics = (), torch.empty(0, 0, device=self.device)
        self.runs = [Run(self, i) for i in range(len(members))]
        self._gradients, self._apply, self._evaluate = self._compute_gradients, self._update, self._compute_metrics
        self.is_captured = False
        self._measured: list[dict[str, Any]] | None = None
        self._progress: Float[Tensor, "two run"] | None = None

    def prepare(self) -> None:
        """Capture, on CUDA, the part that is the same at every step, without changing weights and moments.

        Filters are not captured, since their memory grows, and since a decomposition waits for the device.
        """
        self._gradients, self._apply, self._evaluate = self._compute_gradients, self._update, self._compute_metrics
        self.is_captured = False
        if not self.runs[0].sampler.is_constant:
            return
        self.settings.fill_(1.0)  # every run is held
        self.take_batches(0)
        self._gradients = captured(self._compute_gradients, self.device)
        self.is_captured = self._gradients != self._compute_gradients
        if not self.is_captured:
            return
        self._gradients()
        self._evaluate = captured(self._compute_metrics, self.device)
        if not self.filters.given[0]:
            self._apply = captured(self._update, self.device)  # reads the tensors that the graph above writes

    def gradients(self, step: int) -> None:
        """Compute losses, logits and gradients of this step's batches at the current weights.

        When half of the runs are frozen, the others continue without them.
        """
        active = [run.place for run in self.runs if not run.is_frozen]
        if 0 < 2 * len(active) <= len(self.runs):
            self.keep(active)
        self.take_batches(step)
        self._gradients()
        self._measured = self._progress = None

    def take_batches(self, step: int) -> None:
        """Set the examples of this step of every run."""
        for run in self.runs:
            run.sampler.batch = run.sampler.at(step)
        batches = [run.sampler.batch for run in self.runs if run.sampler.batch is not None]
        chosen = torch.stack(batches) if batches else None
        if self.is_captured and chosen is not None and self.batch is not None:
            self.batch.copy_(chosen)  # the graph reads this buffer
        else:
            self.batch = chosen

    def keep(self, places: Sequence[int]) -> None:
        """Remove all other runs, whose models keep their weights."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the graphs may still run, and are freed here
        rows = torch.tensor(places, device=self.device)
        self.members = [self.members[i] for i in places]
        self.optimizations = [one.optimization for one in self.members]
        self.weights = FlatWeights([one.model for one in self.members])
        self.optimizer.keep(rows, self.weights)
        self.filters.keep(places, self.weights)
        self.previous, self.applied, self.shares = self.previous[rows], self.applied[rows], self.shares[rows]
        self.settings = self.settings[:, rows]
        self.parts = {name: rows_of(part, rows) for name, part in self.parts.items()}
        self.averaged = None if self.averaged is None else self.averaged[rows]
        self.kept_norms = None if self.kept_norms is None else self.kept_norms[rows]
        self.initial = None if self.initial is None else self.initial[rows]
        self.regularizers = {name: values[rows] for name, values in self.regularizers.items()}
        self.runs = [self.runs[i] for i in places]
        for place, run in enumerate(self.runs):
            run.place = place
        self.prepare()

    def apply(self, step: int) -> None:
        """Take the update of every run from ``step`` to ``step + 1``."""
        rates = [(run.rates.learning_rate(step), run.rates.weight_decay(step), run.is_frozen) for run in self.runs]
        settings = torch.tensor(rates, dtype=torch.float64).T.unsqueeze(2).contiguous()
        self.settings.copy_(pinned(settings, self.device), non_blocking=True)
        self.previous.copy_(self.weights.values)
        self._apply()
        self._progress = None
        for run in self.runs:
            run.sampler.advance(step)

    def are_finite(self) -> Bool[Tensor, "run"]:
        """Return whether loss and gradient of each run are finite at the current weights."""
        return torch.isfinite(self.losses) & torch.isfinite(self.gradient_norm)

    def progress(self) -> Float[Tensor, "two run"]:
        """Return, on the host, whether each run is finite at the current weights, and its number of updates."""
        if self._progress is None:
            self._progress = torch.stack([self.are_finite().double(), self.applied]).cpu()
        return self._progress

    def measured(self) -> list[dict[str, Any]]:
        """Return the metrics of every run at the current weights, computed for all at once."""
        if self._measured is None:
            self._evaluate()
            self._measured = rows(self.metric_names, self.metrics)
        return self._measured

    @property
    def is_averaged(self) -> bool:
        """Whether there is a moving average of the weights."""
        return self.averaged is not None

    def parameters_by_name(self) -> dict[str, Float[Tensor, "run *shape"]]:
        """Return the parameters of all runs."""
        return self.weights.leaves

    def each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of the tensors of one run as a function of the tensors of all."""
        return over_runs(function)

    def answered(self, part: str, *, averaged: bool = False) -> Iterator[Answered]:
        """Yield the examples of a part, as many at a time as fit into memory, at the weights or at their average."""
        (inputs, *labels), many = self.parts[part], max(self.model.evaluated_at_once // len(self.runs), 1)
        if part == "train" and not averaged and self.batch is None:
            return paired(self.answers.split(many), *labels, many)
        weights = self.weights.leaves if not averaged or self.averaged is None else self.weights.by_name(self.averaged)
        return paired(map(partial(stacked_answers, self.model, weights), inputs.split(many)), *labels, many)

    def _compute_gradients(self) -> None:
        inputs, labels, _ = self.parts["train"]
        if self.batch is not None:
            rows = torch.arange(len(self.batch), device=self.device).unsqueeze(1)
            inputs, labels = inputs.at((rows, self.batch)), labels[rows, self.batch]
        parts, self.losses, self.answers = stacked_gradients(self.model, self.weights.leaves, inputs, labels, self.form)
        torch.cat([part.flatten(1) for part in parts], dim=1, out=self.weights.gradients)
        if self.is_penalized:
            weights, l1, l2 = self.weights.values.detach(), self.regularizers["l1"], self.regularizers["l2"]
            self.weights.gradients.add_(l1 * weights.sign() + 2 * l2 * weights)
        self.gradient_norm = self.weights.gradients.norm(dim=1)

    def _compute_metrics(self) -> None:
        found = measure(self)
        self.metric_names, self.metrics = tuple(found), joined_metrics(found)

    @torch.no_grad()
    def _update(self) -> None:
        weights, (lr, weight_decay, held) = self.weights.values, self.settings
        frozen = (held > 0) | ~self.are_finite().unsqueeze(1)
        gradients = self.weights.gradients
        if self.is_clipped:
            gradients = gradients * clipping(self.gradient_norm.unsqueeze(1), self.regularizers["clip"])
        gradients = torch.where(frozen, 0.0, self.filters(gradients))
        if self.initial is not None:
            share = torch.where(frozen, 0.0, lr * weight_decay).to(weights.dtype)
            weights.lerp_(self.initial, share.expand_as(weights))
            weight_decay = torch.zeros_like(weight_decay)
        self.optimizer.step(gradients, lr, weight_decay.to(weights.dtype), frozen)
        if self.kept_norms is not None:
            scale = torch.where(frozen, 1.0, (self.kept_norms / norms(weights)).unsqueeze(1))
            weights.mul_(scale.to(weights.dtype))
        if self.averaged is not None:
            self.averaged.lerp_(weights, torch.where(frozen, 0.0, self.shares).expand_as(weights))
        self.applied += ~frozen.squeeze(1)


@final
class Run:
    """One run of a stack, to be evaluated and saved as a ``Step`` is."""

    def __init__(self, stack: Stack, place: int) -> None:
        self.stack, self.place, self.is_frozen = stack, place, False
        self.model, self.problem, self.optimization, seed, steps = stack.members[place]
        self.names = stack.weights.names
        self.rates = Rates(self.optimization, steps, self)
        self.sampler = Sampler(self.model, self.problem, self.optimization, self.rates, seed=seed)

    @property
    def gain(self) -> float:
        """The factor by which the filters of this run multiply a constant gradient."""
        return self.stack.filters.gain(self.place)

    @property
    def together(self) -> int:
        """The number of runs that are computed together, on which rounding may depend."""
        return len(self.stack.runs)

    def observe(self, evaluation: Evaluation) -> None:
        """Pass the state of the run at the current weights to the adaptive schedules."""
        self.rates.observe(evaluation)
        self.sampler.observe()

    def boost(self, factor: float) -> None:
        """Multiply every λ of the filters by a factor from now on."""
        self.stack.filters.boost(self.place, factor)

    def freeze(self) -> None:
        """Keep the weights and moments of this run from now on."""
        self.is_frozen = True

    def measured(self) -> dict[str, Any]:
        """Return the metrics at the current weights, as numbers."""
        return dict(self.stack.measured()[self.place])

    @property
    def applied(self) -> Float[Tensor, ""]:
        """The number of applied updates, on the host."""
        return self.stack.progress()[1, self.place]

    @property
    def averaged(self) -> list[Tensor] | None:
        """The moving average of each parameter, if there is one."""
        return None if self.stack.averaged is None else self.stack.weights.split(self.stack.averaged[self.place])

    def finite(self) -> Bool[Tensor, ""]:
        """Return whether loss and gradient are finite at the current weights, on the host."""
        return self.stack.progress()[0, self.place] > 0

    def last_update(self) -> list[Tensor]:
        """Return the change of each parameter by the last ``apply``."""
        now, before = self.stack.weights.values[self.place], self.stack.previous[self.place]
        return self.stack.weights.split(now - before)

    def state(self) -> Packed:
        """Return all state besides the weights on which later steps depend, as ``Step.state`` does."""
        place, optimizer, filters = self.place, self.stack.optimizer, self.stack.filters
        saved: dict[str, Any] = {"state": optimizer.saved(place)}
        if self.optimization.filters:
            given = [asdict(one) for one in self.optimization.filters]  # ty: ignore[invalid-argument-type]
            memory = filters.saved(place, optimizer.order)
            saved["filters"] = {"given": given, "boost": filters.factors[place], "memory": memory}
        averaged = None if self.averaged is None else [one.clone() for one in self.averaged]
        state = {"optimizer": saved, "averaged": averaged, **self.sampler.state, "rates": self.rates.state}
        if self.stack.initial is not None:
            state["initial"] = [one.clone() for one in self.stack.weights.split(self.stack.initial[place])]
        return pack(state, "step")

    @torch.no_grad()
    def load_state(self, plan: Any, tensors: dict[str, Tensor], step: int) -> None:
        """Continue at ``step`` from ``state``. Raises KeyError if a tensor or a value is missing."""
        state, stack, place = unpack(plan, tensors), self.stack, self.place
        optimizer = state["optimizer"]
        stack.optimizer.load(place, optimizer["state"], step)
        if self.optimization.filters:
            factor, memory = optimizer["filters"]["boost"], optimizer["filters"]["memory"]
            stack.filters.load(place, factor, memory, stack.optimizer.order)
        if stack.averaged is not None:
            stack.averaged[place] = joined_row(state["averaged"])
        if stack.initial is not None:
            stack.initial[place] = joined_row(state["initial"])
        self.rates.load(state["rates"])
        self.sampler.load(state, step)
        stack.applied[place] = step


def norms(weights: Float[Tensor, "run weight"]) -> Float[Tensor, "run"]:
    """Return the L2 norm of all weights of each run, in float64."""
    return weights.double().square().sum(1).sqrt()
