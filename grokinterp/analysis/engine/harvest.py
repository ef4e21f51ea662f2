"""Results of analyses before they are written to ``analysis/NAME.nc``: kept, newly computed, and missing."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from grokinterp.analysis.engine.collector import Collector
from grokinterp.analysis.engine.coordinates import Setting
from grokinterp.analysis.engine.digest import code_digest
from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.engine.evaluator import declared_arguments, result_of
from grokinterp.analysis.engine.labeled import Result, result_labels
from grokinterp.errors import NotDefined, RunDirectoryError
from grokinterp.experiment import leaked_share
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.datasets import (
    ANSWER,
    CHECKPOINTS,
    OUTSIDE,
    read_analysis,
    read_not_defined,
    result_file,
    write_analysis,
    write_not_defined,
)
from grokinterp.runs.imports import state
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage.atomic import remove
from grokinterp.tasks import AnswerOf


class Final(NamedTuple):
    """The last readable checkpoint, and the arguments that the run as a whole determines.

    Args:
        checkpoint: the last readable checkpoint.
        arguments: values by the names under which analyses declare them.
        marks: for each argument, a JSON value that changes when the argument changes.
    """

    checkpoint: Checkpoint
    arguments: dict[str, Any]
    marks: dict[str, Any]


class Harvest:
    """Results of the analyses of a run: kept, newly computed, and the reasons why others are not defined."""

    def __init__(
        self,
        trajectory: Trajectory,
        entries: Sequence[Entry],
        final: Final,
        digests: Mapping[int, str],
        skipped: dict[int, str],
    ) -> None:
        self.trajectory, self.digests, self.skipped = trajectory, digests, skipped
        self.setting = Setting(trajectory.problem, trajectory.empty_model(), final.arguments)
        look = cache(state)  # one look at each file, on which most analyses depend
        codes = {entry: code_digest(entry.analysis, look) for entry in entries}
        self.prints = {entry: fingerprint(trajectory, entry, final.marks, codes[entry]) for entry in entries}
        self.kept = {entry: kept_results(trajectory, entry.name, self.prints[entry], digests) for entry in entries}
        self.fresh: dict[Entry, Collector] = {}
        self.undefined: dict[str, str] = {}
        self.unsaved = list(entries)
        self.removed: list[str] = []

    def begin(self, sizes: Mapping[Entry, int]) -> None:
        """Allocate space for the steps of each analysis to run; the other analyses keep their NotDefined reasons."""
        self.fresh = {
            entry: Collector(entry.analysis, self.setting, size, single=entry.single) for entry, size in sizes.items()
        }
        asked = {entry.name for entry in sizes}
        before = read_not_defined(self.trajectory.path)
        self.undefined = {name: why for name, why in before.items() if name not in asked}

    def add(self, step: int, entry: Entry, result: Result | NotDefined) -> None:
        """Store the result of a step, or the reason why the analysis is not defined."""
        if isinstance(result, NotDefined):
            self.undefined[entry.name] = result.why
        else:
            self.fresh[entry].add(step, result)

    def add_last(self, entry: Entry, final: Final) -> bool:
        """Evaluate an analysis on the last checkpoint, store its result, and return whether it is defined."""
        result = result_of(entry.analysis, final.checkpoint, final.arguments)
        self.add(int(final.checkpoint.step), entry, result)
        return not isinstance(result, NotDefined)

    def refuse(self, entry: Entry, steps: Iterable[int], why: str) -> None:
        """Record the reason why an analysis is not run, if it lacks results."""
        if set(steps) - self.steps_of(entry):
            self.undefined[entry.name] = why

    def steps_of(self, entry: Entry) -> set[int]:
        """Return the steps that have results."""
        return {*steps_of(self.kept[entry]), *self.fresh[entry].steps}

    def save(self, entries: Iterable[Entry]) -> None:
        """Write the results of the given analyses."""
        for entry in entries:
            collected = self.fresh.get(entry)
            added = None
            if collected is not None and collected.steps:
                added = collected.dataset()
            attributes = describe(self.trajectory, entry, self.prints[entry], self.skipped)
            if not save(self.trajectory, entry, self.kept[entry], added, self.digests, attributes):
                self.removed.append(entry.name)
            self.unsaved.remove(entry)

    def save_rest(self) -> None:
        """Write all remaining results and the reasons why analyses are not defined."""
        self.save(tuple(self.unsaved))
        write_not_defined(self.trajectory.path, self.undefined)


def steps_of(dataset: xr.Dataset | None) -> list[int]:
    """Return the steps that have results."""
    return [] if dataset is None else dataset["step"].values.tolist()


def fingerprint(trajectory: Trajectory, entry: Entry, marks: Mapping[str, Any], code: str) -> str:
    """Return a digest that changes when the run, the arguments of the analysis, or its code changes."""
    declared = declared_arguments(entry.analysis, marks)
    answer = [] if trajectory.answer is None else [trajectory.answer]
    content = [trajectory.directory.run_id, entry.name, declared, code, *answer]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def kept_results(trajectory: Trajectory, name: str, expected: str, digests: Mapping[int, str]) -> xr.Dataset | None:
    """Return the stored results that are still valid: same fingerprint and, at each step, the same checkpoint.

    If only some steps are valid, they are returned without the attributes of the file.
    """
    try:
        before = read_analysis(trajectory.path, name)
    except RunDirectoryError:
        return None
    if before is None or before.attrs.get("fingerprint") != expected:
        return None
    known = zip(before["step"].values.tolist(), before[CHECKPOINTS].values.astype(str), strict=True)
    valid = [step for step, digest in known if digests.get(step) == digest]
    if len(valid) == before.sizes["step"]:
        return before
    part = before.sel(step=valid)
    part.attrs = {}
    return part if valid else None


def remove_results(run: Path, name: str) -> bool:
    """Remove the results of an analysis and return whether they existed."""
    return remove(run / result_file(name))


def describe(
    trajectory: Trajectory, entry: Entry, fingerprint: str, skipped: Mapping[int, str]
) -> dict[str, str | int | float]:
    """Return the attributes of a result file: texts about the analysis, examples, and damaged checkpoints."""
    is_train = trajectory.problem.is_train
    module = entry.analysis.__module__
    outside = {} if module.split(".")[0] == "grokinterp" else {OUTSIDE: module}
    leaked = {"leaked_share": leaked_share(trajectory.problem.task, is_train)} if is_train.any() else {}
    task = trajectory.problem.task
    return {
        "analysis": entry.name,
        **({ANSWER: task.answer} if isinstance(task, AnswerOf) else {}),
        **entry.attributes,
        "fingerprint": fingerprint,
        "skipped": json.dumps({str(step): why for step, why in sorted(skipped.items())}),
        **leaked,
        **outside,
        "train_examples": int(is_train.sum()),
        "test_examples": int(trajectory.problem.is_test.sum()),
    }


def save(
    trajectory: Trajectory,
    entry: Entry,
    kept: xr.Dataset | None,
    fresh: xr.Dataset | None,
    digests: Mapping[int, str],
    attributes: Mapping[str, str | int | float],
) -> bool:
    """Write the kept and the fresh results of an analysis to one file; without results, remove the outdated file.

    It returns False if a file was removed. Labels of fields come from the present docstring, also for kept results.
    For an analysis that runs on a subset of the checkpoints, the attribute ``thinned`` states how many.
    """
    steps = {*steps_of(kept), *steps_of(fresh)}
    readable = len(digests)
    if entry.most is not None and len(steps) < readable:
        attributes = {**attributes, "thinned": f"{len(steps)} of {readable} checkpoints"}
    labels = result_labels(entry.analysis)
    described = kept is not None and all(kept[name].attrs == label for name, label in labels.items())
    if fresh is None and kept is not None and kept.attrs == attributes and described:
        return True
    parts = [] if kept is None else [kept]
    if fresh is not None:
        marks = np.array([digests[step] for step in steps_of(fresh)], dtype="S64")
        parts.append(fresh.assign({CHECKPOINTS: ("step", marks)}))
    if not parts and trajectory.lacks_module:
        return True  # results that may be outdated could not be measured again without the module
    if not parts:
        return not remove_results(trajectory.path, entry.name)
    whole = xr.concat(parts, "step", join="exact", data_vars="minimal", coords="minimal", compat="override")
    whole.attrs = dict(attributes)
    for name, label in labels.items():
        whole[name].attrs = label
    write_analysis(trajectory.path, entry.name, whole.sortby("step"))
    return True
