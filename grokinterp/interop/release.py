"""What a release tells about a network, and the run directory made of it."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from grokinterp import __version__
from grokinterp.experiment import Experiment, Optimization, SaveAt, Split
from grokinterp.experiment.split import UNKNOWN, written_out
from grokinterp.interop.files import ForeignFileError
from grokinterp.interop.layout import State
from grokinterp.interop.scores import Scores, answers, score
from grokinterp.models import Model, ModelSpec
from grokinterp.storage import RunDirectory, configuration_hash
from grokinterp.tasks import ModularAddition, ModularMultiplication, ModularSubtraction, Task
from grokinterp.tasks.modular import ModularTask
from grokinterp.trajectory import Trajectory

HALF = 0.5
"""Accuracy below which it is asked whether the network answers something else."""

Curves = dict[str, list[float]]
"""Columns over ``step``, by the names of metrics.jsonl."""


class Release(NamedTuple):
    """A network, or several along one training, as its authors left it.

    ``states`` holds the weights by step, under our names. ``notes`` says what a reader has to know
    that the configuration has no place for.
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

    def experiment(self) -> Experiment:
        """The configuration, as far as it is known. Raises ConfigError."""
        logged = self.curves.get("step", [])
        every = int(min((later - step for step, later in pairwise(logged)), default=self.steps))
        return Experiment(
            name=re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)[:64],
            task=self.task,
            model=self.model,
            split=self.split,
            optimization=self.optimization,
            save=SaveAt(every=self.steps),
            steps=self.steps,
            evaluate_every=max(every, 1),
            seed=self.seed,
        )


def split_of(task: Task, is_train: Bool[Tensor, "example"], *, fraction: float, seed: int) -> Split:
    """The split that trains on these examples: drawn here, where the same seed draws the same, or written out."""
    trained = int(is_train.sum())
    if int(fraction * task.n_examples + 1e-9) != trained:  # others multiply and round down without the 1e-9
        fraction = trained / task.n_examples
    drawn = Split(fraction=fraction, seed=seed)
    if torch.equal(drawn.is_train(task, seed=seed), is_train):
        return drawn
    return Split(fraction=fraction, seed=seed, trained_on=written_out(is_train))


def loaded(experiment: Experiment, state: State) -> Model:
    """The model with these weights, in float64."""
    model = experiment.empty_model().double()
    model.load_state_dict(state)
    return model.requires_grad_(False)


def write(release: Release, out: Path | None) -> Trajectory:
    """Write a release as a run directory (default: ``checkpoints/<name>-<hash of the configuration>``).

    Raises:
        ConfigError: a configuration that is not allowed here.
        RunDirectoryError: the directory is taken.
    """
    require_finite(release)
    experiment = release.experiment()
    last = max(release.states)
    model = loaded(experiment, release.states[last])
    scores = score(model, experiment.tokens(), experiment.task.labels())
    if scores.accuracy < HALF:
        require_own_task(release, model, experiment)
    rows = metrics_rows(release, last, measured(experiment, model, scores))
    directory = Path("checkpoints") / f"{experiment.name}-{configuration_hash(experiment.to_dict())}"
    told = provenance(release) | {"accuracy": round(scores.accuracy, 6)}
    if experiment.split.trained_on != UNKNOWN:
        told["n_test"] = experiment.split.sizes(experiment.task).test
    run = RunDirectory.create(directory if out is None else out, experiment.to_dict(), told)
    with run.lock():
        for step, state in release.states.items():
            run.save_checkpoint(step, state)
        for row in rows:
            run.metrics.append(row)
        run.write_status({"status": "finished", "step": last})
    return Trajectory.open(run.path)


def require_finite(release: Release) -> None:
    """Raise ForeignFileError for weights that are no numbers."""
    for state in release.states.values():
        for name, value in state.items():
            if not value.isfinite().all():
                raise ForeignFileError(release.source, f"{name} is not finite")


def require_own_task(release: Release, model: Model, experiment: Experiment) -> None:
    """Raise ForeignFileError for a network that answers another operation than its configuration says."""
    task, found = experiment.task, answers(model, experiment.tokens())
    if not isinstance(task, ModularTask):
        return
    for kind in (ModularAddition, ModularSubtraction, ModularMultiplication):
        other = kind(p=task.p)
        if other.n_examples == task.n_examples and (right := float((found == other.labels()).double().mean())) > HALF:
            why = f"its configuration says {task.kind}, but {right:.1%} of its answers are those of {other.kind}"
            raise ForeignFileError(release.source, why)


def measured(experiment: Experiment, model: Model, scores: Scores) -> dict[str, float]:
    """Losses and accuracies on the training and test examples, where these are known, and the weight norm."""
    values = {"weight_norm": sum(float(weight.square().sum()) for weight in model.parameters())}
    if experiment.split.trained_on == UNKNOWN:
        return values
    parts = experiment.split.draw(experiment.task, seed=experiment.seed)
    return scores.of("train", parts.is_train) | scores.of("test", ~parts.is_train) | values


def metrics_rows(release: Release, last: int, found: Mapping[str, float]) -> list[dict[str, Any]]:
    """The stored curves in the order of their steps, and the last checkpoint as it was measured here.

    Where there are curves the row has their columns alone: a column that starts at the end is no curve.
    """
    names = [name for name in release.curves if name != "step"]
    columns = [release.curves["step"], *(release.curves[name] for name in names)] if names else []
    stored = {int(step): values for step, *values in zip(*columns, strict=True) if step < last}
    rows = [{"step": step} | dict(zip(names, stored[step], strict=True)) for step in sorted(stored)]
    shown = {name: found.get(name, math.nan) for name in names} if names else dict(found)
    return [*rows, {"step": last} | shown]


def provenance(release: Release) -> dict[str, Any]:
    """Where a run directory comes from, in place of the machine it was trained on."""
    content = hashlib.sha256(release.source.read_bytes()).hexdigest()
    return {"grokinterp": __version__, "source": release.source.name, "sha256": content, **release.notes}


def sorted_curves(steps: Sequence[float], columns: Mapping[str, Sequence[float]]) -> Curves:
    """Columns in the order of their steps; rows without one, and columns without numbers, are left out."""
    rows = sorted(row for row in range(len(steps)) if math.isfinite(steps[row]))
    rows.sort(key=lambda row: steps[row])
    kept = {name: column for name, column in columns.items() if any(math.isfinite(value) for value in column)}
    if not kept:
        return {}
    return {"step": [steps[row] for row in rows]} | {
        name: [column[row] for row in rows] for name, column in kept.items()
    }
