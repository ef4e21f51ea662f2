"""The writer of a run in training: its detector, patience, metrics, checkpoints, resume states, and status."""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from grokinterp.errors import ConfigError, GrokinterpError, RunDirectoryError, warn
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.optim import Evaluation
from grokinterp.phases import SUSTAINED, Detector, SustainedDetector
from grokinterp.progress import ProgressBar
from grokinterp.runs.trajectory import AVERAGE, UPDATE
from grokinterp.storage import HeldRun, Resume, WriteQueue
from grokinterp.training.continuation import continuation, state_used
from grokinterp.training.directory import recorded
from grokinterp.training.environment import warn_of_changes
from grokinterp.training.extension import changed_settings
from grokinterp.training.host_copy import HostCopy
from grokinterp.training.loggers import AnyLogger, evaluation_line, log_all
from grokinterp.training.memory import MemoryUse, needs
from grokinterp.training.metrics import settings
from grokinterp.training.outlook import Forecaster
from grokinterp.training.run_step import RunStep

State = tuple[dict[str, Tensor], dict[str, Any]]
"""The content of a resume state: tensors, and JSON values."""

BEGINS = 0.05
"""Held-out accuracy above which the transition to generalization has begun."""


@dataclass
class RunWriter:
    """One run in training: everything needed to resume it besides the step's own state, and its output files.

    ``training_step`` is the run's own ``Step``, or the run's part of a ``Stack``. ``has_ended`` states that the run is
    finished, interrupted or diverged. ``detector`` dates grokking on the held-out examples; ``after`` counts the
    evaluations since detection.

    Checkpoints are written by the thread of ``queue`` while training continues, everything else at once, but after all
    earlier checkpoints of the run: files appear in the order in which a single thread would write them. ``saving`` is
    the last checkpoint; a failed write stops the run where it next writes.

    ``last_environment`` is the environment in which the resume state was saved, and ``offset`` the length of the
    metrics up to it. ``recorded`` states that the metrics
    and checkpoint of the current step are already written; ``exact`` that this process reproduces earlier output bit
    for bit. ``forecaster`` predicts how the run goes on; ``stopped_by`` is the prediction that ended it.
    """

    experiment: Experiment
    held: HeldRun
    queue: WriteQueue
    problem: Problem
    training_step: RunStep
    environment: dict[str, Any]
    last_environment: dict[str, Any]
    loggers: Sequence[AnyLogger] = ()
    step: int = 0
    offset: int = 0
    recorded: bool = False
    memorized: bool = False
    in_transition: bool = False
    detector: Detector = field(default_factory=SustainedDetector)
    after: int = 0
    exact: bool = True
    memory: MemoryUse | None = None
    has_ended: bool = False
    saving: Future[None] | None = None
    resumed: Resume | None = None
    forecaster: Forecaster | None = None
    stopped_by: str = ""

    @classmethod
    def start(
        cls,
        experiment: Experiment,
        run: HeldRun,
        queue: WriteQueue,
        problem: Problem,
        training_step: RunStep,
        environment: dict[str, Any],
        *,
        loggers: Sequence[AnyLogger] = (),
        at: int | None = None,
    ) -> "RunWriter":
        """Load the newest resume state, or keep the initial weights if there is none; ``begin`` then changes the run.

        Args:
            experiment: the configuration of the run.
            run: the run directory.
            queue: performs the writes of checkpoints.
            problem: the problem, on the device.
            training_step: the step with the initial weights.
            environment: that of this process.
            loggers: receive every evaluation.
            at: continue from this step, where newer states are ignored, and 0 starts from the initial weights (default:
                from the newest).

        Raises:
            RunDirectoryError: if no resume state can be used, or there is none at the step ``at``.
        """
        run.write_environment(recorded(experiment, environment))
        writer = cls(experiment, run, queue, problem, training_step, environment, run.directory.environment, loggers)
        saved = None if at == 0 else run.directory.resume.load(log_bytes=run.metrics.offset, at_most=at)
        if at and (saved is None or saved.step != at):
            raise RunDirectoryError(run.directory.path, f"has no usable resume state at step {at}")
        if saved is not None:
            writer.load(saved)
        writer.resumed = saved
        if writer.is_done and changed_settings(run.directory, experiment):
            rule = f"must be above {writer.after}, the evaluations since grokking was detected, or none, to continue"
            raise ConfigError("patience", experiment.patience, rule)
        return writer

    def begin(self) -> None:
        """Record that this process continues the run, and remove metrics that it will write again.

        Every run of a stack is loaded before any of them begins.
        """
        settings = changed_settings(self.run.directory, self.experiment)
        is_complete = self.step == self.experiment.budget or self.is_done
        if settings or not is_complete:
            self.take_over(self.resumed, settings)
        if not is_complete:
            self.write_status("running")
        self.run.metrics.truncate(self.offset)
        self.resumed = None

    @property
    def run(self) -> HeldRun:
        """The run directory, after all its checkpoints so far are on disk. Raises the error of a failed write."""
        if self.saving is not None:
            self.saving.result()
        return self.held

    def take_over(self, saved: Resume | None, settings: Mapping[str, tuple[Any, Any]]) -> None:
        """Record the continuation, unless this process is the first, and warn if it cannot be bit-identical."""
        run = self.run.directory
        if saved is None and not run.status and not run.steps() and not settings:
            return
        changed = warn_of_changes(self.last_environment, self.environment)
        self.exact = not changed
        used = state_used(run, saved, resume_every=self.experiment.save.resume_every)
        skipped = () if saved is None else saved.skipped
        record = continuation(
            self.step, used, self.environment, exact=self.exact, changed=changed, skipped=skipped, settings=settings
        )
        self.run.record_continuation(record)

    def at_gradients(self, bar: ProgressBar) -> None:
        """Write the output due at this step, whose gradients were just computed; end the run if it is complete."""
        if not self.recorded and not self.record(bar):
            self.diverge()
        elif self.step == self.experiment.budget or self.is_done:
            self.finish()

    def advance(self) -> None:
        """Move to the next step, whose weights were just computed."""
        self.step, self.recorded = self.step + 1, False

    def record(self, bar: ProgressBar) -> bool:
        """Write the output due at this step; return False, without writing, if the run has diverged."""
        experiment, step = self.experiment, self.step
        regular = step % experiment.evaluate_every == 0
        evaluates = step == experiment.budget or regular
        state = None if regular or not evaluates else self.state_without_evaluation()
        if evaluates and not self.evaluate(bar):
            return False
        last = step == experiment.budget or self.is_done
        saves = last or experiment.save.saves(step, in_transition=self.in_transition)
        resumable = last or (step > 0 and step % experiment.save.resume_every == 0)
        if (saves or resumable) and not self.is_finite():
            return False
        if saves:
            self.save_checkpoint()
        self.recorded = True
        if resumable:
            self.save_resume_state(state)
        return True

    def evaluate(self, bar: ProgressBar) -> bool:
        """Append a row of metrics; return False if the run has diverged."""
        training_step = self.training_step
        found: dict[str, Any] = {"step": self.step, **training_step.measured()}
        tables = [value if isinstance(value, dict) else {"": value} for value in found.values()]
        finite = all(math.isfinite(value) for table in tables for value in table.values())
        if found.pop("applied") != self.step or not finite:
            return False
        detected = self.observe(found)
        found |= settings(training_step, self.step)  # after the schedules have observed the evaluation
        since, boost = self.detector.grok_step, self.experiment.optimization.boost
        if detected:
            boosted = f"; λ is now multiplied by {boost:g}" if boost != 1 else ""
            numbers = evaluation_line(found)
            bar.say(f"step {self.step}: grokking detected, generalizing since step {since}{boosted}; {numbers}")
        self.run.metrics.append(found)
        self.loggers = log_all(self.loggers, found | {"detected": int(since is not None)})
        bar.advance(0, note=evaluation_line(found))
        if self.forecaster is not None:
            self.look_ahead(self.forecaster, bar)
        return True

    def look_ahead(self, forecaster: Forecaster, bar: ProgressBar) -> None:
        """Print the prediction at this step, if there is one; a forecaster that fails is not asked again."""
        try:
            outlook = forecaster.outlook(self.held.directory, self.step)
        except GrokinterpError as error:
            warn(f"the run is not predicted any more: {error}")
            self.forecaster = outlook = None
        if outlook is not None:
            bar.say(f"step {self.step}: {outlook.text}")
            self.stopped_by = outlook.text if outlook.ends else ""

    def observe(self, found: Mapping[str, Any]) -> bool:
        """Pass an evaluation to saving, schedules and λ; return True if it detects grokking."""
        held_out = "validation" if "validation" in self.problem.parts else "test"
        loss, accuracy = found[f"{held_out}_loss"], found[f"{held_out}_accuracy"]
        train = found.get("clean_accuracy", found["train_accuracy"])
        self.memorized = self.memorized or train >= SUSTAINED.memorized
        self.in_transition = self.memorized and BEGINS < accuracy < SUSTAINED.memorized
        self.training_step.observe(Evaluation(self.step, found["train_loss"], train, loss, accuracy))
        self.after += self.detector.grok_step is not None
        detected = self.detector.update(self.step, train, accuracy)
        if detected and self.experiment.optimization.boost != 1:
            self.training_step.boost(self.experiment.optimization.boost)
        return detected

    @property
    def is_done(self) -> bool:
        """Whether a prediction ends the run, or grokking was detected and the patience is exhausted."""
        patience = self.experiment.patience
        if self.stopped_by:
            return True
        return patience is not None and self.detector.grok_step is not None and self.after >= patience

    def is_finite(self) -> bool:
        """Return whether loss and gradient are finite and every update so far was applied."""
        training_step = self.training_step
        return bool(training_step.finite()) and int(training_step.applied) == self.step

    def save_checkpoint(self) -> None:
        """Copy the state dict and the last update, and write them while training continues."""
        names, averaged = self.training_step.names, self.training_step.averaged
        update = zip(names, self.training_step.last_update(), strict=True) if self.step else ()
        tensors = self.training_step.model.state_dict() | {UPDATE + name: value for name, value in update}
        if averaged is not None:
            tensors |= {AVERAGE + name: value for name, value in zip(names, averaged, strict=True)}
        if self.saving is not None and self.saving.done():
            self.saving.result()  # raises the error of a failed write
        copy = HostCopy(tensors)
        self.saving = self.queue.add(partial(self.write_checkpoint, self.step, copy, self.saving), copy.size)

    def write_checkpoint(self, step: int, copy: HostCopy, previous: Future[None] | None) -> None:
        """Write a checkpoint, in the thread of the queue, unless the previous one of this run could not be written.

        A continuation that is not bit-identical keeps existing files of steps that it reaches again, with a warning.
        """
        if previous is not None:
            previous.result()
        try:
            self.held.save_checkpoint(step, copy.tensors())
        except RunDirectoryError as error:
            if self.exact:
                raise
            warn(error, stacklevel=2)

    def save_resume_state(self, state: State | None = None) -> None:
        """Write everything that a continuation depends on, by default as it is now."""
        self.run.save_resume_state(self.step, *(self.state() if state is None else state))

    def state_without_evaluation(self) -> State:
        """Return the state before the evaluation of a last step at which a longer run would not be evaluated."""
        tensors, state = self.state()
        return tensors, state | {"metrics_offset": self.run.metrics.offset}

    def state(self) -> State:
        """Return everything that a continuation depends on: tensors, and JSON values."""
        tensors, plan = self.training_step.state()
        state = {
            "training_step": plan,
            "detector": self.detector.state,
            "after": self.after,
            "memorized": self.memorized,
            "in_transition": self.in_transition,
            "environment": {**self.environment, "stack": self.training_step.together},
        }
        return _on_host(self.training_step.model.state_dict() | tensors), state

    def load(self, saved: Resume) -> None:
        """Restore a resume state."""
        for line in saved.skipped:
            warn(line, stacklevel=2)
        try:
            self.put(saved)
        except (KeyError, RuntimeError) as error:
            why = f"its resume state was written by another version: {' '.join(str(error).split())[:200]}"
            raise RunDirectoryError(self.run.directory.path, why) from None

    def put(self, saved: Resume) -> None:
        """Restore a complete resume state. Raises KeyError or RuntimeError if it is incomplete."""
        model = self.training_step.model
        model.load_state_dict({name: saved.tensors[name] for name in model.state_dict()})
        self.training_step.load_state(saved.state["training_step"], saved.tensors, saved.step)
        self.detector, self.after = SustainedDetector.from_state(saved.state["detector"]), saved.state["after"]
        self.step, self.recorded = saved.step, True
        self.memorized, self.in_transition = saved.state["memorized"], saved.state["in_transition"]
        self.last_environment, self.offset = saved.state["environment"], saved.state["metrics_offset"]
        if self.step == self.experiment.budget:
            self.offset = saved.state.get("end_offset", self.offset)

    def write_status(self, status: str, **details: Any) -> None:
        """Replace the status of the run."""
        self.run.write_status({"status": status, "step": self.step, **details})

    def finish(self) -> None:
        """Record that the run has ended, at its last step, by its patience or a prediction, unless this is recorded."""
        self.has_ended = True
        self.run.metrics.sync()
        if self.run.directory.status.get("status") == "finished":
            return
        after = f"stopped {self.experiment.patience} evaluations after grokking was detected"
        why = {"why": after} if self.step < self.experiment.budget else {}
        memory = {"estimated": needs(self.experiment).peak, "used": self.memory.peak() if self.memory else None}
        if self.stopped_by and self.step < self.experiment.budget:
            return self.write_status("stopped", why=self.stopped_by, memory=memory)
        self.write_status("finished", **why, memory=memory)

    def interrupt(self) -> None:
        """Save the state, unless the run has diverged since the last evaluation."""
        if not self.is_finite():
            return self.diverge()
        self.has_ended = True
        self.save_resume_state()
        self.write_status("interrupted")

    def diverge(self) -> None:
        """Keep the last finite weights and report the first step with a non-finite loss or gradient."""
        self.has_ended = True
        self.step = int(self.training_step.applied)
        state = _on_host(self.training_step.model.state_dict())
        finite = all(bool(value.isfinite().all()) for value in state.values())
        if finite and self.step not in self.run.directory.steps():
            self.run.save_checkpoint(self.step, state)
        self.run.metrics.sync()
        kept = f"checkpoint {max(self.run.directory.steps(), default='none')} is the last finite state"
        why = f"the loss or its gradient is not finite; {kept}; try a lower optimization.lr"
        self.write_status("diverged", why=why)


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu() for name, value in tensors.items()}
