"""The training loop: train an experiment into a run directory."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from grokinterp.allocator import keep_freed_memory
from grokinterp.errors import ConfigError, RunInUse, require, short
from grokinterp.experiment import Experiment
from grokinterp.experiment.edits import Edit
from grokinterp.experiment.kinds import RECORDED
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interrupt import Interrupt, deferred_signals
from grokinterp.progress import ProgressBar
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory, WriteQueue
from grokinterp.storage.files import path_of
from grokinterp.torch_settings import computing
from grokinterp.training.directory import create, default_directory, open_to_resume
from grokinterp.training.disk import require_disk
from grokinterp.training.environment import choose_device, describe
from grokinterp.training.fitting import key_of
from grokinterp.training.loggers import AnyLogger, finish_all
from grokinterp.training.memory import MemoryUse, memory_errors_in_one_line, needs, require_memory
from grokinterp.training.optimizers import require_parts
from grokinterp.training.origin import branched, resolved
from grokinterp.training.outlook import Forecaster
from grokinterp.training.stack import Member, Stack
from grokinterp.training.stack_memory import stack_needs
from grokinterp.training.start import Start
from grokinterp.training.step import Step
from grokinterp.training.writer import RunWriter


def train(
    experiment: Experiment,
    directory: str | Path | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    progress: bool = False,
    loggers: Sequence[AnyLogger] = (),
    forecaster: Forecaster | None = None,
) -> Trajectory:
    """Train through all phases, saving dense checkpoints and metrics.

    The host does not synchronize with the device between evaluations. SIGINT, SIGTERM, SIGHUP, SIGXCPU and SIGUSR1
    save the state and stop, unless they are ignored; a second SIGINT or SIGTERM stops at once.
    Training stops early only ``experiment.patience`` evaluations after grokking was detected, if a forecaster ends it
    (its status is then ``stopped``, and it can be resumed), or if the loss or gradient is not finite: the last finite
    weights are then kept and the status of the run is ``diverged``.

    Args:
        experiment: the configuration to train.
        directory: a new or empty directory (default: ``default_directory``), or with ``resume`` the run to continue.
        device: auto, cpu or cuda.
        resume: continue, bit-identically on the same machine, PyTorch build, device and thread count. ``steps``,
            ``patience``, ``evaluate_every`` and ``save`` may differ from those of the run; the change is recorded, and
            the result is that of a run planned with them.
        progress: show a progress bar on standard error.
        loggers: receive every evaluation (see ``training.loggers``); a logger that fails does not stop training.
        forecaster: predicts how the run goes on, and may end it (see ``training.outlook``).

    Raises:
        ConfigError: before anything is created, if the configuration or device cannot be used.
        RunDirectoryError: if the directory is not empty, is locked, or belongs to another configuration.
        KeyboardInterrupt: after SIGINT, and ``Stopped`` after another signal, once the state is saved.
    """
    experiment, chosen = trainable(experiment, resume=resume), choose_device(device)
    directory = default_directory(experiment) if directory is None else path_of("directory", directory)
    existing = open_to_resume(directory, experiment) if resume else None
    start = start_of(experiment) if existing is None else None
    require_memory(experiment, chosen)
    require_disk(experiment, directory, start=max(existing.resume.steps(), default=0) if existing else 0)
    environment = describe(chosen)
    run = existing or create(directory, experiment, environment, start=start)
    train_runs([experiment], [run], chosen, environment, loggers=loggers, forecasters=[forecaster], progress=progress)
    return Trajectory.open(directory)


def branch(
    run: str | Path,
    step: int,
    *changes: str,
    edits: Sequence[Edit] = (),
    optimizer_state: bool = False,
    directory: str | Path | None = None,
    device: str = "auto",
    progress: bool = False,
    loggers: Sequence[AnyLogger] = (),
) -> Trajectory:
    """Train from a step of a run, with its settings except changes, into a run directory of its own.

    The branch contains all that is needed to continue and to analyze it without its parent. Its step 0 is ``step`` of
    the parent.

    >>> branch("checkpoints/demo", 1200, "optimization.weight_decay=0", edits=[Redraw(part="embed")])  # doctest: +SKIP

    Args:
        run: the directory of the parent.
        step: a saved step of the parent.
        changes: settings as dotted ``key=value``, as for ``Experiment.override``.
        edits: changes of the weights, in order (``experiment.edits``).
        optimizer_state: start with the moments of the parent's optimizer, its filters' memory, and its averaged
            weights, for which the parent must have a resume state at the step.
        directory: a new or empty directory (default: ``default_directory``).
        device: auto, cpu or cuda.
        progress: show a progress bar on standard error.
        loggers: receive every evaluation, as in ``train``.

    Raises:
        GrokinterpError: before anything is created, if the parent, a donor, an edit or a setting cannot be used.
    """
    experiment = branched(run, step, changes, edits=edits, optimizer_state=optimizer_state)
    return train(experiment, directory, device=device, progress=progress, loggers=loggers)


def trainable(experiment: Experiment, *, resume: bool) -> Experiment:
    """Return a valid copy of an experiment, with the identity of its parent if it is a new branch.

    Raises:
        ConfigError: if it cannot be trained.
    """
    require(isinstance(experiment, Experiment), "experiment", short(experiment), "must be an Experiment")
    experiment = Experiment.from_dict(experiment.to_dict())
    if experiment.model.kind == RECORDED:
        raise ConfigError("model.kind", RECORDED, "was trained by an external loop, from which this run was recorded")
    if experiment.split.trained_on == UNKNOWN:
        raise ConfigError("split.trained_on", UNKNOWN, "leaves no training examples")
    require_parts(experiment)
    return experiment if experiment.origin is None or resume else resolved(experiment)


def start_of(experiment: Experiment) -> bytes | None:
    """Return the file with the start of a new branch; None for an experiment without a parent."""
    return None if experiment.origin is None else Start.from_parent(experiment).encode(experiment)


def train_stack(
    experiments: Sequence[Experiment],
    directories: Sequence[Path],
    *,
    device: str = "auto",
    progress: bool = False,
    forecasters: Sequence[Forecaster | None] = (),
) -> None:
    """Train experiments that fit together as one program, each into its own run directory.

    Existing runs are continued, all from the newest step at which every run has a resume state. A
    continuation is bit-identical under the conditions of ``train`` if the same runs are in the stack. A run that
    diverges or whose patience is exhausted ends, and the others continue.

    Args:
        experiments: the configurations, for all of which ``key_of`` is equal and not None.
        directories: a new or empty directory, or an unfinished run, for every experiment.
        device: auto, cpu or cuda.
        progress: show a progress bar on standard error.
        forecasters: predicts how each run goes on, and may end it (default: none does).

    Raises:
        ConfigError: if a configuration or the device cannot be used, or the experiments do not fit together.
        RunDirectoryError: if a directory is not empty, is locked, or belongs to another configuration.
    """
    require(
        len({key_of(one) for one in experiments} - {None}) == 1, "experiments", len(experiments), "must fit together"
    )
    chosen = choose_device(device)
    environment = describe(chosen) | {"stack": len(experiments)}
    runs = [opened_or_created(*each, environment) for each in zip(experiments, directories, strict=True)]
    for one, run in zip(experiments, runs, strict=True):
        require_disk(one, run.path, start=max(run.resume.steps(), default=0))
    train_runs(experiments, runs, chosen, environment, forecasters=forecasters, progress=progress)


def train_runs(
    experiments: Sequence[Experiment],
    runs: Sequence[RunDirectory],
    device: torch.device,
    environment: dict[str, Any],
    *,
    loggers: Sequence[AnyLogger] = (),
    forecasters: Sequence[Forecaster | None] = (),
    progress: bool,
) -> None:
    """Train runs from their newest common state until they end or a signal asks to stop.

    Args:
        experiments: the configurations; several must fit together in a stack.
        runs: their directories.
        device: the device.
        environment: that of this process; ``stack`` is the number of runs in a stack, None for a single run.
        loggers: receive the evaluations of a single run.
        forecasters: of every run (default: none).
        progress: show a progress bar on standard error.
    """
    keep_freed_memory()
    memory, is_stack = MemoryUse(device), environment["stack"] is not None
    needed = partial(stack_needs, experiments[0], len(runs)) if is_stack else partial(needs, experiments[0])
    with ExitStack() as stack:
        held = [stack.enter_context(run.lock()) for run in runs]
        at = common_step(runs) if is_stack else None
        asked = stack.enter_context(deferred_signals())
        stack.enter_context(computing(device, flush=True))
        stack.enter_context(memory_errors_in_one_line(experiments[0], device, needed))
        queue = stack.enter_context(WriteQueue(len(experiments)))
        starts = [Start.of(run, one) for run, one in zip(runs, experiments, strict=True)]
        members = [member_of(*each, device) for each in zip(experiments, starts, strict=True)]
        program = Stack(members) if is_stack else step_of(members[0], starts[0])
        writers = [
            RunWriter.start(one, run, queue, member.problem, step, environment, loggers=loggers, at=at)
            for one, run, member, step in zip(experiments, held, members, program.runs, strict=True)
        ]
        for writer, forecaster in zip(writers, forecasters or [None] * len(writers), strict=True):
            writer.forecaster = forecaster
            writer.begin()
        if not is_stack:
            writers[0].memory = memory
        program.prepare()
        try:
            drive(writers, program, asked, progress=progress)
        finally:
            for writer in writers:
                finish_all(writer.loggers)
    asked.raise_if_asked()


def common_step(runs: Sequence[RunDirectory]) -> int:
    """Return the newest step at which every run of a stack has a resume state, 0 without one; their locks are held.

    Raises:
        RunInUse: another process has ended one of the runs before its lock was taken.
    """
    for run in runs:
        if run.document("status.json").get("status") in ("finished", "diverged", "stopped"):
            raise RunInUse(run.path, "has just been ended by another process")
    return min(max(run.resume.steps(), default=0) for run in runs)


def opened_or_created(experiment: Experiment, directory: Path, environment: Mapping[str, Any]) -> RunDirectory:
    """Open the unfinished run of an experiment in a directory, or create it."""
    if (directory / "experiment.json").exists():
        return open_to_resume(directory, experiment)
    experiment = trainable(experiment, resume=False)
    return create(directory, experiment, environment, start=start_of(experiment))


def member_of(experiment: Experiment, start: Start | None, device: torch.device) -> Member:
    """Return an experiment as a member of a stack, with its initial weights."""
    model = experiment.build_model() if start is None else start.model(experiment)
    problem, seed = Problem.of(experiment).to(device), experiment.split.data_seed(experiment.seed)
    return Member(model.to(device), problem, experiment.optimization, seed, experiment.budget)


def step_of(member: Member, start: Start | None) -> Step:
    """Return the step of a run; a branch may start with the optimizer state of its parent."""
    step = Step(*member)
    if start is not None and start.inherited is not None:
        tensors, plan = start.inherited
        step.inherit(plan, tensors)
    return step


def drive(writers: Sequence[RunWriter], program: Step | Stack, asked: Interrupt, *, progress: bool) -> None:
    """Alternate gradients, output and updates until every run has ended, or a signal asks to stop.

    Args:
        writers: the writers of the runs, all at the same step.
        program: their step.
        asked: the signal that asked to stop, if any.
        progress: show a progress bar on standard error.
    """
    step, budget = writers[0].step, max(writer.experiment.budget for writer in writers)
    description = "training" if len(writers) == 1 else f"training {len(writers)} runs"
    active = list(writers)
    with ProgressBar(description, budget, start=step, shown=progress) as bar:
        while True:
            program.gradients(step)
            for writer in active:
                writer.at_gradients(bar)
                if writer.has_ended:
                    writer.training_step.freeze()
            active = [writer for writer in active if not writer.has_ended]
            if asked.signal is not None:
                for writer in active:
                    writer.interrupt()
                return
            if not active:
                return
            program.apply(step)
            step += 1
            for writer in active:
                writer.advance()
            bar.advance()
