"""Render a league as one HTML file that opens offline and runs only its own script."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.experiment.kinds import RECORDED
from grokinterp.figures.survival import accuracy_by_method, survival_curves, times_by_method
from grokinterp.league.by_method import by_method, league_dataset
from grokinterp.league.methods import BASELINE
from grokinterp.league.run import LEAGUE, damage_of, read_league
from grokinterp.league.table import UNKNOWN, interval, middle, rows, solved, times_of, whole_number
from grokinterp.league.tuned_table import TUNED_COLUMNS, budget_of, tuned_lead, tuned_rows
from grokinterp.numbers import percent, settings, whole
from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE, script
from grokinterp.page.pictures import Gallery, gallery
from grokinterp.report.vocabulary import configuration, described, vocabulary_of
from grokinterp.runs.results import Results
from grokinterp.statistics.survival import median
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import html_file, make_directory
from grokinterp.storage.files import path_of
from grokinterp.sweeps.outcome import early_stop, judged

ASSETS = Path(__file__).parent / "templates"
PAGE = "league.html"
PATIENCES = (5, 20, 100)
"""Patience values tried on the baseline in addition to the given value."""


class Stopped(NamedTuple):
    """Early stopping compared with the full run, as text."""

    name: str
    stopped: str
    kept: str
    early: str
    full: str
    solved: str
    untrained: int = 0
    """Number of runs that keep the weights of step 0."""


def write_page(directory: str | Path, out: str | Path | None = None) -> Path:
    """Write the page of a league and return its path.

    Args:
        directory: the directory of the league, as written by ``run_league``.
        out: the output file (default: ``league.html`` in the directory).

    Raises:
        RunDirectoryError: the directory contains no league, or none of its runs can be read.
        GrokinterpError: the file cannot be written.
    """
    top = path_of("directory", directory)
    found = read_league(top)
    if not found.get("runs"):
        state = f"a damaged {LEAGUE}: run the league again" if damage_of(top) else f"no {LEAGUE} with runs"
        raise RunDirectoryError(top, f"contains no league: it has {state}")
    found = readable(found, top)
    path = html_file("out", top / PAGE if out is None else out)
    make_directory(path.parent)
    write_atomic(path, render(found, top).encode("utf-8"), replace=True)
    return path


def readable(found: Mapping[str, Any], top: Path) -> dict[str, Any]:
    """Return a league in which the runs that cannot be read are listed as failed.

    Raises:
        RunDirectoryError: none of its runs can be read.
    """
    runs, failed = [], {(one["method"], one["seed"]): one for one in found["failed"]}
    for run in found["runs"]:
        try:
            _ = Results.open(top / run["directory"]).metrics
            runs.append(run)
        except GrokinterpError as error:
            failed[run["method"], run["seed"]] = {"method": run["method"], "seed": run["seed"], "why": str(error)}
    if not runs:
        raise RunDirectoryError(top, f"contains no run that can be read: {next(iter(failed.values()))['why']}")
    return {**found, "runs": runs, "failed": [*failed.values()]}


def render(found: Mapping[str, Any], top: Path) -> str:
    """Return the page; the same league always gives the same bytes."""
    style = asset(STYLE) + asset(ASSETS / "league.css")
    code = script()
    return environment("grokinterp.league").get_template("league.html").render(
        **content(found, top), style=Markup(style), script=Markup(code), policy=policy(style=style, script=code)
    )  # fmt: skip


def content(found: Mapping[str, Any], top: Path) -> dict[str, Any]:
    """Return the values shown on the page."""
    groups, base, data = by_method(found), found["base"], league_dataset(found, top)
    seeds = max(len(runs) for runs in groups.values())
    early = [stopped(name, runs) for name, runs in groups.items()]
    first = Results.open(top / found["runs"][0]["directory"])
    is_recorded = base["model"]["kind"] == RECORDED
    patient = by_patience(groups.get(BASELINE, []), top, found["patience"])
    return {
        "name": str(base["name"]),
        "heading": vocabulary_of(first).heading if is_recorded else [described(base["task"]), described(base["model"])],
        "lead": lead(groups),
        "budget": whole(base["steps"]),
        "every": whole(base["evaluate_every"]),
        "n_seeds": seeds,
        "smallest_p": f"{smallest_p(seeds):.2g}",
        "n_tests": max(len(groups) - 1, 0),
        "jobs": found["jobs"],
        "is_recorded": is_recorded,
        "baseline": BASELINE,
        "rule": found["rule"],
        "rows": rows(found),
        "tuned": tuned_rows(found),
        "tuned_columns": TUNED_COLUMNS,
        "tuned_budget": budget_of(found) if found.get("tuning") else "",
        "tuned_lead": tuned_lead(found) if found.get("tuning") else "",
        "times": drawn_times(data),
        "accuracies": gallery(
            [(accuracy_by_method(data, threshold=found["rule"]["threshold"]), ACCURACIES, ACCURACIES)]
        ),
        "patience": found["patience"],
        "held_out": "validation" if base["split"]["validation"] else "test",
        "stopped": early,
        "by_patience": patient,
        "untrained": any(line.untrained for line in (*early, *patient)),
        "methods": [method_row(name, one) for name, one in found["methods"].items()],
        "refused": found["refused"],
        "failed": found["failed"],
        "notes": found.get("notes", []),
        "configuration": settings(known(base, first) if is_recorded else base),
    }


def known(base: Mapping[str, Any], first: Results) -> dict[str, Any]:
    """Return the settings of a league of modules without the lists of examples and tensors."""
    return {**configuration(first), **{key: base[key] for key in ("name", "optimization", "steps", "evaluate_every")}}


def lead(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the result in two sentences that claim no more than was observed."""
    n_runs = sum(map(len, groups.values()))
    solved_runs = sum(run["event_step"] is not None for runs in groups.values() for run in runs)
    medians = {name: median(times_of(runs)).value for name, runs in groups.items()}
    first = min(medians, key=lambda name: medians[name])
    result = f"{solved_runs} of {n_runs} runs generalized."
    if medians[first] == float("inf"):
        return f"{result} No method reaches a median time."
    result += f" {first} has the smallest median time, {whole_number(medians[first])} steps"
    if first == BASELINE or BASELINE not in medians:
        return f"{result}."
    base = medians[BASELINE]
    comparison = "reaches none within the budget" if base == float("inf") else f"takes {whole_number(base)}"
    return f"{result}; {BASELINE} {comparison}."


def smallest_p(seeds: int) -> float:
    """Return the smallest p-value that an exact two-sided test can give with this many runs per method.

    >>> smallest_p(3)
    0.1
    """
    ways = 1
    for i in range(seeds):
        ways = ways * (2 * seeds - i) // (i + 1)
    return 2 / ways


ACCURACIES = (
    "Accuracy of every run by method; for methods that average the weights, the accuracy of the averaged weights."
)
CURVES = (
    "Kaplan-Meier curves, slightly offset so that none hides another; a cross marks the last observation of a run "
    "that did not generalize."
)


def drawn_times(data: Any) -> Gallery:
    """Draw the times of every run, then survival curves, over steps and over seconds."""
    points = "All runs and the median of each method. An interval that reaches the edge has no upper bound."
    return gallery(
        [
            (times_by_method(data), points, points),
            (survival_curves(data), CURVES, CURVES),
            (times_by_method(data, over="seconds"), f"The same in wall time. {points}", points),
            (survival_curves(data, over="seconds"), f"The same in wall time. {CURVES}", CURVES),
        ]
    )


def stopped(name: str, runs: Sequence[Mapping[str, Any]]) -> Stopped:
    """Return the steps and accuracies of early stopping on a method's runs, and the accuracies of the full runs."""
    early = [run["early"] for run in runs if run["early"]]
    return Stopped(
        name=name,
        stopped=middle(early, "stopped", whole_number),
        kept=middle(early, "kept", whole_number),
        early=spread([one["test_accuracy"] for one in early]),
        full=spread([run["final_test_accuracy"] for run in runs]),
        untrained=sum(one["kept"] == 0 for one in early),
        solved=f"{solved(runs)}, {interval(median(times_of(runs)), whole_number).split(' (')[0]}",
    )


def spread(values: Sequence[float | None]) -> str:
    """Return the median and the range of the known values.

    >>> spread([0.5, 1.0, None, 0.75])
    '75 % (50 % to 100 %)'
    """
    known = [value for value in values if value is not None]
    if not known:
        return UNKNOWN
    middle_one, low, high = map(percent, (statistics.median(known), min(known), max(known)))
    return middle_one if low == high else f"{middle_one} ({low} to {high})"


def by_patience(runs: Sequence[Mapping[str, Any]], top: Path, chosen: int) -> list[Stopped]:
    """Return the outcome of early stopping on the baseline's runs for several patience values."""
    metrics = [judged(Results.open(top / run["directory"]).metrics) for run in runs]
    metrics = [one for one in metrics if one.sizes["step"]]
    found = []
    for patience in sorted({*PATIENCES, chosen}) if metrics else []:
        stops = [early_stop(one, patience)._asdict() for one in metrics]
        again = [{**run, "early": stop} for run, stop in zip(runs, stops, strict=False)]
        found.append(stopped(str(patience), again))
    return found


def method_row(name: str, method: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method with the settings that it changes, as text."""
    changes = [(key, short(before), short(now)) for key, (before, now) in method["changes"].items()]
    return {"name": name, "about": method["about"], "source": method["source"], "changes": changes}


def short(value: Any) -> str:
    """Return a configuration value as text.

    >>> short([{"kind": "egd"}, {"kind": "grokfast_ema", "lamb": 2.0}]), short([]), short(None)
    ('egd, grokfast_ema (lamb 2.0)', 'none', 'none')
    """
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(short, value))
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} {short(part)}" for key, part in value.items() if key != "kind")
        return f"{value.get('kind', '')} ({inner})" if inner else str(value.get("kind", ""))
    return str(value) if not isinstance(value, str) else value
