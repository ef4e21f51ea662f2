"""The experiments that run on a GPU, their steps, and the time of a call."""

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.points import PLAIN
from benchmarks.step import flat
from grokinterp.experiment import Experiment
from grokinterp.presets import preset
from grokinterp.training.loop import member_of
from grokinterp.training.stack import Stack
from grokinterp.training.step import Step

TOY = ["task.p=7", "model.d_model=8", "model.d_mlp=16", "save.every=10"]
"""Overrides of nanda2023 for the test suite."""

PLAIN_RUN = ["steps=40", "evaluate_every=5", "save.every=10", "save.resume_every=7"]

VARIANTS: dict[str, list[str]] = {
    "two layers": ["model.n_layers=2"],
    "layer norm": ["model.normalization=LN", "model.biases=true"],
    "post-norm": ["model.normalization=LN", "model.norm_position=post"],
    "pooled": ["model.read_at=mean", "model.attention=bidirectional"],
    "read at the last token": ["model.read_at=last"],
    "gelu": ["model.act_fn=gelu"],
    "stablemax attention": ["model.attention_fn=stablemax"],
    "constant attention": ["model.attention_rate=0.0"],
    "tied embeddings": ["model.tied_embeddings=true"],
    "mini-batches": ["optimization.batch_size=11"],
    "label noise": ["split.label_noise=0.2"],
    "constrained norm": ["optimization.constrain_norm=true"],
    "averaged weights": ["optimization.average=0.9"],
    "squared error": ["optimization.loss=mse"],
    "stablemax loss": ["optimization.loss=stablemax"],
    "float64 loss": ["optimization.loss=float64"],
    "adam": ["optimization.optimizer=adam"],
    "sgd": ["optimization.optimizer=sgd", "optimization.lr=0.1"],
    "muon": ["optimization.optimizer=muon"],
    "tanh, scaled logits": ["model.act_fn=tanh", "model.output_scale=2.0"],
    "mup": ["model.initialization=mup"],
    "penalties, clipping": ["optimization.l1=1e-4", "optimization.l2=1e-3", "optimization.clip_norm=0.1"],
    "decay to the initial weights": ["optimization.weight_decay_form=to_init"],
    "batch norm": ["model.kind=mlp", "model.normalization=BN", "model.hidden=[16]", "model.act_fn=relu"],
    "float64": ["optimization.precision=float64"],
    "grokfast": ['optimization.filters=[{kind="grokfast_ema"}]'],
}
"""Overrides of the toy experiment, one feature each."""

Result = dict[str, Any]
Section = Callable[[torch.device, bool], Iterator[Result]]


def timed_experiment(small: bool) -> Experiment:
    """Return the experiment that is timed: nanda2023, restricted to features that all training loops support."""
    return preset("nanda2023").override([*PLAIN, *(TOY if small else [])])


def stepped(
    experiment: Experiment, device: torch.device, *, dtype: torch.dtype = torch.float32, steps: int = 10
) -> Step:
    """Return the step of an experiment after some updates, captured if the device supports it."""
    planned = experiment.override([f"steps={steps}"])
    member = member_of(planned, None, device)
    member.model.to(dtype)
    step = Step(*member)
    step.prepare()
    for k in range(steps):
        step.gradients(k)
        step.apply(k)
    return step


def weights(step: Step) -> Tensor:
    """Return all weights as a vector in float64 on the CPU."""
    return flat([parameter.detach().cpu().double() for parameter in step.parameters])


def wait(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(work: Callable[[], object], device: torch.device, *, times: int, rounds: int = 5) -> float:
    """Return the median over rounds of the milliseconds per call, including all work on the device."""
    work()
    found = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        for _ in range(times):
            work()
        wait(device)
        found.append(1000 * (time.perf_counter() - start) / times)
    return median(found)


def both(step: Step | Stack) -> None:
    """Take one whole step."""
    step.gradients(0)
    step.apply(0)
