"""The rolling resume state: everything needed to continue a run, in a single file, with two generations kept."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, final

from grokinterp.errors import CheckpointError, RunDirectoryError
from grokinterp.storage.atomic import write_atomic
from grokinterp.storage.files import canonical_json, parse_json
from grokinterp.storage.steps import step_file_name, steps_in
from grokinterp.storage.tensor_file import Stored, decode_tensors, encode_tensors, read_bytes
from grokinterp.storage.tensor_header import Header

if TYPE_CHECKING:
    import torch

Identified = TypeVar("Identified", Stored, Header)


class Resume(NamedTuple):
    """A resume state; ``skipped`` has a line for each newer generation that was damaged."""

    step: int
    tensors: dict[str, "torch.Tensor"]
    state: dict[str, Any]
    skipped: tuple[str, ...]


@final
@dataclass(frozen=True)
class ResumeStore:
    """The resume states of the run ``run_id`` in ``directory``."""

    directory: Path
    run_id: str

    def save(self, step: int, tensors: Mapping[str, "torch.Tensor"], state: Mapping[str, Any]) -> None:
        """Write the state of ``step`` durably, then remove all older states but the newest.

        ``state`` is any finite JSON object; it is in the same file as the tensors, under the same digest, so that they
        cannot disagree.

        Raises:
            GrokinterpError: if writing fails, naming path and errno; the earlier generations are unchanged.
        """
        data = encode_tensors(tensors, step=step, run_id=self.run_id, extra={"state": canonical_json(dict(state))})
        write_atomic(self.directory / step_file_name(step), data, replace=True)
        with contextlib.suppress(OSError, RunDirectoryError):  # the state is safe; the next save removes the rest
            self._keep(step)

    def steps(self) -> tuple[int, ...]:
        """Return the steps of all generations, ascending."""
        return steps_in(self.directory)

    def load(self, *, log_bytes: int | None = None, at_most: int | None = None) -> Resume | None:
        """Return the newest usable generation, naming the generations skipped, or None if there are none.

        Args:
            log_bytes: the length of the metrics log; a generation that needs a longer one is skipped.
            at_most: the last step of a generation; newer ones are ignored.

        Raises:
            RunDirectoryError: if no existing generation is usable.
        """
        skipped: list[str] = []
        for step in reversed(self.steps()):
            if at_most is not None and step > at_most:
                continue
            try:
                stored = self._read(step)
                state = _state(stored, step)
                _require_log(state, step, log_bytes)
                return Resume(step, stored.tensors, state, tuple(skipped))
            except CheckpointError as error:
                skipped.append(f"resume state {step_file_name(step)} skipped: {error.why}")
        if skipped:
            raise RunDirectoryError(self.directory.parent, f"no usable resume state: {'; '.join(skipped)}")
        return None

    def _keep(self, step: int) -> None:
        """Remove every generation except ``step`` and the newest before it. Raises OSError, RunDirectoryError."""
        steps = self.steps()
        older = [earlier for earlier in steps if earlier < step]
        for stale in set(steps) - {step, *older[-1:]}:
            (self.directory / step_file_name(stale)).unlink()

    def _read(self, step: int) -> Stored:
        """Return the verified file of ``step``. Raises CheckpointError."""
        path = self.directory / step_file_name(step)
        return require_identity(decode_tensors(read_bytes(path), name=path.name), path, step=step, run_id=self.run_id)


def require_identity(stored: Identified, path: Path, *, step: int, run_id: str) -> Identified:
    """Return ``stored`` if it belongs to this step of this run. Raises CheckpointError."""
    if stored.step != step:
        raise CheckpointError(path.name, f"holds step {stored.step}, not {step}")
    if stored.run_id != run_id:
        raise CheckpointError(path.name, f"belongs to run {stored.run_id[:20]!r}, not {run_id!r}")
    return stored


def _state(stored: Stored, step: int) -> dict[str, Any]:
    """Return the JSON state of a resume file. Raises CheckpointError."""
    try:
        state = parse_json(stored.extra["state"])
    except (KeyError, ValueError):
        state = None
    if not isinstance(state, dict):
        raise CheckpointError(step_file_name(step), "holds no resume state")
    return state


def _require_log(state: Mapping[str, Any], step: int, log_bytes: int | None) -> None:
    """Raise CheckpointError if the metrics log has lost rows that belong to a resume state."""
    needed = state.get("end_offset", state.get("metrics_offset"))
    if log_bytes is not None and isinstance(needed, int) and needed > log_bytes:
        why = f"needs {needed} bytes of metrics.jsonl, which has {log_bytes}"
        raise CheckpointError(step_file_name(step), why)
