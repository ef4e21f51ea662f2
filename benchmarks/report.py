"""Writing of RESULTS.md from the numbers of a benchmark run."""

from collections.abc import Iterable, Sequence
from typing import Any

REQUIRED = {"plain PyTorch": 6.0, "TransformerLens style": 7.0, "first published code": 10.0}
REQUIRED_STEADINESS = 1.1
REQUIRED_ANALYSES = 10.0
OURS = "grokinterp"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table with right-aligned numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def verdict(value: float, required: float, *, at_most: bool = False) -> str:
    """Format a number with its target and whether it is reached."""
    reached = value <= required if at_most else value >= required
    return f"{value:.2f} ({'≤' if at_most else '≥'} {required:g}: {'reached' if reached else 'missed'})"


def steps_section(found: dict[str, Any]) -> str:
    """Format times, ratios and the distance from the limit for one thread count."""
    points: dict[str, dict[str, float]] = found["points"]
    sides = list(next(iter(points.values())))
    others = [side for side in sides if side != OURS]
    ours = [times[OURS] for times in points.values()]
    limits, threads = found["limits"], found["threads"]
    times = [[point, *(f"{of[side]:.0f}" for side in sides)] for point, of in points.items()]
    ratios = [
        [point, *(verdict(of[side] / of[OURS], REQUIRED[side]) for side in others)] for point, of in points.items()
    ]
    return f"""## Training step, {threads} thread{"s" * (threads > 1)}

Median ms of one full-batch AdamW step on {found["train"]:,} examples plus the loss on the other {found["test"]:,}:

{table(["point of training", *sides], times)}
Speedup of grokinterp over:

{table(["point of training", *others], ratios)}
Slowest point relative to the start: {verdict(max(ours) / ours[0], REQUIRED_STEADINESS, at_most=True)}.
The products alone take {limits["naive"]:.0f} ms in the plain algorithm and {limits["tables"]:.0f} ms in ours
({2 * found["rate"] / 1e6:.0f} GFLOP/s measured); our step takes {ours[0] / limits["tables"]:.2f} times its limit.
Largest relative gradient difference in float64, over these points: {found["gradient_difference"]:.0e}.
"""


def analyses_section(found: dict[str, Any]) -> str:
    """Format the comparison of the notebook's loop with ``evaluate``."""
    same, notebook = found["same"], "notebook: load_state_dict, run_with_cache, one projection per frequency"
    rows = [
        [f"{notebook}, float32 with float64 losses", f"{found['notebook32']:.0f}"],
        [f"{notebook}, float64", f"{found['notebook64']:.0f}"],
        ["evaluate, the same measures and their controls, float64", f"{same:.0f}"],
        [
            f"evaluate, all {found['count']} that run on every checkpoint, gradients included",
            f"{found['all']:.0f}",
        ],
    ]
    return f"""## Analyses of one checkpoint, 1 thread

Median ms over {found["checkpoints"]} checkpoints of nanda2023, including reading the file.
"The same measures" are {", ".join(found["names"])}.

{table(["", "ms"], rows)}
Speedup over the notebook in the same precision: {verdict(found["notebook64"] / same, REQUIRED_ANALYSES)};
over the notebook in float32: {found["notebook32"] / same:.1f}.
"""


def results(steps: list[dict[str, Any]], analyses: dict[str, Any]) -> str:
    """Return the complete file."""
    return "\n".join(
        [
            "# Measured\n",
            "Written by `make bench`. The network is the preset nanda2023 (p = 113), trained in float32",
            "at twice its learning rate and weight decay, which brings it through all phases in fewer steps.",
            "The sides take turns in separate processes, after their losses and gradients were checked for equality.",
            "Every side computes train and test loss at every step. grokinterp flushes denormals and keeps freed",
            "memory, as `grokinterp train` does; the others run as published.\n",
            f"Machine: {steps[0]['machine']}.\n",
            *map(steps_section, steps),
            analyses_section(analyses),
        ]
    )
