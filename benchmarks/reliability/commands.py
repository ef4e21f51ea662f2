"""Command lines for the specimen, and the files that each command writes."""

from pathlib import Path

from benchmarks.reliability.specimen import TINY, written
from grokinterp.experiment import Experiment


def settings_of(experiment: Experiment) -> list[str]:
    """Return the overrides that turn the default experiment into this one."""
    return [
        f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in experiment.flat.items()
    ]


def training(experiment: Experiment = TINY, *more: object) -> list[str]:
    """Return the command line that trains an experiment into ``run``."""
    return ["train", *settings_of(experiment), "--out", "run", "--device", "cpu", *map(str, more)]


def left(folder: Path) -> dict[str, bytes]:
    """Return the files that a command left in its folder: those of training, results of analyses, and pages."""
    found = written(folder / "run") if (folder / "run").is_dir() else {}
    for pattern in ("run/analysis/*.nc", "**/*.html", "**/*.png"):
        found |= {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob(pattern)}
    return found
