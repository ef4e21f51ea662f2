"""Other processes that evaluate analyses of the same run."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple, final, get_type_hints

import numpy as np
import torch
from torch import Tensor

from grokinterp.allocator import keep_freed_memory
from grokinterp.analysis.engine.evaluator import Evaluator, Task, declared_arguments
from grokinterp.analysis.engine.labeled import Analysis, Result
from grokinterp.errors import warn
from grokinterp.remote import POSSIBLE, Remote
from grokinterp.runs.trajectory import Trajectory, Weights
from grokinterp.torch_settings import computing, exact_attention


class Array(NamedTuple):
    """The values of a tensor on its way to another process."""

    values: np.ndarray


def packed(value: Any) -> Any:
    """Return a value with arrays instead of tensors, also in tuples and mappings."""
    return _changed(value, Tensor, lambda tensor: Array(tensor.detach().cpu().numpy()))


def unpacked(value: Any) -> Any:
    """Return a packed value with its tensors."""
    return _changed(value, Array, lambda array: torch.from_numpy(array.values))


def _changed(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {key: _changed(one, kind, change) for key, one in value.items()}
    if type(value) is tuple:
        return tuple(_changed(one, kind, change) for one in value)
    return value


def evaluator_of(
    path: str, answer: int | None, arguments: Any
) -> Callable[[Sequence[Analysis], Sequence[Any]], list[list[Result]]]:
    """Return the function of another process that evaluates analyses on checkpoints of a run."""
    keep_freed_memory()
    trajectory, known = replace(Trajectory.open(path), answer=answer), unpacked(arguments)
    here = Evaluator(trajectory.empty_model().double(), trajectory.problem)

    def results(analyses: Sequence[Analysis], chunk: Sequence[Any]) -> list[list[Result]]:
        bound = [(analysis, declared_arguments(analysis, known)) for analysis in analyses]
        with computing("cpu"), exact_attention():
            return here(([(step, Weights(*unpacked(parts))) for step, parts in chunk], bound))[1]

    return results


def can_be_sent(analysis: Analysis) -> bool:
    """Return whether another process finds the function and its result type, unlike those of a script or a notebook."""
    result = get_type_hints(analysis).get("return")
    return all(_is_importable(one) for one in (analysis, result))


def _is_importable(thing: Any) -> bool:
    module = getattr(thing, "__module__", "__main__")
    if module == "__main__" or module not in sys.modules:
        return False
    try:
        return attrgetter(thing.__qualname__)(sys.modules[module]) is thing
    except AttributeError:
        return False


@final
class Team:
    """The other processes that evaluate analyses of a run; each starts at its first task, and all end with the block.

    Its truth value is whether one has been started. A run opened with a module, whose code they do not know, has none.
    """

    def __init__(self, trajectory: Trajectory, arguments: Mapping[str, Any], device: str | torch.device) -> None:
        on_cpu = torch.device(device).type == "cpu"
        self._run, self._arguments = (str(trajectory.path), trajectory.answer), arguments
        self._possible = POSSIBLE and on_cpu and trajectory.module is None
        self._remotes: dict[int, Remote | None] = {}
        self._open = ExitStack()

    def __bool__(self) -> bool:
        return any(self._remotes.values())

    def results(self, place: int, task: Task) -> list[list[Result]] | None:
        """Return the results of a task from the process at a place; None if it cannot be computed there."""
        chunk, bound = task
        analyses = [analysis for analysis, _ in bound]
        if not all(can_be_sent(analysis) for analysis in analyses):
            return None
        remote = self._at(place)
        if remote is None:
            return None
        try:
            return remote(analyses, [(step, packed(tuple(weights))) for step, weights in chunk])
        except ConnectionError as error:
            self._remotes[place] = None
            warn(f"{error}: its work continues in this process", stacklevel=2)
            return None

    def _at(self, place: int) -> Remote | None:
        """Return the process at a place, which is started on first use; None if it cannot be started."""
        if place not in self._remotes:
            self._remotes[place] = self._started() if self._possible else None
        return self._remotes[place]

    def _started(self) -> Remote | None:
        try:
            return self._open.enter_context(Remote(evaluator_of, *self._run, packed(dict(self._arguments))))
        except (TypeError, ConnectionError):  # an argument cannot be sent, or no process can be started
            self._possible = False
            return None

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
