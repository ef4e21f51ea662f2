"""The status of a run that is recorded as running although its process may have been killed, or the disk was full.

A process that trains holds the lock of the run, which ends with it.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNNING, INTERRUPTED = "running", "interrupted"
UNSAVED = "without saving (killed, or the disk was full)"


def settled(status: Mapping[str, Any], *, path: Path, held: bool | None, saved: int | None, recorded: bool) -> Any:
    """Return the status of a run recorded as running: unchanged, or "interrupted" with the reason as ``why``.

    Args:
        status: the status as written.
        path: the run directory.
        held: whether a process holds the lock of the run; None if this is unknown.
        saved: the last step from which the run can be continued; None without one.
        recorded: whether the run is a recording of an external loop.

    >>> settled({"status": "running", "step": 0}, path=Path("a"), held=False, saved=7, recorded=False)["why"]
    'without saving (killed, or the disk was full); grokinterp train --resume --out a continues from step 7'
    """
    if held:
        return dict(status)
    command = "Recorder(..., resume=True)" if recorded else f"grokinterp train --resume --out {shlex.quote(str(path))}"
    start = "starts again at step 0" if saved is None else f"continues {'after' if recorded else 'from'} step {saved}"
    if held is None:
        unknown = f"or {INTERRUPTED} {UNSAVED}, which is unknown here"
        return {**status, "why": f"{unknown}; in the latter case, {command} {start}"}
    return {**status, "status": INTERRUPTED, "step": saved or 0, "why": f"{UNSAVED}; {command} {start}"}
