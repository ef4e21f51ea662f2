"""A classifier of texts by an embedding and an LSTM, whose initial weights are larger than usual, is recorded.

After the experiment on reviews of films of Liu et al. 2022 (Omnigrok), which Lee et al. 2024 (Grokfast) repeat: few
training texts, frequent words, two layers of LSTM, initial weights α times larger. All sizes and rates are ours.

The texts are read from a path, never downloaded: a folder with train and test, each with pos and neg, of text files, as
in the Large Movie Review Dataset (aclImdb), or a CSV file with the columns review and sentiment. The script needs some
minutes:

    python examples/text.py data/aclImdb runs/text

It leaves a run directory and its report, runs/text.html.
"""

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from grokinterp import GrokkingDetector, Recorder, Trajectory, analyze, write_report

CLASSES = ("neg", "pos")

SENTIMENTS = {"negative": 0, "positive": 1}

ANALYSES = ["performance", "weight_norms", "weight_path", "class_cosine"]
"""Some of the analyses of any module; without this list, all of them take much longer."""

Texts = list[tuple[str, int]]


class Classifier(nn.Module):
    """Words to classes: an embedding, an LSTM, and a linear map of its last state."""

    def __init__(self, n_words: int, d_embed: int, d_hidden: int, n_layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_words, d_embed)
        self.lstm = nn.LSTM(d_embed, d_hidden, n_layers, batch_first=True)
        self.output = nn.Linear(d_hidden, len(CLASSES))

    def forward(self, words: Tensor) -> Tensor:
        """Return the logits [example, class] of words [example, position]."""
        states, _ = self.lstm(self.embedding(words))
        return self.output(states[:, -1])


def read_folder(path: Path, part: str) -> Texts:
    """Return the texts of a part with their classes. Raises ValueError if a class has none."""
    found: Texts = []
    for label, name in enumerate(CLASSES):
        files = sorted((path / part / name).glob("*.txt"))
        if not files:
            raise ValueError(f"{path}: must hold text files in {part}/{name}")
        found += [(file.read_text(encoding="utf-8", errors="replace"), label) for file in files]
    return found


def read_table(path: Path) -> Texts:
    """Return the texts of a CSV file with their classes. Raises ValueError if it has another format."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.DictReader(file)
        if not {"review", "sentiment"} <= set(rows.fieldnames or ()):
            raise ValueError(f"{path}: must have the columns review and sentiment")
        found = [(row["review"] or "", SENTIMENTS.get(row["sentiment"] or "", -1)) for row in rows]
    if any(label < 0 for _, label in found):
        raise ValueError(f"{path}: every sentiment must be {' or '.join(SENTIMENTS)}")
    return found


def read_texts(path: Path, n_train: int, n_test: int) -> tuple[Texts, Texts]:
    """Return training and test texts, drawn at random. Raises ValueError if there are too few."""
    if path.is_dir():
        parts = [drawn(read_folder(path, part)) for part in ("train", "test")]
        train, test = parts[0][:n_train], parts[1][:n_test]
    else:
        texts = drawn(read_table(path))
        train, test = texts[:n_train], texts[n_train : n_train + n_test]
    if len(train) < n_train or not test:
        raise ValueError(f"{path}: must hold {n_train} training texts, and others for testing")
    return train, test


def drawn(texts: Texts) -> Texts:
    """Return texts in random order."""
    return [texts[i] for i in torch.randperm(len(texts)).tolist()]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without markup.

    >>> words_of("A film,<br />it's fine")
    ['a', 'film', "it's", 'fine']
    """
    return re.findall(r"[a-z0-9']+", re.sub(r"<[^>]*>", " ", text.lower()))


def vocabulary(texts: Texts, size: int) -> dict[str, int]:
    """Return the numbers of the most frequent words, from 2; 0 is no word, and 1 is any other word."""
    counts = Counter(word for text, _ in texts for word in words_of(text))
    return {word: number for number, (word, _) in enumerate(counts.most_common(size - 2), start=2)}


def encoded(texts: Texts, numbers: dict[str, int], length: int) -> tuple[Tensor, Tensor]:
    """Return the last words of every text as numbers [example, position], with zeros before short texts, and labels."""
    words = torch.zeros(len(texts), length, dtype=torch.long)
    for row, (text, _) in enumerate(texts):
        last = [numbers.get(word, 1) for word in words_of(text)[-length:]]
        if last:
            words[row, -len(last) :] = torch.tensor(last)
    return words, torch.tensor([label for _, label in texts])


def train(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], given: argparse.Namespace) -> GrokkingDetector:
    """Train on batches drawn at random, evaluated at about 60 steps that are spaced by a constant factor."""
    words, labels = train
    model = Classifier(given.words, given.embedding, given.hidden, given.layers)
    with torch.no_grad():
        for weight in model.parameters():
            weight *= given.scale
    optimizer = torch.optim.AdamW(model.parameters(), lr=given.lr, weight_decay=given.weight_decay)
    evaluated = {0, *np.geomspace(1, given.steps, 60).round().astype(int).tolist()}
    saved, detector = set(sorted(evaluated)[::4]) | {given.steps}, GrokkingDetector()
    recorder = Recorder(
        given.directory, model, train=train, test=test, optimizer=optimizer, run_steps=given.steps,
        data=f"texts of {given.data.name}", name="text",
    )  # fmt: skip
    with recorder:
        for step in range(given.steps + 1):
            if step in evaluated:
                recorder.record(step, save=step in saved)
                row = recorder.last_row
                detector.update(step, row["train_accuracy"], row["test_accuracy"])
                print(f"step {step}/{given.steps}: train {row['train_accuracy']:.1%}, test {row['test_accuracy']:.1%}")
            batch = torch.randint(len(words), (min(given.batch, len(words)),))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(words[batch]), labels[batch]).backward()
            optimizer.step()
    analyze(Trajectory.open(given.directory, model), only=ANALYSES)
    return detector


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the texts, train, analyze, and write the report."""
    parser = argparse.ArgumentParser(description="Record grokking on texts of two classes.")
    parser.add_argument("data", type=Path, help="a folder with train and test, or a CSV file")
    parser.add_argument("directory", type=Path, help="a new directory for the run")
    parser.add_argument("--texts", type=int, default=1000, help="number of training texts")
    parser.add_argument("--tested", type=int, default=1000, help="number of test texts")
    parser.add_argument("--words", type=int, default=1000, help="number of different words")
    parser.add_argument("--length", type=int, default=100, help="number of words of a text, its last ones")
    parser.add_argument("--embedding", type=int, default=64, help="width of the embedding")
    parser.add_argument("--hidden", type=int, default=128, help="width of the LSTM")
    parser.add_argument("--layers", type=int, default=2, help="number of layers of the LSTM")
    parser.add_argument("--scale", type=float, default=6.0, help="multiple of the usual initial weights (α)")
    parser.add_argument("--lr", type=float, default=3e-4, help="learning rate")
    parser.add_argument("--weight-decay", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=50, help="number of texts in a batch")
    parser.add_argument("--steps", type=int, default=5000, help="number of training steps")
    given = parser.parse_args(arguments)
    torch.manual_seed(0)
    try:
        texts = read_texts(given.data, given.texts, given.tested)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    numbers = vocabulary(texts[0], given.words)
    parts = [encoded(part, numbers, given.length) for part in texts]
    detector = train(*parts, given)
    print(f"memorized at step {detector.memorized_step}, grokked at step {detector.grokking_step}")
    print(write_report(given.directory, given.directory.with_suffix(".html")))


if __name__ == "__main__":
    main()
