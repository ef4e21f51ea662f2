"""One optimizer step, as two halves that a CUDA graph can replay."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW

from grokinterp.checkpoint import Problem
from grokinterp.experiment import Optimization
from grokinterp.losses import example_losses
from grokinterp.models import Model
from grokinterp.training.batches import Batches


class Step:
    """Gradients of the mean training loss, and the AdamW update they lead to.

    Between ``gradients(t)`` and ``apply(t)`` the weights are those of step t, with the ``logits``,
    ``loss`` and ``gradient_norm`` of its batch: the moment to evaluate and save. Nothing here waits
    for the device. An update whose gradient is not finite is not applied; ``applied`` counts those
    that were.

    Args:
        model: with its initial weights, whose norm is kept where the optimization says so.
        problem: what to train on, on the model's device.
        optimization: how.
        seed: draws the order of mini-batches.
    """

    def __init__(self, model: Model, problem: Problem, optimization: Optimization, *, seed: int = 0) -> None:
        self.model, self.optimization = model, optimization
        self.inputs, self.labels = problem.train_inputs, problem.train_labels
        device = self.labels.device
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters: list[Tensor] = list(model.parameters())
        self.previous = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.learning_rate = torch.zeros((), device=device)
        self.applied = torch.zeros((), device=device, dtype=torch.float64)  # float32 counts to 2^24 only
        self.held = torch.zeros((), device=device)
        self.loss = self.gradient_norm = torch.zeros((), device=device)
        self.logits = torch.empty(0, device=device)
        self.supervised: Tensor | None = None
        size = optimization.batch_size
        self.batches = None if size is None else Batches(len(self.labels), size, seed=seed, device=device)
        self.batch = torch.zeros(size or 0, device=device, dtype=torch.int64)
        self.kept_norm = norm(self.parameters) if optimization.constrain_norm else None
        self.optimizer: Any = AdamW(
            self.parameters,
            lr=self.learning_rate,
            betas=optimization.betas,
            eps=optimization.eps,
            weight_decay=optimization.weight_decay,
            fused=True,
            capturable=device.type == "cuda",
        )
        self._gradients, self._apply = self._compute_gradients, self._update

    def prepare(self) -> None:
        """Create the optimizer's state without moving the weights; on CUDA, capture both halves."""
        self.held.fill_(1)
        self._gradients = captured(self._compute_gradients, self.labels.device)
        self._gradients()
        self._apply = captured(self._update, self.labels.device)
        self._apply()
        self.held.zero_()

    def gradients(self, step: int) -> None:
        """Compute loss, logits, gradients and gradient norm of this step's batch at the current weights."""
        if self.batches is not None:
            self.batch.copy_(self.batches.at(step))
        self._gradients()

    def apply(self, step: int) -> None:
        """Take the update from ``step`` to ``step + 1``."""
        self.learning_rate.fill_(self.optimization.learning_rate(step))
        self._apply()

    def train_logits(self) -> tuple[Float[Tensor, "train class"], Float[Tensor, "supervision train class"] | None]:
        """Logits of the whole training set at the current weights, and those of all supervision steps."""
        if self.batches is None:
            return self.logits, self.supervised
        readout = self.model.readout(self.inputs)
        return readout.logits, readout.supervised

    def last_update(self) -> list[Tensor]:
        """What the last ``apply`` added to each parameter."""
        return [now.detach() - before for now, before in zip(self.parameters, self.previous, strict=True)]

    def finite(self) -> Tensor:
        """Whether the loss and its gradient are finite at the current weights, as a scalar on the device."""
        return torch.isfinite(self.gradient_norm) & torch.isfinite(self.loss)

    def memories(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """What the optimizer remembers of each parameter: its step and two moments, as the tensors themselves."""
        for name, parameter in zip(self.names, self.parameters, strict=True):
            yield name, self.optimizer.state[parameter]

    def _compute_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        inputs, labels = self.inputs, self.labels
        if self.batches is not None:
            inputs, labels = inputs.at(self.batch), labels[self.batch]
        readout = self.model.readout(inputs)
        self.logits, self.supervised = readout.logits, readout.supervised
        form = self.optimization.loss
        self.loss = example_losses(self.logits, labels, form=form, supervised=self.supervised).mean()
        self.loss.backward()
        norms = torch._foreach_norm([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        self.gradient_norm = torch.stack(norms).norm()

    @torch.no_grad()
    def _update(self) -> None:
        skip = torch.maximum((~self.finite()).float(), self.held)
        self.optimizer.found_inf = skip  # where it is 1, the fused kernel does nothing
        torch._foreach_copy_(self.previous, self.parameters)
        self.optimizer.step()
        if self.kept_norm is not None:
            scale = torch.where(skip == 0, self.kept_norm / norm(self.parameters), 1.0)
            torch._foreach_mul_(self.parameters, scale.to(self.parameters[0].dtype))
        self.applied += 1 - skip


@torch.no_grad()
def norm(parameters: list[Tensor]) -> Float[Tensor, ""]:
    """L2 norm of all parameters together, in float64."""
    return torch.stack([parameter.double().square().sum() for parameter in parameters]).sum().sqrt()


def captured(work: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """On CUDA, ``work`` recorded as a graph whose replay costs one launch; elsewhere ``work`` itself."""
    if device.type != "cuda":
        return work
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
