"""The origin of a branch: a step of another run, and the edits of its weights."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grokinterp.errors import require, short
from grokinterp.experiment.edits import MOST_EDITS, Graft, require_step
from grokinterp.experiment.kinds import AnyEdit
from grokinterp.specification import Specification

LONGEST_PATH = 4096
"""Largest number of characters of a path."""


@dataclass(frozen=True, kw_only=True)
class Origin(Specification):
    """The weights with which a run starts: those of ``step`` of another run, after ``edits`` in the given order.

    ``run`` is the directory of this parent. With ``optimizer_state``, the moments of the optimizer, the memory of the
    filters, the moving average of the weights, and the place in the stream of batches are those of the parent, which
    must have a resume state at ``step``; otherwise they are those of a new run. Steps, warm-up and schedules start at
    0.

    ``run_id`` and ``digest`` identify the parent and its checkpoint by the hash of its configuration and the digest of
    its content. They are filled in when the branch is created; if they are given, the parent must agree with them.
    Paths become absolute at the same time, so that the run id of a branch is the same for every spelling of them.

    Raises:
        ConfigError: if a path or the step is out of range, or there are too many edits.
    """

    run: str
    step: int
    optimizer_state: bool = False
    edits: tuple[AnyEdit, ...] = ()
    run_id: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        require_step("step", self.step)
        require(len(self.edits) <= MOST_EDITS, "edits", len(self.edits), f"must be at most {MOST_EDITS}")
        grafts = {f"edits.{i}.run": edit.run for i, edit in enumerate(self.edits) if isinstance(edit, Graft)}
        for key, path in ({"run": self.run} | grafts).items():
            is_path = path is None or (0 < len(path) <= LONGEST_PATH and "\0" not in path)
            require(is_path, key, short(path), "must be a run directory")

    @property
    def located(self) -> "Origin":
        """The origin with absolute paths, which do not depend on the current folder or on how a path is written."""
        edits = [replace(x, run=x.run and os.path.abspath(x.run)) if isinstance(x, Graft) else x for x in self.edits]
        return replace(self, run=os.path.abspath(self.run), edits=tuple(edits))

    @property
    def anonymous(self) -> "Origin":
        """The origin as it is given before the branch is created, without the identities of parent and donors."""
        unknown = {"run_id": None, "digest": None}
        edits: Sequence[AnyEdit] = [replace(one, **unknown) if isinstance(one, Graft) else one for one in self.edits]
        return replace(self, edits=tuple(edits), **unknown)
