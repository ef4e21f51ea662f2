"""Writing of a release as a run directory, completely or not at all."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp._version import __version__
from grokinterp.experiment import Experiment
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop.checks import at_chance, repeated, unlike_logits, unlike_stored
from grokinterp.interop.files import ForeignFileError, sha256
from grokinterp.interop.fitting import require_numbers
from grokinterp.interop.layout import State
from grokinterp.interop.release import Release, loaded
from grokinterp.interop.scores import Scores, answers, largest_difference, score
from grokinterp.models import Model
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory, configuration_hash
from grokinterp.storage.staging import built_beside
from grokinterp.tasks import ModularAddition, ModularMultiplication, ModularSubtraction
from grokinterp.tasks.modular import ModularTask

HALF = 0.5
"""Accuracy below which other operations are tried."""


class Survey(NamedTuple):
    """Measurements of the checkpoints.

    Args:
        measured: losses, accuracies and the weight norm by step, of all checkpoints, or of the last checkpoint only if
            the release has curves.
        accuracy: accuracy of the last checkpoint on all examples.
        warnings: a line for each reason to doubt the import.
    """

    measured: Mapping[int, dict[str, float]]
    accuracy: float
    warnings: list[str]


def write(release: Release, out: Path | None) -> Trajectory:
    """Write a release as a run directory (default: ``checkpoints/<name>-<hash of the configuration>``).

    Raises:
        ForeignFileError: if the configuration is not allowed in this package, weights are not finite, or the network
            computes another operation than its configuration states.
        RunDirectoryError: if the directory is not empty.
    """
    experiment = release.experiment()
    named = Path("checkpoints") / f"{experiment.name}-{configuration_hash(experiment.to_dict())}"
    directory = named if out is None else out
    target = RunDirectory(directory.resolve())
    target.require_empty()
    with built_beside(directory) as lock:
        survey = surveyed(release, experiment)
        found = provenance(release) | {"accuracy": round(survey.accuracy, 6), "warnings": survey.warnings}
        if experiment.split.trained_on != UNKNOWN:
            task = experiment.task
            found |= {"n_test": experiment.split.sizes(task).test, "n_classes": task.n_classes}
        run = RunDirectory.create(lock.path.parent, experiment.to_dict(), found)
        with run.held_by(lock) as held:
            for step in sorted(release.states):
                held.save_checkpoint(step, release.states[step])
            for row in metrics_rows(release, survey.measured):
                held.metrics.append(row)
            held.metrics.sync()
            held.write_status({"status": "finished", "step": max(release.states)})
        target.require_empty()
    return Trajectory.open(directory)


def surveyed(release: Release, experiment: Experiment) -> Survey:
    """Measure every checkpoint. Raises ForeignFileError."""
    last, tokens, labels = max(release.states), experiment.tokens(), experiment.task.label()
    measured: dict[int, dict[str, float]] = {}
    digests: dict[int, str] = {}
    accuracy, warnings = 0.0, []
    for step in sorted(release.states):
        state = release.states[step]
        require_numbers(state, release.source)
        digests[step] = digest(state)
        if step < last and release.curves:
            continue
        model = loaded(experiment, state)
        scores = score(model, tokens, labels)
        measured[step] = measures(experiment, model, scores)
        if step == last:
            accuracy = scores.accuracy
            if accuracy < HALF:
                require_own_task(release, model, experiment)
            known = measured[step] | {"all_loss": float(scores.losses.mean()), "accuracy": accuracy}
            warnings += [*at_chance(scores, experiment.task, step), *unlike_stored(known, release.stored, step)]
            if release.logits is not None:
                warnings += unlike_logits(largest_difference(model, tokens, release.logits), step)
    return Survey(measured, accuracy, [*warnings, *repeated(digests)])


def digest(state: State) -> str:
    """Return the SHA-256 of all weights."""
    content = hashlib.sha256()
    for name in sorted(state):
        content.update(f"{name} {state[name].dtype} {tuple(state[name].shape)}".encode())
        content.update(state[name].contiguous().numpy().tobytes())
    return content.hexdigest()


def require_own_task(release: Release, model: Model, experiment: Experiment) -> None:
    """Raise ForeignFileError for a network that computes another operation than its configuration states."""
    task, found = experiment.task, answers(model, experiment.tokens())
    if not isinstance(task, ModularTask):
        return
    for kind in (ModularAddition, ModularSubtraction, ModularMultiplication):
        other = kind(p=task.p)
        if other.n_examples == task.n_examples and (right := float((found == other.label()).double().mean())) > HALF:
            why = f"its configuration states {task.kind}, but {right:.1%} of its answers match {other.kind}"
            raise ForeignFileError(release.source, why)


def measures(experiment: Experiment, model: Model, scores: Scores) -> dict[str, float]:
    """Return losses and accuracies on the training and test examples, if known, and the weight norm."""
    values = {"weight_norm": sum(float(weight.square().sum()) for weight in model.parameters())}
    if experiment.split.trained_on == UNKNOWN:
        return values
    parts = experiment.split.draw(experiment.task, seed=experiment.seed)
    return scores.of("train", parts.is_train) | scores.of("test", ~parts.is_train) | values


def metrics_rows(release: Release, measured: Mapping[int, Mapping[str, float]]) -> Iterator[dict[str, Any]]:
    """Yield the stored curves in order of their steps, followed by the last checkpoint as measured here.

    With stored curves, the last row has only their columns, since a column with a single final value is not a curve.
    Without stored curves there is a row for each checkpoint.
    """
    last, names = max(measured), [name for name in release.curves if name != "step"]
    if not names:
        yield from ({"step": step} | dict(values) for step, values in sorted(measured.items()))
        return
    columns = [release.curves["step"], *(release.curves[name] for name in names)]
    stored = {int(step): values for step, *values in zip(*columns, strict=True) if step < last}
    yield from ({"step": step} | dict(zip(names, stored[step], strict=True)) for step in sorted(stored))
    yield {"step": last} | {name: measured[last].get(name, math.nan) for name in names}


def provenance(release: Release) -> dict[str, Any]:
    """Return the origin of an imported run, in place of the machine that trained it."""
    if not release.files:
        content = sha256(release.source)
    else:
        each = (f"{path.name} {sha256(path)}\n" for path in release.files)
        content = hashlib.sha256("".join(each).encode()).hexdigest()
    return {"grokinterp": __version__, "source": release.source.name, "sha256": content, **release.notes}
