"""A network as its authors released it: the common result of all readers."""

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.experiment.split import written_out
from grokinterp.interop.files import ForeignFileError
from grokinterp.interop.layout import State
from grokinterp.interop.splits import Stored
from grokinterp.models import Model, ModelSpec
from grokinterp.tasks import Task

Curves = dict[str, list[float]]
"""Columns over ``step``, by the names of metrics.jsonl."""


class Release(NamedTuple):
    """A network, or several checkpoints of a training run, as the authors released it.

    Args:
        name: the name of the run.
        source: the file or folder.
        states: the weights by step, under this package's names; they may be read lazily.
        curves: the logged training curves.
        notes: information for the reader that the configuration has no field for.
        stored: the values that the release states for its last checkpoint, by the names of metrics.jsonl.
        logits: the logits of all examples at the last checkpoint, if the release has them.
        files: the files that were read, if ``source`` is a folder.
    """

    name: str
    source: Path
    task: Task
    model: ModelSpec
    optimization: Optimization
    split: Split
    steps: int
    seed: int
    states: Mapping[int, State]
    curves: Curves
    notes: Mapping[str, str]
    stored: Mapping[str, Stored] = {}
    logits: Float[Tensor, "example class"] | None = None
    files: tuple[Path, ...] = ()

    def experiment(self) -> Experiment:
        """Return the configuration, as far as it is known.

        Raises:
            ForeignFileError: if the configuration is not allowed in this package.
        """
        logged = self.curves.get("step") or sorted(self.states)
        every = int(min((later - step for step, later in pairwise(logged)), default=self.steps))
        try:
            return Experiment(
                name=re.sub(r"[^A-Za-z0-9._-]+", "-", self.name).strip("-._")[:64] or "imported",
                task=self.task,
                model=self.model,
                split=self.split,
                optimization=self.optimization,
                save=SaveAt(every=self.steps),
                steps=self.steps,
                evaluate_every=max(every, 1),
                seed=self.seed,
            )
        except ConfigError as error:
            raise ForeignFileError(self.source, str(error)) from None


def split_of(task: Task, is_train: Bool[Tensor, "example"], *, fraction: float, seed: int) -> Split:
    """Return the split with these training examples: as a seed if the same seed draws them, else written out."""
    trained = int(is_train.sum())
    if int(fraction * task.n_examples + 1e-9) != trained:  # published code rounds down without the 1e-9
        fraction = trained / task.n_examples
    drawn = Split(fraction=fraction, seed=seed)
    if torch.equal(drawn.is_train(task, seed=seed), is_train):
        return drawn
    return Split(fraction=fraction, seed=seed, trained_on=written_out(is_train))


def loaded(experiment: Experiment, state: State) -> Model:
    """Return the model with these weights, in float64."""
    model = experiment.empty_model().double()
    model.load_state_dict(state)
    return model.requires_grad_(False)
