"""The experiment: the complete configuration of a run."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Bool, Int
from pydantic import TypeAdapter, ValidationError

from grokinterp import models
from grokinterp.display import Facts, changed, first_settings, html_table, one_line, specification
from grokinterp.errors import ConfigError, errors_named, require, short
from grokinterp.experiment.configuration import (
    assign,
    assignment_of,
    config_error,
    not_a_kind,
    read_config,
    spelled_out,
)
from grokinterp.experiment.kinds import RECORDED, AnyModel, AnyTask, require_known_kinds
from grokinterp.experiment.optimization import Optimization
from grokinterp.experiment.origin import Origin
from grokinterp.experiment.saving import SaveAt
from grokinterp.experiment.split import Split
from grokinterp.lazy import Tensor, torch
from grokinterp.models import TransformerSpec
from grokinterp.numbers import flat
from grokinterp.specification import ADDED, Specification, plain, require_type
from grokinterp.storage.steps import LARGEST_STEP
from grokinterp.tasks import ModularAddition
from grokinterp.torch_settings import computing

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ABSENT = "absent"
"""Value, in the differences of two experiments, of a setting that only the other experiment has."""
RESERVED_NAMES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


@dataclass(frozen=True, kw_only=True)
class Experiment(Specification):
    """Task, model, optimization, split, seeds, save schedule and origin.

    Training takes ``steps`` optimizer steps, None in a recorded run of unknown length, and writes metrics every
    ``evaluate_every`` steps. With ``patience`` a run ends that many evaluations after grokking was detected
    (``SustainedRule``); nothing else ends it early. ``seed`` draws the initial weights and, unless ``split.seed`` is
    given, the split. With an ``origin``, the run is a branch: it starts with the weights of a step of another run.

    With ``data="infinite"`` every step trains on ``optimization.batch_size`` examples drawn anew from the distribution
    of the task, without the held-out examples: nothing can be memorized. Training metrics are then those of the batch,
    and the training part of the split is a sample for analyses.

    Raises:
        ConfigError: a value that breaks its rule, naming it.
    """

    name: str = "run"
    task: AnyTask = field(default_factory=ModularAddition)
    model: AnyModel = field(default_factory=TransformerSpec)
    split: Split = field(default_factory=Split)
    optimization: Optimization = field(default_factory=Optimization)
    save: SaveAt = field(default_factory=SaveAt)
    steps: int | None = 25_000
    evaluate_every: int = 10
    patience: int | None = None
    seed: int = 0
    origin: Origin | None = field(default=None, metadata=ADDED)
    data: Literal["finite", "infinite"] = field(default="finite", metadata=ADDED)

    def __post_init__(self) -> None:
        named = NAME.fullmatch(self.name) is not None and self.name.split(".")[0].lower() not in RESERVED_NAMES
        require(named, "name", self.name, "must be 1-64 letters, digits, '.', '_' or '-', not starting with a sign")
        unplanned = self.steps is None and self.model.is_recorded
        within = self.steps is not None and 1 <= self.steps <= LARGEST_STEP
        require(unplanned or within, "steps", self.steps, "must be an integer from 1 to 10^8")
        every = self.evaluate_every
        require(1 <= every <= 10**9, "evaluate_every", every, "must be an integer from 1 to 10^9")
        patience = self.patience
        rule = "must be an integer from 0 to 10^9"
        require(patience is None or 0 <= patience <= 10**9, "patience", patience, rule)
        require(0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")
        self._require_both_recorded()
        self._require_answers()
        self._require_data()
        trained, batch_size = self.split.sizes(self.task).train, self.optimization.batch_size
        rule = f"must be at most the number of training examples, {trained}"
        fits = batch_size is None or batch_size <= trained or self.data == "infinite"
        require(fits, "optimization.batch_size", batch_size, rule)
        self._require_fitting_model()
        rule = "starts with weights drawn elsewhere, so that it cannot be a branch"
        require(self.origin is None or not self.model.is_recorded, "model.kind", self.model.kind, rule)

    def _require_fitting_model(self) -> None:
        """Raise ConfigError if the optimization has a setting that the model makes meaningless."""
        o, rule = (
            self.optimization,
            "must not be set with model.normalization=BN, whose running statistics are of θ alone",
        )
        fits = o.average is None or not self.model.has_running_statistics
        require(fits, "optimization.average", o.average, rule)
        fits, rule = o.optimizer != "muon" or not self.model.scales_rates, "must be adamw, adam or sgd with μP"
        require(fits, "optimization.optimizer", o.optimizer, rule)

    def __repr__(self) -> str:
        return one_line("Experiment", self._facts())

    def _repr_html_(self) -> str:
        return html_table("Experiment", self._facts())

    def _facts(self) -> Facts:
        """Return what identifies the experiment, and the other settings that are not defaults."""

        def settings() -> str:
            named = ("name", "task", "model", "steps")
            others = {name: text for name, text in changed(self).items() if name.split(".")[0] not in named}
            return ", ".join(first_settings(others))

        return {
            "name": lambda: repr(self.name),
            "task": lambda: specification(self.task, sized=True),
            "model": lambda: specification(self.model),
            "steps": lambda: "" if self.steps is None else f"{self.steps:,} steps",
            "settings": settings,
        }

    def _require_both_recorded(self) -> None:
        """Raise ConfigError unless recorded examples have a recorded model, and vice versa.

        A recorded model may have any task if its examples are the examples of the task.
        """
        recorded_examples = self.task.kind == RECORDED
        expected = recorded_examples == (self.model.is_recorded and not self.model.knows_task)
        require(expected, "model.kind", self.model.kind, "must be recorded if and only if the task is recorded")

    def _require_answers(self) -> None:
        """Raise ConfigError unless the model can answer at as many positions as the task asks, and the split fits."""
        if self.task.n_answers > 1:
            with errors_named("model"):
                self.model.require_sequences()
            self.split.require_one_answer(self.task)

    def _require_data(self) -> None:
        """Raise ConfigError if infinite data do not fit the other settings."""
        if self.data == "finite":
            return
        o, rule = self.optimization, "needs finite data"
        require(o.batch_size is not None, "data", self.data, "needs optimization.batch_size")
        require(not o.curriculum.is_active, "optimization.curriculum.start", o.curriculum.start, rule)
        require(self.split.label_noise == 0, "split.label_noise", self.split.label_noise, rule)
        require(not self.model.is_recorded, "data", self.data, "cannot be recorded")

    def build_model(self) -> "models.Model":
        """Return the model with its initial weights, on the CPU; those of a branch are in its directory."""
        require(self.origin is None, "origin", "given", "has the initial weights of the branch")
        return self.drawn_model(self.seed)

    def drawn_model(self, seed: int) -> "models.Model":
        """Return the model with weights drawn from the initial distribution, on the CPU.

        They are drawn in float32, and are float64 with ``optimization.precision=float64``.
        """
        with computing(), torch.no_grad():
            model = self._model(torch.Generator().manual_seed(seed))
            for weight in model.parameters():
                weight.mul_(self.optimization.init_scale)
        return model.to(self.dtype)

    def empty_model(self, *, device: str = "cpu") -> "models.Model":
        """Return the model with zero weights, to be loaded later; on the device "meta", it has only shapes."""
        with computing(), torch.device(device):
            return self._model(None).to(self.dtype)

    @property
    def dtype(self) -> "torch.dtype":
        """The precision of the parameters: float64, or float32 for all others."""
        return torch.float64 if self.optimization.precision == "float64" else torch.float32

    def _model(self, generator: "torch.Generator | None") -> "models.Model":
        task = self.task
        sizes = {"d_vocab": self.d_vocab, "d_vocab_out": task.n_classes, "n_ctx": self.n_ctx}
        sizes |= {"n_answers": task.n_answers}
        with errors_named("model"):
            return models.build(self.model, **sizes, generator=generator)

    @property
    def budget(self) -> int:
        """The number of steps to train. Raises ConfigError for a recorded run of unknown length."""
        if self.steps is None:
            raise ConfigError("steps", None, "is unknown: another loop decides how long it trains")
        return self.steps

    @property
    def has_equals(self) -> bool:
        """Whether "=" separates the question from the answers: the model reads it, and answers have no own tokens."""
        return self.model.appends_equals and not self.task.answers_every_token

    @property
    def d_vocab(self) -> int:
        """Number of tokens of the model: those of the task, and "=" if the model appends it."""
        return self.task.d_vocab + self.has_equals

    @property
    def n_ctx(self) -> int:
        """Length of the input sequences of the model."""
        return self.task.n_ctx + self.has_equals

    def tokens(self) -> Int[Tensor, "example position"]:
        """Return the input sequence of every example: the tokens of the task and, if the model reads it, "=".

        It stands where the first answer is read: at the end, or before the answers that the tokens end with.
        """
        return self.with_equals(self.task.tokens())

    def with_equals(self, tokens: Int[Tensor, "example token"]) -> Int[Tensor, "example position"]:
        """Return the input sequences of some token sequences of the task."""
        question = self.task.n_ctx - self.task.n_answers + 1
        if not self.has_equals:
            return tokens
        equals = torch.full((len(tokens), 1), self.task.d_vocab)
        return torch.cat([tokens[:, :question], equals, tokens[:, question:]], dim=1)

    def is_train(self) -> Bool[Tensor, "example"]:
        """Return the training mask of the split over the examples of the task."""
        return self.split.is_train(self.task, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, which ``from_dict`` converts back to an equal experiment.

        Settings that earlier versions did not have are left out at their defaults, so that the run id is the same.
        """
        return stored(plain(self))

    @property
    def flat(self) -> dict[str, Any]:
        """The plain values of all settings in ``to_dict``, by their dotted keys."""
        return flat(self.to_dict())

    @property
    def every_setting(self) -> dict[str, Any]:
        """The plain values of all settings, those that ``to_dict`` leaves out included, by their dotted keys."""
        return flat(stored(asdict(self)))

    def differences(self, other: "Experiment") -> dict[str, tuple[Any, Any]]:
        """Return the settings that differ from those of another experiment: dotted key, value here, value there.

        The value is ``ABSENT`` in an experiment that does not have the setting, None if the setting is null. Added
        settings that are left out of ``flat`` have their defaults.

        >>> Experiment(seed=1).differences(Experiment(task=ModularAddition(p=97)))
        {'task.p': (113, 97), 'seed': (1, 0)}
        >>> Experiment(model=models.MLPSpec()).differences(Experiment())["model.n_heads"]
        ('absent', 4)

        Raises:
            ConfigError: ``other`` is not an experiment.
        """
        require(isinstance(other, Experiment), "other", short(other), "must be an Experiment")
        if self == other:
            return {}
        parts = [one.name for one in fields(self) if getattr(self, one.name) != getattr(other, one.name)]
        here, there = (flat(stored({name: plain(getattr(one, name)) for name in parts})) for one in (self, other))
        whole = (flat(stored({name: every(getattr(one, name)) for name in parts})) for one in (self, other))
        mine, theirs = ({**all_of, **given} for all_of, given in zip(whole, (here, there), strict=True))
        values = {key: (mine.get(key, ABSENT), theirs.get(key, ABSENT)) for key in there | here}
        return {key: (one, another) for key, (one, another) in values.items() if one != another}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Experiment":
        """Return the experiment in a mapping such as a parsed file. Raises ConfigError for the first invalid key."""
        require(isinstance(values, Mapping), "experiment", short(values), "must be a table of keys")
        values = spelled_out(values)
        require_known_kinds(values)
        try:
            return _adapter().validate_json(json.dumps(values, default=str), strict=True)
        except ValidationError as error:
            raise config_error(error, cls) from None
        except (TypeError, ValueError, RecursionError) as error:  # keys that are not text, a table that contains itself
            if isinstance(error, ConfigError):
                raise
            raise ConfigError("experiment", "values", f"cannot be written as JSON: {error}") from None

    @classmethod
    def from_file(cls, path: str | Path) -> "Experiment":
        """Read a TOML or JSON configuration file."""
        return cls.from_dict(read_config(path))

    def override(self, assignments: Iterable[str]) -> "Experiment":
        """Return a copy with dotted ``key=value`` changes, values in TOML notation: ``task.p=97``.

        A change of ``kind`` resets all settings to the defaults of that kind, wherever it is in the list.
        """
        listed = [assignments] if isinstance(assignments, str) else list(assignments)
        for assignment in listed:
            require_type("override", assignment, str)
        return self.changed(dict(map(assignment_of, listed)))

    def changed(self, settings: Mapping[str, Any]) -> "Experiment":
        """Return a copy with other values of settings, by their dotted keys.

        A change of ``kind`` resets all settings to the defaults of that kind, wherever it is in the mapping.

        >>> Experiment().changed({"task.p": 97, "optimization.betas": (0.9, 0.999)}).task.p
        97
        """
        values = stored(asdict(self))
        for key in sorted(settings, key=not_a_kind):
            assign(values, key, settings[key])
        return Experiment.from_dict(values)


def stored(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they are read back from a JSON file."""
    return json.loads(json.dumps(values))


def every(part: Any) -> Any:
    """Return a part of an experiment as a table with all of its settings, or a plain value as it is."""
    return asdict(part) if is_dataclass(part) and not isinstance(part, type) else part


@cache
def _adapter() -> TypeAdapter:
    return TypeAdapter(Experiment)
