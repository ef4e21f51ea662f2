"""Stacks of runs on a GPU: their equality with the same runs alone, and their times."""

import gc
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.gpu_cases import TOY, VARIANTS, Result, both, stepped, timed, timed_experiment, weights
from benchmarks.step import flat
from grokinterp.available import bytes_available
from grokinterp.experiment import Experiment
from grokinterp.presets import preset
from grokinterp.training.loop import member_of
from grokinterp.training.stack import Stack
from grokinterp.training.stack_memory import most_runs

ALONE = ("mup", "batch norm")
"""The variants that do not fit in a stack."""

STACKED = {
    **{name: changes for name, changes in VARIANTS.items() if name not in ALONE},
    "curriculum": ["optimization.curriculum.start=0.4", "optimization.curriculum.over=6"],
    "growing batches": ["optimization.batch_size=11", 'optimization.schedules.batch_size={kind="increasing",over=5}'],
    "grokfast window": ['optimization.filters=[{kind="grokfast_ma",window=3}]'],
}
"""The same for stacks, with features that are not captured."""


def stack_of(
    experiment: Experiment, device: torch.device, runs: int, *, dtype: torch.dtype = torch.float32, steps: int = 10
) -> Stack:
    """Return a stack of runs with different seeds after some updates, captured if the device supports it."""
    seeds = [experiment.override([f"seed={seed}", f"steps={steps}"]) for seed in range(runs)]
    members = [member_of(one, None, device) for one in seeds]
    for member in members:
        member.model.to(dtype)
    stack = Stack(members)
    stack.prepare()
    for k in range(steps):
        stack.gradients(k)
        stack.apply(k)
    return stack


def stack_equality(device: torch.device, small: bool) -> Iterator[Result]:
    """Compare the runs of a stack with the same runs alone, on the device in float64, also when runs are gathered."""
    toy, frozen_at = preset("nanda2023").override(TOY), 5
    names = ("mini-batches", "grokfast window") if small else STACKED
    for name in names:
        experiment = toy.override(STACKED[name])
        stack = stack_of(experiment, device, 4, dtype=torch.float64, steps=frozen_at)
        kept = stack.runs[2:]
        for run in stack.runs[:2]:
            run.freeze()
        for k in range(frozen_at, 10):
            stack.gradients(k)
            stack.apply(k)
        worst = 0.0
        for run, seed in zip(kept, (2, 3), strict=True):
            alone = weights(stepped(experiment.override([f"seed={seed}"]), device, dtype=torch.float64))
            together = flat([parameter.detach().cpu().double() for parameter in run.model.parameters()])
            worst = max(worst, float((together - alone).norm() / alone.norm()))
        yield {"case": name, "captured": stack.is_captured, "difference": worst, "equal": worst <= 1e-9}


def evaluated_step(stack: Stack) -> None:
    """Take one step of all runs with all metrics."""
    stack.gradients(0)
    stack.measured()
    stack.apply(0)


def stacks(device: torch.device, small: bool) -> Iterator[Result]:
    """Time a step of stacks of several sizes, per run, without and with evaluation, as far as memory allows."""
    experiment, times = timed_experiment(small), 2 if small else 20
    free = bytes_available(device)
    for wanted in (1, 3) if small else (1, 8, 64, 256):
        runs = most_runs(experiment, free, wanted=wanted)
        stack = stack_of(experiment, device, runs, steps=2)
        step = timed(partial(both, stack), device, times=times, rounds=1 if small else 5) / runs
        evaluated = timed(partial(evaluated_step, stack), device, times=times, rounds=1 if small else 5) / runs
        yield {"runs": runs, "of": wanted, "ms per step of a run": step, "with train and test loss": evaluated}
        del stack
        gc.collect()
