"""Check and time training and analysis on a GPU: ``python -m benchmarks.gpu [--device cuda] [--small] [--only NAME]``.

Every section runs in its own process with a time limit, so that a section that fails or hangs does not affect the
others. Each prints its results as lines of JSON as they arrive; a table of all results follows. The full size takes at
most 9 minutes. On a CPU (``--device cpu --small``) the same code runs at toy size, and its times are meaningless.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.analyses import cheap
from benchmarks.gpu_cases import (
    PLAIN_RUN,
    TOY,
    VARIANTS,
    Result,
    Section,
    both,
    stepped,
    timed,
    timed_experiment,
    weights,
)
from benchmarks.gpu_stacks import stack_equality, stack_of, stacks
from benchmarks.step import MAKERS
from grokinterp.analysis import evaluate
from grokinterp.errors import GrokinterpError
from grokinterp.experiment.problem import Problem
from grokinterp.models import Transformer
from grokinterp.presets import PRESETS, preset
from grokinterp.training import train
from grokinterp.training.step import Step


def capture(device: torch.device, small: bool) -> Iterator[Result]:
    """Capture both halves of a step and its evaluation, replay them, and compare the results with a plain step."""
    captured = stepped(timed_experiment(small), device)
    plain = Step(
        timed_experiment(small).build_model().to(device),
        captured.problem,
        timed_experiment(small).optimization,
        steps=10,
    )
    for k in range(10):
        plain.gradients(k)
        plain.apply(k)
    difference = (weights(captured) - weights(plain)).abs().max()
    for step in (captured, plain):
        step.gradients(10)
    found, expected = captured.measured(), plain.measured()
    scalars = found.keys() - {"weight_norm_of"}
    yield {
        "captured": captured.is_captured,
        "largest difference of the weights": float(difference),
        "largest difference of a metric": max(abs(found[name] - expected[name]) for name in scalars),
    }


def equality(device: torch.device, small: bool) -> Iterator[Result]:
    """Compare the weights after 10 updates on the device with the CPU's: presets and every variant, both precisions."""
    names = ["demo"] if small else [name for name in PRESETS if PRESETS[name].experiment.task.n_examples < 20_000]
    toy = preset("nanda2023").override(TOY)
    cases = {name: preset(name) for name in names}
    cases |= {name: toy.override(change) for name, change in VARIANTS.items()}
    for name, experiment in cases.items():
        for dtype, limit in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
            here, there = (
                weights(stepped(experiment, on, dtype=dtype, steps=3 if small else 10))
                for on in (torch.device("cpu"), device)
            )
            difference = float((here - there).norm() / here.norm())
            yield {"case": name, "precision": str(dtype), "difference": difference, "equal": difference <= limit}


def tests(device: torch.device, small: bool) -> Iterator[Result]:
    """Run the tests that need a GPU."""
    if device.type != "cuda":
        return
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    yield {"exit code": done.returncode, "output": done.stdout.strip().splitlines()[-12:]}


def resume(device: torch.device, small: bool) -> Iterator[Result]:
    """Interrupt a run, resume it, and compare every file with the uninterrupted run's."""
    toy = preset("nanda2023").override([*TOY, *PLAIN_RUN])
    for name in ("mini-batches", "averaged weights") if small else VARIANTS:
        experiment = toy.override(VARIANTS[name])
        with tempfile.TemporaryDirectory() as folder:
            whole, broken = Path(folder) / "whole", Path(folder) / "broken"
            train(experiment, whole, device=str(device))
            interrupted = InterruptedAt(17)
            with contextlib.suppress(KeyboardInterrupt):
                train(experiment, broken, device=str(device), loggers=[interrupted])
            train(experiment, broken, device=str(device), resume=True)
            yield {"case": name, "identical": contents(whole) == contents(broken)}


class InterruptedAt:
    """A logger that interrupts the training process at the first evaluation from a step on."""

    def __init__(self, step: int) -> None:
        self.step = step

    def log(self, values: dict[str, float], *, step: int) -> None:
        """Send SIGINT to this process."""
        if step >= self.step:
            os.kill(os.getpid(), signal.SIGINT)


def contents(run: Path) -> dict[str, bytes]:
    """Return the checkpoints and metrics of a run by file name."""
    found = [run / "metrics.jsonl", *sorted((run / "checkpoints").glob("*.safetensors"))]
    return {path.name: path.read_bytes() for path in found}


def speed(device: torch.device, small: bool) -> Iterator[Result]:
    """Time a step with train and test loss in this package, its parts, and the loops of published code."""
    model, times = timed_experiment(small).build_model().to(device), 2 if small else 50
    assert isinstance(model, Transformer)
    problem = Problem.of(timed_experiment(small)).to(device)
    rounds = 1 if small else 5
    for name, make in MAKERS.items():
        if name == "first published code":  # it copies its Python list of pairs to the CPU at every step
            continue
        side = make(type(model)(model.spec, **sizes(model)).to(device).requires_grad_(), problem)
        yield {"loop": name, "ms per step": timed(side.step, device, times=times, rounds=rounds)}
    eager, step = Step(model, problem, timed_experiment(small).optimization), stepped(timed_experiment(small), device)
    for name, work in {
        "gradients and update, eager": lambda: both(eager),
        "gradients and update": lambda: both(step),
        "evaluation, eager": eager.measured,
        "evaluation": step.measured,
    }.items():
        yield {"part": name, "ms": timed(work, device, times=times, rounds=rounds)}


def sizes(model: Transformer) -> dict[str, Any]:
    """Return the sizes with which the model was built, and a generator for equal weights."""
    return {
        "d_vocab": model.W_E.shape[0],
        "d_vocab_out": model.W_U.shape[1],
        "n_ctx": model.W_pos.shape[0],
        "generator": torch.Generator().manual_seed(0),
    }


def whole_run(device: torch.device, small: bool) -> Iterator[Result]:
    """Time a whole run of nanda2023, and the same run without evaluations and checkpoints between its ends."""
    steps = 40 if small else 10_000
    experiment = timed_experiment(small).override([f"steps={steps}"])
    bare = experiment.override([f"evaluate_every={steps}", f"save.every={steps}", f"save.resume_every={steps}"])
    for name, one in {"as configured": experiment, "without evaluations and checkpoints": bare}.items():
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            run = train(one, Path(folder) / "run", device=str(device))
            seconds = time.perf_counter() - start
            yield {
                "run": name,
                "steps": steps,
                "seconds": seconds,
                "test accuracy": float(run.metrics.test_accuracy[-1]),
            }


def analyses(device: torch.device, small: bool) -> Iterator[Result]:
    """Compare the analyses of a run on the device, in chunks, with the CPU's, and time both."""
    experiment = timed_experiment(small).override(["steps=40", "evaluate_every=20", "save.every=2"])
    with tempfile.TemporaryDirectory() as folder:
        run = train(experiment, Path(folder) / "run", device=str(device))
        every, arguments = cheap(run)
        found, seconds = {}, {}
        for on in {"cpu", str(device)}:
            start = time.perf_counter()
            found[on] = evaluate(every, run, device=on, **arguments)
            seconds[on] = time.perf_counter() - start
        here, there = found["cpu"], found[str(device)]
        floats = [name for name in here.data_vars if here[name].dtype.kind == "f"]
        worst = {str(name): float(abs(here[name] - there[name]).max()) for name in floats}
        name = max(worst, key=lambda name: worst[name])
        yield {"seconds": seconds, "checkpoints": len(run.steps), "largest difference": worst[name], "of": name}


def waits(device: torch.device, small: bool) -> Iterator[Result]:
    """Count the times per step that the host waits for the device, for every optimizer and a filter."""
    if device.type != "cuda":
        return
    toy = preset("nanda2023").override(TOY)
    for name in ("adam", "sgd", "muon", "grokfast", "mini-batches", "averaged weights"):
        experiment = toy.override(VARIANTS[name])
        for of, step in {"alone": stepped(experiment, device), "in a stack": stack_of(experiment, device, 4)}.items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                torch.cuda.set_sync_debug_mode("warn")
                for _ in range(10):
                    both(step)
                torch.cuda.set_sync_debug_mode("default")
            yield {"case": name, "run": of, "waits per step": len(caught) / 10}


def out_of_memory(device: torch.device, small: bool) -> Iterator[Result]:
    """Train with almost all memory of the device taken, and return the error."""
    if device.type != "cuda":
        return
    free, _ = torch.cuda.mem_get_info(device)
    taken = torch.empty(free - 2**28, dtype=torch.uint8, device=device)
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(preset("nanda2023").override(["task.p=509", "steps=1"]), Path(folder) / "run", device=str(device))
        except GrokinterpError as error:
            yield {"message": str(error), "one line": "\n" not in str(error)}
        else:
            yield {"message": None, "one line": False}
    del taken


SECTIONS: dict[str, tuple[Section, int]] = {
    "capture": (capture, 60),
    "speed": (speed, 90),
    "stacks": (stacks, 60),
    "equality": (equality, 120),
    "stack equality": (stack_equality, 60),
    "resume": (resume, 60),
    "waits": (waits, 45),
    "whole run": (whole_run, 90),
    "analyses": (analyses, 60),
    "out of memory": (out_of_memory, 45),
    "tests": (tests, 120),
}
"""Every section with its limit in seconds, the most important first."""


def main(arguments: list[str] | None = None) -> None:
    """Run the sections in processes of their own, and print a table of their results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="toy size for the test suite")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    parser.add_argument("--budget", type=float, default=540, help="seconds for all sections")
    parser.add_argument("--here", choices=SECTIONS, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.here:
        return print_results(given.here, torch.device(given.device), given.small)
    end, found = time.monotonic() + given.budget, {}
    for name in given.only:
        found[name] = in_process(name, given.device, given.small, limit=min(SECTIONS[name][1], end - time.monotonic()))
    print(table(machine(given.device), found))
    return None


def print_results(name: str, device: torch.device, small: bool) -> None:
    """Run one section in this process, and print each result as a line of JSON."""
    for result in SECTIONS[name][0](device, small):
        print(json.dumps({"section": name, **result}), flush=True)


def in_process(name: str, device: str, small: bool, *, limit: float) -> list[Result]:
    """Run one section in a process of its own, and return its results; the last names a failure, if any."""
    if limit <= 0:
        return [{"section": name, "failed": "no time left"}]
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", device, "--here", name]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            done = subprocess.run(
                [*command, *(["--small"] if small else [])], stdout=output, stderr=errors, timeout=limit, check=False
            )
            failed = f"exit code {done.returncode}" if done.returncode else None
        except subprocess.TimeoutExpired:
            failed = f"not finished after {limit:.0f} s"
        lines, last = (read_lines(file) for file in (output, errors))
    results = [json.loads(line) for line in lines if line.startswith("{")]
    if failed:
        results.append({"section": name, "failed": f"{failed}: {last[-1] if last else 'no message'}"})
    for result in results:
        print(json.dumps(result), flush=True)
    return results


def read_lines(file: Any) -> list[str]:
    """Return the non-empty lines of an open file from its beginning."""
    file.seek(0)
    return [line for line in file.read().splitlines() if line.strip()]


def machine(device: str) -> str:
    """Return the name of the device and the version of PyTorch."""
    there = device.startswith("cuda") and torch.cuda.is_available()
    name = torch.cuda.get_device_name(device) if there else device
    return f"{name}; PyTorch {torch.__version__}, Python {sys.version.split()[0]}"


def table(where: str, found: dict[str, list[Result]]) -> str:
    """Return all results as a Markdown table."""
    rows = [f"Machine: {where}.", "", "| section | result |", "| --- | --- |"]
    for name, results in found.items():
        for result in results:
            shown_values = ", ".join(f"{key}: {shown(value)}" for key, value in result.items() if key != "section")
            rows.append(f"| {name} | {shown_values} |")
    return "\n".join(rows)


def shown(value: Any) -> str:
    """Return a value as text, floating-point numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
