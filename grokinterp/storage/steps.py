"""File names that contain a step: ``step_00001200.safetensors``."""

import os
import re
from pathlib import Path

from grokinterp.errors import RunDirectoryError

LARGEST_STEP = 10**8
"""Largest step of a run; recorded runs of unknown length were once stored with this number of steps."""

_NAME = re.compile(r"step_([0-9]{8,12})\.safetensors")


def step_file_name(step: int) -> str:
    """Return the file name of a step.

    >>> step_file_name(1200)
    'step_00001200.safetensors'
    """
    if step < 0:
        raise ValueError(f"step={step}: must be >= 0")
    return f"step_{step:08d}.safetensors"


def steps_in(directory: Path) -> tuple[int, ...]:
    """Return the steps with a file in ``directory``, ascending; temporary and foreign names are ignored.

    Raises:
        RunDirectoryError: if an existing directory cannot be listed.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise RunDirectoryError(directory, f"cannot be listed: {error.strerror} (errno {error.errno})") from error
    matches = [match for name in names if (match := _NAME.fullmatch(name))]
    return tuple(sorted(int(match[1]) for match in matches if step_file_name(int(match[1])) == match[0]))
