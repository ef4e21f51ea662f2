"""Published networks measured again: what their authors wrote down, and what this package finds."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

from grokinterp.analysis import analyze
from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.interop import RELEASES, import_run
from grokinterp.progress import track
from grokinterp.reproduction.published import Number, Quantity, published
from grokinterp.runs.results import Results

ABSOLUTE, RELATIVE = 1e-4, 0.01
"""Similarities, fractions and cosines agree to the first, losses to the second."""

WIDEST = 40
"""Characters of a column of the table."""

MEASURED_BY = (
    "performance",
    "weight_norms",
    "embedding_spectrum",
    "neuron_frequencies",
    "logit_spectrum",
    "progress_measures",
    "irrep_spectrum",
    "irrep_fve",
    "irrep_progress",
    "circuit",
    "isolated_circles",
)
"""The analyses behind all published numbers."""


HALF = 0.5
"""Share of one frequency above which the repository transformer-modular-addition calls a neuron specialized."""


@dataclass(frozen=True)
class Comparison:
    """One published value and the same measured here.

    Args:
        network: release and name. quantity: as it was published.
        published, ours: the values; ours is None where it is not defined.
        difference: absolute, or relative for a loss; None where there is no number.
        agrees: whether the difference is within 1e-4, 1 % for losses, half a unit of the last published digit, or
            twice the published value's own error.
        caveat: what is known to be wrong with the published value.
    """

    network: str
    quantity: str
    published: Number
    ours: Number | None
    difference: float | None
    agrees: bool
    caveat: str = ""

    @property
    def verdict(self) -> str:
        """In a word or two."""
        return "agrees" if self.agrees else "differs" if self.ours is not None else "not measured"


def verify(directory: str | Path, *, progress: bool = False) -> list[Comparison]:
    """Import every known release below a directory and compare with what was published about it.

    Nothing is written below it; the imported runs are temporary.

    Args:
        directory: where released files lie, at any depth.
        progress: show a progress bar on standard error.

    Raises:
        RunDirectoryError: there is no such directory, or no known release in it.
    """
    top = Path(directory)
    found = list(networks(top)) if top.is_dir() else []
    if not found:
        raise RunDirectoryError(top, "holds no release that can be verified" if top.is_dir() else "is no directory")
    with tempfile.TemporaryDirectory() as scratch:
        shown = track(enumerate(found), "verifying", total=len(found), shown=progress)
        return [line for i, (kind, path) in shown for line in compare(kind, path, Path(scratch) / str(i))]


def networks(top: Path) -> Iterator[tuple[str, Path]]:
    """The released networks below a directory, each with the kind of its release.

    A bare .pt file with a JSON file beside it that names it is in the layout of Nanda et al.
    """
    for path in sorted(top.rglob("*")):
        if path.name == "model.pt" and path.with_name("cfg.json").exists():
            yield "chughtai", path.parent
        elif path.suffix == ".pt" and path.with_name(f"config_{path.stem.removeprefix('model_')}.json").exists():
            yield "pizza", path
        elif path.suffix == ".pth" or (path.suffix == ".pt" and any(path.parent.glob(f"{escape(path.stem)}.*json"))):
            yield "nanda", path


def compare(kind: str, path: Path, scratch: Path) -> list[Comparison]:
    """The lines of one network; one that says why where it cannot be read."""
    name = f"{kind}/{path.stem}"
    try:
        known = published(kind, RELEASES[kind](path))
        results = analyze(import_run(kind, path, scratch), only=MEASURED_BY)
    except GrokinterpError as error:
        return [Comparison(name, f"not read: {error}", "", None, None, agrees=False)]
    return [replace(compared(name, quantity, ours_of(quantity, results)), caveat=quantity.caveat) for quantity in known]


def ours_of(quantity: Quantity, results: Results) -> Any:
    """The value of the last checkpoint, None where it is not measured."""
    if quantity.label is None:
        return measures(results).get(quantity.measure)
    if quantity.measure not in results.last:
        return None
    values = results.last[quantity.measure].isel(step=-1)
    labels = [str(label) for label in values[values.dims[0]].values]
    return float(values[labels.index(quantity.label)]) if quantity.label in labels else None


def measures(results: Results) -> dict[str, Any]:
    """Every measure of the last checkpoint, and those that others have of the same quantities."""
    measured, last = results.measures(), results.last.isel(step=-1)
    if {"embedding_power", "embedding_constant"} <= set(last.data_vars):
        power = last["embedding_power"].sum() + last["embedding_constant"]
        measured["embedding_norm"] = float(power) ** 0.5
    if "neuron_fve" in last:
        measured["specialized_neurons"] = float((last["neuron_fve"] > HALF).sum())
    return measured


def compared(network: str, quantity: Quantity, ours: Any) -> Comparison:
    """A published value beside ours."""
    name, theirs = quantity.published_as, quantity.value
    if ours is None:
        return Comparison(network, name, theirs, None, None, agrees=False)
    if isinstance(theirs, tuple):
        found = tuple(sorted(map(str, ours)))
        return Comparison(network, name, theirs, found, None, agrees=set(theirs) == set(found))
    if isinstance(theirs, str):
        return Comparison(network, name, theirs, str(ours), None, agrees=theirs == ours)
    difference = abs(float(ours) - theirs) / (abs(theirs) if quantity.is_loss and theirs else 1)
    rounding = 0 if quantity.digits is None else 0.5 * 10.0**-quantity.digits
    within = RELATIVE if quantity.is_loss else max(ABSOLUTE, rounding, 2 * quantity.error)
    return Comparison(network, name, theirs, float(ours), difference, agrees=difference <= within)


def table(lines: list[Comparison]) -> str:
    """The comparisons as text, network by network, with what is known of those that differ, and a count."""
    notes = list(dict.fromkeys(line.caveat for line in lines if line.caveat and not line.agrees))
    rows = [("quantity", "published", "ours", "difference", "verdict"), *(row_of(line, notes) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    text, network = ["  ".join(map(str.ljust, rows[0], widths)).rstrip()], ""
    for line, row in zip(lines, rows[1:], strict=True):
        if line.network != network:
            network = line.network
            text += ["", network]
        text.append("  ".join(map(str.ljust, row, widths)).rstrip())
    text += ["", *(f"[{number}] of the published value: {note}" for number, note in enumerate(notes, 1))]
    agree, noted = sum(line.agrees for line in lines), sum(bool(marked(line, notes)) for line in lines)
    text.append(f"{agree} of {len(lines)} agree" + (f", {noted} differ for a known reason" if noted else ""))
    return "\n".join(text)


def row_of(line: Comparison, notes: list[str]) -> tuple[str, ...]:
    """The cells of one comparison."""
    return (
        line.quantity,
        shown(line.published),
        shown(line.ours),
        shown(line.difference),
        line.verdict + marked(line, notes),
    )


def marked(line: Comparison, notes: list[str]) -> str:
    """The number of the note that a difference has."""
    return f" [{notes.index(line.caveat) + 1}]" if line.caveat and not line.agrees else ""


def shown(value: Any) -> str:
    """A value of the table.

    >>> shown(0.39054), shown(1.9e-05), shown(("36", "52")), shown(None)
    ('0.39054', '1.9000e-05', '36, 52', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4e}"
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
