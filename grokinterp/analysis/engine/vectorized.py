"""Evaluation of the analyses of several checkpoints as one program over a leading checkpoint axis."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from grokinterp.analysis.engine.evaluator import Bound, Chunk, labeled_result, on_host
from grokinterp.analysis.engine.labeled import Result
from grokinterp.experiment.problem import Problem
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint


class _Program(nn.Module):
    """All analyses of one checkpoint as a module, so that ``functional_call`` can bind its parameters."""

    def __init__(self, bound: Bound, model: Model, problem: Problem) -> None:
        super().__init__()
        self.bound, self.model, self.problem = bound, model, problem

    def forward(
        self, step: Tensor, update: dict[str, Tensor] | None, previous: dict[str, Tensor] | None
    ) -> list[Result]:
        checkpoint = Checkpoint(step, self.model, self.problem, update, previous_update=previous)
        return [labeled_result(analysis, checkpoint, arguments) for analysis, arguments in self.bound]


def vectorized(
    bound: Bound, template: Model, problem: Problem, chunks: Iterable[Chunk]
) -> Iterator[tuple[Chunk, list[list[Result]]]]:
    """Yield each chunk with its results, computed by a single program over a leading checkpoint axis."""
    for chunk in chunks:
        yield chunk, _evaluate_chunk(bound, template, problem, chunk)


def _evaluate_chunk(bound: Bound, model: Model, problem: Problem, chunk: Chunk) -> list[list[Result]]:
    """Return the results of every analysis for every checkpoint of a chunk, by vmap."""
    device, weights = problem.tokens.device, [weights for _, weights in chunk]
    states = [{f"model.{name}": value for name, value in one.state.items()} for one in weights]
    updates = _stack_all([one.update for one in weights], device)
    previous = _stack_all([one.previous_update for one in weights], device)
    program = _Program(bound, model, problem)

    def one(
        state: dict[str, Tensor], step: Tensor, update: dict[str, Tensor] | None, previous: dict[str, Tensor] | None
    ) -> list[Result]:
        return functional_call(program, state, (step, update, previous))

    steps = torch.tensor([step for step, _ in chunk], device=device)
    axes = (0, 0, None if updates is None else 0, None if previous is None else 0)
    # draws from generators of their own are the same for every checkpoint, as in the loop
    stacked = vmap(one, in_dims=axes, randomness="same")(_stack(states, device), steps, updates, previous)
    arrays = [on_host(result) for result in stacked]
    return [[type(result)(*(field[i] for field in result)) for result in arrays] for i in range(len(chunk))]


def _stack_all(updates: Sequence[dict[str, Tensor] | None], device: torch.device) -> dict[str, Tensor] | None:
    """Return the stacked updates of a chunk; None if it has no updates."""
    there = [update for update in updates if update is not None]
    return _stack(there, device) if there else None


def _stack(tensors: Sequence[Mapping[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in tensors]).to(device, torch.float64) for name in tensors[0]}
