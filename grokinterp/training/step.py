"""An optimizer step, as two halves and an evaluation between them, each of which a CUDA graph can replay."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.experiment import Optimization
from grokinterp.experiment.problem import Part, Problem
from grokinterp.losses import example_losses, mean_of_answers
from grokinterp.models import Answers, Model, ReadoutInputs
from grokinterp.models.training_mode import batch_norms, training_mode
from grokinterp.optim import Evaluation, filters_of
from grokinterp.optim.filtering import filtering_of
from grokinterp.training.capture import captured
from grokinterp.training.metrics import Answered, held_out, joined_metrics, measure, paired, rows
from grokinterp.training.optimizers import optimizer_of
from grokinterp.training.packing import Packed, pack, unpack
from grokinterp.training.precision import LossScale, Network
from grokinterp.training.randomness import Randomness
from grokinterp.training.rates import Rates
from grokinterp.training.regularizers import add_update_noise, clipping, decay_to_start, jiggle, noisy, penalize
from grokinterp.training.sampler import Sampler

OfOneRun = TypeVar("OfOneRun", bound=Callable[..., Any])


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
        self, model: Model, problem: Problem, optimization: Optimization, seed: int = 0, steps: int = 1
    ) -> None:
        self.model, self.problem, self.optimization, self.seed = model, problem, optimization, seed
        self.inputs, self.labels, _ = problem.parts["train"]
        self.device = device = self.labels.device
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters: list[Tensor] = list(model.parameters())
        self.previous = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.averaged = None if optimization.average is None else [p.detach().clone() for p in self.parameters]
        named = dict(zip(self.names, self.parameters, strict=True))
        factor = partial(model.rate_factor, adaptive=optimization.optimizer != "sgd")
        self.optimizer: Any = optimizer_of(optimization, named, model.part_of, factor)
        self.learning_rates = [torch.zeros((), device=device) for _ in self.optimizer.param_groups]
        self.filtering = filtering_of(self.optimizer)
        self.rates = Rates(optimization, steps, self.filtering)
        self.applied = torch.zeros((), device=device, dtype=torch.float64)  # float32 counts to 2^24 only
        self.held = torch.zeros((), device=device)
        self.loss = self.gradient_norm = torch.zeros((), device=device)
        self.logits = torch.empty(0, device=device)
        self.supervised: Tensor | None = None
        self.sampler = Sampler(model, problem, optimization, self.rates, seed=seed)
        self.form, self.held_out, self.has_noise = problem.loss, held_out(problem), problem.has_noise
        self.kept_norm = norm(self.parameters) if optimization.constrain_norm else None
        self.network = Network(model, optimization.precision)
        self.scale = LossScale() if optimization.precision == "float16" else None
        is_random = optimization.is_random or model.draws_in_training
        self.randomness = Randomness(seed, device) if is_random else None
        starts_at = optimization.weight_decay_form == "to_init"
        self.initial = {p: p.detach().clone() for p in self.parameters} if starts_at else None
        self.differs_in_training = model.differs_in_training
        self.norms = list(zip(batch_norms(model), batch_norms(self.network.computed), strict=True))
        self.evaluates_as_trained = not self.differs_in_training and optimization.weight_noise == 0
        self.metric_names, self.metrics = (), torch.empty(0, 0, device=device)
        self._gradients, self._apply, self._evaluate = self._compute_gradients, self._update, self._compute_metrics
        self.is_captured = False

    @property
    def together(self) -> None:
        """The run is computed alone."""
        return None

    @property
    def runs(self) -> list["Step"]:
        """The only run."""
        return [self]

    def prepare(self) -> None:
        """Capture, on CUDA, the part that is the same at every step, without changing the weights.

        Only AdamW is run during capture, since SGD would use uninitialized memory as its first momentum. Steps with
        random numbers, BatchNorm or a low precision are not captured.
        """
        if self.randomness is not None or self.network.dtype is not None or not self.evaluates_as_trained:
            return
        self.held.fill_(1)
        self.set_rates(0)
        self.gradients(0)
        if self.sampler.is_constant:
            self._gradients = captured(self._compute_gradients, self.device)
            self.is_captured = self._gradients != self._compute_gradients
            self._gradients()
            self._evaluate = captured(self._compute_metrics, self.device)
            plain = self.optimization.optimizer == "adamw" and not self.optimization.filters and self.initial is None
            if plain and self.optimization.schedules.weight_decay.kind == "constant":
                self._apply = captured(self._update, self.device)  # reads the tensors that the graph above writes
                self._apply()
        self.held.zero_()

    def gradients(self, step: int) -> None:
        """Compute loss, logits, gradients and gradient norm of this step's batch at the current weights."""
        batch, sampler = self.sampler.at(step), self.sampler
        sampler.draw(step)
        if self.is_captured and batch is not None and sampler.batch is not None:
            sampler.batch.copy_(batch)  # the graph reads this buffer
        else:
            sampler.batch = None if batch is None else batch.clone()  # a batch is a view of the order of its epoch
        self._gradients()

    def apply(self, step: int) -> None:
        """Take the update from ``step`` to ``step + 1``."""
        self.set_rates(step)
        self._apply()
        self.sampler.advance(step)
        for moving in (self.randomness, self.scale):
            if moving is not None:
                moving.advance()

    def set_rates(self, step: int) -> None:
        """Set learning rate and weight decay of every group of parameters; fused optimizers read the rate as a tensor.

        ``decay``, their product, is for the forms of weight decay that are not the optimizer's.
        The tensors remain the same, since the graph of a step reads them.
        """
        is_fused = self.optimizer.defaults.get("fused")
        for group, tensor in zip(self.optimizer.param_groups, self.learning_rates, strict=True):
            rate = self.rates.learning_rate(step, group["own"]) * group["factor"]
            decay = self.rates.weight_decay(step, group["own"]) / group["factor"]
            tensor.fill_(rate)
            group["lr"], group["rate"], group["decay"] = tensor if is_fused else rate, rate, rate * decay
            group["weight_decay"] = decay if self.optimization.weight_decay_form == "to_zero" else 0.0

    def observe(self, evaluation: Evaluation) -> None:
        """Pass the state of the run at the current weights to the adaptive schedules."""
        self.rates.observe(evaluation)
        self.sampler.observe()

    def boost(self, factor: float) -> None:
        """Multiply every λ of the filters by a factor from now on."""
        filters_of(self.optimizer).boost(factor)

    def freeze(self) -> None:
        """Keep the weights and moments from now on."""
        self.held.fill_(1)

    def train_answers(self) -> Iterator[Answers]:
        """Yield the logits of the whole training set at the current weights, in parts that fit into memory.

        With infinite data, the training set is that of the step.
        """
        many = self.model.evaluated_at_once
        if self.sampler.batch is not None or not self.evaluates_as_trained:
            return map(self.network.answers, self.part("train").inputs.split(many))
        return Answers(self.logits, self.supervised).split(many)

    def measured(self) -> dict[str, Any]:
        """Return the metrics at the current weights, as numbers."""
        self._evaluate()
        (found,) = rows(self.metric_names, self.metrics)
        return found

    @property
    def is_averaged(self) -> bool:
        """Whether there is a moving average of the weights."""
        return self.averaged is not None

    def parameters_by_name(self) -> dict[str, Tensor]:
        """Return the parameters."""
        return dict(zip(self.names, self.parameters, strict=True))

    def each(self, function: OfOneRun) -> OfOneRun:
        """Return a function of the tensors of one run, of which there is one here."""
        return function

    def answered(self, part: str, *, averaged: bool = False) -> Iterator[Answered]:
        """Yield the examples of a part, as many at a time as fit into memory, at the weights or at their average."""
        (inputs, *labels), many = self.part(part), self.model.evaluated_at_once
        if part == "train" and not averaged:
            return paired(self.train_answers(), *labels, many)
        answers = self.averaged_answers if averaged else self.network.answers
        return paired(map(answers, inputs.split(many)), *labels, many)

    def part(self, name: str) -> Part:
        """Return a part of the problem; with infinite data, the training examples are those of the step."""
        drawn = self.sampler.drawn if name == "train" else None
        return self.problem.parts[name] if drawn is None else drawn

    def averaged_answers(self, inputs: ReadoutInputs) -> Answers:
        """Return the answers at the averaged weights."""
        return self.network.answers_at(dict(zip(self.names, self.averaged or (), strict=True)), inputs)

    def last_update(self) -> list[Tensor]:
        """Return the change of each parameter by the last ``apply``."""
        return [now.detach() - before for now, before in zip(self.parameters, self.previous, strict=True)]

    def finite(self) -> Tensor:
        """Return whether the loss and its gradient are finite at the current weights, as a scalar on the device."""
        return torch.isfinite(self.gradient_norm) & torch.isfinite(self.loss)

    def state(self) -> Packed:
        """Return all state besides the weights on which later steps depend."""
        optimizer = {key: value for key, value in self.optimizer.state_dict().items() if key != "param_groups"}
        state = {"optimizer": optimizer, "averaged": self.averaged, **self.sampler.state, "rates": self.rates.state}
        if self.initial is not None:
            state["initial"] = list(self.initial.values())
        if self.randomness is not None:
            state["random"] = self.randomness.state
        if self.scale is not None:
            state["scale"] = self.scale.state
        return pack(state, "step")

    def load_state(self, plan: Any, tensors: dict[str, Tensor], step: int) -> None:
        """Continue at ``step`` from ``state``. Raises KeyError if a tensor or a value is missing."""
        state = unpack(plan, tensors)
        self.inherit(plan, tensors)
        self.rates.load(state["rates"])
        self.sampler.load(state, step)
        self.applied.fill_(step)
        if self.initial is not None:
            torch._foreach_copy_(list(self.initial.values()), state["initial"])
        if self.randomness is not None:
            self.randomness.load(state["random"])
        if self.scale is not None:
            self.scale.load(state["scale"])

    def inherit(self, plan: Any, tensors: dict[str, Tensor]) -> None:
        """Take over optimizer state, averaged weights and place in the batches. Raises KeyError if one is missing."""
        state = unpack(plan, tensors)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({**state["optimizer"], "param_groups": groups})
        self.sampler.seen = state["seen"]
        if self.averaged is not None and state["averaged"] is not None:
            torch._foreach_copy_(self.averaged, state["averaged"])

    def _compute_gradients(self) -> None:
        """Compute the gradients of the batch, in float16 at the largest scale of the loss at which they are finite."""
        while True:
            self._backpropagate()
            if self.scale is None or self.scale.accepts(self.gradient_norm):
                return

    def _backpropagate(self) -> None:
        """Compute the gradients of the training network, and of the penalties, at the weights of the model."""
        self.optimizer.zero_grad(set_to_none=True)
        with ExitStack() as stack:
            generator = None if self.randomness is None else self.randomness.begin()
            if self.optimization.weight_noise and generator is not None:
                stack.callback(self.network.round)
                stack.enter_context(noisy(self.parameters, self.optimization.weight_noise, generator))
            self.network.round()
            if self.differs_in_training:
                stack.enter_context(training_mode(self.network.computed, generator))
            self._pass_batch()
        o, trained = self.optimization, [parameter for parameter in self.parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
        penalize(gradients, trained, l1=o.l1, l2=o.l2)
        self.gradient_norm = torch.stack(torch._foreach_norm(gradients)).norm()

    def _pass_batch(self) -> None:
        """Compute logits, loss and gradients of the batch by a forward and a backward pass."""
        inputs, labels = self.sampler.examples()
        logits, supervised = self.network.answers(inputs)
        losses = example_losses(logits, labels, form=self.optimization.loss, supervised=supervised)
        loss = mean_of_answers(losses, labels).mean()
        scale = 1.0 if self.scale is None else self.scale.value
        (loss if scale == 1 else loss * scale).backward()
        self.network.take_gradients(scale)
        # detached: a graph that stays alive ties the gradients to this stream, and a capture runs on another
        self.loss, self.logits = loss.detach(), logits.detach()
        self.supervised = None if supervised is None else supervised.detach()

    def _compute_metrics(self) -> None:
        found = measure(self)
        self.metric_names, self.metrics = tuple(found), joined_metrics(found)

    @torch.no_grad()
    def _update(self) -> None:
        skip = torch.maximum((~self.finite()).float(), self.held)
        torch._foreach_copy_(self.previous, self.parameters)
        if self.optimization.clip_norm is not None:
            factor = clipping(self.gradient_norm, self.optimization.clip_norm)
            torch._foreach_mul_([p.grad for p in self.parameters if p.grad is not None], factor)
        if self.filtering is not None:
            self.optimizer.found_inf = None  # filters would wait for it, and a diverged run ends before the next update
            self.filtering.filter_gradients()
        self.optimizer.found_inf = skip  # if it is 1, weights and moments do not change
        o, keep, groups = self.optimization, 1 - skip.double(), self.optimizer.param_groups
        if self.initial is not None:
            decay_to_start(groups, self.initial, keep)
        if o.weight_decay_form == "jiggle" and self.randomness is not None:
            jiggle(groups, keep, self.randomness.generator)
        self.optimizer.step()
        if o.update_noise and self.randomness is not None:
            add_update_noise(groups, o.update_noise, keep, self.randomness.generator)
        for mine, theirs in self.norms:
            mine.follow(theirs, skip)
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
