"""Compare the memory that training uses with its estimate: ``python -m benchmarks.training_memory [NAME ...]``.

Every configuration is trained for three steps in its own process, which evaluates and saves a checkpoint and a resume
state at each step; a tiny run beforehand loads everything that is loaded only once. The table lists the estimate of
``training.memory``, the growth of the resident memory to its peak, and their ratio.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence

LENGTH_64 = ("task.kind=linear_recurrence", "task.p=100", "task.length=64")
S6 = ("task.kind=group_composition", "task.group=S6")
MLP, RECURSIVE = "model.kind=mlp", "model.kind=recursive"

CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "p = 113": (),
    "p = 307": ("task.p=307",),
    "p = 509": ("task.p=509",),
    "p = 509, mini-batch": ("task.p=509", "optimization.batch_size=4096"),
    "p = 509, float64 loss": ("task.p=509", "optimization.loss=float64"),
    "p = 307, StableMax": ("task.p=307", "optimization.loss=stablemax"),
    "p = 307, squared error": ("task.p=307", "optimization.loss=mse"),
    "p = 113, d_model 2048": ("model.d_model=2048", "model.d_mlp=8192"),
    "p = 113, d_model 2048, mini-batch, Grokfast-EMA, average": (
        *("model.d_model=2048", "model.d_mlp=8192", "optimization.batch_size=512", "optimization.average=0.99"),
        'optimization.filters=[{kind="grokfast_ema"}]',
    ),
    "p = 113, Grokfast-MA": ("model.d_model=1024", 'optimization.filters=[{kind="grokfast_ma", window=2}]'),
    "p = 113, d_model 2048, Muon, mini-batch": (
        *("model.d_model=2048", "model.d_mlp=8192", "optimization.optimizer=muon", "optimization.batch_size=512"),
    ),
    "p = 113, 2 layers": ("model.n_layers=2",),
    "p = 113, 12 layers": ("model.n_layers=12",),
    "p = 113, 4 layers, post-norm, pooled, gelu": (
        *("model.n_layers=4", "model.read_at=mean", "model.normalization=LN", "model.norm_position=post"),
        *("model.act_fn=gelu", "model.attention=bidirectional"),
    ),
    "length 64, 1 layer": LENGTH_64,
    "length 64, 2 layers": (*LENGTH_64, "model.n_layers=2", "task.p=61"),
    "length 64, 3 layers, mini-batch": (*LENGTH_64, "model.n_layers=3", "optimization.batch_size=256"),
    "length 64, 10^6 examples, mini-batch": (*LENGTH_64, "task.p=1000", "optimization.batch_size=256"),
    "MLP, p = 307": ("task.p=307", MLP),
    "MLP, p = 509, 3 layers": ("task.p=509", MLP, "model.hidden=[256, 256, 256]"),
    "MLP, p = 307, embedded, gelu": ("task.p=307", MLP, "model.d_embed=256", 'model.act_fn="gelu"'),
    "MLP, length 64": (*LENGTH_64, MLP, "model.d_embed=64"),
    "recursive, p = 113": (RECURSIVE,),
    "recursive, p = 113, mini-batch": (RECURSIVE, "optimization.batch_size=512"),
    "S6": S6,
    "S6, MLP": (*S6, MLP, "model.d_embed=256", "model.hidden=[128]", 'model.act_fn="relu"'),
    "S6, mini-batch": (*S6, "optimization.batch_size=2048"),
}

TRAIN = """
import resource, sys, tempfile
from pathlib import Path
from grokinterp.experiment import Experiment
from grokinterp.training import train
limit = int(sys.argv[1]) << 30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
steps = ["steps=2", "evaluate_every=1", "save.every=1", "save.resume_every=1"]
experiment = Experiment().override([*sys.argv[2:], *steps])
tiny = Experiment().override(["task.p=7", *steps])
with tempfile.TemporaryDirectory() as folder:
    train(tiny, Path(folder) / "tiny", device="cpu")
    run = train(experiment, Path(folder) / "run", device="cpu")
    memory = run.directory.status["memory"]
    print(memory["estimated"], memory["used"] or 0)
"""


def measured(overrides: Sequence[str], *, limit: int = 12) -> tuple[int, int]:
    """Return the estimated and the used bytes of training a configuration, in a process of at most ``limit`` GiB."""
    command = [sys.executable, "-c", TRAIN, str(limit), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    estimated, used = done.stdout.split()
    return int(estimated), int(used)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_memory", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="configurations (default: all)")
    chosen = parser.parse_args(arguments)
    print("| configuration | estimated, MB | used, MB | estimated / used |\n|---|---|---|---|")
    for name in chosen.names or CONFIGURATIONS:
        try:
            estimated, used = measured(CONFIGURATIONS[name])
        except RuntimeError as error:
            print(f"| {name} | {error} | | |", flush=True)
            continue
        ratio = f"{estimated / used:.2f}" if used else "not known"
        print(f"| {name} | {estimated / 1e6:,.0f} | {used / 1e6:,.0f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
