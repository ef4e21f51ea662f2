"""A run directory as its single writer uses it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from grokinterp.storage.lock import HeldLock
from grokinterp.storage.metrics_writer import MetricsWriter

if TYPE_CHECKING:
    import torch

    from grokinterp.storage.run_directory import RunDirectory


@final
@dataclass(frozen=True)
class HeldRun:
    """A run directory to which only this process writes; each write first verifies this.

    Every method raises RunDirectoryError, before anything is written, if the directory was removed or replaced or if
    another process may write to it. Methods also raise the errors of the write.
    """

    directory: "RunDirectory"
    held: HeldLock
    metrics: MetricsWriter

    def save_checkpoint(self, step: int, tensors: Mapping[str, "torch.Tensor"]) -> None:
        """Write the immutable checkpoint of ``step``; see ``RunDirectory.save_checkpoint``."""
        self.held.require_held()
        self.directory.save_checkpoint(step, tensors)

    def save_resume_state(self, step: int, tensors: Mapping[str, "torch.Tensor"], state: Mapping[str, Any]) -> None:
        """Make the metrics durable, then write the resume state of ``step`` with the length of the metrics.

        A state before the last row contains its own ``metrics_offset``; the length with this row is its ``end_offset``.
        """
        self.held.require_held()
        self.metrics.sync()
        offset = "end_offset" if "metrics_offset" in state else "metrics_offset"
        self.directory.resume.save(step, tensors, {**state, offset: self.metrics.offset})

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace the status; see ``RunDirectory.write_status``."""
        self.held.require_held()
        self.directory.write_status(status)

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Record the environment, if an interrupted creation of the run did not."""
        self.held.require_held()
        self.directory.write_environment(environment)

    def record_continuation(self, record: Mapping[str, Any]) -> None:
        """Append a continuation of the run to its record; see ``storage.continuations``."""
        self.held.require_held()
        self.directory.continuations.append(record)
