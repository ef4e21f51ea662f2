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


def sentences(count: int, seed: int) -> list[tuple[str, int]]:
    """Return texts of common words, with a word of their class among them."""
    generator = np.random.default_rng(seed)
    found = []
    for i in range(count):
        words = [f"word{number}" for number in generator.integers(12, size=8)]
        words[generator.integers(8)] = ("dull", "Fine")[i % 2]
        found.append((" ".join(words) + ".<br />", i % 2))
    return found


def write_texts(form: str, folder: Path) -> Path:
    if form == "csv":
        lines = [f'"{text}",{("negative", "positive")[label]}' for text, label in sentences(80, 0)]
        (folder / "reviews.csv").write_text("\n".join(["review,sentiment", *lines]))
        return folder / "reviews.csv"
    for part, seed in (("train", 0), ("test", 1)):
        for i, (text, label) in enumerate(sentences(50, seed)):
            place = folder / "texts" / part / ("neg", "pos")[label]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i}.txt").write_text(text)
    return folder / "texts"


@pytest.mark.parametrize("form", ["folder", "csv"])
def test_texts_are_read_and_learned(form, tmp_path, monkeypatch, capsys):
    sizes = ("--texts", 40, "--tested", 40, "--words", 16, "--length", 10, "--embedding", 8, "--hidden", 8)
    rates = ("--layers", 1, "--scale", 1, "--lr", 0.03, "--weight-decay", 0.01, "--batch", 20, "--steps", 60)
    ran(monkeypatch, "text.py", write_texts(form, tmp_path), tmp_path / "run", *sizes, *rates)
    assert "step 60/60: train 100.0%" in capsys.readouterr().out
    assert float(Results.open(tmp_path / "run").metrics["test_accuracy"][-1]) > 0.8
    assert (tmp_path / "run.html").stat().st_size > 50_000


def test_texts_that_are_missing_are_named(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("text,label\n")
    for data, why in ((tmp_path, "must hold text files in train/neg"), (tmp_path / "a.csv", "the columns review")):
        with pytest.raises(SystemExit, match=why):
            ran(monkeypatch, "text.py", data, tmp_path / "run")
