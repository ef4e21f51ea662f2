"""Commands that analyze a run and report the results."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokinterp.cli.completion import analysis_names
from grokinterp.cli.listings import analysis_entries
from grokinterp.cli.options import Device, RunDir, RunsDir, split_names
from grokinterp.cli.printing import note, say, say_json
from grokinterp.errors import WriteError, require, require_choice
from grokinterp.storage.atomic import output_file

if TYPE_CHECKING:
    from grokinterp.runs.results import Results

SOURCES = {
    "key_frequencies": "is_key",
    "nearly_key_frequencies": "is_nearly_key",
    "key_irreps": "is_key_irrep",
    "nearly_key_irreps": "is_nearly_key_irrep",
    "circuit": "is_circuit",
    "circuit_close_to": "is_close_to",
}
"""The fields of results from which measures of the summary with other names follow."""

NOTHING_WRONG = "The numbers of this run show no problem."


def analyze(
    run_dir: RunsDir,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Only these analyses.", autocompletion=analysis_names)
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="Every N-th checkpoint and the last (default: all; a few for costly analyses).")
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="Only the last checkpoint.")] = False,
    answer: Annotated[
        int | None, typer.Option(help="The answer to analyze, of several, counted from 0 (default: the last).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    device: Device = "cpu",
) -> None:
    """Run every analysis over every checkpoint into RUN_DIR/analysis/NAME.nc.

    With --only, the results of these analyses are printed; otherwise, a summary of the run. Of a folder of runs, every
    run is analyzed.

    Exit code 1: some of them could not be analyzed (they are named).
    """
    names = None if only is None else split_names(only)
    require_analyses(names)
    require(every is None or every >= 1, "every", every, "must be an integer from 1")
    require(not last or every is None, "every", every, "give it or --last, not both")
    if not (run_dir / "experiment.json").exists():
        require(answer is None, "answer", answer, "needs a single run: the tasks of a folder may differ")
        return analyze_folder(run_dir, names, every, last=last, as_json=as_json, device=device)

    from grokinterp.analysis import analyze as analyze_run
    from grokinterp.diagnostics import diagnose as diagnose_run
    from grokinterp.runs import listing, summary
    from grokinterp.training import choose_device

    options: Any = {"only": names, "every": every, "last": last, "answer": answer}
    results = analyze_run(run_dir, **options, device=choose_device(device), progress=True)
    if as_json:
        diagnoses = [asdict(found) for found in diagnose_run(results)]
        say_json(summarized(results, names) | {"diagnoses": diagnoses})
    elif names is None:
        say([*summary.lines(results), *diagnosed(results)])
    else:
        say(listing.analysis_lines(results, names))
    warn_of_damage(results)


def summarized(results: Any, names: list[str] | None) -> dict[str, Any]:
    """Return the summary of a run as JSON values, with the measures of the named analyses only; None stands for all."""
    found = results.summary()
    if names is None:
        return found
    fields = {str(field) for name in names if name in results.analyses for field in results.analyses[name].data_vars}
    sources = {name: SOURCES.get(name, name) for name in found["measures"]}
    found["measures"] = {name: value for name, value in found["measures"].items() if sources[name] in fields}
    found["not_defined"] = {name: why for name, why in found["not_defined"].items() if name in names}
    return found


def analyze_folder(
    folder: Path, names: list[str] | None, every: int | None, *, last: bool, as_json: bool, device: str
) -> None:
    """Run analyses over every run of a folder, and print the runs for which that failed."""
    from grokinterp.sweeps.analyses import analyze_runs
    from grokinterp.training import choose_device

    failures = analyze_runs(folder, only=names, every=every, last=last, device=choose_device(device), progress=True)
    if as_json:
        say_json({"folder": str(folder), "failures": failures})
    else:
        say(f"  {directory}: {why}" for directory, why in failures.items())
    if failures:
        raise typer.Exit(1)


def llc(
    run_dir: RunDir,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value]...", help="As in step_size=1e-5.")
    ] = None,
    step: Annotated[int | None, typer.Option(help="Checkpoint (default: the last).")] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure a map over ε, γ and nβ.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file of the map: .png or .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the local learning coefficient of one checkpoint, with given settings or over a map of settings."""
    drawn = out is None or (calibrate and out.suffix in (".png", ".svg"))
    require(drawn, "out", out, "is for the map of --calibrate and must end in .png or .svg")
    out = None if out is None else output_file("out", out)

    from grokinterp import figures
    from grokinterp.analysis import calibrate_llc, local_learning_coefficient
    from grokinterp.analysis.landscape import llc_calibration
    from grokinterp.runs import summary
    from grokinterp.runs.trajectory import Trajectory

    chosen: Any = llc_calibration.parse_settings(settings or [])
    checkpoint = Trajectory.open(run_dir).checkpoint(step)
    if not calibrate:
        found = local_learning_coefficient(checkpoint, **chosen)
        measured = {"step": int(checkpoint.step)} | summary.scalars(found._asdict())
        return say_json(measured) if as_json else say(summary.chain_lines(measured, len(found.llc_of_chain)))
    mapped = calibrate_llc(checkpoint, **llc_calibration.axes_of(chosen), progress=True)
    if out is not None:
        figures.save(figures.llc_calibration(mapped), out)
    say_json(list(summary.calibration_points(mapped))) if as_json else say(summary.calibration_lines(mapped))


def report(
    run_dir: RunDir,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Default: reports/<run>.html.")] = None,
) -> None:
    """Write the phase-by-phase HTML report, after running any missing analyses.

    Without checkpoint files, the report shows the stored results.
    """
    from grokinterp.report import write_report
    from grokinterp.report.write import report_file

    out = report_file(run_dir, out)
    results = analyzed(run_dir)
    say([str(write_report(results, out)), *diagnosed(results)])
    warn_of_damage(results)


def analyzed(run_dir: Path) -> "Results":
    """Return the results of a run, after running any missing analyses if it has checkpoint files."""
    from grokinterp.runs.completeness import is_complete
    from grokinterp.runs.datasets import analysis_names
    from grokinterp.runs.results import Results

    results = Results.open(run_dir)
    if not results.directory.steps() and analysis_names(run_dir):
        note("the results cannot be updated: the run has no checkpoint files")
    elif not is_complete(run_dir) or results.left_out:
        from grokinterp.analysis import analyze as analyze_run

        try:
            results = analyze_run(run_dir, answer=results.answer, progress=True)
        except WriteError as error:
            note(f"the results cannot be updated: {error}")
    return results


def diagnose(
    run_dir: RunDir,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Diagnose a run: state what is wrong, the numbers that show it, and which setting to change."""
    from grokinterp.diagnostics import diagnose as diagnose_run
    from grokinterp.diagnostics import diagnosis_lines
    from grokinterp.runs.results import Results

    results = Results.open(run_dir)
    found = diagnose_run(results)
    say_json(list(map(asdict, found))) if as_json else say(diagnosis_lines(found) or [NOTHING_WRONG])
    warn_of_damage(results)


def require_analyses(names: list[str] | None) -> None:
    """Raise ConfigError, which lists all analyses, unless every name is known; None stands for all."""
    if names is not None:
        known = [entry.name for entry in analysis_entries()]
        for name in names or [""]:
            require_choice("only", name, known)


def diagnosed(results: Any) -> list[str]:
    """Return the diagnosis of an analyzed run as lines; empty if there is no problem."""
    from grokinterp.diagnostics import diagnose as diagnose_run
    from grokinterp.diagnostics import diagnosis_lines

    return diagnosis_lines(diagnose_run(results))


def warn_of_damage(results: Any) -> None:
    """Print the checkpoints that could not be read, their number, and whether the metrics lack checks.

    Damaged rows of the metrics are named in a warning wherever they are read.
    """
    for step, reason in results.skipped.items():
        note(f"skipped checkpoint {step}: {reason}")
    if results.skipped:
        note(f"{len(results.skipped)} damaged checkpoint{'s' if len(results.skipped) > 1 else ''} skipped")
    if results.log_check.unprotected_rows:
        note(results.log_check.unprotected_rows)
