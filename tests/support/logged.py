"""A run that groks, as curves, and as the files in which other programs would have logged it."""

import json
import math
from pathlib import Path

from grokinterp.phases import Curves, find_phases

STEPS = list(range(0, 2000, 10))
TRAIN = [min(1.0, step / 200) for step in STEPS]
TEST = [0.01 if step < 1000 else min(1.0, 0.01 + (step - 1000) / 400) for step in STEPS]
TRAIN_LOSS = [5 * math.exp(-step / 50) for step in STEPS]
TEST_LOSS = [5 * (1 - x) + 1e-3 for x in TEST]
COLUMNS = {"step": STEPS, "train_loss": TRAIN_LOSS, "test_loss": TEST_LOSS, "train_acc": TRAIN, "test_acc": TEST}


def expected():
    """The history of the run."""
    return find_phases(
        Curves(steps=STEPS, train_loss=TRAIN_LOSS, test_loss=TEST_LOSS, train_accuracy=TRAIN, test_accuracy=TEST)
    )


def rows(columns: dict = COLUMNS) -> list[dict]:
    """The columns as rows."""
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def write_csv(path: Path, columns: dict = COLUMNS, *, order=None, delimiter: str = ",") -> Path:
    """A table with a line of names, its rows in some order."""
    order = range(len(next(iter(columns.values())))) if order is None else order
    lines = [columns, *([str(column[row]) for column in columns.values()] for row in order)]
    path.write_text("".join(delimiter.join(line) + "\n" for line in lines))
    return path


def write_json(path: Path, content) -> Path:
    """A JSON file."""
    path.write_text(json.dumps(content))
    return path


def write_lines(path: Path, objects) -> Path:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(each) + "\n" for each in objects))
    return path
