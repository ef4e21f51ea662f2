"""The whole configuration of a run, and nothing else."""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.losses import LossForm
from grokinterp.models import AnySpec, Transformer, TransformerSpec
from grokinterp.tasks import AnyTask, ModularAddition, Task

FORBID_UNKNOWN_KEYS = {"extra": "forbid", "allow_inf_nan": False}
ORDERS_TRIED = 100
LARGEST_FILE = 2**20
"""Bytes of a configuration file; real ones have hundreds."""


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Raise ConfigError unless the rule holds."""
    if not holds:
        raise ConfigError(key, value, rule)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which examples are trained on: an exact fraction, drawn by a generator of its own.

    ``pairs="unordered"`` puts examples that give each other's answer away, (a, b) and (b, a), on
    the same side; ``"ordered"`` draws every example by itself. ``seed=None`` uses the
    experiment's.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    fraction: float = 0.3
    pairs: Literal["ordered", "unordered"] = "ordered"
    seed: int | None = None

    def __post_init__(self) -> None:
        require(0 < self.fraction < 1, "fraction", self.fraction, "must lie strictly between 0 and 1")
        require(self.seed is None or 0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")

    def size(self, examples: int) -> int:
        """Number of training examples: ⌊fraction · examples⌋, as in the code released with the papers."""
        return int(self.fraction * examples + 1e-9)

    def is_train(self, task: Task, *, seed: int) -> Bool[Tensor, "example"]:
        """The training examples: exactly ``size`` of them.

        Groups of mirrored examples are taken in random order, each if it still fits. An order that
        does not come out even (one place left, and only pairs to fill it) is drawn again.

        Raises:
            ConfigError: whole groups do not add up to that number.
        """
        group = task.mirror() if self.pairs == "unordered" else torch.arange(task.n_examples)
        _, group, sizes = group.unique(return_inverse=True, return_counts=True)
        wanted = self.size(len(group))
        generator = torch.Generator().manual_seed(seed if self.seed is None else self.seed)
        for _ in range(ORDERS_TRIED):
            taken = _take(sizes, wanted, torch.randperm(len(sizes), generator=generator))
            if int(sizes[taken].sum()) == wanted:
                return taken[group]
        raise ConfigError("split.fraction", self.fraction, f"no set of whole pairs has exactly {wanted} examples")


def _take(sizes: Int[Tensor, "group"], wanted: int, order: Int[Tensor, "group"]) -> Bool[Tensor, "group"]:
    """Groups taken in this order, each if at most ``wanted`` examples are then taken in all."""
    taken = torch.zeros(len(sizes), dtype=torch.bool)
    for index, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= wanted:
            taken[index] = True
            wanted -= size
    return taken


def leaked_share(task: Task, is_train: Bool[Tensor, "example"]) -> float:
    """Share of the held-out examples whose mirror image is trained on: answerable without generalizing."""
    mirror = task.mirror()
    return float(torch.isin(mirror[~is_train], mirror[is_train]).double().mean())


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """Full-batch AdamW with a linear warm-up; lr and weight_decay per step, loss as in ``losses``.

    Source: Loshchilov and Hutter 2017 (AdamW); Nanda et al. 2023, §3 for the defaults.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    lr: float = 1e-3
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    warmup_steps: int = 10
    loss: LossForm = "softplus"

    def __post_init__(self) -> None:
        require(0 < self.lr < 10, "lr", self.lr, "must be positive and below 10")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "must be 0 or positive")
        require(
            self.lr * self.weight_decay < 1, "weight_decay", self.weight_decay, f"times lr={self.lr} must be below 1"
        )
        require(all(0 <= beta < 1 for beta in self.betas), "betas", self.betas, "must each lie in [0, 1)")
        require(0 < self.eps < 1, "eps", self.eps, "must lie strictly between 0 and 1")
        require(0 <= self.warmup_steps <= 10**9, "warmup_steps", self.warmup_steps, "must be from 0 to 10^9")

    def learning_rate(self, step: int) -> float:
        """The rate of the update from ``step`` to ``step + 1``."""
        return self.lr * min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else self.lr


@dataclass(frozen=True, kw_only=True)
class SaveAt:
    """Which steps are saved: the first, the last, and every ``every``-th.

    Also every ``dense_every``-th up to ``dense_until``, and, if ``transition_every`` is given, every
    such step while test accuracy is between 5 % and 99 % after memorization. The resume state is
    written every ``resume_every`` steps.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    every: int = 100
    dense_every: int = 10
    dense_until: int = 0
    transition_every: int | None = None
    resume_every: int = 500

    def __post_init__(self) -> None:
        for key in ("every", "dense_every", "transition_every", "resume_every"):
            value = getattr(self, key)
            require(value is None or 1 <= value <= 10**9, key, value, "must be an integer from 1 to 10^9")
        require(0 <= self.dense_until <= 10**9, "dense_until", self.dense_until, "must be from 0 to 10^9")

    def saves(self, step: int, *, in_transition: bool) -> bool:
        """Whether ``step`` is saved (the last step always is, by the caller)."""
        dense = step <= self.dense_until and step % self.dense_every == 0
        transition = in_transition and self.transition_every is not None and step % self.transition_every == 0
        return step % self.every == 0 or dense or transition


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RESERVED_NAMES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Task, model, optimization, split, seeds and save schedule.

    ``steps`` optimizer steps; metrics are written every ``evaluate_every`` steps. ``seed`` draws
    the initial weights and, unless ``split.seed`` is given, the split.

    Raises:
        ConfigError: a value that breaks its rule, naming it.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    name: str = "run"
    task: AnyTask = field(default_factory=ModularAddition)
    model: AnySpec = field(default_factory=TransformerSpec)
    split: Split = field(default_factory=Split)
    optimization: Optimization = field(default_factory=Optimization)
    save: SaveAt = field(default_factory=SaveAt)
    steps: int = 25_000
    evaluate_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        named = NAME.fullmatch(self.name) is not None and self.name.split(".")[0].lower() not in RESERVED_NAMES
        require(named, "name", self.name, "must be 1-64 letters, digits, '.', '_' or '-', not starting with a sign")
        require(1 <= self.steps <= 10**8, "steps", self.steps, "must be an integer from 1 to 10^8")
        every = self.evaluate_every
        require(1 <= every <= 10**9, "evaluate_every", every, "must be an integer from 1 to 10^9")
        require(0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")
        examples = self.task.n_examples
        trained = self.split.size(examples)
        rule = f"leaves no example to train or to test on ({examples} examples)"
        require(0 < trained < examples, "split.fraction", self.split.fraction, rule)

    def build_model(self) -> Transformer:
        """The model with its initial weights, in float32 on the CPU."""
        return self._model(torch.Generator().manual_seed(self.seed))

    def empty_model(self) -> Transformer:
        """The model with zero weights, to be loaded."""
        return self._model(None)

    def _model(self, generator: torch.Generator | None) -> Transformer:
        task = self.task
        sizes = {"d_vocab": task.d_vocab, "d_vocab_out": task.n_classes, "n_ctx": task.n_ctx}
        return Transformer(self.model, **sizes, generator=generator)

    def is_train(self) -> Bool[Tensor, "example"]:
        """The split's training mask over the task's examples."""
        return self.split.is_train(self.task, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; ``from_dict`` reads it back to an equal experiment."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Experiment":
        """Validate a mapping such as a parsed file. Raises ConfigError naming the first bad key."""
        try:
            return _adapter().validate_json(json.dumps(values, default=str), strict=True)
        except ValidationError as error:
            raise _config_error(error) from None

    @classmethod
    def from_file(cls, path: str | Path) -> "Experiment":
        """Read a TOML or JSON configuration file."""
        return cls.from_dict(read_config(path))

    def override(self, assignments: Iterable[str]) -> "Experiment":
        """A copy with dotted ``key=value`` changes, values in TOML notation: ``task.p=97``."""
        values = self.to_dict()
        for assignment in assignments:
            _assign(values, assignment)
        return Experiment.from_dict(values)


@cache
def _adapter() -> TypeAdapter:
    return TypeAdapter(Experiment)


def _config_error(error: ValidationError) -> ConfigError:
    """The first problem of a pydantic error, as one line with a dotted key."""
    problem = error.errors(include_url=False)[0]
    cause = problem.get("ctx", {}).get("error")
    path = [_short(part) for part in problem["loc"]]
    if isinstance(cause, ConfigError):
        return ConfigError(".".join([*path, cause.key]), _short(cause.value), cause.rule)
    if problem["type"] == "unexpected_keyword_argument":
        return ConfigError(".".join(path), _short(problem["input"]), "unknown key")
    message = problem["msg"][0].lower() + problem["msg"][1:]
    return ConfigError(".".join(path) or "experiment", _short(problem["input"]), message)


def _short(value: object) -> str:
    """A value on one line of at most 80 characters that a terminal can be shown."""
    text = "".join(character if character.isprintable() else "?" for character in str(value)[:81])
    return text if len(text) <= 80 else text[:77] + "..."


def read_config(path: str | Path) -> dict[str, Any]:
    """Parse a TOML (or, by suffix, JSON) file. Raises ConfigError when it cannot be read."""
    path = Path(path)
    kind, parse = ("JSON", json.loads) if path.suffix == ".json" else ("TOML", tomllib.loads)
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
            raise ConfigError("config", path, "is not a regular file")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ConfigError("config", path, f"has more than {LARGEST_FILE} bytes")
        values = parse(content.decode("utf-8"))
    except OSError as error:
        raise ConfigError("config", path, (error.strerror or "cannot be read").lower()) from None
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError("config", path, f"not valid {kind}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError("config", path, "must hold a table of keys")
    return values


def _assign(values: dict[str, Any], assignment: str) -> None:
    """Set one dotted ``key=value`` in place."""
    key, sign, text = assignment.partition("=")
    require(bool(sign and key), "override", _short(assignment), "must be written key=value")
    *tables, last = key.split(".")
    table = values
    for name in tables:
        require(isinstance(table.get(name), dict), _short(key), _short(text), "unknown key")
        table = table[name]
    require(last in table, _short(key), _short(text), "unknown key")
    table[last] = _parse(text)


def _parse(text: str) -> Any:
    """A TOML value, ``none`` for null, or the text itself."""
    if text.lower() in ("none", "null"):
        return None
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # not TOML, a number of thousands of digits, brackets without end
        return text
    return parsed["value"] if len(parsed) == 1 else text
