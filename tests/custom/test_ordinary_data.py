"""The examples of a regression and of images, at toy size."""

import gzip
import runpy
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from grokinterp import Results
from grokinterp.storage import RunDirectory

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def ran(monkeypatch, script: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images [example, 6, 6] that are brighter in the row of their class, with noise; classes 0 to 5."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(6, size=count).astype(np.uint8)
    images = generator.integers(100, size=(count, 6, 6)).astype(np.uint8)
    images[np.arange(count), labels] += 150
    return images, labels


def written(path: Path, array: np.ndarray) -> None:
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "digits").mkdir()
    for name, seed, end in (("train", 0, ""), ("t10k", 1, ".gz")):
        images, labels = drawn(60, seed)
        written(tmp_path / "digits" / f"{name}-images-idx3-ubyte{end}", images)
        written(tmp_path / "digits" / f"{name}-labels-idx1-ubyte{end}", labels)
    return tmp_path / "digits"


def test_a_student_learns_its_teacher(tmp_path, monkeypatch, capsys):
    """At full size it groks, in less than a minute."""
    ran(monkeypatch, "teacher_student.py", tmp_path / "run", "--steps", 100, "--every", 50)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["step 0/100", "step 50/100", "step 100/100"]
    metrics = Results.open(tmp_path / "run").metrics
    assert float(metrics["train_loss"][-1]) < 0.05 < float(metrics["test_loss"][-1])
    assert (tmp_path / "run.html").stat().st_size > 50_000


@pytest.mark.parametrize("form", ["idx", "npz"])
def test_images_are_read_and_learned(form, folder, tmp_path, monkeypatch, capsys):
    data = folder
    if form == "npz":
        (x, y), (a, b) = drawn(60, 0), drawn(60, 1)
        data = tmp_path / "digits.npz"
        np.savez(data, x_train=x, y_train=y, x_test=a, y_test=b)
    sizes = ("--images", 40, "--tested", 50, "--width", 32, "--scale", 2, "--batch", 20, "--steps", 150, "--lr", 0.01)
    ran(monkeypatch, "mnist.py", data, tmp_path / "run", *sizes)
    assert "step 150/150: train 100.0%" in capsys.readouterr().out
    run = RunDirectory.open(tmp_path / "run")
    assert run.status["status"] == "finished"
    assert run.environment["n_test"] == 50
    assert float(Results.open(tmp_path / "run").metrics["test_accuracy"][-1]) > 0.8
    assert (tmp_path / "run.html").stat().st_size > 50_000


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_files_that_cannot_be_read_are_named(damage, folder, tmp_path, monkeypatch):
    file = folder / "train-labels-idx1-ubyte"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] if damage == "cut" else b"text")
    with pytest.raises(SystemExit) as stop:
        ran(monkeypatch, "mnist.py", folder, tmp_path / "run")
    expected = "must hold y_train" if damage == "missing" else f"{file}: must be a complete idx file of bytes"
    assert expected in str(stop.value)
    assert not (tmp_path / "run").exists()
