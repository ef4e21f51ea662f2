"""Evaluation of single-checkpoint analyses into a labeled dataset over all steps."""

import inspect
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from typing import Any, cast

import torch
import xarray as xr

from grokinterp.allocator import keep_freed_memory
from grokinterp.analysis.engine.collector import Collector
from grokinterp.analysis.engine.coordinates import Setting
from grokinterp.analysis.engine.evaluator import Chunk, Evaluator, declared_arguments, keywords
from grokinterp.analysis.engine.labeled import Analysis, Result, described
from grokinterp.analysis.engine.loop import one_by_one
from grokinterp.analysis.engine.memory import COPIES, require_memory, workers_that_fit
from grokinterp.analysis.engine.team import Team
from grokinterp.analysis.engine.vectorized import vectorized
from grokinterp.errors import CheckpointError, ConfigError, NotDefined, RunDirectoryError, one_line, require, short
from grokinterp.experiment import Experiment
from grokinterp.models import Model
from grokinterp.progress import track
from grokinterp.runs.trajectory import Trajectory, Weights
from grokinterp.specification import require_type
from grokinterp.torch_settings import computing

SMALL = 2**24
"""The largest number of weights of a model that is copied for every thread."""

SHOWN = 3
"""Number of saved steps that an error shows."""

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

    On the CPU, other processes share work of more than a few seconds, as many in all as PyTorch has threads; analyses
    that are defined in a script or a notebook run in threads of this process. A damaged checkpoint is skipped and
    listed in the attribute ``skipped`` of the dataset (JSON, {step: reason}).

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
    several = require_functions(analyses)
    _reject_unknown(several, arguments)
    wanted = list(trajectory.steps if steps is None else require_saved(steps, trajectory))
    skipped: dict[int, str] = {}
    with ExitStack() as stack:
        stack.enter_context(computing(device))
        setting = Setting(trajectory.problem, trajectory.empty_model(), arguments)
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
    team: Team | None = None,
) -> Generator[tuple[int, list[Result]]]:
    """Yield every readable step with a result per analysis; add unreadable steps, with reasons, to ``skipped``.

    Close the iterator if you leave it early, since it changes settings of this thread. In the loop, an analysis that is
    not defined for the run yields its NotDefined exception; under vmap it is raised. ``copies`` is the number of arrays
    as large as all logits that the most demanding analysis computes. ``apart`` lets workers share the analyses of a
    checkpoint, instead of the checkpoints. ``team`` are other processes for the same run and arguments, which the
    caller ends.
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
    with Team(trajectory, arguments, device) if team is None else nullcontext(team) as others:
        if vectorize:
            done = vectorized(bound, template, problem, chunks)
        else:
            workers = _workers(trajectory.experiment, template, torch.device(device), copies)
            here = Evaluator(template, problem)
            done = one_by_one(bound, chunks, len(steps), here, others, workers=workers, apart=apart)
        for chunk, results in done:
            yield from zip((step for step, _ in chunk), results, strict=True)


def require_functions(analyses: object) -> list[Analysis]:
    """Return one or several analyses as a list. Raises ConfigError unless they are functions of a checkpoint."""
    several = [analyses] if isinstance(analyses, Analysis) else analyses
    rule = "must be a function of a checkpoint or several, as grokinterp.analysis.performance"
    require(isinstance(several, Sequence) and not isinstance(several, str), "analyses", short(analyses), rule)
    found: list[Any] = list(cast(Sequence, several))
    require(bool(found), "analyses", "none", rule)
    for one in found:
        require(isinstance(one, Analysis), "analyses", short(one), rule)
        takes_one = bool(inspect.signature(one).parameters)
        require(takes_one, "analyses", one.__name__, "must take a checkpoint as its first argument")
    return found


def require_saved(steps: object, trajectory: Trajectory) -> list[int]:
    """Return steps as a list. Raises ConfigError unless they were saved."""
    listed = isinstance(steps, Iterable) and not isinstance(steps, str)
    require(listed, "steps", short(steps), "must be a list of saved steps")
    found, saved = list(cast(Iterable[int], steps)), set(trajectory.steps)
    for step in found:
        if step not in saved:
            few = ", ".join(map(str, trajectory.steps[:SHOWN]))
            more = f", ..., {trajectory.steps[-1]}" if len(saved) > SHOWN else ""
            raise ConfigError("steps", short(step), f"was not saved; the run has {few}{more}")
    return found


def _reject_unknown(analyses: Sequence[Analysis], arguments: Mapping[str, Any]) -> None:
    known = {parameter.name for analysis in analyses for parameter in keywords(analysis)}
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


def _workers(experiment: Experiment, template: Model, device: torch.device, copies: int) -> int:
    """Return the number of checkpoints at a time: as many as PyTorch threads, if they fit into memory.

    A large model is not copied and has a single worker.
    """
    if sum(weight.numel() for weight in template.parameters()) > SMALL:
        return 1
    return workers_that_fit(experiment, template, device, torch.get_num_threads(), copies=copies)
