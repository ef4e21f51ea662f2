"""Run analyses over all runs of a folder, so that a page of many runs can show what their networks do."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from grokinterp.errors import GrokinterpError
from grokinterp.progress import ProgressBar
from grokinterp.sweeps.found import runs_below

if TYPE_CHECKING:
    import torch


def analyze_runs(
    root: str | Path,
    *,
    only: Iterable[str] | None = None,
    every: int | None = None,
    last: bool = False,
    device: "str | torch.device" = "cpu",
    progress: bool = False,
) -> dict[str, str]:
    """Run analyses over every run below a folder, see ``grokinterp.analyze``; return the failures by run directory.

    A run that cannot be analyzed, or has no checkpoint, stops no other. Results that exist are not computed again. The
    runs are analyzed one after another, because an analysis of one checkpoint takes less time than a process.

    Args:
        root: the folder.
        only: names of analyses (default: all).
        every: run every analysis on each ``every``-th saved checkpoint and on the last.
        last: run every analysis on the last checkpoint only.
        device: the device to compute on.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the folder contains no run.
    """
    from grokinterp.analysis import analyze

    found = {run.directory: run.path for run in runs_below(root).runs if run.path is not None}
    names = None if only is None else list(only)
    failures = {}
    with ProgressBar("runs analyzed", len(found), shown=progress) as bar:
        for directory, path in found.items():
            try:
                analyze(path, only=names, every=every, last=last, device=device)
            except GrokinterpError as error:
                failures[directory] = str(error)
            bar.advance(note=directory)
    return failures
