"""A plain loop with ``torch.optim`` that records a trajectory and detects grokking: addition modulo 23 by an MLP.

Nothing of the model, the optimizer or the loop belongs to grokinterp. The script needs about half a minute:

    python examples/plain_loop.py runs/plain_loop

It leaves a run directory and its report, runs/plain_loop.html.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from grokinterp import GrokkingDetector, Recorder, Trajectory, analyze, write_report

P = 23
"""The modulus."""

ANALYSES = ["performance", "softmax_collapse", "weight_norms", "class_cosine"]
"""Some of the analyses of any module; without this list, all of them take minutes."""

Examples = tuple[Tensor, Tensor]


def split_pairs() -> tuple[Examples, Examples]:
    """Return 70 % of all pairs with their sums for training, and the rest for testing."""
    pairs = torch.cartesian_prod(torch.arange(P), torch.arange(P))
    order = torch.randperm(len(pairs))
    train, test = order.split([len(pairs) * 7 // 10, len(pairs) - len(pairs) * 7 // 10])
    return (pairs[train], pairs[train].sum(1) % P), (pairs[test], pairs[test].sum(1) % P)


def train(directory: Path, steps: int, every: int) -> GrokkingDetector:
    """Train until 500 steps after grokking is detected, or for ``steps``, evaluated every ``every`` steps."""
    torch.manual_seed(0)
    (inputs, labels), test = split_pairs()
    model = nn.Sequential(nn.Embedding(P, 32), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, P))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0, betas=(0.9, 0.98))
    detector = GrokkingDetector(patience=500)
    recorder = Recorder(
        directory, model, train=(inputs, labels), test=test, loss="float32", optimizer=optimizer, run_steps=steps
    )
    with recorder:
        for step in range(steps + 1):
            if step % every == 0 or step == steps:
                recorder.record(step)
                row = recorder.last_row
                status = detector.update(step, row["train_accuracy"], row["test_accuracy"])
                print(f"step {step}/{steps}: train {status.train_acc:.1%}, test {status.eval_acc:.1%}")
                if status.newly_detected:
                    print(f"grokking detected, dated to step {status.grokking_step}")
                if status.should_stop:
                    break
            optimizer.zero_grad()
            cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    analyze(Trajectory.open(directory, model), only=ANALYSES)
    return detector


def main() -> None:
    """Train, analyze, and write the report."""
    parser = argparse.ArgumentParser(description="Record a plain loop through grokking.")
    parser.add_argument("directory", type=Path, help="a new directory for the run")
    parser.add_argument("--steps", type=int, default=3000, help="largest number of training steps")
    parser.add_argument("--every", type=int, default=25, help="training steps between evaluations")
    given = parser.parse_args()
    detector = train(given.directory, given.steps, given.every)
    print(f"memorized at step {detector.memorized_step}, grokked at step {detector.grokking_step}")
    print(write_report(given.directory, given.directory.with_suffix(".html")))


if __name__ == "__main__":
    main()
