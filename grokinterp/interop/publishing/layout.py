"""The files of a published folder, which export writes and import reads."""

import re
from pathlib import Path

from grokinterp.storage.run_directory import ENVIRONMENT, EXAMPLES, METRICS, START, STATUS

CARD, CONFIG, EXPERIMENT = "README.md", "config.json", "experiment.json"
WEIGHTS = "model.safetensors"
"""The weights of a step; at the top of the folder, those of the last step, where other tools look for them."""

TRAINING = "training.safetensors"
"""The last update and the averaged weights of a step, for those who analyze the training."""

DATASET = "dataset.safetensors"
"""The tokens and labels of all examples and, if known, which are in the training set, with which labels."""

MEASURES = "measures.json"
STEPS = "steps"
STEP = re.compile(r"step_(\d{8,13})")

COPIED = (METRICS, "continuations.jsonl", EXAMPLES, START)
"""Files of the run that are copied unchanged, where they exist."""

DOCUMENTS = (ENVIRONMENT, STATUS)
"""Small JSON files of the run whose content is copied."""

LARGEST = 2**36
"""Largest file that is copied, in bytes."""


def step_folder(folder: Path, step: int) -> Path:
    """Return the folder of a step."""
    return folder / STEPS / f"step_{step:08d}"


def steps_in(folder: Path) -> dict[int, Path]:
    """Return the folders of the steps in a published folder, ascending."""
    found = {}
    for path in sorted((folder / STEPS).glob("step_*")):
        if (match := STEP.fullmatch(path.name)) and path.is_dir():
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def is_published(folder: Path) -> bool:
    """Return whether a folder was written by ``export_run``."""
    return folder.is_dir() and (folder / EXPERIMENT).is_file() and (folder / STEPS).is_dir()
