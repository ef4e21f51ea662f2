"""Training logs of other programs, in many formats and naming styles, and their verdicts on grokking.

Text and numpy files are read without torch.

tables (formats, delimited, json_logs, arrays) → names (columns) → steps → runs → values → log → dating → listing
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.interop.logs.arrays import plain
from grokinterp.interop.logs.columns import given_columns
from grokinterp.interop.logs.containers import tables_of
from grokinterp.interop.logs.dating import DatedLog, DatedLogs, date_log, date_logs
from grokinterp.interop.logs.listing import as_csv, as_objects, as_text
from grokinterp.interop.logs.log import Log, logs_of, read_logs
from grokinterp.interop.text_files import ForeignFileError


def read_log(path: Path) -> dict[str, list[float]]:
    """Return the curves over ``step`` of a log with a single run; gaps are NaN. Raises ForeignFileError."""
    return _columns(read_logs(path, {}), path)


def curves_in(content: Any, path: Path) -> dict[str, list[float]]:
    """Return the curves in the content of a file of weights, or {} without both losses or both accuracies.

    Raises:
        ForeignFileError: if the steps of curves cannot be inferred from their lengths.
    """
    logs = logs_of(tables_of(plain(content), path), {})
    return _columns(logs, path) if any(log.has_pair for log in logs) else {}


def _columns(logs: Sequence[Log], path: Path) -> dict[str, list[float]]:
    if len(logs) != 1:
        raise ForeignFileError(path, f"holds {len(logs)} runs")
    curves = logs[0].curves()
    columns = {name: getattr(curves, name) for name in curves.columns}
    known: dict[str, np.ndarray] = {"step": curves.steps} | {n: c for n, c in columns.items() if c is not None}
    return {name: column.astype(float).tolist() for name, column in known.items()}


__all__ = [
    "DatedLog",
    "DatedLogs",
    "Log",
    "as_csv",
    "as_objects",
    "as_text",
    "curves_in",
    "date_log",
    "date_logs",
    "given_columns",
    "read_log",
    "read_logs",
]
