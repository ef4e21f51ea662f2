"""Specs: TOML files that describe the checkpoints of another project."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.errors import ConfigError, choice_rule, require_choice, short, suggestion
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.configuration import read_config
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop.files import ForeignFileError
from grokinterp.interop.layout import Layout, layout, layout_names
from grokinterp.interop.layout_lines import is_whole
from grokinterp.interop.splits import DRAWS
from grokinterp.models import ModelSpec
from grokinterp.tasks import Task

KEYS = {
    "name", "layout", "weights", "ignore", "axes", "task", "model", "optimization", "split", "seed",
    "files", "at", "steps", "log", "expect",
}  # fmt: skip

OURS, LOSSES = "grokinterp", "losses"
"""Splits drawn by this package; the split inferred from the losses under ``expect``."""

EXPECTED = ("train_loss", "test_loss", "all_loss", "train_accuracy", "test_accuracy", "accuracy")
"""Values of the last checkpoint that a spec may state; the third and the last refer to all examples."""

LOGITS = "logits"
"""Name under ``expect`` for the keys that lead to the logits of all examples."""


class StepRule(NamedTuple):
    """The source of a checkpoint's step: the file's name, a key in the file, or the spec.

    Args:
        name: a regular expression with one group, searched for in the file's name.
        key: keys that lead to a number in the file, or to a list of numbers for a list of state dicts.
        at: the step of a single file.
        every: the interval between the steps of a list of state dicts, which start at 0.
        offset: number added to the step.
    """

    name: re.Pattern[str] | None = None
    key: str | None = None
    at: int | None = None
    every: int | None = None
    offset: int = 0


class SplitRule(NamedTuple):
    """The origin of the training examples, and the split as far as it is known without the weights."""

    by: str
    split: Split


class Spec(NamedTuple):
    """A description of checkpoints: their layout, the task, the model, the split, the steps."""

    path: Path
    name: str | None
    layout: Layout
    task: Task
    model: ModelSpec
    optimization: Optimization
    split: SplitRule
    seed: int
    files: str
    at: str | None
    steps: StepRule
    log: str | None
    expect: Mapping[str, float | str]


def read_spec(path: Path) -> Spec:
    """Read and validate a spec.

    Raises:
        ForeignFileError: one line with the file, the key, its value and the rule.
    """
    try:
        return spec_of(read_config(path), path)
    except ConfigError as error:
        raise ForeignFileError(path, str(error)) from None


def spec_of(table: Mapping[str, Any], path: Path) -> Spec:
    """Build a spec from its table. Raises ConfigError naming the key."""
    for key in sorted(table.keys() - KEYS):
        raise ConfigError(short(key), short(table[key]), f"unknown key; a spec has {with_nearest(key, sorted(KEYS))}")
    if "task" not in table or "model" not in table:
        raise ConfigError("task" if "task" not in table else "model", "none", "must be given")
    seed = table.get("seed", 0)
    known = {key: table[key] for key in ("task", "model", "optimization") if key in table}
    experiment = Experiment.from_dict(known | {"seed": seed})
    return Spec(
        path=path,
        name=_text(table, "name"),
        layout=_layout(table),
        task=experiment.task,
        model=experiment.model,
        optimization=experiment.optimization,
        split=_split(table.get("split", {"by": UNKNOWN}), known),
        seed=seed,
        files=_files(table),
        at=_text(table, "at"),
        steps=_steps(table.get("steps", {})),
        log=_text(table, "log"),
        expect=_expect(table.get("expect", {})),
    )


def with_nearest(value: object, names: Iterable[str]) -> str:
    """Return names as a list, with the one that is nearest to an unknown name.

    >>> with_nearest("atr", ["at", "every"])
    'at, every; did you mean at?'
    """
    known = list(names)
    return f"{', '.join(known)}{suggestion(value, known)}"


def _layout(table: Mapping[str, Any]) -> Layout:
    """Return the named layout, the lines written in the spec, or the named layout with these lines replaced.

    Raises:
        ConfigError: if both are missing, or a line is invalid.
    """
    named = _text(table, "layout")
    if named is None and "weights" not in table:
        rule = f"must be one of {', '.join(layout_names())} unless there is a table [weights]"
        raise ConfigError("layout", "none", rule)
    if named is not None:
        require_choice("layout", named, layout_names())
    own = Layout.from_table(table)
    return own if named is None else layout(named).changed(own)


def _text(table: Mapping[str, Any], key: str) -> str | None:
    """Return a nonempty string, or None. Raises ConfigError."""
    value = table.get(key)
    if value is not None and not (isinstance(value, str) and value):
        raise ConfigError(key, short(value), "must be a nonempty string")
    return value


def _files(table: Mapping[str, Any]) -> str:
    """Return the pattern of file names. Raises ConfigError."""
    pattern = _text(table, "files") or "*"
    if pattern.startswith(("/", "\\", "~")) or ".." in re.split(r"[/\\]", pattern):
        raise ConfigError("files", short(pattern), 'must stay inside the folder, as "*.pt" does')
    return pattern


def _split(table: Any, known: Mapping[str, Any]) -> SplitRule:
    """Return the split of an experiment with the known tables. Raises ConfigError."""
    rules = (OURS, LOSSES, UNKNOWN, *DRAWS)
    if not isinstance(table, Mapping) or table.get("by", OURS) not in rules:
        by = table.get("by") if isinstance(table, Mapping) else table
        raise ConfigError("split.by", short(by), choice_rule(by, rules))
    by, rest = table.get("by", OURS), {key: value for key, value in table.items() if key != "by"}
    for key in sorted(rest.keys() - {"fraction", "seed"}) if by != OURS else []:
        raise ConfigError(f"split.{short(key)}", short(rest[key]), f"unknown key for split.by={by}")
    if by in DRAWS:
        for key in sorted({"fraction", "seed"} - rest.keys()):
            raise ConfigError(f"split.{key}", "none", f"must be given for split.by={by}")
    split = rest | ({"trained_on": UNKNOWN} if by in (LOSSES, UNKNOWN) else {})
    return SplitRule(by, Experiment.from_dict({"task": known["task"], "split": split}).split)


def _steps(table: Any) -> StepRule:
    """Return the source of the steps. Raises ConfigError."""
    if not isinstance(table, Mapping):
        raise ConfigError("steps", short(table), 'must be a table such as { name = "step_([0-9]+)" }')
    for key in sorted(table.keys() - set(StepRule._fields)):
        rule = f"unknown key; there are {with_nearest(key, StepRule._fields)}"
        raise ConfigError(f"steps.{short(key)}", short(table[key]), rule)
    for key in ("at", "every", "offset"):
        least = {"at": 0, "every": 1, "offset": -(10**9)}[key]
        if key in table and not (is_whole(table[key]) and least <= table[key] <= 10**9):
            raise ConfigError(f"steps.{key}", short(table[key]), f"must be a whole number from {least}")
    if len(table.keys() - {"offset"}) > 1:
        raise ConfigError("steps", ", ".join(sorted(table)), "must have exactly one of name, key, at and every")
    name, key = _text(table, "name"), _text(table, "key")
    return StepRule(_compiled(name), key, table.get("at"), table.get("every"), table.get("offset", 0))


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    """Compile the pattern of steps in file names. Raises ConfigError."""
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError("steps.name", short(pattern), f"is not a regular expression: {error}") from None
    if compiled.groups != 1:
        raise ConfigError(
            "steps.name", short(pattern), f"must have one group, as in 'step_([0-9]+)', not {compiled.groups}"
        )
    return compiled


def _expect(table: Any) -> dict[str, float | str]:
    """Return the values that the last checkpoint must have, or the keys that lead to them. Raises ConfigError."""
    if not isinstance(table, Mapping):
        raise ConfigError("expect", short(table), "must be a table such as { test_loss = 2.0e-4 }")
    for name, value in table.items():
        if name not in (*EXPECTED, LOGITS):
            rule = f"unknown key; there are {with_nearest(name, (*EXPECTED, LOGITS))}"
            raise ConfigError(f"expect.{short(name)}", short(value), rule)
        number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
        if not (number and name != LOGITS) and not (isinstance(value, str) and value):
            raise ConfigError(
                f"expect.{name}", short(value), "must be a number from 0, or keys that lead to one in the file"
            )
    return dict(table)
