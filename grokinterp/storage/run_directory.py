"""The directory of a run: its configuration, checkpoints, metrics, resume state, status and lock."""

import contextlib
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from grokinterp.errors import CheckpointError, RunDirectoryError, RunInUse, warn
from grokinterp.storage.atomic import (
    is_leftover,
    is_writable,
    make_directory,
    remove_leftovers,
    sync_directory,
    write_atomic,
    write_error,
)
from grokinterp.storage.configuration import identity_of
from grokinterp.storage.continuations import Continuations, with_settings
from grokinterp.storage.documents import encode_document, pretty, read_document, run_id_of, run_named_in
from grokinterp.storage.files import path_of, read_json_object
from grokinterp.storage.held_run import HeldRun
from grokinterp.storage.lock import HeldLock, is_held, lock_file
from grokinterp.storage.metrics_log import LogCheck, MetricsLog
from grokinterp.storage.metrics_table import MetricsTable
from grokinterp.storage.metrics_writer import MetricsWriter
from grokinterp.storage.resume_store import ResumeStore, require_identity
from grokinterp.storage.staging import is_staging
from grokinterp.storage.steps import step_file_name, steps_in
from grokinterp.storage.tensor_file import Stored, decode_tensors, encode_tensors, read_bytes, states_digest, verify
from grokinterp.storage.unsaved import RUNNING, settled

if TYPE_CHECKING:
    import torch

STATUSES = ("running", "finished", "interrupted", "diverged", "stopped")

CONFIGURATION, ENVIRONMENT, STATUS = "experiment.json", "environment.json", "status.json"
CLOCK = "clock.json"
NOT_DEFINED = "analysis/not_defined.json"
DOCUMENTS = (ENVIRONMENT, STATUS, CLOCK, NOT_DEFINED)
"""The small JSON files that carry a digest; that of the configuration is the run id."""

EXAMPLES = "examples.safetensors"
START = "start.safetensors"
METRICS = "metrics.jsonl"


def encode_examples(tensors: Mapping[str, "torch.Tensor"], notes: Mapping[str, str]) -> tuple[bytes, str]:
    """Return the file with a recorded module's inputs, and its digest, which is part of the configuration.

    Raises:
        ValueError: if a dtype or a name cannot be stored in a file.
    """
    data = encode_tensors(tensors, step=0, run_id="", extra=notes)
    return data, verify(data, name=EXAMPLES).digest


@final
@dataclass(frozen=True)
class RunDirectory:
    """A run on disk (docs/checkpoint_format.md); ``create`` or ``open`` it, and hold ``lock()`` while writing."""

    path: Path

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        experiment: Mapping[str, Any],
        environment: Mapping[str, Any],
        *,
        start: bytes | None = None,
    ) -> "RunDirectory":
        """Create a run directory with the configuration and the environment in which the run starts.

        The weights with which a branch starts, ``start``, are written before the configuration, which makes it a run.

        Raises:
            RunDirectoryError: before anything is created, if ``path`` contains anything but a lock file.
        """
        run = cls(Path(path))
        first = encode_document(environment, run=identity_of(experiment))
        documents = {CONFIGURATION: pretty(experiment), ENVIRONMENT: first}
        run.require_empty()
        try:
            for directory in (run.path / "checkpoints", run.path / "resume"):
                directory.mkdir(parents=True, exist_ok=True)
            sync_directory(run.path.parent)
        except OSError as error:
            raise write_error(run.path, error) from error
        if start is not None:
            write_atomic(run.start_path, start, replace=True)
        try:
            for name, data in documents.items():
                write_atomic(run.path / name, data, replace=False)
        except FileExistsError:
            raise RunInUse(run.path, "another process has just created a run here") from None
        return run

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunDirectory":
        """Open an existing run directory. Raises RunDirectoryError if ``path`` is not a run directory."""
        run = cls(path_of("path", path))
        if not run.path.is_dir():
            raise RunDirectoryError(run.path, "does not exist")
        if is_staging(run.path):
            raise RunDirectoryError(run.path, "is left over from an interrupted import; the next import removes it")
        if not (run.path / CONFIGURATION).exists():
            raise RunDirectoryError(run.path, "is not a run directory: it has no experiment.json")
        run._require_own_configuration()
        return run

    @property
    def experiment(self) -> dict[str, Any]:
        """The complete configuration, with the settings that continuations of the run have changed.

        Raises:
            RunDirectoryError: if it cannot be read.
        """
        return with_settings(self.configuration, self.continuations.settings())

    @property
    def configuration(self) -> dict[str, Any]:
        """The complete configuration with which the run was created. Raises RunDirectoryError if it cannot be read."""
        try:
            return read_json_object(self.path / CONFIGURATION)
        except OSError as error:
            raise RunDirectoryError(self.path, f"{CONFIGURATION} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise RunDirectoryError(self.path, f"{CONFIGURATION} is damaged: {error}") from None

    @property
    def environment(self) -> dict[str, Any]:
        """Where the run was started: versions, device, threads; {} if its creation was interrupted."""
        return self.document(ENVIRONMENT)

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Record the environment if its file is damaged, or missing because the creation was interrupted."""
        if not self.environment:
            self.write_document(ENVIRONMENT, environment)

    @cached_property
    def identity(self) -> str:
        """The name and the run id, ``NAME-RUN_ID``, which every small JSON file of the run contains."""
        try:
            return identity_of(self.configuration)
        except ValueError as error:
            raise RunDirectoryError(self.path, f"{CONFIGURATION} is damaged: {error}") from None

    @property
    def run_id(self) -> str:
        """The hash of the configuration of its creation, which every tensor file of the run contains."""
        return run_id_of(self.identity)

    @property
    def status(self) -> dict[str, Any]:
        """The status of the run: {"status": "finished", "step": 1200, ...}; {} before the first status is written.

        It is the last status written, except that a run recorded as running is interrupted, with the reason as ``why``,
        if no process holds its lock.
        """
        found = self.document(STATUS)
        if found.get("status") != RUNNING:
            return found
        held = is_held(self.path / "lock")
        found = self.document(STATUS)  # again, because its process may have finished meanwhile
        return self._settled(found, held) if found.get("status") == RUNNING else found

    def _settled(self, status: Mapping[str, Any], held: bool | None) -> dict[str, Any]:
        """Return the status of a run that is recorded as running, given whether its lock is held."""
        model = self.experiment.get("model")
        recorded = isinstance(model, Mapping) and model.get("kind") == "recorded"
        saved = self.steps() if recorded else self.resume.steps()
        return settled(status, path=self.path, held=held, saved=max(saved, default=None), recorded=recorded)

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace the status atomically. Raises ValueError if ``status["status"]`` is not in ``STATUSES``."""
        if status.get("status") not in STATUSES:
            raise ValueError(f"status={status.get('status')!r}: must be one of {', '.join(STATUSES)}")
        self.write_document(STATUS, status)

    def document(self, name: str) -> dict[str, Any]:
        """Return the content of a small JSON file of the run, by its name within the run; {} if there is none.

        A file that is damaged or belongs to another run is left out, with a warning.
        """
        content, why = read_document(self.path / name, run_id=self.run_id)
        if why:
            warn(f"{self.path / name} is left out: {why}")
        return content

    def write_document(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace a small JSON file of the run atomically; it names the run and carries a digest of its content."""
        write_atomic(self.path / name, encode_document(content, run=self.identity), replace=True)

    def left_out(self) -> dict[str, str]:
        """Return the reason why each small JSON file that cannot be used is left out, by its name within the run."""
        reasons = {name: read_document(self.path / name, run_id=self.run_id)[1] for name in DOCUMENTS}
        return {name: why for name, why in reasons.items() if why}

    @property
    def metrics(self) -> MetricsLog:
        """The training metrics, one row per evaluation."""
        return MetricsLog(self.path / METRICS, self.run_id)

    def read_metrics(self, *, nested: bool = True) -> tuple[MetricsTable, LogCheck]:
        """Return the undamaged rows of metrics, and the result of their checks.

        The last row of a finished or stopped run must have the step of its status. Unless ``nested``, the numbers of
        single parameters may be omitted.

        Raises:
            RunDirectoryError: if the file cannot be read.
        """
        status = self.document(STATUS)  # read first: a run that has finished appends no more rows
        known = status.get("status") in ("finished", "stopped") and type(status.get("step")) is int
        return self.metrics.read(ends_at=status["step"] if known else None, nested=nested)

    @property
    def continuations(self) -> Continuations:
        """The record of the continuations of the run."""
        return Continuations(self.path / "continuations.jsonl", self.run_id)

    @property
    def resume(self) -> ResumeStore:
        """The rolling resume state."""
        return ResumeStore(self.path / "resume", self.run_id)

    def steps(self) -> tuple[int, ...]:
        """Return the steps that have a checkpoint file, ascending; temporary and foreign names are ignored."""
        return steps_in(self.path / "checkpoints")

    def has_checkpoint(self, step: object) -> bool:
        """Return whether ``step`` has a checkpoint file, without listing the directory."""
        return isinstance(step, Integral) and int(step) >= 0 and os.path.lexists(self.checkpoint_path(int(step)))

    def checkpoint_path(self, step: int) -> Path:
        """Return the path of the checkpoint of ``step``, whether it exists or not."""
        return self.path / "checkpoints" / step_file_name(step)

    def save_checkpoint(self, step: int, tensors: Mapping[str, "torch.Tensor"]) -> None:
        """Write the immutable checkpoint of ``step``, unless it exists with the same content.

        A damaged file is replaced.

        Raises:
            RunDirectoryError: if a different, undamaged checkpoint exists.
            GrokinterpError: if writing fails.
        """
        path = self.checkpoint_path(step)
        data = encode_tensors(tensors, step=step, run_id=self.run_id)
        if not os.path.lexists(path):
            try:
                return write_atomic(path, data, replace=False)
            except FileExistsError:
                pass
        self._settle(path, data)

    def load_checkpoint(self, step: int) -> Stored:
        """Return the verified checkpoint of ``step``. Raises CheckpointError if missing, damaged or of another run."""
        path = self.checkpoint_path(step)
        return require_identity(decode_tensors(read_bytes(path), name=path.name), path, step=step, run_id=self.run_id)

    def is_replaced(self, step: int, digest: str) -> bool:
        """Return whether the checkpoint of ``step`` has another digest; not if its file is missing or damaged."""
        if states_digest(self.checkpoint_path(step), digest):
            return False
        try:
            return self.digest(step) != digest
        except CheckpointError:
            return False

    def digest(self, step: int) -> str:
        """Return the digest of a checkpoint after verifying it. Raises CheckpointError as ``load_checkpoint`` does."""
        path = self.checkpoint_path(step)
        header = verify(read_bytes(path), name=path.name)
        return require_identity(header, path, step=step, run_id=self.run_id).digest

    @property
    def start_path(self) -> Path:
        """The path of the weights with which a branch starts."""
        return self.path / START

    def load_start(self) -> Stored:
        """Return the start of a branch. Raises CheckpointError if missing, damaged or of another run."""
        path = self.start_path
        return require_identity(decode_tensors(read_bytes(path), name=path.name), path, step=0, run_id=self.run_id)

    def save_examples(self, data: bytes) -> None:
        """Write the inputs on which a recorded module is evaluated, as encoded by ``encode_examples``."""
        write_atomic(self.path / EXAMPLES, data, replace=True)

    def load_examples(self, digest: str) -> tuple[dict[str, "torch.Tensor"], dict[str, str]]:
        """Return the stored inputs. Raises CheckpointError if missing, damaged or of another digest."""
        stored = decode_tensors(read_bytes(self.path / EXAMPLES), name=EXAMPLES)
        if stored.digest != digest:
            raise CheckpointError(EXAMPLES, f"has digest {stored.digest[:12]}, the run's examples {digest[:12]}")
        return stored.tensors, stored.extra

    @contextlib.contextmanager
    def lock(self) -> Generator[HeldRun]:
        """Hold the right to write while the block runs, after removing temporary files of killed writers.

        Raises:
            RunDirectoryError: at once if it is held elsewhere, naming the holder's pid and host.
        """
        with lock_file(self.path / "lock", directory=True) as lock:
            for directory in (self.path, self.path / "checkpoints", self.path / "resume"):
                remove_leftovers(directory)
            with self.held_by(lock) as held:
                yield held

    @contextlib.contextmanager
    def held_by(self, lock: HeldLock) -> Generator[HeldRun]:
        """Write to the directory while the block runs, under a lock that this process holds."""
        metrics = MetricsWriter(self.path / METRICS, self.run_id, lock.require_held)
        try:
            yield HeldRun(self, lock, metrics)
        finally:
            metrics.close()

    @contextlib.contextmanager
    def analysis_lock(self) -> Generator[None, None, None]:
        """Hold the right to write analysis results while the block runs; training may run concurrently.

        Where this process may not write, it holds nothing: results can only be read.

        Raises:
            RunDirectoryError: at once if it is held elsewhere, naming the holder's pid and host.
        """
        directory = self.path / "analysis"
        make_directory(directory)
        if not is_writable(directory):
            yield
            return
        with lock_file(directory / "lock"):
            remove_leftovers(directory)
            yield

    def _settle(self, path: Path, data: bytes) -> None:
        """Compare ``data`` with the file at ``path``: keep an equal file, replace a damaged one, else refuse."""
        existing = read_bytes(path)
        try:
            digest = verify(existing, name=path.name).digest
        except CheckpointError:
            return write_atomic(path, data, replace=True)
        if digest != verify(data, name=path.name).digest:
            raise RunDirectoryError(self.path, f"checkpoint {path.name} exists with different content; it was kept")

    def require_empty(self) -> None:
        """Raise RunDirectoryError if the directory contains anything but its lock and leftovers."""
        try:
            names = sorted(os.listdir(self.path)) if os.path.lexists(self.path) else []
        except OSError as error:
            raise RunDirectoryError(self.path, f"cannot be used: {error.strerror}") from error
        others = [name for name in names if name != "lock" and not is_leftover(name) and not self._is_bare(name)]
        if others:
            raise RunDirectoryError(self.path, f"is not empty: it holds {others[0]!r}")

    def _is_bare(self, name: str) -> bool:
        """Return whether ``name`` is an empty subdirectory or a start, left by an interrupted creation."""
        directory = self.path / name
        if name == START:
            return not (self.path / CONFIGURATION).exists()
        return name in {"checkpoints", "resume"} and directory.is_dir() and not os.listdir(directory)

    def _require_own_configuration(self) -> None:
        """Compare the configuration with the run that environment.json and status.json name, if both name the same.

        Raises:
            RunDirectoryError: if the configuration is not that of the run.
        """
        named = {run_named_in(self.path / name) for name in (ENVIRONMENT, STATUS)}
        if len(named) > 1 or named <= {None, self.identity}:
            return
        other = str(*named)
        why = f"{CONFIGURATION} was changed: it describes {self.identity}, but the other files belong to {other}"
        if run_id_of(other) != self.run_id:
            raise RunDirectoryError(self.path, why)
        warn(f"{self.path}: {why}")
