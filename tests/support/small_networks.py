"""Small checkpoints for tests of analyses: drawn networks, planted outputs, and their stack under vmap."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.models import MLP, MLPSpec, Readout, Transformer, TransformerSpec
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition, Task

SPEC = TransformerSpec(d_model=8, n_heads=2, d_mlp=12)


def problem(p: int = 7, *, fraction: float = 0.4) -> Problem:
    task = ModularAddition(p=p)
    draw = torch.rand(p * p, generator=torch.Generator().manual_seed(1))
    return Problem(task, with_equals(task), task.labels(), draw < draw.quantile(fraction))


def with_equals(task: Task) -> Tensor:
    """The tokens of every example, and "=" behind them."""
    return Experiment(task=task).tokens()


def network(seed: int = 0, *, p: int = 7, spec: TransformerSpec = SPEC) -> Transformer:
    model = Transformer(
        spec, d_vocab=p + 1, d_vocab_out=p, n_ctx=3, generator=torch.Generator().manual_seed(seed)
    ).double()
    return model.requires_grad_(False)


def drawn(seed: int = 0, *, p: int = 7, spec: TransformerSpec = SPEC) -> Checkpoint:
    """A checkpoint of a drawn network, with a drawn update."""
    generator = torch.Generator().manual_seed(seed + 1000)
    model = network(seed, p=p, spec=spec)
    update = {
        name: 0.1 * torch.randn(w.shape, generator=generator, dtype=torch.float64)
        for name, w in model.named_parameters()
    }
    return Checkpoint(1, model, problem(p), update)


def planted(
    logits: Tensor, labels: Tensor, is_train: Tensor | None = None, *, residual: Tensor | None = None
) -> Checkpoint:
    """A checkpoint whose outputs are given, on as many examples as there are rows."""
    n, classes = logits.shape
    is_train = torch.ones(n, dtype=torch.bool) if is_train is None else is_train
    task = ModularAddition(p=classes)
    checkpoint = Checkpoint(
        0, network(p=classes), Problem(task, torch.zeros(n, 3, dtype=torch.int64), labels.unsqueeze(1), is_train)
    )
    residual = torch.zeros(n, 1, dtype=torch.float64) if residual is None else residual
    checkpoint.__dict__["readout"] = Readout(torch.zeros(n, 1, 3), torch.zeros(n, 1), residual, logits)
    return checkpoint


class Program(nn.Module):
    """An analysis of a model as a module, so that ``functional_call`` can swap the model's parameters."""

    def __init__(self, analysis: Callable[[Checkpoint], Any], of: Checkpoint) -> None:
        super().__init__()
        self.model, self.analysis, self.of = of.model, analysis, of

    def forward(self, update: dict[str, Tensor]) -> Any:
        return self.analysis(Checkpoint(self.of.step, self.model, self.of.problem, update))


def assert_vmap_is_loop(analysis: Callable[[Checkpoint], Any], checkpoints: Sequence[Checkpoint]) -> None:
    """The analysis of the stacked parameters equals the analyses of the checkpoints, one by one."""
    program = Program(analysis, checkpoints[0])
    names = list(checkpoints[0].parameters)
    parameters = {f"model.{name}": torch.stack([c.parameters[name] for c in checkpoints]) for name in names}
    updates = {name: torch.stack([c.update[name] for c in checkpoints]) for name in names}
    at_once = torch.vmap(lambda weights, update: functional_call(program, weights, (update,)))(parameters, updates)
    for field, together in at_once._asdict().items():
        alone = torch.stack([getattr(analysis(c), field) for c in checkpoints])
        torch.testing.assert_close(
            together, alone, rtol=1e-9, atol=1e-12, equal_nan=True, msg=lambda m, f=field: f"{f}: {m}"
        )


def permuted(checkpoint: Checkpoint, *, neurons: Sequence[int], heads: Sequence[int]) -> Checkpoint:
    """The same network with its neurons and heads in another order."""

    def move(name: str, value: Tensor) -> Tensor:
        kind = name.rsplit(".", 1)[-1]
        if kind in ("W_Q", "W_K", "W_V", "W_O"):
            return value[list(heads)]
        return value[:, list(neurons)] if kind == "W_in" else value[list(neurons)] if kind == "W_out" else value

    model = network(p=checkpoint.problem.task.p, spec=checkpoint.model.spec)
    state = checkpoint.model.state_dict()
    model.load_state_dict({name: move(name, value) for name, value in state.items()})
    return Checkpoint(
        checkpoint.step,
        model,
        checkpoint.problem,
        {name: move(name, value) for name, value in checkpoint.update.items()},
    )


def drawn_mlp(task: Task, *, width: int = 9, seed: int = 0, **choices) -> Checkpoint:
    """Return a drawn MLP on a task, about half of whose examples are in training."""
    spec = MLPSpec(hidden=(width,), **choices)
    generator = torch.Generator().manual_seed(seed)
    model = MLP(spec, d_vocab=task.d_vocab, d_vocab_out=task.n_classes, n_ctx=2, generator=generator).double()
    is_train = torch.rand(task.n_examples, generator=generator) < 0.5
    return Checkpoint(0, model.requires_grad_(False), Problem(task, task.tokens(), task.labels(), is_train))


def plant(model: MLP, left: Tensor, right: Tensor, unembed: Tensor) -> None:
    """Set an MLP's weights: input weights of each operand, and the unembedding."""
    n, width = left.shape
    model.layers[0].W_in.view(2, n, width)[0] = left
    model.layers[0].W_in.view(2, n, width)[1] = right
    model.unembed.W_U.copy_(unembed)
