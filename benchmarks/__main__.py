"""Run the benchmarks and write RESULTS.md: ``python -m benchmarks [--threads 1 2] [--rounds 9] [--checkpoints 3]``."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import results

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    """Measure each part in a separate process, whose thread count is fixed before PyTorch starts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="thread counts for the training step")
    parser.add_argument("--rounds", type=int, default=9, help="turns per side")
    parser.add_argument("--checkpoints", type=int, default=3, help="checkpoints for the analyses")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where to write the tables")
    parser.add_argument("--small", action="store_true", help="toy size for the test suite; the numbers are meaningless")
    parser.add_argument("--part", choices=["train", "step", "analyses"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        return run_part(arguments)
    options = ["--rounds", str(arguments.rounds), *(["--small"] if arguments.small else [])]
    part(os.cpu_count() or 1, "train", *options)
    steps = [part(threads, "step", *options) for threads in arguments.threads]
    analyses = part(1, "analyses", *options, "--checkpoints", str(arguments.checkpoints))
    arguments.out.write_text(results(steps, analyses), encoding="utf-8")
    print(arguments.out.read_text(encoding="utf-8"))
    return None


def part(threads: int, name: str, *options: str) -> Any:
    """Return the results of a part, measured in a fresh process."""
    print(f"measuring: {name}, {threads} thread{'s' * (threads > 1)} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks", "--part", name, *options]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


def run_part(arguments: argparse.Namespace) -> None:
    """Print the results of a part as JSON. PyTorch is imported here, with the thread count of this process."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    from benchmarks import analyses, step
    from benchmarks.machine import describe
    from benchmarks.points import FULL, SMALL, trained_run

    size = SMALL if arguments.small else FULL
    if arguments.part == "step":
        found = step.measure(size, rounds=arguments.rounds) | {"machine": describe()}
    elif arguments.part == "analyses":
        found = analyses.measure(size, checkpoints=arguments.checkpoints, rounds=arguments.rounds)
    else:
        found = {"steps": len(trained_run(size).steps)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
