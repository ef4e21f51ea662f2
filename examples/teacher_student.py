"""A student network learns the outputs of a teacher network from few examples: a regression, recorded.

After Liu et al. 2022 (Omnigrok): the loss is the mean squared error, and the student starts with weights α times larger
than usual, which delays generalization. The sizes and rates are ours. The script needs less than a minute:

    python examples/teacher_student.py runs/teacher_student

It leaves a run directory and its report, runs/teacher_student.html.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from grokinterp import GrokkingDetector, Recorder, Trajectory, analyze, write_report

SIZES = (5, 100, 100, 5)
"""The numbers of inputs, of hidden units in both layers, and of outputs."""

ANALYSES = ["performance", "weight_norms", "weight_path", "activation_statistics", "singular_values"]
"""Some of the analyses of any regression; without this list, all of them take minutes."""


def network(scale: float = 1.0) -> nn.Module:
    """Return a network of two hidden layers with its initial weights multiplied by ``scale``."""
    n_in, first, second, n_out = SIZES
    hidden = nn.Linear(n_in, first), nn.Tanh(), nn.Linear(first, second), nn.Tanh()
    model = nn.Sequential(*hidden, nn.Linear(second, n_out))
    with torch.no_grad():
        for weight in model.parameters():
            weight *= scale
    return model


def examples(teacher: nn.Module, count: int, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Return normal inputs, and the outputs of the teacher in units of their standard deviation."""
    inputs = torch.randn(count, SIZES[0])
    with torch.no_grad():
        return inputs, (teacher(inputs) - mean) / deviation


def train(directory: Path, *, scale: float, steps: int, every: int, tolerance: float) -> GrokkingDetector:
    """Train the student for ``steps``, evaluated every ``every`` steps."""
    torch.manual_seed(0)
    teacher = network()
    with torch.no_grad():
        outputs = teacher(torch.randn(4096, SIZES[0]))
    mean, deviation = outputs.mean(0), outputs.std(0)
    (inputs, targets), test = (examples(teacher, count, mean, deviation) for count in (100, 400))
    student = network(scale)
    optimizer = torch.optim.AdamW(student.parameters(), lr=3e-3, weight_decay=0.3)
    detector = GrokkingDetector()
    recorder = Recorder(
        directory, student, train=(inputs, targets), test=test, loss="mse", tolerance=tolerance, optimizer=optimizer,
        data="outputs of a teacher network", name="teacher_student", run_steps=steps,
    )  # fmt: skip
    with recorder:
        for step in range(steps + 1):
            if step % every == 0 or step == steps:
                recorder.record(step)
                row = recorder.last_row
                detector.update(step, row["train_accuracy"], row["test_accuracy"])
                print(f"step {step}/{steps}: train loss {row['train_loss']:.2e}, test loss {row['test_loss']:.2e}")
            optimizer.zero_grad()
            mse_loss(student(inputs), targets).backward()
            optimizer.step()
    analyze(Trajectory.open(directory, student), only=ANALYSES)
    return detector


def main() -> None:
    """Train, analyze, and write the report."""
    parser = argparse.ArgumentParser(description="Record a student network that learns a teacher.")
    parser.add_argument("directory", type=Path, help="a new directory for the run")
    parser.add_argument("--scale", type=float, default=4.0, help="multiple of the usual initial weights (α)")
    parser.add_argument("--steps", type=int, default=4000, help="number of training steps")
    parser.add_argument("--every", type=int, default=50, help="training steps between evaluations")
    parser.add_argument(
        "--tolerance", type=float, default=0.2, help="largest error of a correct answer, in standard deviations"
    )
    given = parser.parse_args()
    settings = {"scale": given.scale, "steps": given.steps, "every": given.every, "tolerance": given.tolerance}
    detector = train(given.directory, **settings)
    print(f"memorized at step {detector.memorized_step}, grokked at step {detector.grokking_step}")
    print(write_report(given.directory, given.directory.with_suffix(".html")))


if __name__ == "__main__":
    main()
