"""Predictions of the grok step: coverage and width of the intervals, and errors, of ours and of each baseline.

``python -m benchmarks.prediction ROOT`` builds the database of all runs below a folder, for example of the sweeps
``grokinterp sweep NAME --scale small --out ROOT``, and predicts every run from the others, with its setting left out
and with its setting's other seeds. It also measures the coverage on planted populations whose distribution is known.
Both tables are written into docs/prediction.md.
"""

import argparse
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.machine import describe
from benchmarks.report import table
from grokinterp.sweeps import build_db, open_db
from grokinterp.sweeps.database import Database
from grokinterp.sweeps.prediction import OURS, PREDICTORS, EarlyRun, Interval, Outcome, Until, calibrate, early_runs
from grokinterp.sweeps.prediction.early_run import KIND

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "prediction.md"
FRACTIONS = (0.05, 0.1, 0.2, 0.4)
LEVEL = 0.9
FOLDS = 10
"""Number of parts into which runs, or settings, are divided; each part is predicted from the others."""

NOISES = {
    "normal": lambda draw, size: draw.standard_normal(size),
    "Student t, 2 degrees of freedom": lambda draw, size: draw.standard_t(2, size),
    "exponential": lambda draw, size: draw.exponential(1.0, size) - 1,
}
"""Distributions of the noise of planted populations."""


class Judged(NamedTuple):
    """A run with its predicted interval."""

    run: EarlyRun
    interval: Interval


def planted(
    seed: int, *, settings: int, seeds: int, noise: str, budget: int, unfinished: float = 0.0
) -> list[EarlyRun]:
    """Draw a population of runs: log T = 7 + x·(1, −0.5, 0.3) + 0.4 u + 0.3 e.

    The features x are standard normal, two of the setting and one of the run; u is the effect of the setting, normal,
    and e the noise of the run. Runs that would grok after their budget do not grok, and a share of the runs is
    unfinished: it was stopped at a random step.

    Args:
        seed: the seed of all draws.
        settings: number of settings.
        seeds: number of runs of each.
        noise: the name of the distribution of the noise.
        budget: the steps of every run.
        unfinished: the share of unfinished runs.
    """
    draw, stop = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    runs = []
    for setting in range(settings):
        own, effect = draw.standard_normal(2), draw.standard_normal()
        for number, e in enumerate(NOISES[noise](draw, seeds)):
            x = [*own, draw.standard_normal()]
            time = 7 + float(np.dot(x, (1, -0.5, 0.3))) + 0.4 * effect + 0.3 * float(e)
            step = max(round(math.exp(min(time, 30.0))), 2)
            known = stop.integers(1, budget) if stop.random() < unfinished else budget
            outcome = Outcome(step if step <= known else None, int(known))
            runs.append(planted_run(f"{setting:04}-{number:04}", f"{setting:04}", x, budget, outcome))
    return runs


def planted_run(run_id: str, setting: str, x: Sequence[float], budget: int, outcome: Outcome) -> EarlyRun:
    """Return a run with given features and outcome, whose other measures are constant."""
    return EarlyRun(
        run_id=run_id, setting=setting, at=1, earliest=2, horizon=budget, memorized=None, decay=1e-3,
        features={"weight decay": x[0], "learning rate": x[1], "test loss": x[2]},
        initial_norm=1.0, norm=1.0, energy=0.0, outcome=outcome,
    )  # fmt: skip


def planted_coverage(repeats: int, **population: object) -> Iterator[tuple[str, float, float, float]]:
    """Yield what the new run is exchangeable with, and the coverage, unbounded share and errors of stops by new runs.

    For a new run with a known setting, its other seeds are among the runs; otherwise its setting is new.
    """
    for seeds in (True, False):
        inside, unbounded, wrong = [], [], []
        for repeat in range(repeats):
            runs = planted(repeat, **population)  # ty: ignore[invalid-argument-type]
            new = runs[-1]
            others = runs[:-1] if seeds else [run for run in runs if run.setting != new.setting]
            full = truth_of(repeat, new, **population)
            interval = calibrate(PREDICTORS[OURS], others, seeds=seeds).interval(new, level=LEVEL)
            inside.append(interval.contains(full))
            unbounded.append(interval.high == math.inf)
            wrong.append(interval.low >= full.horizon and full.grokked)
        yield "seeds" if seeds else "settings", float(np.mean(inside)), float(np.mean(unbounded)), float(np.mean(wrong))


def truth_of(repeat: int, new: EarlyRun, **population: object) -> EarlyRun:
    """Return the last run of a population as it went on to its budget, even if it was left unfinished."""
    whole = planted(repeat, **{**population, "unfinished": 0.0})  # ty: ignore[invalid-argument-type]
    return next(run for run in whole if run.run_id == new.run_id)


def by_kind(runs: Iterable[EarlyRun], kinds: dict[str, tuple]) -> list[list[EarlyRun]]:
    """Return the runs of each kind, the largest first."""
    groups: dict[tuple, list[EarlyRun]] = {}
    for run in runs:
        groups.setdefault(kinds[run.run_id], []).append(run)
    return sorted(groups.values(), key=len, reverse=True)


def predicted(name: str, runs: Sequence[EarlyRun], *, seeds: bool) -> list[Judged]:
    """Predict every run from those of the other folds: folds of settings, or of runs whose setting has other seeds."""
    members = Counter(run.setting for run in runs)
    groups = [run.run_id if seeds else run.setting for run in runs]
    order = {group: place % FOLDS for place, group in enumerate(sorted(set(groups)))}
    found = []
    for fold in range(FOLDS):
        rest = [run for run, group in zip(runs, groups, strict=True) if order[group] != fold]
        known = {run.setting for run in rest}
        chosen = [run for run, group in zip(runs, groups, strict=True) if order[group] == fold]
        chosen = [run for run in chosen if not seeds or (members[run.setting] > 1 and run.setting in known)]
        if chosen and any(run.grokked for run in rest):
            made = calibrate(PREDICTORS[name], rest, seeds=seeds)
            found += [Judged(run, made.interval(run, level=LEVEL)) for run in chosen]
    return found


def summary(judged: Sequence[Judged]) -> list[str]:
    """Return the cells of a row: runs, coverage, median width, unbounded share, error, and runs that would be ended."""
    inside = [one.interval.contains(one.run) for one in judged]
    known = [value for value in inside if value is not None]
    widths = [one.interval.high / max(one.interval.low, 1.0) for one in judged]
    errors = [
        abs(math.log(min(one.interval.step, one.run.horizon)) - one.run.target) for one in judged if one.run.grokked
    ]
    ended = [one for one in judged if one.interval.low >= one.run.horizon]
    never = sum(not one.run.grokked for one in judged)
    bounded = [width for width in widths if math.isfinite(width)]
    return [
        f"{len(judged)} ({len(errors)})",
        f"{sum(known) / len(known):.0%}" if known else "",
        f"{np.median(bounded):.2f}" if bounded else "",
        f"{1 - len(bounded) / len(judged):.0%}",
        f"{np.mean(errors):.3f}" if errors else "",
        f"{sum(not one.run.grokked for one in ended)} of {never}",
        str(sum(one.run.grokked for one in ended)),
    ]


HEAD = ["exchangeable", "of the budget", "predictor", "runs (grokked)", "coverage", "width, factor", "unbounded"]
HEAD += ["mean abs. log error", "correctly ruled out", "wrongly ruled out"]


def measured(db: Database) -> list[list[str]]:
    """Return the rows of the table of a database."""
    kinds = {run_id: tuple(kind) for run_id, *kind in db.select(f"SELECT run_id, {', '.join(KIND)} FROM runs")[1]}
    rows = []
    for fraction in FRACTIONS:
        groups = by_kind(early_runs(db, Until(share=fraction)), kinds)
        for runs in groups:
            shared = set.intersection(*(set(run.features) for run in runs))
            alike = [replace(run, features={name: run.features[name] for name in sorted(shared)}) for run in runs]
            if len(alike) < FOLDS or sum(run.grokked for run in alike) < FOLDS // 2:
                continue
            for seeds in (False, True):
                found = {name: predicted(name, alike, seeds=seeds) for name in PREDICTORS}
                named = "seeds" if seeds else "settings"
                rows += [[named, f"{fraction:.0%}", name, *summary(judged)] for name, judged in found.items() if judged]
    return sorted(rows, key=lambda row: row[0] != "settings")


def planted_rows(repeats: int) -> list[list[str]]:
    """Return the rows of the table of planted populations."""
    rows = []
    for noise in NOISES:
        for budget, unfinished in ((10**9, 0.0), (1500, 0.0), (1500, 0.2)):
            population = {"settings": 20, "seeds": 4, "noise": noise, "budget": budget, "unfinished": unfinished}
            whole = planted(0, **(population | {"settings": 500}))
            share = 1 - sum(run.grokked for run in whole) / len(whole)
            for exchangeable, coverage, unbounded, wrong in planted_coverage(repeats, **population):
                cells = [f"{share:.0%}", exchangeable, f"{coverage:.1%}", f"{unbounded:.0%}", f"{wrong:.1%}"]
                rows.append([noise, *cells])
    return rows


PLANTED_HEAD = ["noise", "not observed to grok", "exchangeable", "coverage", "unbounded", "wrongly ruled out"]


def write(document: Path, name: str, text: str) -> None:
    """Replace the part of a document between two comments."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    document.write_text(before + begin + "\n" + text + "\n" + end + rest.partition(end)[2], encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the tables into the document."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prediction", description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, help="a folder with runs (default: planted populations only)")
    parser.add_argument("--repeats", type=int, default=500, help="planted populations of each kind; 0 for none")
    parser.add_argument("--out", type=Path, default=DOCUMENT, metavar="FILE")
    chosen = parser.parse_args(arguments)
    if chosen.repeats:
        rows = planted_rows(chosen.repeats)
        write(chosen.out, "planted", f"{chosen.repeats:,} populations each.\n\n{table(PLANTED_HEAD, rows)}")
    if chosen.root is not None:
        with tempfile.TemporaryDirectory() as folder:
            build_db(chosen.root, Path(folder) / "a.db")
            db = open_db(Path(folder) / "a.db")
            rows, count, grokked = measured(db), len(db.runs), int(db.runs.grok_epoch.notna().sum())
        about = f"{count} runs, of which {grokked} grokked within their budget. Trained and measured on: {describe()}."
        write(chosen.out, "measured", f"{about}\n\n{table(HEAD, rows)}")


if __name__ == "__main__":
    main()
