"""Use as a library: in threads, in spawned and forked processes, under other defaults; settings stay unchanged."""

import contextlib
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reliability.processes import Hanging, call
from benchmarks.reliability.specimen import TINY, Lab, written
from benchmarks.reliability.trial import End, Row, Trial, row
from grokinterp.analysis import analyze
from grokinterp.errors import GrokinterpError
from grokinterp.report import write_report
from grokinterp.training import train

ONLY = ("performance", "weight_norms")


def faults(lab: Lab) -> Iterator[Row]:
    """Call the package under every condition that a caller may set."""
    reference = written(train(TINY, lab.folder / "reference", device="cpu").path)
    yield row("train and analyze in three threads at once", apart(threads, lab, reference))
    yield row(
        "the caller's defaults: dtype, no_grad, inference, autocast, determinism, seeds", conditions(lab, reference)
    )
    yield row("exceptions: the caller's settings are unchanged after them", apart(exceptions, lab, reference))
    yield row("train and analyze in forked and spawned processes", processes(lab, reference))
    yield row("import changes no global state", imported())


def settings() -> dict[str, Any]:
    """Return the global state of libraries that a caller may have set."""
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "denormals": bool(torch.full((1,), 2e-38, device="cpu").mul(0.01) == 0),
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
        "mkldnn": torch.backends.mkldnn.enabled,
        "random": hash(random.getstate()),
        "numpy": np.random.get_state()[1].tobytes(),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy().tobytes(),
        "filters": list(map(str, warnings.filters)),
        "folder": os.getcwd(),
        "errors": str(np.geterr()),
    }


def changed(before: dict[str, Any]) -> list[str]:
    """Return the names of the settings that have changed."""
    now = settings()
    return [name for name in before if now[name] != before[name]]


def apart(
    work: Callable[[Path, dict[str, bytes], bool], list[Trial]], lab: Lab, reference: dict[str, bytes]
) -> list[Trial]:
    """Run trials in a process of their own, since they may change its global state."""
    try:
        return call(work, lab.folder / work.__name__, reference, lab.small, seconds=200)
    except Hanging as error:
        return [Trial(work.__name__, End.SILENT, str(error))]


def difference(path: Path, reference: dict[str, bytes]) -> str:
    """Train and analyze a run; return a line on the first file that differs from the reference, or ""."""
    run = train(TINY, path, device="cpu")
    found = written(path)
    analyze(run, only=ONLY)
    wrong = [name for name in reference if found.get(name) != reference[name]]
    return f"{wrong[0]} differs" if wrong else ""


def threads(folder: Path, reference: dict[str, bytes], small: bool) -> list[Trial]:
    """Train and analyze in three threads at once, for several rounds."""
    folder.mkdir()
    found = []
    for turn in range(1 if small else 8):
        before = settings()
        with ThreadPoolExecutor(3) as pool:
            made = [pool.submit(difference, folder / f"{turn}-{number}", reference) for number in range(3)]
        for number, future in enumerate(made):
            found.append(ended(f"thread {number}", future.result))
        if different := changed(before):
            found.append(Trial("settings", End.SILENT, f"changed after threads: {', '.join(different)}"))
        else:
            found.append(Trial("settings", End.EQUAL))
    return found


def ended(fault: str, work: Callable[[], str]) -> Trial:
    """Call a function that returns a line on its error, or "", and return the outcome as a trial."""
    try:
        wrong = work()
    except GrokinterpError as error:
        return Trial(fault, End.NAMED, str(error))
    except BaseException as error:
        return Trial(fault, End.TRACEBACK, f"{type(error).__name__}: {str(error)[:200]}")
    return Trial(fault, End.SILENT, wrong) if wrong else Trial(fault, End.EQUAL)


def float64() -> contextlib.AbstractContextManager:
    """Make float64 the default dtype."""
    torch.set_default_dtype(torch.float64)
    return contextlib.nullcontext()


def warned_determinism() -> contextlib.AbstractContextManager:
    """Ask for deterministic algorithms, with warnings only."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    return contextlib.nullcontext()


def strict_numpy() -> contextlib.AbstractContextManager:
    """Make NumPy raise floating-point errors."""
    np.seterr(all="raise")
    return contextlib.nullcontext()


def strict_warnings() -> contextlib.AbstractContextManager:
    """Make warnings errors."""
    warnings.simplefilter("error")
    return contextlib.nullcontext()


CONDITIONS: dict[str, Callable[[], contextlib.AbstractContextManager]] = {
    "float64 by default": float64,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "deterministic algorithms, warnings only": warned_determinism,
    "NumPy errors raised": strict_numpy,
    "warnings are errors": strict_warnings,
    "the meta device": partial(torch.device, "meta"),
}


def conditions(lab: Lab, reference: dict[str, bytes]) -> list[Trial]:
    """Train, analyze and report under each condition."""
    found: list[Trial] = []
    for name in lab.some(CONDITIONS, 99, 2):
        folder = lab.folder / name.replace(" ", "-").replace(",", "")
        try:
            found += call(under, name, folder, reference, lab.intact, lab.small, seconds=120)
        except Hanging as error:
            found.append(Trial(name, End.SILENT, str(error)))
    return found


def under(name: str, folder: Path, reference: dict[str, bytes], intact: Path, small: bool) -> list[Trial]:
    """Train, analyze, and write a report in this process under a condition."""
    folder.mkdir()
    run = shutil.copytree(intact, folder / "copy")

    def report() -> str:
        write_report(run, folder / "page.html")
        return ""

    with CONDITIONS[name]():
        before = settings()
        made = [ended(f"train and analyze under {name}", partial(difference, folder / "run", reference))]
        if not small:
            made.append(ended(f"report under {name}", report))
        different = changed(before)
    said = f"changed under {name}: {', '.join(different)}"
    return [*made, Trial(f"settings under {name}", End.SILENT if different else End.EQUAL, said if different else "")]


def exceptions(folder: Path, reference: dict[str, bytes], small: bool) -> list[Trial]:
    """Make train, analyze and report fail, in the main thread and in another one."""
    folder.mkdir()

    def breaks(values: dict[str, float], *, step: int) -> None:
        raise KeyboardInterrupt

    class Breaks:
        log = staticmethod(breaks)

    works: dict[str, Callable[[], object]] = {
        "train into a folder that is not empty": partial(train, TINY, folder, device="cpu"),
        "train, interrupted": partial(train, TINY, folder / "broken", device="cpu", loggers=[Breaks()]),
        "analyze a missing folder": partial(analyze, folder / "nowhere"),
        "report on a missing folder": partial(write_report, folder / "nowhere", folder / "page.html"),
    }
    (folder / "used").touch()
    found = []
    for name, work in works.items():
        for place in ("main thread", "another thread"):
            before = settings()

            def quiet(work: Callable[[], object] = work) -> None:
                with contextlib.suppress(GrokinterpError, KeyboardInterrupt):
                    work()

            if place == "main thread":
                quiet()
            else:
                thread = threading.Thread(target=quiet)
                thread.start()
                thread.join()
            shutil.rmtree(folder / "broken", ignore_errors=True)
            different = changed(before)
            said = f"changed after {name}: {', '.join(different)}"
            found.append(Trial(f"{name}, {place}", End.SILENT if different else End.EQUAL, said if different else ""))
    return found


def processes(lab: Lab, reference: dict[str, bytes]) -> Iterator[Trial]:
    """Train and analyze in child processes of a process that has used the package."""
    for method in ("fork",) if lab.small else ("fork", "spawn"):
        for number in range(1 if lab.small else 3):
            path = lab.folder / f"{method}-{number}"
            try:
                yield call(child, method, path, reference, seconds=120)
            except Hanging as error:
                yield Trial(method, End.SILENT, str(error))


def child(method: str, path: Path, reference: dict[str, bytes]) -> Trial:
    """Train in this process, then in a child process, and return the outcome of the child."""
    difference(path.with_name(f"{path.name}-first"), reference)
    context = multiprocessing.get_context(method)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=answer_difference, args=(there, path, reference))  # type: ignore[attr-defined]
    process.start()
    there.close()
    found = here.recv() if here.poll(100) else "hangs"
    process.kill()
    process.join()
    return Trial(method, End.SILENT if found else End.EQUAL, found)


def answer_difference(connection: Any, path: Path, reference: dict[str, bytes]) -> None:
    """Train and analyze a run in this process, with one thread, and send the result of ``difference``."""
    torch.set_num_threads(1)
    try:
        connection.send(difference(path, reference))
    except BaseException as error:
        connection.send(f"{type(error).__name__}: {error}")


IMPORTS = """
import locale, os, random, signal, sys, warnings
import torch, numpy, xarray, matplotlib, scipy.sparse, scipy.special, transformer_lens

def state():
    return {
        "random": random.getstate(),
        "filters": list(map(str, warnings.filters)),
        "show": warnings.showwarning,
        "hook": sys.excepthook,
        "signals": [signal.getsignal(number) for number in (1, 2, 15)],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "limits": (sys.getrecursionlimit(), sys.get_int_max_str_digits()),
        "numpy": numpy.random.get_state()[1].tobytes(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "dtype": torch.get_default_dtype(),
    }

before = state()
import grokinterp
import MODULES
after = state()
print(",".join(name for name in before if before[name] != after[name]))
"""


def imported() -> Iterator[Trial]:
    """Import the package and its subpackages in a fresh interpreter."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])}
    code = IMPORTS.replace("MODULES", "grokinterp.training, grokinterp.analysis, grokinterp.report, grokinterp.league")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    different = done.stdout.strip()
    if done.returncode:
        yield Trial("import", End.TRACEBACK, done.stderr[-200:])
    else:
        yield Trial("import", End.SILENT if different else End.EQUAL, f"changed: {different}" if different else "")
