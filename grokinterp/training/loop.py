"""The training loop: train an experiment into a run directory."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokinterp.allocator import keep_freed_memory
from grokinterp.errors import ConfigError, RunDirectoryError, require, short, warn
from grokinterp.experiment import Experiment
from grokinterp.experiment.kinds import RECORDED
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interrupt import Interrupt, deferred_signals
from grokinterp.optim import Evaluation
from grokinterp.phases import SUSTAINED, Detector, GrokkingDetector
from grokinterp.progress import ProgressBar
from grokinterp.runs.trajectory import AVERAGE, UPDATE, Trajectory
from grokinterp.storage import HeldRun, Resume
from grokinterp.storage.files import path_of
from grokinterp.torch_settings import computing
from grokinterp.training.continuation import continuation, state_used
from grokinterp.training.directory import create, default_directory, open_to_resume, recorded
from grokinterp.training.disk import require_disk
from grokinterp.training.environment import choose_device, describe, warn_of_changes
from grokinterp.training.loggers import Logger, evaluation_line, finish_all, log_all
from grokinterp.training.memory import MemoryUse, memory_errors_in_one_line, needs, require_memory
from grokinterp.training.metrics import measure, row, settings
from grokinterp.training.step import Step

BEGINS = 0.05
"""Held-out accuracy above which the transition to generalization has begun."""


def train(
    experiment: Experiment,
    directory: str | Path | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    progress: bool = False,
    loggers: Sequence[Logger] = (),
) -> Trajectory:
    """Train through all phases, saving dense checkpoints and metrics.

    The host does not synchronize with the device between evaluations. SIGINT, SIGTERM, SIGHUP, SIGXCPU and SIGUSR1
    save the state and stop, unless they are ignored; a second SIGINT or SIGTERM stops at once.
    Training stops early only ``experiment.patience`` evaluations after grokking was detected, or if the loss or
    gradient is not finite: the last finite weights are then kept and the status of the run is ``diverged``.

    Args:
        experiment: the configuration to train.
        directory: a new or empty directory (default: ``default_directory``), or with ``resume`` the run to continue.
        device: auto, cpu or cuda.
        resume: continue, bit-identically on the same machine, PyTorch build, device and thread count.
        progress: show a progress bar on standard error.
        loggers: receive every evaluation (see ``training.loggers``); a logger that fails does not stop training.

    Raises:
        ConfigError: before anything is created, if the configuration or device cannot be used.
        RunDirectoryError: if the directory is not empty, is locked, or belongs to another configuration.
        KeyboardInterrupt: after SIGINT, and ``Stopped`` after another signal, once the state is saved.
    """
    require(isinstance(experiment, Experiment), "experiment", short(experiment), "must be an Experiment")
    experiment = Experiment.from_dict(experiment.to_dict())
    if experiment.model.kind == RECORDED:
        raise ConfigError("model.kind", RECORDED, "was trained by an external loop, from which this run was recorded")
    if experiment.split.trained_on == UNKNOWN:
        raise ConfigError("split.trained_on", UNKNOWN, "leaves no training examples")
    chosen = choose_device(device)
    directory = default_directory(experiment) if directory is None else path_of("directory", directory)
    existing = open_to_resume(directory, experiment) if resume else None
    require_memory(experiment, chosen)
    require_disk(experiment, directory, start=max(existing.resume.steps(), default=0) if existing else 0)
    keep_freed_memory()
    memory, environment = MemoryUse(chosen), describe(chosen)
    run = existing or create(directory, experiment, environment)
    with (
        run.lock() as held,
        deferred_signals() as asked,
        computing(chosen, flush=True),
        memory_errors_in_one_line(experiment, chosen),
    ):
        loop = Loop.start(experiment, held, chosen, environment, loggers)
        loop.memory = memory
        try:
            loop.run_to_end(asked, progress=progress)
        finally:
            finish_all(loop.loggers)
    asked.raise_if_asked()
    return Trajectory.open(directory)


@dataclass
class Loop:
    """The state of a training run: everything needed to resume it, and its output files.

    ``detector`` dates grokking on the held-out examples; ``after`` counts the evaluations since detection.

    ``last_environment`` is the environment in which the resume state was saved. ``recorded`` states that the metrics
    and checkpoint of the current step are already written; ``exact`` that this process reproduces earlier output bit
    for bit.
    """

    experiment: Experiment
    run: HeldRun
    problem: Problem
    training_step: Step
    environment: dict[str, Any]
    last_environment: dict[str, Any]
    loggers: Sequence[Logger] = ()
    step: int = 0
    recorded: bool = False
    memorized: bool = False
    in_transition: bool = False
    detector: Detector = field(default_factory=GrokkingDetector)
    after: int = 0
    exact: bool = True
    memory: MemoryUse | None = None

    @classmethod
    def start(
        cls,
        experiment: Experiment,
        run: HeldRun,
        device: torch.device,
        environment: dict[str, Any],
        loggers: Sequence[Logger] = (),
    ) -> "Loop":
        """Start from the newest resume state, or from the initial weights if there is none."""
        model = experiment.build_model().to(device)
        problem = Problem.of(experiment).to(device)
        seed = experiment.split.data_seed(experiment.seed)
        training_step = Step(model, problem, experiment.optimization, seed=seed, steps=experiment.budget)
        run.write_environment(recorded(experiment, environment))
        loop = cls(experiment, run, problem, training_step, environment, run.directory.environment, loggers)
        saved = run.directory.resume.load(log_bytes=run.metrics.offset)
        if saved is None:
            run.metrics.truncate(0)
        else:
            loop.load(saved)
        if loop.step < experiment.budget and not loop.is_done:
            loop.take_over(saved)
        training_step.prepare()
        return loop

    def take_over(self, saved: Resume | None) -> None:
        """Record the continuation, unless this process is the first, and warn if it cannot be bit-identical."""
        changed = warn_of_changes(self.last_environment, self.environment)
        self.exact, run = not changed, self.run.directory
        if saved is None and not run.status:
            return
        used = state_used(run, saved, resume_every=self.experiment.save.resume_every)
        skipped = () if saved is None else saved.skipped
        record = continuation(self.step, used, self.environment, exact=self.exact, changed=changed, skipped=skipped)
        self.run.record_continuation(record)

    def run_to_end(self, asked: Interrupt, *, progress: bool) -> None:
        """Alternate gradients, records and updates until the last step, a signal or a non-finite gradient."""
        steps, training_step = self.experiment.budget, self.training_step
        self.write_status("running")
        with ProgressBar("training", steps, start=self.step, shown=progress) as bar:
            while True:
                training_step.gradients(self.step)
                if not self.recorded and not self.record(bar):
                    return self.diverge()
                if self.step == steps or self.is_done:
                    return self.finish()
                if asked.signal is not None:
                    return self.interrupt()
                training_step.apply(self.step)
                self.step, self.recorded = self.step + 1, False
                bar.advance()

    def record(self, bar: ProgressBar) -> bool:
        """Write the output due at this step; return False, without writing, if the run has diverged."""
        experiment, step = self.experiment, self.step
        evaluates = step == experiment.budget or step % experiment.evaluate_every == 0
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
            self.save_resume_state()
        return True

    def evaluate(self, bar: ProgressBar) -> bool:
        """Append a row of metrics; return False if the run has diverged."""
        training_step = self.training_step
        measured = measure(training_step, training_step.model, self.problem)
        found = row(self.step, measured)
        applied, norms = found.pop("applied"), found["weight_norm_of"]
        scalars = [value for value in found.values() if value is not norms]
        if applied != self.step or not all(map(math.isfinite, [*scalars, *norms.values()])):
            return False
        if self.observe(found):
            since, boost = self.detector.grok_step, self.experiment.optimization.boost
            boosted = f"; λ is now multiplied by {boost:g}" if boost != 1 else ""
            bar.say(f"step {self.step}: grokking detected, generalizing since step {since}{boosted}")
        found |= settings(training_step, self.step)  # after the schedules have observed the evaluation
        self.run.metrics.append(found)
        self.loggers = log_all(self.loggers, found)
        bar.advance(0, note=evaluation_line(found))
        return True

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
        """Whether grokking was detected and the patience is exhausted."""
        patience = self.experiment.patience
        return patience is not None and self.detector.grok_step is not None and self.after >= patience

    def is_finite(self) -> bool:
        """Return whether loss and gradient are finite and every update so far was applied."""
        training_step = self.training_step
        return bool(training_step.finite()) and int(training_step.applied) == self.step

    def save_checkpoint(self) -> None:
        """Save the state dict and the last update.

        A continuation that is not bit-identical keeps existing files of steps that it reaches again, with a warning.
        """
        names, averaged = self.training_step.names, self.training_step.averaged
        update = zip(names, self.training_step.last_update(), strict=True) if self.step else ()
        tensors = self.training_step.model.state_dict() | {UPDATE + name: value for name, value in update}
        if averaged is not None:
            tensors |= {AVERAGE + name: value for name, value in zip(names, averaged, strict=True)}
        try:
            self.run.save_checkpoint(self.step, _on_host(tensors))
        except RunDirectoryError as error:
            if self.exact:
                raise
            warn(error, stacklevel=2)

    def save_resume_state(self) -> None:
        """Write everything that a continuation depends on."""
        tensors, plan = self.training_step.state()
        state = {
            "training_step": plan,
            "detector": self.detector.state,
            "after": self.after,
            "memorized": self.memorized,
            "in_transition": self.in_transition,
            "environment": self.environment,
        }
        self.run.save_resume_state(self.step, _on_host(self.training_step.model.state_dict() | tensors), state)

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
        self.detector, self.after = GrokkingDetector.from_state(saved.state["detector"]), saved.state["after"]
        self.step, self.recorded = saved.step, True
        self.memorized, self.in_transition = saved.state["memorized"], saved.state["in_transition"]
        self.last_environment = saved.state["environment"]
        self.run.metrics.truncate(saved.state["metrics_offset"])

    def write_status(self, status: str, **details: Any) -> None:
        self.run.write_status({"status": status, "step": self.step, **details})

    def finish(self) -> None:
        self.run.metrics.sync()
        after = f"stopped {self.experiment.patience} evaluations after grokking was detected"
        why = {"why": after} if self.step < self.experiment.budget else {}
        memory = {"estimated": needs(self.experiment).peak, "used": self.memory.peak() if self.memory else None}
        self.write_status("finished", **why, memory=memory)

    def interrupt(self) -> None:
        """Save the state, unless the run has diverged since the last evaluation."""
        if not self.is_finite():
            return self.diverge()
        self.save_resume_state()
        self.write_status("interrupted")

    def diverge(self) -> None:
        """Keep the last finite weights and report the first step with a non-finite loss or gradient."""
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
