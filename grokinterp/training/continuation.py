"""The record of a process that continues a run: where it takes over, from what, and what changed since."""

from collections.abc import Mapping
from typing import Any

from grokinterp.storage import Resume, RunDirectory
from grokinterp.storage.continuations import LOST, NEWEST, NONE_YET, OLDER

ENDED = ("finished", "interrupted", "stopped")
"""Statuses that are written after a resume state."""


def continuation(
    step: int,
    resume_state: str,
    environment: Mapping[str, Any],
    *,
    exact: bool | None,
    changed: Mapping[str, tuple[Any, Any]] | None = None,
    skipped: tuple[str, ...] = (),
    settings: Mapping[str, tuple[Any, Any]] | None = None,
) -> dict[str, Any]:
    """Return the record of a continuation.

    Args:
        step: the step from which the run is continued.
        resume_state: which resume state was used, or why none was.
        environment: that of the process that continues the run.
        exact: whether the continuation is bit-identical; None if that is unknown.
        changed: by key, the environment that saved the resume state and the present one, where they differ.
        skipped: a line for each newer resume state that could not be used.
        settings: by dotted key, the value before and from now on of each setting that the continuation changes.
    """
    return {
        "step": step,
        "resume_state": resume_state,
        "skipped": list(skipped),
        "exact": exact,
        "changed": {key: list(both) for key, both in (changed or {}).items()},
        "settings": {key: list(both) for key, both in (settings or {}).items()},
        "environment": dict(environment),
    }


def state_used(run: RunDirectory, saved: Resume | None, *, resume_every: int) -> str:
    """Return which resume state of a run was used, or why none was: none was due yet, or all were lost."""
    if saved is not None:
        return OLDER if saved.skipped else NEWEST
    was_saved = run.status.get("status") in ENDED or any(step >= resume_every for step in run.steps())
    return LOST if was_saved else NONE_YET
