"""Export a run as a folder for the Hugging Face hub or for TransformerLens."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from grokinterp.errors import ConfigError, GrokinterpError, RunDirectoryError, require
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop.publishing.card import card
from grokinterp.interop.publishing.formats import Format, format_of
from grokinterp.interop.publishing.layout import (
    CARD,
    CONFIG,
    COPIED,
    DATASET,
    DOCUMENTS,
    EXPERIMENT,
    LARGEST,
    MEASURES,
    TRAINING,
    WEIGHTS,
    step_folder,
)
from grokinterp.progress import track
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import AVERAGE, UPDATE, Trajectory
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import make_directory
from grokinterp.storage.documents import pretty
from grokinterp.storage.files import path_of, read_regular
from grokinterp.storage.staging import built_beside
from grokinterp.torch_settings import computing

MOST_TOKENS = 2 * 10**7
"""Largest number of tokens in the file of the examples."""

CONTENTS = {
    CARD: "this card",
    CONFIG: "the configuration of the network",
    WEIGHTS: "the weights of the last step",
    f"steps/step_N/{WEIGHTS}": "the weights of step N",
    f"steps/step_N/{TRAINING}": "the last update before step N and the averaged weights, if the run has them",
    DATASET: "tokens and labels of all examples, and, if known, is_train and the labels in training, with noise",
    EXPERIMENT: "the configuration of the run, from which grokinterp trains it again",
    "metrics.jsonl": "losses, accuracies and norms at every evaluation",
    MEASURES: "the summary of the run, with the measures of the analyses",
    "environment.json, status.json": "where the run was trained, and how it ended",
}
"""The content of each file of a folder."""


@computing()
def export_run(
    run: Trajectory | str | Path, to: str, out: str | Path, *, last: bool = False, progress: bool = False
) -> Path:
    """Write a run as a folder, and return the folder.

    ``import_run(to, folder)`` reads it back as the same run: equal configuration, metrics, and weights, bit for bit.
    Results of analyses and resume states are not included. Steps are folders and not revisions, because one upload then
    makes them all available, and a single step can still be downloaded alone.

    Args:
        run: a run, or its run directory.
        to: "hf", for the Hugging Face hub, or "transformer-lens", with the state dict of a HookedTransformer.
        out: a new or empty directory.
        last: export the last step only.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the format is unknown, or has no such network, or the folder is not empty.
        RunDirectoryError: the run has no checkpoint.
        CheckpointError: a checkpoint is damaged.
    """
    form, opened = format_of(to), run if isinstance(run, Trajectory) else Trajectory.open(run)
    folder = require_exportable(opened, form, out)
    steps = opened.steps[-1:] if last else opened.steps
    with built_beside(folder) as lock:
        place = lock.path.parent
        for step in track(steps, "exporting", total=len(steps), shown=progress):
            write_step(opened, form, place, step)
        write_weights(place / WEIGHTS, form.state(opened, opened.weights(steps[-1]).state))
        write_run(opened, place)
        write_atomic(place / CONFIG, pretty(form.config(opened, steps)), replace=True)
        has_data = write_dataset(opened, place)
        files = {name: text for name, text in CONTENTS.items() if has_data or name != DATASET}
        loading = form.loading.format(to=to, name=opened.directory.path.resolve().name, first=steps[0])
        text = card(Results(opened.directory), opened.experiment, loading=loading, steps=steps, files=files)
        write_atomic(place / CARD, text.encode("utf-8"), replace=True)
    (folder / "lock").unlink(missing_ok=True)
    return folder


def require_exportable(run: Trajectory, form: Format, out: str | Path) -> Path:
    """Return the path of the folder. Raises ConfigError or RunDirectoryError if the run cannot be exported to it."""
    folder = path_of("out", out)
    if why := form.reason_against(run):
        raise ConfigError("to", "transformer-lens", why)
    if not run.steps:
        raise RunDirectoryError(run.path, "has no checkpoint yet")
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    require(is_free and not folder.is_symlink(), "out", folder, "is not empty: give a new or empty directory")
    return folder


def write_step(run: Trajectory, form: Format, folder: Path, step: int) -> None:
    """Write the weights of a step, and what else its checkpoint holds."""
    weights, place = run.weights(step), step_folder(folder, step)
    make_directory(place)
    write_weights(place / WEIGHTS, form.state(run, weights.state))
    more = {f"{UPDATE}{name}": value for name, value in (weights.update or {}).items()}
    more |= {f"{AVERAGE}{name}": value for name, value in (weights.average or {}).items()}
    if more:
        write_weights(place / TRAINING, more)


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors that other libraries load."""
    kept = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomic(path, save(kept, metadata={"format": "pt"}), replace=True)


def write_run(run: Trajectory, folder: Path) -> None:
    """Write the configuration, the metrics, the small documents, and the summary of a run."""
    directory = run.directory
    write_atomic(folder / EXPERIMENT, pretty(directory.configuration), replace=True)
    for name in DOCUMENTS:
        write_atomic(folder / name, pretty(directory.document(name)), replace=True)
    for name in COPIED:
        if (directory.path / name).is_file():
            write_atomic(folder / name, read_regular(directory.path / name, limit=LARGEST), replace=True)
    write_atomic(folder / MEASURES, summary_of(Results(directory)), replace=True)


def summary_of(results: Results) -> bytes:
    """Return the summary of a run as JSON, without the path of this machine; only the reason if it has none."""
    try:
        found: dict[str, Any] = results.summary()
    except GrokinterpError as error:
        found = {"verdict": None, "why": getattr(error, "why", str(error))}
    found.pop("run", None)
    return (json.dumps(found, indent=2, allow_nan=False) + "\n").encode("utf-8")


def write_dataset(run: Trajectory, folder: Path) -> bool:
    """Write the examples of the task, and return whether they were written: not those of other loops, nor huge sets."""
    task = run.experiment.task
    if run.experiment.model.is_recorded or task.n_examples * task.n_ctx > MOST_TOKENS:
        return False
    content = {"tokens": run.experiment.tokens(), "labels": task.labels()}
    if run.experiment.split.trained_on != UNKNOWN:
        problem = Problem.of(run.experiment)
        content |= {"is_train": problem.is_train, "trained_labels": problem.trained_labels}
    write_weights(folder / DATASET, content)
    return True
