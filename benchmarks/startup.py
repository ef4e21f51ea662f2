"""Measure how long commands take to start: ``python -m benchmarks.startup [--rounds 3] [COMMAND ...]``.

Every command runs in a process of its own; the table has the least wall time and processor time of all rounds. The last
rows show how much ``train`` adds to the imports it cannot do without.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks.report import table

LISTINGS = ("--version", "--help", "presets", "tasks", "models", "methods", "analyses", "train task.p=1")
TINY = "train task.p=7 model.d_model=8 model.n_heads=2 model.d_mlp=8 steps=1 --device cpu --out run"
PYTHON = {
    "import grokinterp": "import grokinterp",
    "import torch, transformer_lens": "import torch, transformer_lens",
}


def least(command: Sequence[str], rounds: int) -> tuple[float, float]:
    """Return the least wall time and the least processor time of a command, in seconds."""
    walls, processors = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            before, start = processor_seconds(), time.perf_counter()
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])}
            subprocess.run(command, cwd=folder, capture_output=True, check=False, env=environment)
            walls.append(time.perf_counter() - start)
            processors.append(processor_seconds() - before)
    return min(walls), min(processors)


def processor_seconds() -> float:
    """Return the processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that every command is run")
    parser.add_argument("commands", nargs="*", default=[*LISTINGS, TINY], help="command lines of grokinterp")
    asked = parser.parse_args(arguments)
    calls = {f"grokinterp {line}": [sys.executable, "-m", "grokinterp", *line.split()] for line in asked.commands}
    calls |= {name: [sys.executable, "-c", code] for name, code in PYTHON.items()}
    rows = [[name, *(f"{seconds:.2f}" for seconds in least(call, asked.rounds))] for name, call in calls.items()]
    print(table(["command", "wall time (s)", "processor time (s)"], rows))


if __name__ == "__main__":
    main()
