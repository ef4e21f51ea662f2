"""The arguments of figures and animations, checked before any work."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from grokinterp.errors import ConfigError, GrokinterpError, require, require_choice, short
from grokinterp.storage.atomic import is_writable, output_file
from grokinterp.storage.files import path_of

FORMATS = ("png", "svg", "pdf")
"""Formats of figures."""

ANIMATIONS = (".gif", ".mp4")
"""Endings of the files of animations."""

MOST_FRAMES = 2000


def require_format(name: object) -> None:
    """Raise ConfigError unless a format is known."""
    require_choice("format", name, FORMATS)


def figure_folder(path: object) -> Path:
    """Return the path of a folder for figures. Raises ConfigError if it is a file, or cannot be created."""
    folder = path_of("out", path)
    if not folder.exists():
        return output_file("out", folder)  # a folder can be created where a file can
    require(folder.is_dir(), "out", short(folder), "must be a folder, not a file")
    require(is_writable(folder), "out", short(folder), "no file can be created in it")
    return folder


def animation_file(path: object) -> Path:
    """Return the path of a file for an animation. Raises ConfigError for another ending than .gif or .mp4."""
    file = output_file("out", path)
    require(file.suffix in ANIMATIONS, "out", short(file), "must end in .gif or .mp4")
    return file


def read_steps(text: str) -> tuple[int, ...]:
    """Return the steps in a list of numbers.

    >>> read_steps("0,100,2000")
    (0, 100, 2000)

    Raises:
        ConfigError: a part is not a step.
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        require(part.isdecimal(), "steps", short(part), "must be steps, as in --steps 0,100,2000")
    return tuple(map(int, parts))


def nearest(steps: Iterable[int], measured: Iterable[int]) -> list[int]:
    """Return the measured steps nearest to the given ones, in ascending order.

    >>> nearest([0, 90, 99], [0, 50, 100])
    [0, 100]

    Raises:
        ConfigError: no step was measured.
    """
    known = sorted(measured)
    if not known:
        raise ConfigError("steps", "none", "at least one analyzed checkpoint is needed")
    return sorted({min(known, key=lambda one: abs(one - step)) for step in steps})


def require_frames(frames: int, rate: float, dpi: int) -> None:
    """Raise ConfigError unless an animation has a number of frames, a rate and a size that can be shown."""
    require(2 <= frames <= MOST_FRAMES, "frames", frames, f"must be from 2 to {MOST_FRAMES}")
    require(0 < rate <= 60, "fps", rate, "must be above 0 and at most 60 frames per second")
    require(20 <= dpi <= 400, "dpi", dpi, "must be from 20 to 400 dots per inch")


def require_writer(file: Path) -> None:
    """Raise GrokinterpError if the program that writes a file is missing."""
    if file.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise GrokinterpError("an animation in .mp4 needs the program ffmpeg, which is not installed; .gif needs none")
