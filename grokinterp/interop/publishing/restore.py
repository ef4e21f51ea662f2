"""Read a published folder back as the run that was exported."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.interop.files import ForeignFileError, listed
from grokinterp.interop.publishing.layout import (
    COPIED,
    EXPERIMENT,
    LARGEST,
    TRAINING,
    WEIGHTS,
    is_published,
    steps_in,
)
from grokinterp.interop.weights import read_content, weights_in
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory, configuration_hash, write_atomic
from grokinterp.storage.files import path_of, read_json_object, read_regular
from grokinterp.storage.run_directory import ENVIRONMENT, EXAMPLES, START, STATUS, STATUSES
from grokinterp.storage.staging import built_beside
from grokinterp.torch_settings import computing


@computing()
def restore_run(folder: str | Path, out: str | Path | None = None) -> Trajectory:
    """Read a folder that ``export_run`` wrote, and return the run.

    Args:
        folder: the folder, as exported, or as downloaded from the hub; steps that were not downloaded are left out.
        out: a new or empty directory (default: ``checkpoints/<name>-<hash of the configuration>``).

    Raises:
        ForeignFileError: it is no such folder, or a file is damaged or does not fit the configuration.
        RunDirectoryError: the directory is not empty.
    """
    place = path_of("path", folder)
    if not is_published(place):
        why = f"is not a folder that `grokinterp export` wrote: it needs {EXPERIMENT} and steps/step_N/{WEIGHTS}"
        raise ForeignFileError(place, why)
    configuration = document(place, EXPERIMENT)
    try:
        experiment = Experiment.from_dict(configuration)
    except ConfigError as error:
        raise ForeignFileError(place / EXPERIMENT, str(error)) from None
    steps = steps_in(place)
    if not steps:
        raise ForeignFileError(place / "steps", "contains no step")
    named = Path("checkpoints") / f"{experiment.name}-{configuration_hash(configuration)}"
    directory = named if out is None else path_of("out", out)
    target = RunDirectory(directory.resolve())
    target.require_empty()
    own = {name: tuple(value.shape) for name, value in experiment.empty_model(device="meta").state_dict().items()}
    with built_beside(directory) as lock:
        run = created(place, configuration, lock.path.parent)
        with run.held_by(lock) as held:
            for step, path in steps.items():
                held.save_checkpoint(step, tensors_of(path, own))
            held.write_status(status_of(place, max(steps)))
        for name in COPIED:
            if (place / name).is_file() and name not in (EXAMPLES, START):
                write_atomic(run.path / name, copied(place / name), replace=True)
        target.require_empty()
    return Trajectory.open(directory)


def created(place: Path, configuration: Mapping[str, Any], directory: Path) -> RunDirectory:
    """Create the run directory with the configuration, the environment, and the files that precede training."""
    environment = document(place, ENVIRONMENT) if (place / ENVIRONMENT).exists() else {}
    start = copied(place / START) if (place / START).is_file() else None
    run = RunDirectory.create(directory, configuration, environment, start=start)
    if (place / EXAMPLES).is_file():
        run.save_examples(copied(place / EXAMPLES))
    return run


def tensors_of(path: Path, own: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return the content of a checkpoint: the weights of the model, and what training stored.

    Raises:
        ForeignFileError: a weight is missing or has another shape, or a file is damaged.
    """
    file = path / WEIGHTS
    found = weights_in(read_content(file), file)
    missing = own.keys() - found.keys()
    if missing:
        raise ForeignFileError(file, f"has no {listed(missing)}")
    for name, shape in own.items():
        if tuple(found[name].shape) != shape:
            raise ForeignFileError(file, f"{name} has shape {tuple(found[name].shape)}, but {shape} in the model")
    more = weights_of_training(path / TRAINING)
    return {name: found[name] for name in own} | more


def weights_of_training(file: Path) -> dict[str, Tensor]:
    """Return the last update and the averaged weights of a step; none without their file."""
    if not file.exists():
        return {}
    return dict(read_content(file)["state_dict"])


def status_of(place: Path, last: int) -> dict[str, Any]:
    """Return the status of the run; "finished" at the last step if it is not stated."""
    with contextlib.suppress(ForeignFileError):
        found = document(place, STATUS) if (place / STATUS).exists() else {}
        if found.get("status") in STATUSES:
            return found
    return {"status": "finished", "step": last}


def document(place: Path, name: str) -> dict[str, Any]:
    """Return a small JSON file of the folder. Raises ForeignFileError."""
    try:
        return read_json_object(place / name)
    except OSError as error:
        raise ForeignFileError(place / name, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ForeignFileError(place / name, f"is damaged: {error}") from None


def copied(path: Path) -> bytes:
    """Return the bytes of a file. Raises ForeignFileError."""
    try:
        return read_regular(path, limit=LARGEST)
    except (OSError, ValueError) as error:
        raise ForeignFileError(path, f"cannot be read: {error}") from None
