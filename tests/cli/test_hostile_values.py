"""Hostile values in every field of every kind of file: read, or refused in one line, in bounded time.

A seeded draw of all pairs of a place and a value; ``FUZZ=all`` takes every pair.
"""

import json
import os
import time
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from grokinterp.diagnostics import diagnose
from grokinterp.errors import GrokinterpError
from grokinterp.experiment import Experiment
from grokinterp.interop import import_run, logs
from grokinterp.interop.spec import read_spec
from grokinterp.league.run import read_league
from grokinterp.models import TransformerSpec
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.sweeps.outcome import measured
from grokinterp.tasks import ModularAddition
from tests.support import hostile
from tests.support.logged import COLUMNS, rows
from tests.support.released import cfg, drawn, lookup, pizza_config, save, transposed
from tests.support.small_runs import TINY, draw_checkpoints

MOST = 10**6 if os.environ.get("FUZZ") == "all" else 40
"""Number of pairs for each kind of file."""

SECONDS = 20
"""Far more than reading any of these files takes, even on a busy machine."""

CURVES = {name: column[::40] for name, column in COLUMNS.items()}
SPEC = """
task = {kind = "modular_addition", p = 5}
model = {d_model = 8, n_heads = 2, d_mlp = 12}
optimization = {lr = 0.01}
split = {by = "torch.randperm", fraction = 0.4, seed = 7}
steps = {name = "step_([0-9]+)", offset = 1}
expect = {test_loss = 0.5, logits = "a.b"}
axes = {head = 2}
ignore = ["*.mask"]
layout = "nanda"
seed = 3
name = "mine"
files = "*.pt"
at = "net"
log = "log.csv"
weights = {"embed.W_E" = {from = ["a", "b"], pattern = "a b -> b a", part = {b = [0, 3]}, scale = 2.0, optional = true}}
"""
NANDA = {"config": {"p": 5, "fn_name": "add", "frac_train": 0.4, "num_epochs": 3, "act_type": "ReLU", "save_every": 1}}
LEAGUE = {
    "base": {"task": {"p": 7}},
    "rule": {"threshold": 0.95, "window": 5},
    "patience": 3,
    "jobs": 1,
    "refused": {"egd": "why"},
    "failed": [{"method": "adamw", "seed": 0, "why": "a"}],
    "methods": {"adamw": {"about": "a", "source": "b", "changes": {"a": [1, 2]}}},
    "runs": [{"method": "adamw", "seed": 0, "directory": "adamw/seed-0", "event_step": None, "time_step": 5,
              "time_seconds": 0.5, "final_test_accuracy": 0.5, "early": None}],
}  # fmt: skip


def plain(value: Any) -> Any:
    """A configuration without null, which TOML lacks."""
    return (
        {key: plain(inner) for key, inner in value.items() if inner is not None} if isinstance(value, dict) else value
    )


def read_run(run: Path) -> None:
    """Read everything that commands without torch read from a run."""
    results = Results.open(run)
    repr(results), diagnose(results), json.dumps(results.summary(), allow_nan=False)
    repr(Trajectory.open(run)), measured(run, patience=2)


def read_logs(path: Path) -> None:
    """Run the command ``phases``."""
    dated = logs.date_logs([path])
    logs.as_csv(dated), json.dumps(logs.as_objects(dated), allow_nan=False), dated.runs and logs.as_text(dated)
    for error in dated.failed:
        raise error


def imported(release: str, path: Path) -> None:
    """Run the command ``import``, which leaves no files if it fails."""
    out = path.parent.parent / "out"
    before = {*out.parent.iterdir()}
    try:
        import_run(release, path, out)
    except GrokinterpError:
        assert {*out.parent.iterdir()} == before
        raise
    out.rename(out.with_name(f"out-{time.monotonic_ns()}"))


NETWORK = transposed(drawn(ModularAddition(p=5), TransformerSpec(d_model=8, n_heads=2, d_mlp=12, biases="mlp")))

Reader = Callable[[Path], None]
JSON, LINES, TOML = json.dumps, hostile.as_lines, hostile.as_toml

TEXTS: dict[str, tuple[str, Any, Callable[[Any], str], Reader]] = {
    "configuration": ("c.toml", plain(TINY.to_dict()), TOML, Experiment.from_file),
    "configuration, JSON": ("c.json", TINY.to_dict(), JSON, Experiment.from_file),
    "spec": ("s.toml", tomllib.loads(SPEC), TOML, read_spec),
    "rows": ("l.jsonl", rows(CURVES), LINES, read_logs),
    "columns": ("l.json", {"config": {"lr": 1, "n_test": 100, "grokked_at": 5}, "history": CURVES}, JSON, read_logs),
    "runs": ("l.json", {"a": CURVES, "b": CURVES}, JSON, read_logs),
    "by step": ("l.json", {str(row["step"]): row for row in rows(CURVES)}, JSON, read_logs),
    "league.json": ("league.json", LEAGUE, JSON, lambda path: read_league(path.parent)),
}
"""By kind of file: its name, a content, how it is written, and how it is read."""

ORIGIN = {
    "run": "parent",
    "step": 20,
    "optimizer_state": False,
    "edits": [{"kind": "graft", "part": "embed", "step": 10, "run": "donor", "run_id": "ab", "digest": "cd"}],
    "run_id": "ab",
    "digest": "cd",
}

OF_A_RUN: dict[str, Any] = {
    "experiment.json": TINY.to_dict() | {"origin": ORIGIN},
    "status.json": {"status": "finished", "step": 20, "why": "a"},
    "environment.json": {
        "threads": 1,
        "n_test": 10,
        "n_classes": 7,
        "release": "a",
        "accuracy": 0.5,
        "warnings": ["a"],
    },
    "analysis/not_defined.json": {"a": "why"},
    "clock.json": {"sessions": [{"steps": [0, 10], "seconds": [0.0, 1.0], "program_bytes": 5, "peak_bytes": 9}]},
}

BESIDE: dict[str, tuple[Any, dict[str, Any], tuple[str, str]]] = {
    "nanda": (NETWORK, NANDA, ("x.pth", "x.json")),
    "pizza": (NETWORK, pizza_config(5, eqn_sign=True), ("model_x.pt", "config_x.json")),
    "chughtai": (None, cfg("SymmetricGroup", 3), ("model.pt", "cfg.json")),
}
"""By release: the weights, the configuration next to them, and the names of both files."""


def check(label: object, read: Callable[[], object]) -> None:
    """Read a file: no error but ours, in one printable line, in bounded time."""
    started = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except GrokinterpError as error:
        line = str(error)
    except Exception as error:
        raise AssertionError(f"{label}: {type(error).__name__}: {error}") from error
    else:
        line = ""
    assert line.isprintable(), (label, line)
    assert len(line) < 1500, (label, line)
    assert time.monotonic() - started < SECONDS, label


def check_text(path: Path, content: Any, write: Callable[[Any], str], read: Callable[[], object]) -> None:
    """Check a text file with a hostile value at each of the drawn places."""
    pairs = [(place, name) for place in hostile.places(content) for name in hostile.WRITTEN]
    for place, name in hostile.drawn(pairs, MOST):
        text = write(hostile.put(content, place, hostile.MARK))
        value = hostile.WRITTEN[name]
        path.write_text(text.replace(json.dumps(hostile.MARK), value).replace(hostile.MARK, value))
        check((place, name), read)


@pytest.mark.parametrize("kind", TEXTS)
def test_text_files(kind, tmp_path):
    name, content, write, read = TEXTS[kind]
    check_text(tmp_path / name, content, write, lambda: read(tmp_path / name))


@pytest.mark.parametrize("name", OF_A_RUN)
def test_files_of_a_run(name, tmp_path):
    run = draw_checkpoints(tmp_path / "run").path
    (run / name).parent.mkdir(exist_ok=True)
    check_text(run / name, OF_A_RUN[name], JSON, lambda: read_run(run))


@pytest.mark.parametrize("release", BESIDE)
def test_configurations_next_to_weights(release, tmp_path):
    weights, config, names = BESIDE[release]
    weights = lookup(cfg_group()) if weights is None else weights
    path = save(tmp_path / "in", weights, config, names)
    check_text(tmp_path / "in" / names[1], config, JSON, lambda: imported(release, path))


def cfg_group():
    """The group of the small network."""
    from grokinterp.maths.groups import group

    return group("S3")


@pytest.mark.parametrize("kind", ["weights", "log"])
def test_files_of_pytorch(kind, tmp_path):
    optimizer = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3, "weight_decay": 1.0}]}
    losses = {"train_losses": [3.0, 2.0, 1.5], "test_losses": [3.0, 2.5, 1.0]}
    small = {"embed.W_E": NETWORK["embed.W_E"]}
    content = {
        "model": NETWORK,
        "epoch": 2,
        "optimizer": optimizer,
        "train_loss": 1.5,
        "state_dicts": [NETWORK],
        "epochs": [1],
    }
    content = {**NANDA, **losses, **content} if kind == "weights" else {**losses, "config": {"lr": 1.0}, "model": small}
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "x.pth"
    pairs = [(place, name) for place in hostile.places(content) for name in hostile.pickled()]
    for place, name in hostile.drawn(pairs, 2 * MOST):
        torch.save(hostile.put(content, place, hostile.pickled()[name]), path)
        check((place, name), lambda: imported("nanda", path) if kind == "weights" else read_logs(path))
