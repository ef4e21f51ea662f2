"""Grokking on images of digits, after Liu et al. 2022 (Omnigrok): 1,000 training images, and weights 8 times larger.

An MLP of depth 3 and width 200 is trained by AdamW on the mean squared error to one-hot labels. Its initial weights are
α = 8 times larger than usual. The other settings are ours.

The images are read from a path, never downloaded: a folder with the four files of MNIST (idx, plain or .gz, as
torchvision stores them), or an .npz file with x_train, y_train, x_test, and y_test, as Keras stores them. Debian's
package dataset-fashion-mnist is such a folder. The script needs some minutes:

    python examples/mnist.py data/MNIST/raw runs/mnist
    python examples/mnist.py /usr/share/datasets/fashion-mnist runs/fashion --steps 40000

It leaves a run directory and its report, runs/mnist.html.
"""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from grokinterp import GrokkingDetector, Recorder, Trajectory, analyze, write_report
from grokinterp.losses import OneHotMSELoss

CLASSES = 10

ANALYSES = ["performance", "weight_norms", "weight_path", "class_cosine", "activation_statistics"]
"""Some of the analyses of any module; without this list, all of them take much longer."""

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}
"""The names of the arrays in an .npz file, and of the files of MNIST."""

Examples = tuple[Tensor, Tensor]


def read_idx(path: Path) -> np.ndarray:
    """Return the array in an idx file of bytes, plain or compressed: two zeros, 8, the number of axes, sizes, values.

    Raises:
        ValueError: the file has another format, or is cut off.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    start = 4 + 4 * content[3] if content[:3] == b"\0\0\x08" else 0
    shape = tuple(map(int, np.frombuffer(content[4:start], ">u4"))) if 4 < start <= len(content) else ()
    if not shape or len(content) != start + int(np.prod(shape)):
        raise ValueError(f"{path}: must be a complete idx file of bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the images and labels of both parts from an .npz file, or from a folder of idx files.

    Raises:
        ValueError: an array is missing.
    """
    if path.is_dir():
        found = {name: [path / file, path / f"{file}.gz"] for name, file in FILES.items()}
        present = {name: next((file for file in files if file.exists()), None) for name, files in found.items()}
        arrays = {name: read_idx(file) for name, file in present.items() if file is not None}
    else:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in FILES if name in file}
    for name, file in FILES.items():
        if name not in arrays:
            raise ValueError(f"{path}: must hold {name}, or {file} in a folder")
    return arrays


def chosen(images: np.ndarray, labels: np.ndarray, count: int) -> Examples:
    """Return images drawn at random, as rows of pixels from 0 to 1, with their labels."""
    order = torch.randperm(len(images))[:count].numpy()
    pixels = torch.from_numpy(images[order].reshape(len(order), -1).astype(np.float32)) / 255
    return pixels, torch.from_numpy(labels[order].astype(np.int64).reshape(-1))


def network(pixels: int, width: int, scale: float) -> nn.Module:
    """Return an MLP of depth 3 with its initial weights multiplied by ``scale``."""
    hidden = nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
    model = nn.Sequential(*hidden, nn.Linear(width, CLASSES))
    with torch.no_grad():
        for weight in model.parameters():
            weight *= scale
    return model


def train(train: Examples, test: Examples, given: argparse.Namespace) -> GrokkingDetector:
    """Train on batches drawn at random, evaluated at about 100 steps that are spaced by a constant factor."""
    (inputs, labels), loss = train, OneHotMSELoss()
    model = network(inputs.shape[1], given.width, given.scale)
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.lr, weight_decay=given.weight_decay)
    evaluated = {0, *np.geomspace(1, given.steps, 100).round().astype(int).tolist()}
    saved, detector = set(sorted(evaluated)[::4]) | {given.steps}, GrokkingDetector()
    recorder = Recorder(
        given.directory, model, train=train, test=test, loss="mse", optimizer=optimizer, run_steps=given.steps,
        data=f"images of {given.data.name}", name="mnist",
    )  # fmt: skip
    with recorder:
        for step in range(given.steps + 1):
            if step in evaluated:
                recorder.record(step, save=step in saved)
                row = recorder.last_row
                detector.update(step, row["train_accuracy"], row["test_accuracy"])
                print(f"step {step}/{given.steps}: train {row['train_accuracy']:.1%}, test {row['test_accuracy']:.1%}")
            batch = torch.randint(len(inputs), (min(given.batch, len(inputs)),))
            optimizer.zero_grad()
            loss(model(inputs[batch]), labels[batch]).backward()
            optimizer.step()
    analyze(Trajectory.open(given.directory, model), only=ANALYSES)
    return detector


def main() -> None:
    """Read the images, train, analyze, and write the report."""
    parser = argparse.ArgumentParser(description="Record grokking on images of digits.")
    parser.add_argument("data", type=Path, help="a folder of idx files, or an .npz file")
    parser.add_argument("directory", type=Path, help="a new directory for the run")
    parser.add_argument("--images", type=int, default=1000, help="number of training images")
    parser.add_argument("--tested", type=int, default=2000, help="number of test images")
    parser.add_argument("--width", type=int, default=200, help="number of units in a hidden layer")
    parser.add_argument("--scale", type=float, default=8.0, help="multiple of the usual initial weights (α)")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--batch", type=int, default=200, help="number of images in a batch")
    parser.add_argument("--steps", type=int, default=100_000, help="number of training steps")
    given = parser.parse_args()
    torch.manual_seed(0)
    try:
        arrays = read_arrays(given.data)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    parts = [
        chosen(arrays[f"x_{part}"], arrays[f"y_{part}"], n)
        for part, n in (("train", given.images), ("test", given.tested))
    ]
    detector = train(*parts, given)
    print(f"memorized at step {detector.memorized_step}, grokked at step {detector.grokking_step}")
    print(write_report(given.directory, given.directory.with_suffix(".html")))


if __name__ == "__main__":
    main()
