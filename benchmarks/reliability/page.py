"""The page docs/reliability.md: the guarantees, and the outcomes of the injected faults."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.reliability.trial import End, Row

PROMISES = """\
* **P1** A finished checkpoint is never lost, changed or visible in part.
* **P2** A run is continued bit-identically on the same machine, PyTorch build, device and thread count. Otherwise one
  line reports the reason, and the run and its report keep a record of it.
* **P3** No file that is read can run code.
* **P4** A damaged file costs no more than its own content: it is named, and everything else is used.
* **P5** Results of analyses can be deleted; measuring them again gives the same values.
* **P6** A report opens offline, makes no network requests, and runs only its own script.
* **P7** Wrong input gives one line and exit code 2, before any work and before any directory is created."""

RULES = """\
A fault is survived if every number that the public readers return (metrics, tensors of checkpoints, results and
measures, phases, verdict, diagnoses) equals that of the intact run and the work is done (*equal*), or if one line names
the missing or refused part and every other number is equal (*named*). It is not survived if a number differs or is
missing without a message, if work is lost, or if a process hangs (*silent*), or if an exception is raised or printed
that is not a one-line error (*traceback*).

A deleted file goes unnoticed if a run can exist without it: its analysis then counts as not measured, or its document
as never written."""

COMMAND = "python -m benchmarks.reliability"


def render(found: Mapping[str, Sequence[Row]], machine: str) -> str:
    """Return the page as Markdown.

    Args:
        found: the rows of every family of faults.
        machine: a description of the machine.
    """
    every = [row for rows in found.values() for row in rows]
    tried, survived = sum(len(row.trials) for row in every), sum(row.survived for row in every)
    return "\n".join(
        [
            "# Reliability\n",
            f"Written by `{COMMAND}`, which injects faults into runs and reads them again.",
            "The test suite runs it at toy size.\n",
            f"Machine: {machine}.\n",
            "## Promises\n",
            PROMISES,
            "\n## Faults\n",
            f"{tried:,} faults were injected, and {survived:,} were survived.\n",
            f"{RULES}\n",
            *(section(name, rows) for name, rows in found.items()),
            *unsurvived(every),
        ]
    )


def section(name: str, rows: Sequence[Row]) -> str:
    """Return the table of a family of faults."""
    head = ["fault", "tried", "survived", "equal", "named", "silent", "traceback", "message"]
    lines = [head, ["---", *["---:"] * 6, "---"], *map(cells, rows)]
    return "\n".join([f"### {name}\n", *("| " + " | ".join(line) + " |" for line in lines), ""])


def cells(row: Row) -> list[str]:
    """Return the cells of a row."""
    if row.skipped:
        return [row.fault, "0", *[""] * 5, f"not tried: {row.skipped}"]
    counts = [row.count(end) for end in End]
    return [row.fault, *(f"{count:,}" for count in (len(row.trials), row.survived, *counts)), code(row.example)]


def code(line: str, most: int = 160) -> str:
    """Return a line as code for a Markdown table, truncated to ``most`` characters."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in line).replace("|", "\\|").replace("`", "'")
    return f"`{plain if len(plain) <= most else plain[: most - 1] + '…'}`" if plain else ""


def unsurvived(rows: Iterable[Row]) -> list[str]:
    """Return the section of the faults that were not survived; empty if all were."""
    lines = [f"* {row.fault}: {trial.fault}: {code(trial.said)}" for row in rows for trial in row.failures[:3]]
    return ["## Not survived\n", *lines, ""] if lines else []
