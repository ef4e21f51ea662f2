"""Metrics beside metrics.jsonl, which is always written: to TensorBoard, to Weights & Biases, and as a line to read."""

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.storage import configuration_hash

EXTRA = 'needs the extra "loggers": pip install "grokinterp[loggers]"'

WANDB_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(?P<id>.+)")
"""How W&B names the folder of a process that logged to the run ``id``."""


@runtime_checkable
class Logger(Protocol):
    """What takes metrics as numbers by name; a ``finish()`` is called at the end where there is one."""

    def log(self, values: dict[str, float], *, step: int) -> Any:
        """Take the metrics of one evaluation."""


@final
class TensorBoard:
    """Scalars as TensorBoard reads them, in event files in ``directory``.

    After a resume the points that are logged again replace those before: the new file purges every
    step from its first one on.

    Raises:
        ConfigError: tensorboard is not installed.
    """

    def __init__(self, directory: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError("log", "tensorboard", EXTRA) from None
        self._open = lambda step: SummaryWriter(str(directory), purge_step=step)
        self._writer: Any = None

    def log(self, values: dict[str, float], *, step: int) -> None:
        """One point in every curve; the first call opens the file."""
        if self._writer is None:
            self._writer = self._open(step)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        """Write out what is still in memory."""
        if self._writer is not None:
            self._writer.close()


@final
class WandB:
    """A run at Weights & Biases; WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE=offline are heeded.

    ``init`` is what ``wandb.init`` takes. Whoever goes on in the same ``dir`` goes on with the same
    W&B run, whose id is in the names of the folders that W&B leaves. Points that are logged again are
    dropped then, as W&B takes no step twice: the first ones stay, even where the continuation is not
    bit-identical. Offline, every process writes a folder of its own; all have the same id.

    Raises:
        ConfigError: wandb is not installed, or has no key to log in with.
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
        """One point in every curve; the first call starts the run."""
        if self._run is None:
            self._run = self._open(**_of_before(self._init) | self._init)
        self._run.log(values, step=step)

    def finish(self) -> None:
        """Wait until everything is uploaded."""
        if self._run is not None:
            self._run.finish()


def _log_in(wandb: Any) -> None:
    """Ask for a key now, where there is none, rather than in the middle of training. Raises ConfigError without."""
    try:
        wandb.login()
    except wandb.errors.Error as error:
        why = " ".join(str(error).split())
        raise ConfigError("log", "wandb", f"{why} Or set WANDB_MODE=offline.") from None


def _of_before(init: Mapping[str, Any]) -> dict[str, Any]:
    """The id of the W&B run that was last logged to in the same directory, if one was."""
    folders = sorted(Path(init.get("dir", ".")).glob("wandb/*run-*-*"), key=lambda path: path.stat().st_mtime)
    found = [match["id"] for path in folders if (match := WANDB_FOLDER.fullmatch(path.name))]
    return {"id": found[-1], "resume": "allow"} if found else {}


def _tensorboard(directory: Path, experiment: Experiment) -> Logger:
    return TensorBoard(directory / "tensorboard")


def _wandb(directory: Path, experiment: Experiment) -> Logger:
    """Trainings of one configuration, which are runs of their own, are a group."""
    values = experiment.to_dict()
    return WandB(dir=str(directory), name=experiment.name, config=values, group=configuration_hash(values))


LOGGERS: dict[str, Callable[[Path, Experiment], Logger]] = {"tensorboard": _tensorboard, "wandb": _wandb}
"""What ``--log`` takes. Nothing is written before the first evaluation: the run directory has to be made first."""


def open_loggers(names: Iterable[str], directory: str | Path, experiment: Experiment) -> list[Logger]:
    """The loggers of these names, each once, for a run in ``directory``.

    Raises:
        ConfigError: an unknown name, or a package that is not installed; before any work.
    """
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in LOGGERS:
            raise ConfigError("log", name, f"must be one of {', '.join(LOGGERS)}")
    return [LOGGERS[name](Path(directory), experiment) for name in chosen]


def log_all(loggers: Sequence[Logger], row: Mapping[str, Any]) -> list[Logger]:
    """Give a row of metrics to every logger; those that took it. One that fails costs a warning, not the run."""
    values, step = named(row), int(row["step"])
    return [logger for logger in loggers if _worked(logger, lambda of: of.log(dict(values), step=step))]


def finish_all(loggers: Iterable[Logger]) -> None:
    """Call ``finish()`` where there is one."""
    for logger in loggers:
        _worked(logger, lambda of: getattr(of, "finish", lambda: None)())


def _worked(logger: Any, work: Callable[[Any], Any]) -> bool:
    """Whether it did; if not, one warning says why."""
    try:
        work(logger)
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        warnings.warn(f"{type(logger).__name__} failed and is left out from here on: {why}", stacklevel=3)
        return False
    return True


def named(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of metrics by their names; of nested ones, by ``name/inner``.

    Also ``train`` and ``eval``, the accuracies on the training and on the held-out examples
    (validation where there is one, else test), ``gap`` = train - eval, and with Grokfast ``lambda``.

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
    """An evaluation in one line: accuracies, their gap, and λ where the gradients are amplified.

    >>> evaluation_line({"step": 120, "train_accuracy": 1.0, "test_accuracy": 0.25, "lamb": 2.0})
    'train 100.0%, eval 25.0%, gap 75.0%, λ 2'
    """
    values = named(row)
    shares = [f"{name} {values[name]:.1%}" for name in ("train", "eval", "gap") if name in values]
    return ", ".join([*shares, *([f"λ {values['lambda']:.3g}"] if "lambda" in values else [])])
