"""Evaluation of single-checkpoint analyses into a labeled dataset over all steps."""

import copy
import inspect
import json
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.func import functional_call, vmap

from grokinterp.allocator import keep_freed_memory
from grokinterp.analysis.engine.collector import Collector
from grokinterp.analysis.engine.coordinates import Setting
from grokinterp.analysis.engine.labeled import Analysis, Result, described, require_labeled
from grokinterp.analysis.engine.memory import COPIES, require_memory, workers_that_fit
from grokinterp.errors import CheckpointError, ConfigError, NotDefined, RunDirectoryError, one_line
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.models import Model
from grokinterp.progress import track
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.trajectory import Trajectory, Weights
from grokinterp.specification import require_type
from grokinterp.torch_settings import computing, exact_attention, load_linear_algebra, set_threads, threads

Chunk = list[tuple[int, Weights]]
"""Checkpoints with their steps."""

SMALL = 2**24
"""The largest number of weights of a model that is copied for every thread."""

CHUNK = 16
"""Checkpoints evaluated together by vmap on a GPU."""


def evaluate(
    analyses: Analysis | Sequence[Analysis],
    trajectory: Trajectory,
    *,
    steps: Iterable[int] | None = None,
    device: str | torch.device = "cpu",
    vectorize: bool | None = None,
    progress: bool = False,
    **arguments: Any,
) -> xr.Dataset:
    """Run analyses on every checkpoint in one pass that shares each checkpoint's logits and activations among them.

    Checkpoints are read in chunks. A damaged checkpoint is skipped and listed in the attribute ``skipped`` of the
    dataset (JSON, {step: reason}).

    Args:
        analyses: a plain function of one checkpoint, or several.
        trajectory: the run.
        steps: the steps to analyze (default: all saved steps).
        device: the device to compute on.
        vectorize: vmap over chunks of checkpoints instead of a loop (default: on CUDA).
        progress: show a progress bar on standard error.
        arguments: keyword arguments; each is passed to the analyses that declare it.

    Returns:
        One variable per field of every analysis, over ``step`` and the dimensions of the field. The attributes
        ``title``, ``about`` and ``source`` of a single analysis come from its docstring.

    Raises:
        ConfigError: the logits of all examples do not fit into the available memory, or the results of an analysis are
            not labeled, or contradict its axes or those of another analysis.
        TypeError: no analysis declares an argument, or an argument is missing.
        RunDirectoryError: no checkpoint could be read.
        NotDefined: an analysis is not defined for the task or the model of this run.
    """
    require_type("trajectory", trajectory, Trajectory)
    several = [analyses] if isinstance(analyses, Analysis) else list(analyses)
    if not several:
        raise TypeError("analyses: at least one is required")
    _reject_unknown(several, arguments)
    wanted = list(trajectory.steps if steps is None else steps)
    skipped: dict[int, str] = {}
    with ExitStack() as stack:
        stack.enter_context(computing(device))
        setting = Setting(trajectory.experiment, trajectory.empty_model(), arguments)
        collectors = [Collector(each, setting, len(wanted)) for each in several]
        each_step = evaluate_each(
            several, trajectory, wanted, arguments, skipped, device=device, vectorize=vectorize, progress=progress
        )
        for step, results in stack.enter_context(closing(each_step)):
            for collector, result in zip(collectors, results, strict=True):
                if isinstance(result, NotDefined):
                    raise result
                collector.add(step, result)
    if not collectors[0].steps:
        raise RunDirectoryError(trajectory.path, f"has no readable checkpoint ({len(skipped)} damaged)")
    try:
        dataset = xr.merge([one.dataset() for one in collectors], join="exact", compat="no_conflicts")
    except ValueError as error:
        names = ", ".join(each.__name__ for each in several)
        raise ConfigError("analyses", names, f"must agree in shared axes and fields: {one_line(error)}") from None
    about = described(several[0]) if len(several) == 1 else {}
    return dataset.assign_attrs(about, skipped=json.dumps({str(step): why for step, why in skipped.items()}))


def evaluate_each(
    analyses: Sequence[Analysis],
    trajectory: Trajectory,
    steps: Sequence[int],
    arguments: Mapping[str, Any],
    skipped: dict[int, str],
    *,
    device: str | torch.device = "cpu",
    vectorize: bool | None = None,
    progress: bool = False,
    copies: int = COPIES,
    apart: bool = False,
) -> Generator[tuple[int, list[Result]]]:
    """Yield every readable step with a result per analysis; add unreadable steps, with reasons, to ``skipped``.

    Close the iterator if you leave it early, since it changes settings of this thread. In the loop, an analysis that is
    not defined for the run yields its NotDefined exception; under vmap it is raised. ``copies`` is the number of arrays
    as large as all logits that the most demanding analysis computes. ``apart`` lets workers share the analyses of a
    checkpoint, instead of the checkpoints.
    """
    require_memory(trajectory.experiment, trajectory.empty_model(), torch.device(device), copies=copies)
    keep_freed_memory()
    bound = [(analysis, declared_arguments(analysis, arguments)) for analysis in analyses]
    on_gpu = torch.device(device).type == "cuda"
    problem, template = trajectory.problem.to(device), trajectory.empty_model().double().to(device)
    if vectorize and not template.vectorizes:
        raise ConfigError("vectorize", vectorize, "must be off for a recorded module, which runs only in the loop")
    vectorize = on_gpu and template.vectorizes if vectorize is None else vectorize
    weights = track(_read(trajectory, steps, skipped), "analyzing", total=len(steps), shown=progress and bool(steps))
    chunks = _chunks(weights, CHUNK if vectorize else 1)
    workers = _workers(trajectory.experiment, template, torch.device(device), copies)
    program = _vectorized if vectorize else partial(_one_by_one, workers=workers, apart=apart)
    for chunk, results in program(bound, template, problem, chunks):
        yield from zip((step for step, _ in chunk), results, strict=True)


def declared_arguments(analysis: Analysis, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that an analysis declares. Raises TypeError if an argument without a default is missing."""
    parameters = _keywords(analysis)
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in arguments]
    if missing:
        raise TypeError(f"{analysis.__name__} requires {', '.join(missing)}: pass it to evaluate() by keyword")
    return {p.name: arguments[p.name] for p in parameters if p.name in arguments}


def _keywords(analysis: Analysis) -> list[inspect.Parameter]:
    """Return the parameters of an analysis other than the checkpoint."""
    return list(inspect.signature(analysis).parameters.values())[1:]


def _reject_unknown(analyses: Sequence[Analysis], arguments: Mapping[str, Any]) -> None:
    known = {parameter.name for analysis in analyses for parameter in _keywords(analysis)}
    for name in arguments:
        if name not in known:
            raise TypeError(f"{name}: not an argument of {', '.join(a.__name__ for a in analyses)}")


def _read(
    trajectory: Trajectory, steps: Iterable[int], skipped: dict[int, str]
) -> Iterator[tuple[int, Weights] | None]:
    """Yield the weights of each step, or None for a damaged file, whose reason is added to ``skipped``."""
    for step, weights in trajectory.each_weights(steps):
        if isinstance(weights, CheckpointError):
            skipped[step] = weights.why
            yield None
        else:
            yield step, weights


def _chunks(weights: Iterable[tuple[int, Weights] | None], size: int) -> Iterator[Chunk]:
    """Yield groups of readable checkpoints that agree in having or lacking the update and the previous update."""
    chunk: Chunk = []
    for item in weights:
        if item is None:
            continue
        if chunk and (len(chunk) == size or lacks(chunk[0]) != lacks(item)):
            yield chunk
            chunk = []
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def lacks(item: tuple[int, Weights]) -> tuple[bool, bool]:
    """Return whether a checkpoint lacks its update, and whether it lacks the previous update."""
    return item[1].update is None, item[1].previous_update is None


Bound = list[tuple[Analysis, dict[str, Any]]]


def _workers(experiment: Experiment, template: Model, device: torch.device, copies: int) -> int:
    """Return the number of checkpoints at a time: as many as PyTorch threads, if they fit into memory.

    A large model is not copied and has a single worker.
    """
    if sum(weight.numel() for weight in template.parameters()) > SMALL:
        return 1
    return workers_that_fit(experiment, template, device, torch.get_num_threads(), copies=copies)


def _one_by_one(
    bound: Bound, template: Model, problem: Problem, chunks: Iterable[Chunk], *, workers: int, apart: bool
) -> Iterator[tuple[Chunk, list[list[Result]]]]:
    """Load each checkpoint into a model and call every analysis, for several checkpoints or analyses at a time.

    Each worker computes on a single thread with its own copy of the model. Threads that never wait for each other lose
    no time when another program keeps a core busy. Costly analyses of a checkpoint run ``apart``: they share little,
    and few checkpoints would leave workers without work at the end.
    """
    own = threading.local()

    def run(task: tuple[Chunk, Bound]) -> tuple[Chunk, list[list[Result]]]:
        chunk, some = task
        if not hasattr(own, "model"):
            own.model = copy.deepcopy(template)
        return chunk, [_analyze_one(some, own.model, problem, *item) for item in chunk]

    if workers == 1:
        yield from map(run, ((chunk, bound) for chunk in chunks))
        return
    groups = [[one] for one in bound] if apart else [bound]
    load_linear_algebra(problem.tokens.device)
    with threads(1), exact_attention():
        done = _map_in_order(run, ((chunk, some) for chunk in chunks for some in groups), workers)
        for chunk, first in done:
            others = [results for _, results in islice(done, len(groups) - 1)]
            yield chunk, [list(chain(*of_step)) for of_step in zip(first, *others, strict=True)]


def _map_in_order(run: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Iterator[Any]:
    """Yield ``map(run, tasks)`` from worker threads, with few tasks in progress at a time."""
    with ThreadPoolExecutor(workers, initializer=set_threads, initargs=(1,)) as pool:
        under_way: deque[Future] = deque()
        for task in tasks:
            under_way.append(pool.submit(run, task))
            if len(under_way) > workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _analyze_one(bound: Bound, model: Model, problem: Problem, step: int, weights: Weights) -> list[Result]:
    """Return the result of every analysis for one checkpoint."""
    model.load_state_dict(weights.state)
    update, previous = (_moved(one, problem.tokens.device) for one in (weights.update, weights.previous_update))
    checkpoint = Checkpoint(step, model, problem, update, previous_update=previous)
    return [result_of(analysis, checkpoint, arguments) for analysis, arguments in bound]


def result_of(analysis: Analysis, checkpoint: Checkpoint, arguments: Mapping[str, Any]) -> Result | NotDefined:
    """Return the result of an analysis with the arguments that it declares, or its NotDefined exception."""
    try:
        return on_host(labeled_result(analysis, checkpoint, declared_arguments(analysis, arguments)))
    except NotDefined as error:
        return error


def labeled_result(analysis: Analysis, checkpoint: Checkpoint, arguments: Mapping[str, Any]) -> Result:
    """Return the result of an analysis. Raises ConfigError unless its fields are labeled tensors."""
    result = analysis(checkpoint, **arguments)
    require_labeled(analysis, result)
    return result


def _moved(update: dict[str, Tensor] | None, device: torch.device) -> dict[str, Tensor] | None:
    return None if update is None else {name: value.to(device, torch.float64) for name, value in update.items()}


def on_host(result: Result) -> Result:
    """Return a copy of the result as arrays, because a field may be a view of weights that the next step overwrites."""
    return type(result)(*(np.array(field.detach().cpu().numpy()) for field in result))


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


def _vectorized(
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
    stacked = vmap(one, in_dims=axes)(_stack(states, device), steps, updates, previous)
    arrays = [on_host(result) for result in stacked]
    return [[type(result)(*(field[i] for field in result)) for result in arrays] for i in range(len(chunk))]


def _stack_all(updates: Sequence[dict[str, Tensor] | None], device: torch.device) -> dict[str, Tensor] | None:
    """Return the stacked updates of a chunk; None if it has no updates."""
    there = [update for update in updates if update is not None]
    return _stack(there, device) if there else None


def _stack(tensors: Sequence[Mapping[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in tensors]).to(device, torch.float64) for name in tensors[0]}
