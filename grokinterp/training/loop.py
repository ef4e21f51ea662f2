"""Train one experiment into a run directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from grokinterp.checkpoint import Problem
from grokinterp.errors import RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.progress import ProgressBar
from grokinterp.storage import RunDirectory, configuration_hash
from grokinterp.training.environment import choose_device, describe, warn_if_different
from grokinterp.training.interrupt import Interrupt, deferred_signals
from grokinterp.training.measure import measure, row
from grokinterp.training.step import FullBatchStep
from grokinterp.trajectory import UPDATE, Trajectory


def default_directory(experiment: Experiment) -> Path:
    """``checkpoints/<name>-<hash of the configuration>``."""
    return Path("checkpoints") / f"{experiment.name}-{configuration_hash(experiment.to_dict())}"


def train(
    experiment: Experiment,
    directory: str | Path | None = None,
    *,
    device: str = "auto",
    resume: bool = False,
    progress: bool = False,
) -> Trajectory:
    """Train through all phases, saving dense checkpoints and metrics.

    The step is full-batch, without host synchronization between evaluations. SIGINT and SIGTERM
    save the state and stop; ``resume=True`` continues bit-identically on the same machine, PyTorch
    build, device and thread count. Training stops early only when a gradient is not finite: the
    last finite weights are kept and the run's status is ``diverged``.

    Args:
        directory: a new or empty directory (default: ``default_directory``), or with ``resume``
            the run to continue.

    Raises:
        ConfigError: a configuration or device that cannot be used; before anything is created.
        RunDirectoryError: the directory is taken, locked or belongs to another configuration.
    """
    experiment = Experiment.from_dict(experiment.to_dict())
    chosen = choose_device(device)
    torch.set_flush_denormal(True)  # subnormal gradients cost up to sixfold time; see docs/performance
    directory = default_directory(experiment) if directory is None else Path(directory)
    environment = describe(chosen)
    if resume:
        run = open_to_resume(directory, experiment)
    else:
        run = RunDirectory.create(directory, experiment.to_dict(), environment)
    with run.lock(), deferred_signals() as asked:
        loop = Loop.start(experiment, run, chosen, environment)
        loop.run_to_end(asked, progress=progress)
    return Trajectory.open(directory)


def open_to_resume(directory: Path, experiment: Experiment) -> RunDirectory:
    """The run directory of this very configuration. Raises RunDirectoryError naming the keys that differ."""
    run = RunDirectory.open(directory)
    before, now = _flat(run.experiment), _flat(experiment.to_dict())
    differing = [key for key in sorted(before | now) if before.get(key) != now.get(key)]
    if differing:
        changes = ", ".join(f"{key}={before.get(key)} there, {now.get(key)} here" for key in differing)
        raise RunDirectoryError(directory, f"was trained with another configuration: {changes}")
    return run


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one table with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


@dataclass
class Loop:
    """The state of a training run: everything that a resume needs, and the files it writes to.

    ``recorded`` says that the current step's metrics and checkpoint are written already.
    """

    experiment: Experiment
    run: RunDirectory
    problem: Problem
    full_batch: FullBatchStep
    environment: dict[str, Any]
    step: int = 0
    recorded: bool = False
    memorized: bool = False
    in_transition: bool = False

    @classmethod
    def start(
        cls, experiment: Experiment, run: RunDirectory, device: torch.device, environment: dict[str, Any]
    ) -> "Loop":
        """From the newest resume state, or from the initial weights where there is none."""
        model = experiment.build_model().to(device)
        problem = Problem.of(experiment).to(device)
        loop = cls(experiment, run, problem, FullBatchStep(model, problem, experiment.optimization), environment)
        loop.full_batch.prepare()
        saved = run.resume.load()
        if saved is None:
            run.metrics.truncate(0)
        else:
            loop.load(saved.step, saved.tensors, saved.state)
        return loop

    def run_to_end(self, asked: Interrupt, *, progress: bool) -> None:
        """Alternate gradients, records and updates until the last step, a signal or a non-finite gradient."""
        steps, step = self.experiment.steps, self.full_batch
        self.run.write_status({"status": "running", "step": self.step})
        with ProgressBar("training", steps, shown=progress) as bar:
            bar.advance(self.step)
            while True:
                step.gradients()
                if not self.recorded and not self.record(bar):
                    return self.diverge()
                if self.step == steps:
                    return self.finish()
                if asked.signal is not None:
                    self.save_resume_state()
                    self.run.write_status({"status": "interrupted", "step": self.step})
                    asked.raise_if_asked()
                step.apply(self.step)
                self.step, self.recorded = self.step + 1, False
                bar.advance()

    def record(self, bar: ProgressBar) -> bool:
        """Write what is due at this step; False when the run has diverged."""
        last = self.step == self.experiment.steps
        if self.step % self.experiment.evaluate_every == 0 or last:
            if not self.evaluate(bar):
                return False
        if last or self.experiment.save.saves(self.step, in_transition=self.in_transition):
            if not bool(torch.isfinite(self.full_batch.gradient_norm)) or int(self.full_batch.applied) != self.step:
                return False
            self.run.save_checkpoint(self.step, self.tensors())
        self.recorded = True
        if last or (self.step and self.step % self.experiment.save.resume_every == 0):
            self.save_resume_state()
        return True

    def evaluate(self, bar: ProgressBar) -> bool:
        """Append one row of metrics; False when the run has diverged."""
        learning_rate = self.experiment.optimization.learning_rate(self.step)
        measured = row(self.step, learning_rate, measure(self.full_batch, self.full_batch.model, self.problem))
        finite = all(value == value and abs(value) != float("inf") for value in _numbers(measured))
        if measured.pop("applied") != self.step or not finite:
            return False
        self.run.metrics.append(measured)
        train, test = float(measured["train_accuracy"]), float(measured["test_accuracy"])  # type: ignore[arg-type]
        self.memorized = self.memorized or train >= 0.99
        self.in_transition = self.memorized and 0.05 < test < 0.99
        bar.advance(0, note=f"train {train:.1%} test {test:.1%}")
        return True

    def tensors(self) -> dict[str, Tensor]:
        """The checkpoint of this step: the state dict, and the update that led here."""
        model = self.full_batch.model
        names = [name for name, _ in model.named_parameters()]
        update = dict(zip(names, self.full_batch.last_update(), strict=True)) if self.step else {}
        state = {name: value.detach() for name, value in model.state_dict().items()}
        return {k: v.cpu() for k, v in (state | {UPDATE + name: value for name, value in update.items()}).items()}

    def save_resume_state(self) -> None:
        """Write everything that the continuation depends on."""
        self.run.metrics.sync()
        optimizer = self.full_batch.optimizer
        tensors = dict(self.full_batch.model.state_dict())
        for name, parameter in self.full_batch.model.named_parameters():
            tensors |= {f"adam/{key}/{name}": value for key, value in optimizer.state[parameter].items()}
        state = {
            "metrics_offset": self.run.metrics.offset,
            "memorized": self.memorized,
            "in_transition": self.in_transition,
            "environment": self.environment,
        }
        self.run.resume.save(self.step, {name: value.detach().cpu() for name, value in tensors.items()}, state)

    def load(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Put a resume state into place; in-place, so that captured graphs keep their addresses."""
        warn_if_different(state["environment"], self.environment)
        model, optimizer = self.full_batch.model, self.full_batch.optimizer
        model.load_state_dict({name: value for name, value in tensors.items() if not name.startswith("adam/")})
        for name, parameter in model.named_parameters():
            for key, value in optimizer.state[parameter].items():
                value.copy_(tensors[f"adam/{key}/{name}"])
        self.full_batch.applied.fill_(step)
        self.step, self.recorded = step, True
        self.memorized, self.in_transition = state["memorized"], state["in_transition"]
        self.run.metrics.truncate(state["metrics_offset"])

    def finish(self) -> None:
        self.run.metrics.sync()
        self.run.write_status({"status": "finished", "step": self.step})

    def diverge(self) -> None:
        """Keep the last finite weights and say where the first non-finite gradient came."""
        self.step = int(self.full_batch.applied)
        state = {name: value.detach().cpu() for name, value in self.full_batch.model.state_dict().items()}
        if self.step not in self.run.steps():
            self.run.save_checkpoint(self.step, state)
        self.run.metrics.sync()
        why = "the gradient is not finite; try a lower optimization.lr"
        self.run.write_status({"status": "diverged", "step": self.step, "why": why})


def _numbers(values: Mapping[str, Any]) -> list[float]:
    """Every number of a metrics row."""
    nested = [_numbers(value) if isinstance(value, dict) else [value] for value in values.values()]
    return [number for numbers in nested for number in numbers]
