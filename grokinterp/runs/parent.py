"""The curves of a branch's parent up to the step from which the branch starts, if the parent is there unchanged."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from grokinterp.errors import GrokinterpError, short
from grokinterp.experiment.origin import LONGEST_PATH
from grokinterp.runs.datasets import read_metrics
from grokinterp.storage import RunDirectory
from grokinterp.storage.tensor_file import states_digest


class ParentCurves(NamedTuple):
    """The metrics of the parent of a branch.

    Attributes:
        metrics: over the steps of the branch, where the start of the branch is step 0 and earlier steps are negative.
        name: the name of the parent's directory.
        step: the step of the parent at which the branch starts.
    """

    metrics: xr.Dataset
    name: str
    step: int


def parent_curves(run: RunDirectory) -> tuple[ParentCurves | None, str]:
    """Return the curves of the parent of a branch and "", or None and the reason why they are missing.

    Both are empty for a run that is not a branch. The parent is looked for where it was when the branch was created,
    and beside the branch. It counts only if it is the run that the origin identifies, with the same checkpoint.
    """
    origin = run.experiment.get("origin")
    if not isinstance(origin, Mapping):
        return None, ""
    path, step = origin.get("run"), origin.get("step")
    if not isinstance(path, str) or type(step) is not int or not 0 < len(path) <= LONGEST_PATH or "\0" in path:
        return None, "its origin is damaged"
    why = f"there is no run in {short(path)}"
    for place in places(run, path):
        try:
            parent = RunDirectory.open(place)
            if not is_same(parent, origin, step):
                why = f"the run in {short(place)} has changed, or is another run"
                continue
            return ParentCurves(before(parent, step), short(place.name), step), ""
        except (GrokinterpError, OSError):
            continue
    return None, why


def places(run: RunDirectory, path: str) -> Iterator[Path]:
    """Yield the directories in which the parent of a branch may be."""
    yield Path(path)
    yield run.path.parent / Path(path).name


def is_same(parent: RunDirectory, origin: Mapping[str, Any], step: int) -> bool:
    """Return whether a run is the parent of a branch, with the checkpoint from which the branch starts."""
    digest = origin.get("digest")
    same_run = parent.run_id == origin.get("run_id")
    return same_run and isinstance(digest, str) and states_digest(parent.checkpoint_path(step), digest)


def before(parent: RunDirectory, step: int) -> xr.Dataset:
    """Return the metrics of a run before a step, with steps counted from it."""
    optimization = parent.experiment.get("optimization")
    loss = optimization.get("loss", "") if isinstance(optimization, Mapping) else ""
    metrics, _ = read_metrics(parent, loss=str(loss))
    metrics = metrics.sel(step=metrics["step"].values < step)
    return metrics.assign_coords(step=metrics["step"].values - step)


def joined(earlier: xr.Dataset, metrics: xr.Dataset) -> xr.Dataset:
    """Return the metrics of a branch after those of its parent, without values of single parameters."""
    own = metrics[[name for name in metrics if metrics[name].dims == ("step",)]]
    return own.combine_first(earlier[[name for name in own if name in earlier]])
