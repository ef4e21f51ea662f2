"""The command that predicts when a run groks."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokinterp.cli.database import DATABASE, AsJson, File
from grokinterp.cli.options import RunDir
from grokinterp.cli.printing import say, say_json

if TYPE_CHECKING:
    from grokinterp.sweeps.prediction import Prediction

MOST_FACTORS = 5
"""Number of features that are listed."""


def predict(
    run_dir: RunDir,
    file: File = DATABASE,
    at: Annotated[
        int | None, typer.Option("--at", metavar="STEP", help="Use the metrics up to this step, here and of all runs.")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(help="Use the metrics up to this share of every budget (default: all metrics).")
    ] = None,
    level: Annotated[float, typer.Option(help="Nominal coverage of the interval.")] = 0.9,
    as_json: AsJson = False,
) -> None:
    """Predict when a run groks from its first metrics, with an interval calibrated on the runs of a database."""
    from grokinterp.sweeps.prediction import predict as predict_run

    found = predict_run(run_dir, file, at=at, fraction=fraction, level=level)
    if as_json:
        say_json(described(run_dir, found))
    else:
        say(lines(run_dir, found))


def described(run: Path, found: "Prediction") -> dict[str, object]:
    """Return a prediction as JSON values; null for steps that are not bounded."""
    return {"run": str(run), **found.__dict__, "ends": found.ends, "guarantee": found.guarantee}


def lines(run: Path, found: "Prediction") -> Iterator[str]:
    """Yield the lines of a prediction."""
    yield f"{run} at step {found.at} of {found.budget}: {found.text}"
    yield f"  {found.guarantee}"
    for phrase in found.extrapolated:
        yield f"  extrapolated, so that the interval is not valid: {phrase} of the comparable runs"
    if found.outcome:
        yield f"  observed: {found.outcome}"
    yield f"  fitted to {found.n_runs} comparable runs that {found.compared}; the strongest features:"
    for name, factor in list(found.factors.items())[:MOST_FACTORS]:
        yield f"    {name:28} × {factor:.3g}"
    yield "  baselines:"
    for name, step in found.baselines.items():
        yield f"    {name:28} {f'step {step:.0f}' if math.isfinite(step) else 'not within the budget'}"
