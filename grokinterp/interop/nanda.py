"""Import of the networks of Nanda et al. 2023, and bare state dicts in their layout.

A file of weights, often with loss curves, an optimizer and a configuration; missing information may be in a JSON file
next to it.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from grokinterp.errors import short
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop.beside import config_beside, settings
from grokinterp.interop.files import ForeignFileError, given, listed, read_config
from grokinterp.interop.fitting import (
    ACTIVATIONS,
    biases,
    fitted,
    plain,
    require_sizes,
    spec_sizes,
    transformer_sizes,
)
from grokinterp.interop.layout import State, layout
from grokinterp.interop.logs import curves_in, read_log
from grokinterp.interop.release import Curves, Release, loaded, split_of
from grokinterp.interop.scores import Scores, score
from grokinterp.interop.splits import Stored, drawn, split_of_losses
from grokinterp.interop.weights import read_content, require_not_hugging_face, weights_in
from grokinterp.models import TransformerSpec
from grokinterp.storage.steps import LARGEST_STEP
from grokinterp.tasks import ModularAddition, ModularSubtraction, Polynomial, Task

DRAW = "random.shuffle"
"""The function that draws the training examples in this release."""


class Document(NamedTuple):
    """The contents of a file and of the JSON file next to it, except for the weights.

    Args:
        path: the file of weights.
        content: its complete content.
        config: the settings; empty if there are none.
        cfg: the file that contains the settings.
        curves: the logged curves, from the file itself or from the file next to it.
        logged: the file that contains the curves.
    """

    path: Path
    content: Mapping[str, Any]
    config: Mapping[str, Any]
    cfg: Path
    curves: Curves
    logged: Path


def read(path: Path) -> Release:
    """Read a network of the release.

    The ``config`` in the file, or in a JSON file next to it, states task, seed and fraction. Without it, the task is
    addition or subtraction, whichever the network computes, and the split is inferred from the stored losses.

    Raises:
        ForeignFileError: if the file is not of this release.
    """
    document = documented(path)
    states, sizes = mapped_states(document)
    spec = spec_of(sizes, states, document)
    p = given(document.config, "p", min(sizes["d_vocab"] - 1, sizes["d_vocab_out"]), document.cfg, least=3)
    if sizes["d_vocab"] != p + 1 or sizes["n_ctx"] < 3:
        why = f"{sizes['d_vocab']} tokens at {sizes['n_ctx']} positions; p={p} needs p + 1 at 3"
        raise ForeignFileError(path, f"embeds {why}")
    named = "fn_name" in document.config
    candidates = [named_task(document, p)] if named else [ModularAddition(p=p), ModularSubtraction(p=p)]
    experiment = Experiment(task=candidates[0], model=spec)
    states = {step: fitted(state, experiment, path) for step, state in states.items()}
    task, scores = learned(states[max(states)], spec, candidates)
    if not named and scores.accuracy < 0.5:
        why = f"has no fn_name and computes neither a + b nor a - b modulo {p}: accuracy {scores.accuracy:.1%}"
        raise ForeignFileError(path, why)
    stored = stored_losses(document)
    split, how = split_by(document, task, scores, stored)
    last, counted = last_step(document)
    return Release(
        name=f"nanda-{path.stem}",
        source=path,
        task=task,
        model=spec,
        optimization=optimization(document),
        split=split,
        steps=max(1, last, *states, given(document.config, "num_epochs", 1, document.cfg)),
        seed=given(document.config, "seed", 0, document.cfg),
        states=states,
        curves=document.curves,
        notes={"release": "Nanda et al. 2023", "split": how, "steps": counted},
        stored=stored,
    )


def documented(path: Path) -> Document:
    """Return all information except the weights. Raises ForeignFileError."""
    content = read_content(path)
    require_not_hugging_face(path, content)
    curves = curves_in({name: values for name, values in content.items() if str(name).endswith("losses")}, path)
    config_file = None if "config" in content else config_beside(path)
    if config_file is None:
        return Document(path, content, settings(content, path) if "config" in content else {}, path, curves, path)
    config, logged = settings(read_config(config_file), config_file), path
    if not curves:
        with contextlib.suppress(ForeignFileError):  # a configuration need not contain a history
            curves, logged = read_log(config_file), config_file
    return Document(path, content, config, config_file, curves, logged)


def mapped_states(document: Document) -> tuple[dict[int, State], dict[str, int]]:
    """Return every state dict under this package's names by step, and the sizes. Raises ForeignFileError."""
    states: dict[int, State] = {}
    path, sizes = document.path, {}
    for step, state in weights_by_step(document):
        mapped = layout("nanda").read(plain(state, path), path)
        if step in states and not alike(states[step], mapped.state):
            raise ForeignFileError(path, f"holds different weights for epoch {step}: each epoch must occur once")
        states[step], sizes = mapped.state, transformer_sizes(mapped)
    require_sizes(document.config, sizes, document.cfg, path)
    return states, sizes


def alike(state: State, other: State) -> bool:
    """Return whether two states hold the same values."""
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


def weights_by_step(document: Document) -> Iterator[tuple[int, State]]:
    """Yield every state dict with the number of optimizer steps before it. Raises ForeignFileError."""
    found = document.content.get("state_dicts")
    several = found if isinstance(found, list | tuple) else ()
    if several:
        for epoch, state in zip(epochs_of(document, len(several)), several, strict=True):
            yield epoch, weights_in({"state_dict": state}, document.path)
    if not several or "model" in document.content:
        yield last_step(document)[0], weights_in(document.content, document.path)


def epochs_of(document: Document, count: int) -> list[int]:
    """Return the epochs of several state dicts: listed, or multiples of an interval. Raises ForeignFileError."""
    epochs, every = document.content.get("epochs"), document.config.get("save_every")
    whole = isinstance(epochs, list | tuple) and all(whole_number(epoch) is not None for epoch in epochs)
    if whole and len(epochs) == count:
        return [int(epoch) for epoch in epochs]
    if every := whole_number(every):
        return [every * number for number in range(count)]
    raise ForeignFileError(document.path, f"does not state the epochs of its {count} state dicts")


def last_step(document: Document) -> tuple[int, str]:
    """Return the number of optimizer steps before the last weights, and its source.

    The sources, in order: the optimizer's count; the number of the last epoch plus 1; the last logged step; the number
    of training losses, one per step; the number of epochs in the configuration; or 1 if none of these is present.
    """
    optimizer, epoch = document.content.get("optimizer"), document.content.get("epoch")
    moments = optimizer.get("state") if isinstance(optimizer, Mapping) else None
    counts = (
        [moment.get("step") for moment in moments.values() if isinstance(moment, Mapping)]
        if isinstance(moments, Mapping)
        else []
    )
    if counts and None not in (known := [whole_number(count) for count in counts]):
        return max(count for count in known if count is not None), "the optimizer's count"
    if (epoch := whole_number(epoch)) is not None:
        return epoch + 1, "the last epoch in the file"
    if document.curves and document.logged != document.path:
        return int(document.curves["step"][-1]), f"the last row of the history in {document.logged.name}"
    if document.curves:
        return int(document.curves["step"][-1]) + 1, "the number of stored training losses"
    if (epochs := whole_number(document.config.get("num_epochs"))) is not None:
        return epochs, "the number of epochs in the configuration"
    return 1, "unknown: counted as 1"


def whole_number(value: Any) -> int | None:
    """Return a step in a file, a number or a tensor with one entry, as an integer; None unless it is one from 0."""
    value = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST_STEP
    return int(value) if whole and value == int(value) else None


def spec_of(sizes: Mapping[str, int], states: Mapping[int, State], document: Document) -> TransformerSpec:
    """Return the transformer of the release: causal, read at "=", biases in the MLP. Raises ForeignFileError."""
    act = str(document.config.get("act_type", "ReLU"))
    if act.lower() not in ACTIVATIONS:
        raise ForeignFileError(document.cfg, f"act_type={short(act, 40)}: must be among {listed(ACTIVATIONS)}")
    if document.config.get("use_ln"):
        raise ForeignFileError(document.cfg, "use_ln=True: networks with LayerNorm are not supported")
    return TransformerSpec(**spec_sizes(sizes), act_fn=ACTIVATIONS[act.lower()], biases=biases(states.values()))


def named_task(document: Document, p: int) -> Task:
    """Return the task that ``fn_name`` names. Raises ForeignFileError."""
    tasks = {
        "add": lambda: ModularAddition(p=p),
        "subtract": lambda: ModularSubtraction(p=p),
        "x2xyy2": lambda: Polynomial(p=p, expression="x^2+xy+y^2"),
    }
    name = str(document.config["fn_name"])
    if name not in tasks:
        raise ForeignFileError(document.cfg, f"fn_name={short(name, 40)}: must be among {listed(tasks)}")
    return tasks[name]()


def learned(state: State, spec: TransformerSpec, candidates: Sequence[Task]) -> tuple[Task, Scores]:
    """Return the task with the highest accuracy, and its scores."""
    scored = []
    for task in candidates:
        experiment = Experiment(task=task, model=spec)
        scored.append((task, score(loaded(experiment, state), experiment.tokens(), task.label())))
    return max(scored, key=lambda pair: pair[1].accuracy)


def split_by(document: Document, task: Task, scores: Scores, stored: Mapping[str, Stored]) -> tuple[Split, str]:
    """Return the split, stated or inferred from the losses, and its source. Raises ForeignFileError."""
    config = document.config
    if "frac_train" in config:
        fraction, seed = given(config, "frac_train", 0.3, document.cfg), given(config, "seed", 0, document.cfg)
        if not 0 < fraction < 1:
            raise ForeignFileError(document.cfg, f"frac_train={fraction}: must be strictly between 0 and 1")
        is_train = drawn(DRAW, task.n_examples, fraction=fraction, seed=seed)
        return split_of(
            task, is_train, fraction=fraction, seed=seed
        ), f"drawn by Python's random.shuffle with seed {seed}"
    found = None
    if {"train_loss", "test_loss"} <= stored.keys():
        found = split_of_losses(scores.losses, stored["train_loss"], stored["test_loss"], [DRAW])
    if found is None:
        return Split(trained_on=UNKNOWN), "unknown: not stated in the file"
    is_train = drawn(DRAW, task.n_examples, fraction=found.percent / 100, seed=found.seed)
    how = f"inferred as the only draw by random.shuffle that gives the stored losses, seed {found.seed}"
    return split_of(task, is_train, fraction=found.percent / 100, seed=found.seed), how


def stored_losses(document: Document) -> dict[str, Stored]:
    """Return the losses of the last weights, if the files state them."""
    found = {}
    for name in ("train_loss", "test_loss"):
        value = document.content.get(name)
        value = value.detach().item() if isinstance(value, Tensor) and value.numel() == 1 else value
        values = [*document.curves.get(name, []), value if isinstance(value, int | float) else math.nan]
        if (stored := Stored.after(values)) is not None:
            found[name] = stored
    return found


def optimization(document: Document) -> Optimization:
    """Return AdamW with the configuration's settings, or the stored optimizer's. Raises ForeignFileError."""
    optimizer = document.content.get("optimizer")
    groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
    first = groups[0] if isinstance(groups, list | tuple) and groups else None
    group: dict[str, Any] = dict(first) if isinstance(first, Mapping) else {}
    values = {key: document.config.get(key, group.get(key)) for key in ("lr", "weight_decay")}
    known = {key: value for key, value in values.items() if value is not None}
    return Optimization(
        lr=given(known, "lr", 1e-3, document.cfg),
        weight_decay=given(known, "weight_decay", 1.0, document.cfg),
        loss="float64",
    )
