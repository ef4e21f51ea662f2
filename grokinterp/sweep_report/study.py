"""A study: runs that vary the same settings, as the plates of the page see them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import pandas as pd

from grokinterp.experiment.settings import settings_of
from grokinterp.experiment.varied import FIRST, SEEDS, differing, exact, follows_length, is_length, name_of
from grokinterp.numbers import listed
from grokinterp.phases import GENERALIZED
from grokinterp.statistics.shapes import Shape, u_shape
from grokinterp.statistics.survival import Times
from grokinterp.statistics.thresholds import Threshold, threshold
from grokinterp.sweep_report.axes import Axis, Tied, axes_of
from grokinterp.sweeps.database import Database
from grokinterp.sweeps.entry import COMPLETE, ENDED


class Cell(NamedTuple):
    """The runs of one setting, which differ in their seeds: its place on both axes, and its rows of the table."""

    place: int
    series: int
    runs: pd.DataFrame


@final
@dataclass(frozen=True)
class Study:
    """Runs that vary the same settings.

    Attributes:
        experiments: the names of the sweeps, or folders, that contain the runs.
        runs: a row for each run: the columns of the table ``runs`` (docs/database.md), ``grokked``, ``decided``
            (whether it ended, or was stopped by a prediction), ``place`` (the place of its value among ``x.values``, 0
            without an axis) and ``series`` (its place among ``series``).
        x: the axis over which figures are drawn; None if the runs differ only in their seeds.
        others: the further axes, whose combinations are the series.
        tied: the settings that change along with an axis.
        repeated: the number of runs left out because another run repeats them with another budget.
        database: the database, for the curves.
        root: the folder of the run directories.
    """

    experiments: tuple[str, ...]
    runs: pd.DataFrame
    x: Axis | None
    others: tuple[Axis, ...]
    tied: tuple[Tied, ...]
    repeated: int
    database: Database
    root: Path

    @property
    def title(self) -> str:
        """The names of the axes, with those of important settings that change along with them."""
        axes = [axis for axis in (self.x, *self.others) if axis is not None]
        return " × ".join(f"{axis.name}{self._with(axis)}" for axis in axes) or "one setting"

    def _with(self, axis: Axis) -> str:
        names = [name_of(key) for key in self.determined_by(axis) if key in FIRST]
        return f" with {listed(names)}" if names else ""

    def determined_by(self, axis: Axis) -> list[str]:
        """Return the settings that change along with an axis, so that their effects cannot be separated."""
        return [*axis.companions, *(one.key for one in self.tied if one.axis == axis.key)]

    def tried(self, series: int) -> np.ndarray:
        """Return the values of the axis with runs of a series that ended, in order; those with any runs if none did."""
        runs = self.of_series(series)
        ended = runs[runs["decided"]]
        return self.xs[sorted({*(ended if len(ended) else runs)["place"]})]

    @cached_property
    def points(self) -> list[tuple[int, ...]]:
        """For every series, the places of its values on the other axes."""
        codes = zip(*(axis.codes for axis in self.others), strict=True) if self.others else [()] * len(self.runs)
        return sorted({*codes})

    @property
    def series(self) -> list[str]:
        """The names of the series; a single empty name without further axes."""
        return [
            ", ".join(f"{axis.name} {axis.texts[code]}" for axis, code in zip(self.others, point, strict=True))
            for point in self.points
        ]

    @property
    def series_name(self) -> str:
        """The names of the further axes."""
        return " × ".join(axis.name for axis in self.others)

    @property
    def short_series(self) -> list[str]:
        """The values of the series without the names of their axes."""
        return [
            ", ".join(axis.texts[code] for axis, code in zip(self.others, point, strict=True)) for point in self.points
        ]

    @property
    def xs(self) -> np.ndarray:
        """The values of the axis as numbers; a single 0 without an axis."""
        return np.zeros(1) if self.x is None else self.x.numbers

    @property
    def x_texts(self) -> list[str]:
        """The values of the axis as texts; a single "all runs" without an axis."""
        return ["all runs"] if self.x is None else self.x.texts

    @property
    def cells(self) -> Iterator[Cell]:
        """The settings with runs, series by series."""
        for series in range(len(self.points)):
            runs = self.of_series(series)
            for place in sorted({*runs["place"]}):
                yield Cell(int(place), series, runs[runs["place"] == place])

    @property
    def decided(self) -> pd.DataFrame:
        """The runs that ended or were stopped by a prediction; others may grok later, whether or not they have yet."""
        return self.runs[self.runs["decided"]]

    @property
    def predicted(self) -> int:
        """The number of runs that count as failures by a prediction, not by observation."""
        return int((self.decided["status"].eq("stopped") & ~self.decided["grokked"]).sum())

    @cached_property
    def critical(self) -> list[Threshold]:
        """The critical value of the axis in every series; without values where the axis has no numbers."""
        return [self._critical(series, "grokked") for series in range(len(self.points))]

    @cached_property
    def critical_by_verdict(self) -> list[Threshold]:
        """The critical values if every run with the verdict that it generalizes counts as a success.

        The verdict tolerates single evaluations below the threshold; the rule of ten consecutive ones does not.
        """
        return [self._critical(series, "generalizes") for series in range(len(self.points))]

    def _critical(self, series: int, success: str) -> Threshold:
        """Return where half of the decided runs of a series succeed."""
        runs = self.of_series(series)
        runs = runs[runs["decided"]]
        if self.x is None or not self.x.is_numeric:
            return Threshold("no numbers")
        runs = runs.assign(generalizes=runs["grokked"] | runs["verdict"].isin(GENERALIZED))
        return threshold(self.xs[runs["place"]], list(runs[success]), log=self.x.is_logarithmic)

    @cached_property
    def shapes(self) -> list[Shape]:
        """The shape of the grok step over the axis in every series."""
        return [self._shape(series) for series in range(len(self.points))]

    def _shape(self, series: int) -> Shape:
        runs = evaluated(self.of_series(series))
        if self.x is None or not self.x.is_numeric:
            return Shape("no numbers")
        times, bounds = times_of(runs), runs["horizon"].fillna(runs["grok_epoch"])
        log = self.x.is_logarithmic
        return u_shape(self.xs[runs["place"]], times.times, times.observed, list(map(float, bounds)), log=log)

    def of_series(self, series: int) -> pd.DataFrame:
        """Return the runs of a series."""
        return self.runs[self.runs["series"] == series]

    def name_cell(self, cell: Cell) -> str:
        """Return the name of a setting."""
        x = "" if self.x is None else f"{self.x.name} {self.x.texts[cell.place]}"
        return ", ".join(part for part in (x, self.series[cell.series]) if part) or "all runs"

    def path(self, directory: str) -> Path:
        """Return the path of a run directory; open it with ``grokinterp.Results`` to read analyses."""
        return self.root / directory


def evaluated(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that grokked, or were observed long enough to see that they did not."""
    return runs[runs["grok_epoch"].notna() | runs["horizon"].notna()]


def times_of(runs: pd.DataFrame, column: str = "grok_epoch") -> Times:
    """Return the grok epochs of the runs, censored at their horizons; runs that were never evaluated are left out."""
    seen = runs[column].notna()
    known = runs[seen | runs["horizon"].notna()]
    times = known[column].fillna(known["horizon"])
    return Times(tuple(map(float, times)), tuple(map(bool, seen[known.index])))


def studies(database: Database, root: Path) -> list[Study]:
    """Return the runs of a database as studies, those with most runs first.

    Sweeps that vary the same settings are one study: sweeps of the ratio at several weight decays become the sweep of
    both. Every run is in it once.
    """
    runs, listed = database.runs, database.experiments
    fixed = dict(zip(listed["experiment"], map(json.loads, listed["fixed"]), strict=True))
    runs["settings"] = settings_of(list(map(json.loads, runs["configuration"])))
    members = {name: [name in of.split(" ") for of in runs["experiments"]] for name in fixed}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, shared in fixed.items():
        if any(members[name]):
            groups.setdefault(kind_of(runs[members[name]], shared), []).append(name)
    chosen = [(group, np.any([members[name] for name in group], axis=0)) for group in groups.values()]
    found = [study_of(runs[rows], group, database, root) for group, rows in chosen]
    return sorted(found, key=lambda study: (-len(study.runs), study.experiments))


def kind_of(runs: pd.DataFrame, shared: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what an experiment varies, with its tasks and models: equal for experiments of one study.

    Args:
        runs: the runs of the experiment that have begun.
        shared: the settings that all runs of a sweep share, those that have not begun included; empty for a folder.
    """
    varied = set(differing(list(runs["settings"])))
    if shared:
        keys = {key for one in runs["settings"] for key in one}
        varied |= {key for key in keys - shared.keys() if key not in SEEDS and not is_length(key)}
    kinds = {f"{one.get('task.kind')} {one.get('model.kind')}" for one in runs["settings"]}
    return (*sorted(varied), *sorted(kinds))


def study_of(runs: pd.DataFrame, experiments: Sequence[str], database: Database, root: Path) -> Study:
    """Return some runs as a study."""
    kept = without_repeated(runs)
    axes, tied = axes_of(list(kept["settings"]), [None if pd.isna(ratio) else float(ratio) for ratio in kept["ratio"]])
    x, others = (axes[0] if axes else None), axes[1:]
    points = list(zip(*(axis.codes for axis in others), strict=True)) if others else [()] * len(kept)
    places = {point: i for i, point in enumerate(sorted({*points}))}
    kept = kept.assign(
        grokked=kept["grok_epoch"].notna(),
        decided=kept["status"].isin(COMPLETE),
        place=x.codes if x is not None else 0,
        series=[places[point] for point in points],
    )
    return Study(tuple(experiments), kept, x, tuple(others), tuple(tied), len(runs) - len(kept), database, root)


def without_repeated(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs without those that another run repeats with another budget, if anything else differs.

    A run of 3,000 steps is the beginning of the run with 4,000 steps and otherwise the same settings; counted twice,
    it would feign a further seed. It is not if a schedule follows the planned length.
    """
    if not differing(list(runs["settings"])):
        return runs.reset_index(drop=True)
    best: dict[str, tuple[tuple[int, float], Any]] = {}
    for place, row in zip(runs.index, runs.to_dict("records"), strict=True):
        one, extent = row["settings"], extent_of(row)
        also = {"steps"} if follows_length(one) else set()
        key = exact({name: value for name, value in one.items() if name in also or not is_length(name)})
        if key not in best or best[key][0] < extent:
            best[key] = (extent, place)
    return runs.loc[sorted(place for _, place in best.values())].reset_index(drop=True)


def extent_of(run: Mapping[Any, Any]) -> tuple[int, float]:
    """Return how complete a run is, then until which step it was observed, for comparison with its repetitions.

    A run that ended is more complete than one that was stopped by a prediction, and this one than a run that may go on.
    A run that ended is observed until its budget, others until their last evaluation.
    """
    complete = [run["status"] in statuses for statuses in (ENDED, COMPLETE)]
    last = run["epochs"] if complete[0] else run["last_epoch"]
    return sum(complete), 0.0 if pd.isna(last) else float(last)
