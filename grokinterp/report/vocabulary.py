"""The names that a report uses for examples, labels, losses, and units, by the run's task, model, and loss."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, NamedTuple

import xarray as xr

from grokinterp.maths.residues import is_prime, primitive_root
from grokinterp.numbers import short, whole
from grokinterp.runs.results import Results

TWO_OPERANDS = {
    "modular_addition", "modular_subtraction", "modular_multiplication", "modular_division", "polynomial",
    "group_composition", "group_conjugation", "matrix_multiplication", "table", "parity_operation", "ambiguous_groups",
}  # fmt: skip
"""Kinds of tasks whose examples are called pairs; the examples of all other tasks are called examples."""

READ_AT = {"equals": "“=”", "last": "the last token", "mean": "all positions, pooled,"}
MOST_VALUES = 6
LONGEST = 40
"""Maximum number of characters of a value in the heading; Provenance shows more."""


class Vocabulary(NamedTuple):
    """The names of a run's examples, labels, and units; the defaults fit any run with a cyclic group.

    Attributes:
        heading: the task and the model, with their first parameters.
        examples: "pairs" or "examples".
        label: the correct answer of an example.
        token: the number that colors a point of an embedding circle, and its range.
        powers: the residues of a multiplication or a division in the order of their exponents: g^0, g^1, …
        read_at: the position from which a transformer's answer is read.
        loss: the training loss.
        unit: the unit of the loss: nats, or 1 for squared errors.
        logit_unit: nats if differences of logits are differences of log-probabilities, else 1.
        has_frequencies: whether the task has a cyclic group, so that frequencies are defined.
        is_recorded: whether another loop trained the model, on examples of which only the labels are known.
    """

    heading: tuple[str, ...] = ()
    examples: str = "examples"
    label: str = "label"
    token: str = "exponent from 0 (dark) to n − 1 (bright)"
    powers: tuple[int, ...] = ()
    read_at: str = "the read-out position"
    loss: str = "cross-entropy"
    unit: str = "nats"
    logit_unit: str = "nats"
    has_frequencies: bool = True
    is_recorded: bool = False

    @property
    def generator(self) -> int | None:
        """The number whose exponents order the operands and classes; None for all other tasks."""
        return self.powers[1] if len(self.powers) > 1 else None


OVER_RESIDUES = ("a", "b", "label", "class", "other_class")
"""Dimensions whose entries are residues."""


def by_exponent(data: xr.Dataset, vocabulary: Vocabulary) -> xr.Dataset:
    """Return the data with residues in the order of their exponents and without 0, for a multiplication or division.

    Waves of a product are waves of the sum of the exponents, so that a circuit shows as stripes only in this order.
    """
    n = len(vocabulary.powers)
    dims = [dim for dim in OVER_RESIDUES if data.sizes.get(dim) == n + 1 and n > 1]
    if not dims:
        return data
    ordered = data.isel({dim: list(vocabulary.powers) for dim in dims})
    return ordered.assign_coords({dim: range(n) for dim in dims})


def order_note(data: xr.Dataset, vocabulary: Vocabulary) -> str:
    """Return a sentence on the order of the residues in the data; "" if they are in their own order."""
    ordered = any(data.sizes.get(dim) == len(vocabulary.powers) for dim in OVER_RESIDUES) and vocabulary.powers
    return f" Residues are in the order of their exponents of {vocabulary.generator}; 0 is omitted." if ordered else ""


def vocabulary_of(results: Results) -> Vocabulary:
    """Return the vocabulary of a run, from its configuration and the analyses that are not defined for it."""
    task, model, optimization = (section(results, key) for key in ("task", "model", "optimization"))
    kind, loss = str(task.get("kind")), optimization.get("loss")
    is_addition, is_transformer = kind == "modular_addition", model.get("kind") == "transformer"
    found = Vocabulary(
        heading=tuple(f"{key} {described(part)}" for key, part in (("task", task), ("model", model)) if part),
        examples="pairs" if kind in TWO_OPERANDS else "examples",
        has_frequencies="logit_spectrum" not in results.not_defined,
    )
    if kind == "recorded":
        found = found._replace(heading=recorded(results), has_frequencies=False, is_recorded=True)
    elif model.get("kind") == "recorded":
        found = found._replace(heading=(f"task {described(task)}", recorded(results)[0]))
        found = found._replace(read_at=READ_AT.get(str(model.get("read_at")), found.read_at))
    if is_addition:
        found = found._replace(label="(a + b) mod p", token="token from 0 (dark) to p − 1 (bright)")
    modulus = task.get("p")
    if kind in ("modular_multiplication", "modular_division") and isinstance(modulus, int) and is_prime(modulus):
        root = primitive_root(modulus)
        found = found._replace(
            powers=tuple(pow(root, exponent, modulus) for exponent in range(modulus - 1)),
            label=f"correct answer, as exponent of {root}",
            token=f"exponent of {root}, from 0 (dark) to {modulus - 2} (bright)",
        )  # fmt: skip
    if is_transformer:  # older runs lack the setting and read at "="
        found = found._replace(read_at=READ_AT.get(str(model.get("read_at", "equals")), found.read_at))
    if loss == "mse":
        found = found._replace(loss="squared error", unit="1", logit_unit="1")
    if loss == "stablemax":
        found = found._replace(loss="StableMax cross-entropy", logit_unit="1")
    return found


def recorded(results: Results) -> tuple[str, ...]:
    """Return the heading of a run recorded from another training loop: its module and its examples."""
    task, model, split = (section(results, key) for key in ("task", "model", "split"))
    shapes, examples = model.get("parameters", {}), len(task.get("targets") or task.get("answers", ()))
    weights, trained = sum(map(prod, shapes.values())), int(split.get("fraction", 0) * examples + 1e-9)
    parts = f"{whole(trained)} training and {whole(examples - trained)} test examples"
    of = f"{parts} of {whole(task.get('classes', 0))} classes"
    if task.get("targets"):
        close = f"correct within a root mean squared error of {short(str(task.get('tolerance')), LONGEST)}"
        of = f"{parts} with {whole(task.get('classes', 0))} numbers to predict, {close}"
    data = task.get("data")
    return f"module {model.get('class_name')}: {whole(weights)} weights", f"{data}: {of}" if data else of


GIVEN = {
    "name": (),
    "task": ("kind", "data", "classes", "tolerance", "digest"),
    "model": ("class_name", "read_at", "reads", "parts"),
    "optimization": ("lr", "weight_decay", "loss"),
}
"""The parts of a recorded run's configuration that its user provided; the others are defaults or lists."""

FROM_OPTIMIZER = {"lr": "learning_rate", "weight_decay": "weight_decay"}
"""Settings read from the optimizer, and the columns of the metrics that contain them if one was given."""


def configuration(results: Results) -> Mapping[str, Any]:
    """Return the configuration of a run, or only the known settings of a recorded run."""
    whole_of = results.directory.experiment
    if section(results, "model").get("kind") != "recorded":
        return whole_of
    given = GIVEN | ({} if section(results, "task").get("kind") == "recorded" else {"task": ()})
    unknown = {name for name, column in FROM_OPTIMIZER.items() if column not in results.metrics}
    return {
        key: {name: part[name] for name in names if name in part and name not in unknown}
        if names and isinstance(part, Mapping)
        else part
        for key, names in given.items()
        if (part := whole_of.get(key)) is not None
    }


def section(results: Results, key: str) -> Mapping[str, Any]:
    """Return a part of the run's configuration; empty if it is missing."""
    part = results.directory.experiment.get(key)
    return part if isinstance(part, Mapping) else {}


def described(part: Mapping[str, Any]) -> str:
    """Return a kind with its first values, in order of importance.

    >>> described({"kind": "mlp", "d_embed": None, "hidden": [200, 200], "biases": True, "scale": 0})
    'mlp: hidden 200, 200, biases, scale 0'
    >>> described({"kind": "composition", "outer": {"kind": "table", "rows": ["0,1"] * 90}})
    'composition: outer table (rows: 90 values)'
    """
    values = list(_values(part))[:MOST_VALUES]
    return f"{part.get('kind', 'unknown')}{': ' if values else ''}{', '.join(values)}"


def _values(part: Mapping[str, Any]) -> Iterator[str]:
    for key, value in part.items():
        if key == "kind" or value is None or value is False:
            continue
        if isinstance(value, Mapping):
            inner = ", ".join(_values(value))
            yield f"{key} {value.get('kind', '')} ({inner})" if inner else f"{key} {value.get('kind', '')}"
        elif isinstance(value, list) and len(text := ", ".join(map(str, value))) > LONGEST:
            yield f"{key}: {len(value)} values"
        else:
            yield key if value is True else f"{key} {short(text if isinstance(value, list) else str(value), LONGEST)}"
