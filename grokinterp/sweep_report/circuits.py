"""Read which frequencies or representations the networks of a study answer with, and count the circuits that differ."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from grokinterp.errors import GrokinterpError
from grokinterp.experiment import Experiment
from grokinterp.maths.equivalent_sets import Chance, Symmetry, chance, class_of, symmetry_of
from grokinterp.runs.datasets import read_analysis, result_file
from grokinterp.sweep_report.study import Cell, Study

ANALYSIS = "irrep_spectrum"
"""The analysis whose result at the last checkpoint is read; the representations of C_n are its frequencies."""

FREQUENCY = "freq_"


class FinalKeys(NamedTuple):
    """The representations that a network answers with, at its last measured checkpoint.

    Args:
        step: the checkpoint.
        labels: the names of all representations.
        is_key: whether each is key.
        similarity: the cosine similarity of the logits with each character over the held-out examples.
    """

    step: int
    labels: tuple[str, ...]
    is_key: Bool[np.ndarray, "label"]
    similarity: Float[np.ndarray, "label"]


class Circuits(NamedTuple):
    """The networks of a setting that generalized and have a key.

    Args:
        name: the setting.
        group: the name of the group of its task, if it is known.
        labels: the names of all representations.
        seeds: the seed of every network.
        is_key: the keys of every network.
        similarity: the similarity of every network with each character.
    """

    name: str
    group: str | None
    labels: tuple[str, ...]
    seeds: tuple[str, ...]
    is_key: Bool[np.ndarray, "network label"]
    similarity: Float[np.ndarray, "network label"]

    @property
    def symmetry(self) -> Symmetry:
        """The relabelings under which the circuit is the same."""
        return symmetry_of(self.group, len(self.labels))

    @property
    def classes(self) -> Int[np.ndarray, "network"]:
        """The number of the class of every network."""
        return class_of(self.is_key, self.symmetry)

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return int(self.classes.max()) + 1

    @property
    def is_cyclic(self) -> bool:
        """Whether the representations are frequencies of a cyclic group, which is known."""
        return self.group is not None and all(one.startswith(FREQUENCY) for one in self.labels)

    @property
    def by_chance(self) -> Chance:
        """The distribution of the number of classes among random sets."""
        key = self.is_key.tobytes(), self.is_key.shape, self.group
        return _chance(*key)

    @property
    def sizes(self) -> str:
        """The smallest and the largest number of keys, as text."""
        counts = self.is_key.sum(1)
        low, high = int(counts.min()), int(counts.max())
        return str(low) if low == high else f"{low}–{high}"


class Measured(NamedTuple):
    """The networks of a study whose keys are known, by setting, and the number of those that are left out by reason."""

    settings: list[Circuits]
    left_out: Counter[str]


def circuits_of(study: Study) -> Measured:
    """Return the networks of a study that generalized, with their keys, in the order of its settings."""
    settings, left_out = [], Counter()
    for cell in study.cells:
        grokked = cell.runs[cell.runs["grokked"]]
        found = list(networks(study, grokked, left_out))
        if found:
            settings.append(setting_of(study, cell, found))
    return Measured(settings, left_out)


def networks(study: Study, runs: pd.DataFrame, left_out: Counter[str]) -> Iterator[tuple[dict[str, Any], FinalKeys]]:
    """Yield every run whose keys are known, with its keys, and count the others by reason."""
    for run in runs.to_dict("records"):
        keys = read_keys(study.path(run["directory"]))
        if isinstance(keys, str):
            left_out[keys] += 1
        elif keys.step != run["last_epoch"]:
            left_out["not measured at their last checkpoint"] += 1
        elif not keys.is_key.any():
            left_out["without a key"] += 1
        else:
            yield run, keys


def setting_of(study: Study, cell: Cell, found: list[tuple[dict[str, Any], FinalKeys]]) -> Circuits:
    """Return the networks of a setting; they have the same representations."""
    runs, keys = zip(*sorted(found, key=lambda one: (pd.isna(one[0]["seed"]), one[0]["seed"])), strict=True)
    return Circuits(
        study.name_cell(cell),
        group_of(runs[0]["configuration"]),
        keys[0].labels,
        tuple(str(int(run["seed"])) if pd.notna(run["seed"]) else "" for run in runs),
        np.array([one.is_key for one in keys]),
        np.array([one.similarity for one in keys]),
    )


def group_of(configuration: str) -> str | None:
    """Return the name of the group of a task, from the configuration of a run, if it is known."""
    try:
        return Experiment.from_dict(json.loads(configuration)).task.group_name
    except GrokinterpError:
        return None


def read_keys(run: Path) -> FinalKeys | str:
    """Return the keys of a run's last measured checkpoint, or the reason why they are not known."""
    try:
        stamp = (run / result_file(ANALYSIS)).stat().st_mtime_ns
    except OSError:
        return "not measured"
    return _read_keys(run, stamp)


@lru_cache(maxsize=4096)
def _read_keys(run: Path, _stamp: int) -> FinalKeys | str:
    try:
        found = read_analysis(run, ANALYSIS)
    except GrokinterpError:
        return "damaged"
    if found is None or not found.sizes.get("step"):
        return "not measured"
    last = found.isel(step=-1)
    return FinalKeys(
        int(last["step"]),
        tuple(map(str, last["irrep"].values)),
        last["is_key_irrep"].values.astype(bool),
        last["irrep_similarity_held_out"].values.astype(float),
    )


@lru_cache(maxsize=256)
def _chance(is_key: bytes, shape: tuple[int, int], group: str | None) -> Chance:
    return chance(np.frombuffer(is_key, dtype=bool).reshape(shape), symmetry_of(group, shape[1]))
