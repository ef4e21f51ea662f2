"""One full-batch optimizer step, as two halves that a CUDA graph can replay."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from grokinterp.checkpoint import Problem
from grokinterp.experiment import Optimization
from grokinterp.losses import cross_entropy
from grokinterp.models import Model


class FullBatchStep:
    """Gradients of the mean training loss, and the AdamW update they lead to.

    Between ``gradients()`` and ``apply()`` the weights are those of the current step, with their
    ``logits``, ``loss`` and ``gradient_norm``: the moment to evaluate and save. Nothing here waits
    for the device. An update whose gradient is not finite is not applied; ``applied`` counts those
    that were.
    """

    def __init__(self, model: Model, problem: Problem, optimization: Optimization) -> None:
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

    def gradients(self) -> None:
        """Compute loss, logits, gradients and gradient norm at the current weights."""
        self._gradients()

    def apply(self, step: int) -> None:
        """Take the update from ``step`` to ``step + 1``."""
        self.learning_rate.fill_(self.optimization.learning_rate(step))
        self._apply()

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
        self.logits = self.model.readout(self.inputs).logits
        self.loss = cross_entropy(self.logits, self.labels, form=self.optimization.loss).mean()
        self.loss.backward()
        norms = torch._foreach_norm([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        self.gradient_norm = torch.stack(norms).norm()

    @torch.no_grad()
    def _update(self) -> None:
        skip = torch.maximum((~self.finite()).float(), self.held)
        self.optimizer.found_inf = skip  # where it is 1, the fused kernel does nothing
        torch._foreach_copy_(self.previous, self.parameters)
        self.optimizer.step()
        self.applied += 1 - skip


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
