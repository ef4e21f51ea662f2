"""An analyzed run: metrics, measures, phases, verdict, and the JSON summary of the command line."""

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pandas as pd
import xarray as xr

from grokinterp.display import Facts, html_table, one_line
from grokinterp.errors import RunDirectoryError, warn
from grokinterp.named_values import NamedEntries
from grokinterp.phases import (
    NO_HISTORY,
    Curves,
    History,
    Measures,
    Snapshot,
    find_phases,
    learning_order,
    snapshot_of,
)
from grokinterp.phases.induction import Induction, induction
from grokinterp.runs.continuations import Continuation, continuations_of
from grokinterp.runs.datasets import (
    ANSWER,
    analysis_names,
    read_analyses,
    read_metrics,
    read_not_defined,
)
from grokinterp.runs.frame import frame_of
from grokinterp.runs.joining import merged
from grokinterp.runs.parent import ParentCurves, parent_curves
from grokinterp.runs.plain_values import finite, labels, plain, records
from grokinterp.storage import LogCheck, RunDirectory, write_atomic
from grokinterp.storage.atomic import output_file
from grokinterp.storage.configuration import planned_steps

SMALL_DIMENSIONS = {"split", "precision", "irrep"}
"""Dimensions with few entries; a summary lists all of their values."""

STRUCTURE = (
    "gradient_symmetricity",
    "distance_irrelevance",
    "circularity",
    "circuit",
    "key_irreps",
    "irrep_similarity",
    "irreps_explained",
    "hidden_fve",
)
"""Measures that every summary contains; null if undefined or not measured."""

NEARLY = {
    "key_frequencies": ("is_nearly_key", "logit_similarity_held_out", "similarity_threshold"),
    "key_irreps": ("is_nearly_key_irrep", "irrep_similarity_held_out", "irrep_threshold"),
}
"""The variables that mark nearly key entries, their similarity, and the threshold."""


@final
@dataclass(frozen=True)
class Results:
    """The metrics and the analysis results of a run, read from its files without PyTorch.

    >>> Results.open("checkpoints/demo").history.verdict  # doctest: +SKIP
    'grokked'
    """

    directory: RunDirectory

    @classmethod
    def open(cls, path: str | Path) -> "Results":
        """Open a run directory.

        Raises:
            RunDirectoryError: the path is not a run directory.
        """
        return cls(RunDirectory.open(path))

    def __repr__(self) -> str:
        return one_line("Results", self._facts())

    def _repr_html_(self) -> str:
        return html_table("Results", self._facts())

    def _facts(self) -> Facts:
        """Return the verdict on the metrics and the names of the analyses, without reading the analysis files."""

        def verdict() -> str:
            if not self.metrics.sizes["step"]:
                return "no metrics yet"
            return "no history" if self.no_history else find_phases(Curves.from_dataset(self.metrics)).verdict

        def analyses() -> str:
            names = analysis_names(self.directory.path)
            plural = "analysis" if len(names) == 1 else "analyses"
            return f"{len(names)} {plural}{': ' if names else ''}{', '.join(names)}"

        return {"run": lambda: repr(str(self.directory.path)), "verdict": verdict, "analyses": analyses}

    @cached_property
    def metrics(self) -> xr.Dataset:
        """The training metrics over the evaluated steps."""
        table, _ = self._metrics
        known = {"n_test": self.n_test, "chance": self.chance}
        return table.assign_attrs({name: value for name, value in known.items() if value is not None})

    @property
    def log_check(self) -> LogCheck:
        """The result of the checks of the metrics: skipped, missing and unprotected rows."""
        return self._metrics[1]

    @cached_property
    def _metrics(self) -> tuple[xr.Dataset, LogCheck]:
        optimization = self.directory.experiment.get("optimization")
        loss = optimization.get("loss", "") if isinstance(optimization, Mapping) else ""
        return read_metrics(self.directory, loss=str(loss))

    @property
    def continuations(self) -> list[Continuation | None]:
        """The processes that continued the run, in order; None for a damaged record."""
        return continuations_of(self.directory)

    @cached_property
    def parent(self) -> tuple[ParentCurves | None, str]:
        """The curves of a branch's parent and "", or None and the reason why they are missing, "" without a parent."""
        return parent_curves(self.directory)

    @property
    def n_test(self) -> int | None:
        """The number of test examples; None if it was not recorded or the split is unknown."""
        return self._recorded("n_test")

    @property
    def chance(self) -> float | None:
        """The chance accuracy, 1 / number of classes; None if the number of classes was not recorded."""
        classes = self._recorded("n_classes")
        return None if classes is None else 1 / classes

    def _recorded(self, name: str) -> int | None:
        """Return a positive integer from the recorded environment; None if it is missing."""
        found = self.directory.environment.get(name)
        return found if isinstance(found, int) and found > 0 else None

    @property
    def analyses(self) -> dict[str, xr.Dataset]:
        """The results of every analysis of this run and its checkpoints, by name."""
        return self._files[0]

    @property
    def left_out(self) -> dict[str, str]:
        """The reason why each result or small JSON file is left out, by its name within the run.

        These files are damaged, or belong to another run or to checkpoints that have been replaced.
        """
        return self.directory.left_out() | self._files[1]

    @cached_property
    def _files(self) -> tuple[dict[str, xr.Dataset], dict[str, str]]:
        """The results of every analysis, and the reason why each other result file is left out, with a warning."""
        found, left_out = read_analyses(self.directory)
        for why in dict.fromkeys(left_out.values()):
            names = ", ".join(name for name, reason in left_out.items() if reason == why)
            warn(f"{self.directory.path}: left out {names}: {why}")
        return NamedEntries(found), left_out

    @cached_property
    def dataset(self) -> xr.Dataset:
        """The analyses that were run on every checkpoint, over their common steps."""
        dense = {name: part for name, part in self.analyses.items() if "thinned" not in part.attrs}
        return merged(dense or self.analyses)

    def joined(self, *names: str) -> xr.Dataset:
        """Return the named analyses over their common steps, omitting analyses without results."""
        return merged({name: self.analyses[name] for name in names if name in self.analyses})

    @cached_property
    def history(self) -> History:
        """The phases, events, and verdict of the run.

        Raises:
            RunDirectoryError: the run has no learning curves.
        """
        if not self.metrics.sizes["step"]:
            raise RunDirectoryError(self.directory.path, "has no metrics yet")
        if self.no_history is not None:
            raise RunDirectoryError(self.directory.path, self.no_history)
        measures = Measures.from_dataset(self.dataset) if self.dataset.sizes["step"] else None
        return find_phases(Curves.from_dataset(self.metrics), measures)

    @cached_property
    def histories(self) -> dict[int, History]:
        """The phases, events, and verdict of each answer, if there are several: each may change at another step."""
        if "answer" not in self.metrics.dims or not self.metrics.sizes["step"] or self.no_history is not None:
            return {}
        answers = self.metrics["answer"].values.tolist()
        return {answer: find_phases(Curves.from_dataset(self.metrics, answer=answer)) for answer in answers}

    @property
    def answer(self) -> int | None:
        """The answer that was analyzed, if there are several."""
        found = {part.attrs[ANSWER] for part in self.analyses.values() if ANSWER in part.attrs}
        return int(found.pop()) if len(found) == 1 else None

    @property
    def not_defined(self) -> dict[str, str]:
        """The reason why each undefined analysis is undefined for this run's task or model, by name."""
        return read_not_defined(self.directory.path)

    @property
    def skipped(self) -> dict[int, str]:
        """The reason why each unreadable checkpoint was skipped, by step."""
        found: dict[str, str] = {}
        for part in self.analyses.values():
            found |= json.loads(part.attrs.get("skipped", "{}"))
        return {int(step): found[step] for step in sorted(found, key=int)}

    @property
    def leaked_share(self) -> float | None:
        """The share of test examples whose mirror image is a training example; None before any analysis."""
        shares = [part.attrs["leaked_share"] for part in self.analyses.values() if "leaked_share" in part.attrs]
        return float(shares[0]) if shares else None

    @property
    def key_frequencies(self) -> list[int] | None:
        """The key frequencies of the last checkpoint; None if they were not measured."""
        if "is_key" not in self.dataset or not self.dataset.sizes["step"]:
            return None
        return [int(k) for k in labels(self.dataset["is_key"].isel(step=-1))]

    @cached_property
    def last(self) -> xr.Dataset:
        """All results of the last checkpoint."""
        if not self.dataset.sizes["step"]:
            return self.dataset
        step = int(self.dataset["step"].values[-1])
        there = {name: part for name, part in self.analyses.items() if step in part["step"].values}
        return merged(there).sel(step=[step])

    def measures(self) -> dict[str, Any]:
        """Return every scalar measure of the last checkpoint by name; values that are not finite become None."""
        return copy.deepcopy(self._measures)

    @cached_property
    def _measures(self) -> dict[str, Any]:
        measured: dict[str, Any] = {}
        if not self.last.sizes["step"]:
            return measured
        for name, variable in self.last.isel(step=-1).data_vars.items():
            if set(variable.dims) <= SMALL_DIMENSIONS:
                measured[str(name)] = plain(variable)
        if self.key_frequencies is not None:
            measured["key_frequencies"] = self.key_frequencies
        if "is_key_irrep" in self.last:
            measured["key_irreps"] = labels(self.last["is_key_irrep"].isel(step=-1))
        measured |= {f"nearly_{kind}": self._nearly(kind) for kind in NEARLY if NEARLY[kind][0] in self.last}
        if "is_circuit" in self.last:
            measured["circuit"], measured["circuit_close_to"] = self.circuit, self.circuit_close_to
        return measured

    def _nearly(self, kind: str) -> dict[str, dict[str, float]]:
        """Return the nearly key entries of the last checkpoint, with their similarity and threshold."""
        mask, similarity, threshold = (self.last[name].isel(step=-1) for name in NEARLY[kind])
        found = {label: {mask.dims[0]: label} for label in labels(mask)}
        both = {"similarity": similarity, "threshold": threshold}
        return {str(label): {name: plain(of.sel(at)) for name, of in both.items()} for label, at in found.items()}

    @cached_property
    def learning_order(self) -> xr.Dataset:
        """The step at which each key frequency or representation of the last checkpoint was learned, ascending."""
        return learning_order(self.dataset)

    @cached_property
    def induction(self) -> Induction | None:
        """The strongest induction head and when it formed; None if the roles of the heads were not measured."""
        return induction(self.analyses["head_roles"]) if "head_roles" in self.analyses else None

    @property
    def circuit(self) -> str | None:
        """The circuit type of the network at the last checkpoint; None if it was not measured."""
        return labels(self.last["is_circuit"].isel(step=-1))[0] if "is_circuit" in self.last else None

    @property
    def circuit_close_to(self) -> str | None:
        """The second circuit type to which the evidence at the last checkpoint is close, if any."""
        close = labels(self.last["is_close_to"].isel(step=-1)) if "is_close_to" in self.last else []
        return close[0] if close else None

    @property
    def no_history(self) -> str | None:
        """The reason why an imported network without curves has no history; None for all other runs."""
        imported = "release" in self.directory.environment
        without = imported and self.metrics.sizes["step"] == 1
        return "was imported without curves, so its phases cannot be dated" if without else None

    @property
    def snapshot(self) -> Snapshot | None:
        """The state of the last checkpoint, from its measures or, without measures, from the last row of the metrics.

        It is None if the accuracies are unknown.
        """
        metrics = self.metrics
        row = {str(name): metrics[name].values[-1].item() for name in metrics if metrics[name].dims == ("step",)}
        measured = self.measures() or row
        found = [measured.get(name) for name in ("train_accuracy", "test_accuracy", "test_loss")]
        numbers = [float(value) for value in found if value is not None]
        sizes = self.n_test, self.chance
        return snapshot_of(*numbers, *sizes) if len(numbers) == len(found) else None

    def to_frame(self, *names: str) -> pd.DataFrame:
        """Return a table with a row for each evaluated or analyzed step, and the phase as its first column.

        Columns are the metrics and the measures of the analyses; a measure with an axis has a column for each label,
        as ``trig_loss.test``. Values that were not measured at a step are NaN. Where both were measured, the metrics
        precede the analyses.

        Args:
            names: measures to show, with any axes (default: all that are one number, or one for each split).

        Raises:
            ConfigError: a measure is unknown.
        """
        dated = self.metrics.sizes["step"] and self.no_history is None
        return frame_of((self.metrics, *self.analyses.values()), self.history.phases if dated else (), names)

    def to_csv(self, path: str | Path, *names: str) -> None:
        """Write the table of ``to_frame`` as CSV.

        Raises:
            ConfigError: a measure is unknown, or the file is a directory, a device or a symbolic link.
            GrokinterpError: the file cannot be written.
        """
        write_atomic(output_file("path", path), self.to_frame(*names).to_csv().encode(), replace=True)

    @property
    def verdict(self) -> str | None:
        """The verdict on the history or, without a history, on the last checkpoint; None if both are missing."""
        if self.no_history is None:
            return self.history.verdict
        return self.snapshot.verdict if self.snapshot else None

    @property
    def sentence(self) -> str:
        """The verdict as a sentence, with the progress of an unfinished run or the reason for a missing history."""
        if self.no_history is not None:
            return f"{self.snapshot.sentence if self.snapshot else self._on_all()} The run {self.no_history}."
        sentence, status = self.history.describe(), self.directory.status
        if status.get("status") == "finished":
            return sentence
        state, planned = status.get("status", "unknown"), planned_steps(self.directory.experiment)
        of = "" if planned is None else f" of {planned}"
        why = f" {status['why']}" if state in ("running", "interrupted", "stopped") and "why" in status else ""
        return f"{sentence} (Status: {self.metrics['step'].values[-1]}{of} steps, {state}{why}.)"

    def _on_all(self) -> str:
        """Return a sentence with the accuracy of a network whose training examples are unknown."""
        accuracy = self.measures().get("all_accuracy", self.directory.environment.get("accuracy"))
        return f"{NO_HISTORY}{'' if accuracy is None else f': accuracy {accuracy:.1%} on all examples'}."

    def _of_answers(self) -> Iterator[dict[str, Any]]:
        """Yield the steps and the verdict of each answer."""
        for answer, history in self.histories.items():
            steps = {"memorized_step": history.memorized_step, "generalized_step": history.generalized_step}
            yield {"answer": answer, "verdict": history.verdict, **steps, "grok_step": history.grok_step}

    def summary(self) -> dict[str, Any]:
        """Return the JSON object printed by ``grokinterp analyze --json``."""
        history = self.history if self.no_history is None else None
        phases, events = (history.phases, history.events) if history else ((), ())
        return {
            "run": str(self.directory.path),
            "status": self.directory.status,
            "origin": self.directory.experiment.get("origin"),
            "steps": self.dataset["step"].values.tolist(),
            "verdict": self.verdict,
            "sentence": self.sentence,
            "grok_step": history.grok_step if history else None,
            "phases": [{"name": phase.name, "start": phase.start, "stop": phase.stop} for phase in phases],
            "events": [{"kind": event.kind, "step": event.step, "detail": event.detail} for event in events],
            "skipped": [{"step": step, "reason": reason} for step, reason in self.skipped.items()],
            "left_out": [{"file": file, "reason": reason} for file, reason in self.left_out.items()],
            "log": self.log_check.record,
            "continuations": [found and found.record for found in self.continuations],
            "not_defined": self.not_defined,
            "leaked_share": self.leaked_share,
            "learning_order": records(self.learning_order),
            **({"answers": list(self._of_answers())} if self.histories else {}),
            **({"induction": finite(self.induction._asdict())} if self.induction else {}),
            "measures": dict.fromkeys(STRUCTURE) | self.measures(),
        }
