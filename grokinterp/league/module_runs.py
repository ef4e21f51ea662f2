"""The runs of a league of modules: each is trained with the random numbers of its seed, recorded, and analyzed."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from grokinterp.analysis import analyze
from grokinterp.custom.batches import Loss, generators_of
from grokinterp.custom.loader_examples import Examples, form_of, loaded_examples, recorder_of
from grokinterp.custom.optimizer import trained_parameters
from grokinterp.custom.recorder import Recorder
from grokinterp.custom.trainer import GrokkingAwareTrainer
from grokinterp.custom.until_grokking import run_trainer
from grokinterp.errors import ConfigError, GrokinterpError, one_line, require, short
from grokinterp.experiment import Experiment, Optimization
from grokinterp.league.methods import plain
from grokinterp.league.module_methods import trainer_of
from grokinterp.league.run import CHECKPOINTS, MEASURES
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.entry import Entry, has_ended
from grokinterp.sweeps.worker import Timer, keep

Build = Callable[[int], nn.Module]
"""Returns a new module for a seed."""


@dataclass(frozen=True)
class ModuleRuns:
    """The modules, the data, and the budget that all runs of a league share."""

    build: Build
    train_loader: Iterable[Any]
    eval_loader: Iterable[Any]
    loss: Loss
    tolerance: float | None
    device: torch.device | None
    data: str
    max_steps: int
    eval_interval: int

    def baseline(self, name: str, optimization: Optimization) -> Experiment:
        """Return the baseline with a name and these settings, as a recorder in a temporary directory describes it.

        Raises:
            ConfigError: the modules of a seed differ, or cannot be trained, evaluated, or recorded.
        """
        one = Experiment(name=name, optimization=replace(optimization, loss=form_of(self.loss)))
        trainer = self.trainer(self.built_alike(), one.optimization)
        with TemporaryDirectory() as folder:
            recorder = self.recorder(trainer, Path(folder) / "run", one)
            recorder.finish()
        for loader in (self.train_loader, self.eval_loader):
            trainer.evaluate(loader)
        return plain(recorder.experiment)

    def built_alike(self) -> nn.Module:
        """Return the module of seed 0, which is built twice to check that only the seed determines it."""
        try:
            first, second = self.built(0), self.built(0)
        except GrokinterpError:
            raise
        except Exception as error:
            why = one_line(f"{type(error).__name__}: {error}")
            raise ConfigError("build", short(self.build), f"failed with seed 0: {why}") from error
        kind = type(first).__name__
        require(isinstance(first, nn.Module), "build", short(self.build), f"must return a torch.nn.Module, not {kind}")
        ours, theirs = trained_parameters(first), trained_parameters(second)
        shared = {id(weight) for weight in ours} & {id(weight) for weight in theirs}
        require(not shared, "build", short(self.build), "must return a new module at every call")
        alike = len(ours) == len(theirs) and all(map(torch.equal, ours, theirs))
        require(alike, "build", short(self.build), "must return the same initial weights for the same seed")
        return first

    def built(self, seed: int) -> nn.Module:
        """Return the module of a seed."""
        with seeded(seed, self.train_loader):
            return self.build(seed)

    def trainer(self, module: nn.Module, optimization: Optimization) -> GrokkingAwareTrainer:
        """Return the trainer of a run."""
        return trainer_of(module, optimization, self.loss, self.tolerance, self.device)

    def recorder(self, trainer: GrokkingAwareTrainer, directory: Path, experiment: Experiment) -> Recorder:
        """Return a recorder of a run, evaluated on the same examples in all runs."""
        return recorder_of(
            trainer, directory, self.examples(trainer.device), max_steps=self.max_steps,
            eval_interval=self.eval_interval, name=experiment.name, seed=experiment.seed,
            optimization=experiment.optimization, data=self.data,
        )  # fmt: skip

    def examples(self, device: torch.device) -> tuple[Examples, Examples]:
        """Return the training and held-out examples on which every run is recorded, whatever its seed."""
        with seeded(0, self.train_loader, self.eval_loader):
            return loaded_examples(self.train_loader, self.eval_loader, device)

    def train(self, entry: Entry) -> None:
        """Train and analyze a run unless it has ended; the entry keeps the reason if it fails."""
        try:
            if not has_ended(entry.directory):
                discard(entry)
                self._train(entry.directory, entry.experiment)
        except GrokinterpError as error:
            entry.failure = str(error)
        except Exception as error:  # a failure concerns only this run; the others continue
            entry.failure = one_line(f"{type(error).__name__}: {error}")

    def _train(self, directory: Path, experiment: Experiment) -> None:
        clock = Timer()
        with seeded(experiment.seed, self.train_loader):
            trainer = self.trainer(self.build(experiment.seed), experiment.optimization)
            recorder = self.recorder(trainer, directory, experiment)
            try:
                run_trainer(
                    trainer, self.train_loader, self.eval_loader, max_steps=self.max_steps,
                    eval_interval=self.eval_interval, recorder=recorder,
                    save_interval=max(self.max_steps // CHECKPOINTS, 1), loggers=[clock],
                )  # fmt: skip
            finally:
                keep(directory, clock, 0, 0)
        if RunDirectory.open(directory).steps():
            analyze(Trajectory.open(directory, trainer.model), only=MEASURES)


def discard(entry: Entry) -> None:
    """Remove a run that was interrupted, because its training begins anew; nothing else is removed."""
    if entry.exists and not entry.is_elsewhere:
        rmtree(entry.directory)


@contextmanager
def seeded(seed: int, *loaders: Iterable[Any]) -> Generator[None]:
    """Set torch's random numbers and the generators of the loaders to a seed in the block, and restore them."""
    before = [(one, one.get_state()) for loader in loaders for one in generators_of(loader)]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for generator, _ in before:
            generator.manual_seed(seed)
        try:
            yield
        finally:
            for generator, state in before:
                generator.set_state(state)
