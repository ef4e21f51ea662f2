"""Arguments shared by several commands: run directory, device, and experiment."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokinterp.cli.completion import device_names, preset_names, setting_names
from grokinterp.errors import ConfigError, short

if TYPE_CHECKING:
    from grokinterp.experiment import Experiment

Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value]...", help="For example, task.p=97 seed=3.", autocompletion=setting_names),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE] [key=value]...",
        help="A TOML or JSON file (see `grokinterp config`), and settings such as task.p=97 seed=3.",
        autocompletion=setting_names,
    ),
]
PresetName = Annotated[
    str | None, typer.Option(help="A named experiment; see `grokinterp presets`.", autocompletion=preset_names)
]
Config = Annotated[Path | None, typer.Option(help="A TOML or JSON file; the same as FILE.")]

FILES = (".toml", ".json")
"""The ends of the names of files that describe an experiment or a sweep."""


StopPredicted = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A database of runs: stop a run that is predicted not to grok in its budget."),
]


def run_directory(path: Path) -> Path:
    """Return the path of a run directory. Raises RunDirectoryError if it is not a run directory."""
    from grokinterp.storage import RunDirectory

    return RunDirectory.open(path).path


def run_or_folder(path: Path) -> Path:
    """Return the path of a run directory or of a folder of runs. Raises RunDirectoryError if it is neither."""
    from grokinterp.errors import ConfigError
    from grokinterp.sweeps.found import MARKS, runs_below

    if any((path / name).exists() for name in MARKS):
        return run_directory(path)
    try:
        runs_below(path)
    except ConfigError:
        return run_directory(path)
    return path


def device_name(name: str) -> str:
    """Return the name of a device. Raises ConfigError for any other text."""
    from grokinterp.training.environment import require_device_name

    require_device_name(name)
    return name


RunDir = Annotated[
    Path, typer.Argument(metavar="RUN_DIR", help="A run directory, as `train` writes it.", callback=run_directory)
]
RunsDir = Annotated[
    Path,
    typer.Argument(metavar="RUN_DIR", help="A run directory, or a folder of run directories.", callback=run_or_folder),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", callback=device_name, autocompletion=device_names)]


def read_experiment(
    preset: str | None, config: Path | None, overrides: Sequence[str] | None, *, default: Callable[[], "Experiment"]
) -> "Experiment":
    """Return the experiment of a preset or of a file with overrides applied.

    Args:
        preset: the name of an experiment.
        config: a TOML or JSON file.
        overrides: assignments such as ``task.p=97``, among which the file may be named as well.
        default: function that returns the experiment if neither a preset nor a file is given.

    Raises:
        ConfigError: both a preset and a file are given, or several files, or a value is invalid.
    """
    from grokinterp import presets
    from grokinterp.experiment import Experiment

    files = [given for given in overrides or [] if "=" not in given and given.endswith(FILES)]
    assignments = [given for given in overrides or [] if given not in files]
    if len(files) + (config is not None) > 1:
        raise ConfigError("config", short(files[-1]), "give one file")
    config = Path(files[0]) if files else config
    if preset is not None and config is not None:
        raise ConfigError("config", config, f"give --preset or --config, not both (preset is {preset})")
    if preset is not None:
        base = presets.preset(preset)
    else:
        base = default() if config is None else Experiment.from_file(config)
    return base.override(assignments)


def split_names(text: str) -> list[str]:
    """Return the names in a comma-separated list.

    >>> split_names("adamw, egd,")
    ['adamw', 'egd']
    """
    return [name.strip() for name in text.split(",") if name.strip()]
