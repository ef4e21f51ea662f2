"""Measure published networks again and compare the results with the published numbers."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grokinterp.analysis import analyze
from grokinterp.errors import GrokinterpError, printable
from grokinterp.interop import RELEASES, import_run
from grokinterp.progress import track
from grokinterp.reproduction.claims import Claim, Number
from grokinterp.reproduction.networks import networks
from grokinterp.reproduction.releases import claims_of
from grokinterp.runs.results import Results
from grokinterp.torch_settings import computing

WIDEST = 40
"""Maximum width of a table column, in characters."""

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
    "circuit_verdict",
    "isolated_circles",
)
"""The analyses that together measure all published numbers."""

NOT_READ = "not read: "
"""Prefix of the quantity in the only row of a network that cannot be read; the reason follows."""

HALF = 0.5
"""Variance share of one frequency that makes a neuron specialized in the repository transformer-modular-addition."""


@dataclass(frozen=True)
class Comparison:
    """A published value and our measurement of the same quantity.

    Args:
        network: release and name.
        quantity: the published name of the quantity.
        published: the published value.
        ours: our value; None if it is not defined.
        difference: absolute, or relative for a loss; None if the values are not numbers.
        agrees: whether the difference is within the claim's tolerance.
        caveat: a known flaw of the published value.
    """

    network: str
    quantity: str
    published: Number
    ours: Number | None
    difference: float | None
    agrees: bool
    caveat: str = ""

    @property
    def is_read(self) -> bool:
        """Whether the network could be read."""
        return not self.quantity.startswith(NOT_READ)

    @property
    def verdict(self) -> str:
        """The result of the comparison in one or two words."""
        return "agrees" if self.agrees else "differs" if self.ours is not None else "not measured"


@computing()
def verify(directory: str | Path, *, progress: bool = False) -> list[Comparison]:
    """Import every known release below a directory and compare it with its published numbers.

    Nothing is written to the directory; the imported runs are temporary.

    Args:
        directory: a folder that contains released files at any depth.
        progress: show a progress bar on standard error.

    Raises:
        RunDirectoryError: the directory does not exist or contains no known release.
    """
    found = networks(directory)
    with tempfile.TemporaryDirectory() as scratch:
        shown = track(enumerate(found), "verifying", total=len(found), shown=progress)
        return [line for i, (kind, path) in shown for line in compare(kind, path, Path(scratch) / str(i))]


def compare(kind: str, path: Path, scratch: Path) -> list[Comparison]:
    """Return the comparisons of one network, or a single line with the reason if it cannot be read."""
    name = f"{kind}/{path.stem}"
    try:
        claims = claims_of(kind, RELEASES[kind](path))
        results = analyze(import_run(kind, path, scratch), only=MEASURED_BY)
    except (GrokinterpError, OSError) as error:
        return [Comparison(name, f"{NOT_READ}{error}", "", None, None, agrees=False)]
    return [replace(compared(name, claim, measured(claim, results)), caveat=claim.caveat) for claim in claims]


def measured(claim: Claim, results: Results) -> Any:
    """Return our value of the claimed quantity at the last checkpoint; None if it was not measured."""
    if claim.label is None:
        return measures(results).get(claim.measure)
    if claim.measure not in results.last:
        return None
    values = results.last[claim.measure].isel(step=-1)
    labels = [str(label) for label in values[values.dims[0]].values]
    return float(values[labels.index(claim.label)]) if claim.label in labels else None


def measures(results: Results) -> dict[str, Any]:
    """Return every measure of the last checkpoint, and its variants as defined by other authors."""
    found, last = results.measures(), results.last.isel(step=-1)
    if {"embedding_power", "embedding_constant"} <= set(last.data_vars):
        power = last["embedding_power"].sum() + last["embedding_constant"]
        found["embedding_norm"] = float(power) ** 0.5
    if "neuron_fve" in last:
        found["specialized_neurons"] = float((last["neuron_fve"] > HALF).sum())
    return found


def compared(network: str, claim: Claim, ours: Any) -> Comparison:
    """Compare a claim with our value."""
    name, theirs = claim.published_as, claim.value
    if ours is None:
        return Comparison(network, name, theirs, None, None, agrees=False)
    if isinstance(theirs, tuple):
        found = tuple(sorted(map(str, ours)))
        return Comparison(network, name, theirs, found, None, agrees=set(theirs) == set(found))
    if isinstance(theirs, str):
        return Comparison(network, name, theirs, str(ours), None, agrees=theirs == ours)
    difference = claim.difference(float(ours))
    return Comparison(network, name, theirs, float(ours), difference, agrees=difference <= claim.tolerance)


def table(lines: list[Comparison]) -> str:
    """Return the comparisons as text, grouped by network, with notes on known flaws and a count."""
    notes = list(dict.fromkeys(line.caveat for line in lines if line.caveat and not line.agrees))
    rows = [("quantity", "published", "ours", "difference", "verdict"), *(row_of(line, notes) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    text, network = ["  ".join(map(str.ljust, rows[0], widths)).rstrip()], ""
    for line, row in zip(lines, rows[1:], strict=True):
        if line.network != network:
            network = line.network
            text += ["", network]
        text.append("  ".join(map(str.ljust, row, widths)).rstrip())
    text += ["", *(f"[{number}] caveat of the published value: {note}" for number, note in enumerate(notes, 1))]
    agree, noted = sum(line.agrees for line in lines), sum(bool(marked(line, notes)) for line in lines)
    text.append(f"{agree} of {len(lines)} agree" + (f", {noted} differ for a known reason" if noted else ""))
    return "\n".join(map(printable, text))


def row_of(line: Comparison, notes: list[str]) -> tuple[str, ...]:
    """Return the cells of one comparison."""
    return (
        line.quantity,
        shown(line.published),
        shown(line.ours),
        shown(line.difference),
        line.verdict + marked(line, notes),
    )


def marked(line: Comparison, notes: list[str]) -> str:
    """Return the number of the note on a difference, in brackets; empty without a note."""
    return f" [{notes.index(line.caveat) + 1}]" if line.caveat and not line.agrees else ""


def shown(value: Any) -> str:
    """Return a value as formatted in the table.

    >>> shown(0.39054), shown(1.9e-05), shown(("36", "52")), shown(None)
    ('0.39054', '1.9000e-05', '36, 52', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.5f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4e}"
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
