"""Training logs that other people wrote, in many formats and spellings; and what they say about grokking.

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
    """The curves of a log of one run over ``step``, NaN where one was not recorded. Raises ForeignFileError."""
    return _columns(read_logs(path, {}), path)


def curves_in(content: Any, path: Path) -> dict[str, list[float]]:
    """The curves in what was read from a file of weights, as ``read_log``; none if both losses or both accuracies lack.

    Raises:
        ForeignFileError: curves whose steps cannot be inferred from their lengths.
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
