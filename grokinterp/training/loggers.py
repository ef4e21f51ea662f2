"""Loggers in addition to metrics.jsonl: TensorBoard, Weights & Biases, and a line of text."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, final, runtime_checkable

from grokinterp.errors import ConfigError, require_choice, short, warn
from grokinterp.experiment import Experiment
from grokinterp.storage import configuration_hash

EXTRA = 'needs the extra "loggers": pip install "grokinterp[loggers]"'

WANDB_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(?P<id>.+)")
"""Name of the folder of a process that logged to the W&B run ``id``."""


@runtime_checkable
class Logger(Protocol):
    """Receives metrics as numbers by name; ``finish()`` is called at the end if it exists."""

    def log(self, values: dict[str, float], /, *, step: int) -> Any:
        """Log the metrics of an evaluation."""


@runtime_checkable
class MetricsLogger(Protocol):
    """Receives metrics as numbers by name, as the loggers of Lightning and MLflow do.

    ``finish()``, or otherwise ``finalize("success")``, is called at the end if it exists.
    """

    def log_metrics(self, values: dict[str, float], /, *, step: int) -> Any:
        """Log the metrics of an evaluation."""


AnyLogger = Logger | MetricsLogger
"""Receives metrics by one of the two methods."""

OneLogger = TypeVar("OneLogger", bound=AnyLogger)


@final
class TensorBoard:
    """Logs scalars to TensorBoard event files in ``directory``.

    After a resume, points that are logged again replace the earlier points: the new file purges every step from its
    first step on.

    Raises:
        ConfigError: if tensorboard is not installed.
    """

    def __init__(self, directory: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError("log", "tensorboard", EXTRA) from None
        self._open = lambda step: SummaryWriter(str(directory), purge_step=step)
        self._writer: Any = None

    def log(self, values: dict[str, float], *, step: int) -> None:
        """Add a point to every curve; the first call opens the file."""
        if self._writer is None:
            self._writer = self._open(step)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        """Flush the remaining points to disk."""
        if self._writer is not None:
            self._writer.close()


@final
class WandB:
    """Logs to a Weights & Biases run; WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE=offline are respected.

    ``init`` holds the arguments of ``wandb.init``. A later logger with the same ``dir`` continues the same W&B run,
    whose id is in the names of the folders that W&B leaves. Points that are logged again are then dropped, since W&B
    accepts each step once: the first points remain, even if the continuation is not bit-identical. Offline, every
    process writes a separate folder with the same id.

    Raises:
        ConfigError: if wandb is not installed, or no key to log in is available.
    """

    def __init__(self, **init: Any) -> None:
        try:
            import wandb
        except ImportError:
            raise ConfigError("log", "wandb", EXTRA) from None
        mode = init.get("mode") or os.environ.get("WANDB_MODE") or "online"
        if mode == "online":
            _log_in(wandb)
        self._init: dict[str, Any] = {
            "project": os.environ.get("WANDB_PROJECT", "grokinterp"),
            "settings": wandb.Settings(console="off"),  # standard error belongs to the progress bar
        } | init
        self._open: Callable[..., Any] = wandb.init
        self._run: Any = None

    def log(self, values: dict[str, float], *, step: int) -> None:
        """Add a point to every curve; the first call starts the run."""
        if self._run is None:
            self._run = self._open(**_of_before(self._init) | self._init)
        self._run.log(values, step=step)

    def finish(self) -> None:
        """Wait for all uploads."""
        if self._run is not None:
            self._run.finish()


def _log_in(wandb: Any) -> None:
    """Ask for a missing key before training starts. Raises ConfigError without a key."""
    try:
        wandb.login()
    except wandb.errors.Error as error:
        why = " ".join(str(error).split())
        raise ConfigError("log", "wandb", f"{why} Or set WANDB_MODE=offline.") from None


def _of_before(init: Mapping[str, Any]) -> dict[str, Any]:
    """Return the id of the last W&B run logged to in the same directory, if any."""
    folders = sorted(Path(init.get("dir", ".")).glob("wandb/*run-*-*"), key=lambda path: path.stat().st_mtime)
    found = [match["id"] for path in folders if (match := WANDB_FOLDER.fullmatch(path.name))]
    return {"id": found[-1], "resume": "allow"} if found else {}


def _tensorboard(directory: Path, experiment: Experiment) -> Logger:
    return TensorBoard(directory / "tensorboard")


def _wandb(directory: Path, experiment: Experiment) -> Logger:
    """Return a logger that groups runs of the same configuration."""
    values = experiment.to_dict()
    return WandB(dir=str(directory), name=experiment.name, config=values, group=configuration_hash(values))


LOGGERS: dict[str, Callable[[Path, Experiment], Logger]] = {"tensorboard": _tensorboard, "wandb": _wandb}
"""Loggers by their name for ``--log``. They write nothing before the first evaluation, which follows the directory."""


def open_loggers(names: Iterable[str], directory: str | Path, experiment: Experiment) -> list[Logger]:
    """Return the loggers with these names, without duplicates, for a run in ``directory``.

    Raises:
        ConfigError: before any work, if a name is unknown or a package is not installed.
    """
    chosen = list(dict.fromkeys(names))
    require_logger_names(chosen)
    return [LOGGERS[name](Path(directory), experiment) for name in chosen]


def require_logger_names(names: Iterable[str]) -> None:
    """Raise ConfigError unless every name is in ``LOGGERS``."""
    for name in names:
        require_choice("log", name, LOGGERS)


def log_all(loggers: Sequence[OneLogger], row: Mapping[str, Any], *, prefix: str = "") -> list[OneLogger]:
    """Pass a row of metrics to every logger, and return those that succeeded; a failure causes only a warning.

    The names of the numbers begin with ``prefix``.
    """
    values, step = {f"{prefix}{name}": value for name, value in named(row).items()}, int(row["step"])
    return [logger for logger in loggers if _worked(logger, lambda of: log_of(of)(dict(values), step=step))]


def log_of(logger: Any) -> Callable[..., Any]:
    """Return the method of a logger that takes numbers by name: ``log_metrics`` if it exists, otherwise ``log``."""
    return getattr(logger, "log_metrics", None) or logger.log


def finish_all(loggers: Iterable[Any]) -> None:
    """Call ``finish()`` of every logger that has it, or otherwise ``finalize("success")``."""
    for logger in loggers:
        _worked(logger, finish)


def finish(logger: Any) -> None:
    """Close a logger, if it can be closed."""
    if hasattr(logger, "finish"):
        logger.finish()
    elif hasattr(logger, "finalize"):
        logger.finalize("success")


def _worked(logger: Any, work: Callable[[Any], Any]) -> bool:
    """Return whether the call succeeded; a failure causes a single warning with its reason."""
    try:
        work(logger)
    except Exception as error:
        why = short(f"{type(error).__name__}: {error}", 200)
        warn(f"{type(logger).__name__} failed and is now disabled: {why}", stacklevel=3)
        return False
    return True


def named(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers in a row of metrics by name, with nested numbers as ``name/inner``.

    Also returned are ``train`` and ``eval``, the accuracies on the training and the held-out examples (validation if
    present, else test), ``gap`` = train - eval, and ``lambda`` with Grokfast.

    >>> named({"step": 10, "train_accuracy": 1.0, "test_accuracy": 0.25, "weight_norm_of": {"W_E": 4.0}, "lamb": 2.0})
    {'train_accuracy': 1.0, 'test_accuracy': 0.25, 'weight_norm_of/W_E': 4.0, 'lamb': 2.0, 'train': 1.0, 'eval': 0.25,
     'gap': 0.75, 'lambda': 2.0}
    """
    numbers = {name: value for name, value in _flat(row) if name != "step"}
    held_out = "validation_accuracy" if "validation_accuracy" in numbers else "test_accuracy"
    short = {"train": "train_accuracy", "eval": held_out, "lambda": "lamb"}
    found = {name: numbers[of] for name, of in short.items() if of in numbers}
    if "train" in found and "eval" in found:
        found = {"train": found["train"], "eval": found["eval"], "gap": found["train"] - found["eval"]} | found
    return numbers | found


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)


def evaluation_line(row: Mapping[str, Any]) -> str:
    """Format an evaluation as a line: accuracies, their gap, and λ if gradients are amplified.

    >>> evaluation_line({"step": 120, "train_accuracy": 1.0, "test_accuracy": 0.25, "lamb": 2.0})
    'train 100.0%, eval 25.0%, gap 75.0%, λ 2'
    """
    values = named(row)
    shares = [f"{name} {values[name]:.1%}" for name in ("train", "eval", "gap") if name in values]
    return ", ".join([*shares, *([f"λ {values['lambda']:.3g}"] if "lambda" in values else [])])
