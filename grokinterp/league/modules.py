"""Train any module with every method and seed: a league of networks and data that no Experiment describes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from grokinterp.custom.batches import Loss, require_reusable
from grokinterp.custom.trainer import usable_device
from grokinterp.errors import ConfigError, require, short, warn
from grokinterp.experiment import Optimization
from grokinterp.league.arguments import PATIENCE, require_evaluations, require_selection
from grokinterp.league.listed import list_runs
from grokinterp.league.module_methods import require_any_module
from grokinterp.league.module_runs import Build, ModuleRuns
from grokinterp.league.run import (
    applicable,
    collected,
    damage_of,
    entries_of,
    read_league,
    require_same,
    write_league,
)
from grokinterp.progress import ProgressBar
from grokinterp.specification import require_integer, require_type
from grokinterp.storage.files import path_of
from grokinterp.sweeps.folder import held


def run_module_league(
    build: Build,
    train_loader: Iterable[Any],
    eval_loader: Iterable[Any],
    *,
    methods: Sequence[str],
    seeds: int,
    directory: str | Path,
    loss: Loss,
    max_steps: int,
    eval_interval: int = 100,
    tolerance: float | int | None = None,
    learning_rate: float | int = 1e-3,
    weight_decay: float | int = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    device: torch.device | str | None = None,
    name: str = "module",
    data: str = "",
    patience: int = PATIENCE,
    progress: bool = False,
) -> dict[str, Any]:
    """Train any module with every method and seed on the same budget, and return the content of ``league.json``.

    Files, table and page are those of ``run_league``. Runs are trained one after the other in this process, as by
    ``train_until_grokking``, for all steps. A method applies if it changes only the optimizer, its learning rate,
    weight decay, and filters, the average of the weights, or the form of a cross-entropy. Finished runs are not trained
    again; interrupted runs begin anew. Methods that do not apply and runs that fail are listed with the reason.

    Before the module of a run is built, torch's random numbers and the generators of ``train_loader`` are set to its
    seed, so that runs with the same seed share initial weights and batches; all of them are restored afterwards.

    Args:
        build: returns a new module for a seed from 0.
        train_loader: batches for ``train_until_grokking``; it is iterated repeatedly.
        eval_loader: batches of held-out examples.
        methods: names among ``METHODS``.
        seeds: number of seeds, starting at 0.
        directory: a new directory, or that of an earlier call, whose other runs remain in the league.
        loss: the mean loss; for a regression one such as ``torch.nn.MSELoss``.
        max_steps: number of batches that every run trains on.
        eval_interval: number of batches between evaluations.
        tolerance: the largest root mean squared error of an answer that counts as correct, for a regression.
        learning_rate: that of the baseline AdamW.
        weight_decay: that of the baseline AdamW.
        betas: those of the baseline AdamW.
        device: where to train (default: the module's device).
        name: the name of the league, for the page.
        data: a description of the examples, for the page.
        patience: evaluations without a lower held-out loss, for the comparison with early stopping.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: an argument is invalid, no method applies, or the module cannot be trained; before any training.
        RunDirectoryError: the directory contains runs with another configuration, or another call is using it.
    """
    require_arguments(
        build, {"train_loader": train_loader, "eval_loader": eval_loader}, methods, seeds=seeds, max_steps=max_steps,
        eval_interval=eval_interval, patience=patience,
    )  # fmt: skip
    top, chosen = path_of("directory", directory), list(methods)
    shared = ModuleRuns(
        build, train_loader, eval_loader, loss, tolerance, None if device is None else usable_device(device), data,
        max_steps, eval_interval,
    )  # fmt: skip
    base = shared.baseline(name, baseline(learning_rate, weight_decay, betas))
    made, refused = applicable(chosen, base, lambda one: require_any_module(one, base))
    entries = entries_of(top, made, range(seeds))
    with held(top):
        before, notes = read_league(top), damage_of(top)
        for note in notes:
            warn(f"{top}: {note}")
        require_same(top, before, base, entries)
        outcome = {"patience": patience, "jobs": 1, "refused": refused, "notes": notes, "tuning": None, "tuned": []}
        try:
            with ProgressBar("runs", len(entries), shown=progress) as bar:
                for entry in entries:
                    shared.train(entry)
                    bar.advance(note=str(entry))
        finally:
            found = collected(top, base, entries, before, outcome)
            list_runs(top, entries, [], refused)
            write_league(top, found)
    return found


def require_arguments(
    build: Build,
    loaders: Mapping[str, Iterable[Any]],
    methods: Sequence[str],
    *,
    seeds: int,
    max_steps: int,
    eval_interval: int,
    patience: int,
) -> None:
    """Raise ConfigError if an argument of a league of modules is invalid for every method."""
    require(callable(build), "build", short(build), "must be a function that returns a new module for a seed")
    for name, loader in loaders.items():
        require_reusable(name, loader)
    listed = isinstance(methods, list | tuple)
    require(listed, "methods", short(methods), "must be a list of names, as `grokinterp methods` prints them")
    numbers = {"seeds": seeds, "max_steps": max_steps, "eval_interval": eval_interval, "patience": patience}
    for name, number in numbers.items():
        require_integer(name, number, 1)
    require_selection(methods, seeds, patience)
    require_evaluations("max_steps", max_steps, "eval_interval", eval_interval)


def baseline(learning_rate: float, weight_decay: float, betas: tuple[float, float]) -> Optimization:
    """Return the settings of the baseline AdamW.

    Raises:
        ConfigError: a setting is out of range, by the name of its argument.

    >>> baseline(0.01, 0.1, (0.9, 0.999)).weight_decay
    0.1
    """
    require_type("learning_rate", learning_rate, float)
    require_type("weight_decay", weight_decay, float)
    require_type("betas", betas, tuple[float, float])
    try:
        return Optimization(lr=float(learning_rate), weight_decay=float(weight_decay), betas=betas, warmup_steps=0)
    except ConfigError as error:
        name = "learning_rate" if error.key == "lr" else error.key
        raise ConfigError(name, error.value, error.rule.replace("lr=", "learning_rate=")) from None
