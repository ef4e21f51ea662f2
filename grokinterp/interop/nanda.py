"""The networks of Nanda et al. 2023, and bare state dicts in their layout.

One file of weights, mostly with loss curves, an optimizer and a configuration; what it lacks may be in a JSON file
beside it.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

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
from grokinterp.tasks import ModularAddition, ModularSubtraction, Polynomial, Task

DRAW = "random.shuffle"
"""How the release draws its training examples."""


class Document(NamedTuple):
    """What a file and the JSON file beside it say, apart from the weights.

    Args:
        path: the file of weights.
        content: all of it.
        config: the settings; nothing if there are none.
        cfg: the file that they are in.
        curves: what was logged, in the file itself or in the one beside it.
        logged: the file that the curves are in.
    """

    path: Path
    content: Mapping[str, Any]
    config: Mapping[str, Any]
    cfg: Path
    curves: Curves
    logged: Path


def read(path: Path) -> Release:
    """A network of the release.

    The ``config`` in the file, or in a JSON file beside it, says task, seed and fraction. Without one, the task is
    addition or subtraction, whichever the network has learned, and the split the one whose losses are stored.

    Raises:
        ForeignFileError: a file that is not of this release.
    """
    told = documented(path)
    states, sizes = mapped_states(told)
    spec = spec_of(sizes, states, told)
    p = given(told.config, "p", min(sizes["d_vocab"] - 1, sizes["d_vocab_out"]), told.cfg, least=3)
    if sizes["d_vocab"] != p + 1 or sizes["n_ctx"] < 3:
        why = f"{sizes['d_vocab']} tokens at {sizes['n_ctx']} positions; p={p} needs p + 1 at 3"
        raise ForeignFileError(path, f"embeds {why}")
    named = "fn_name" in told.config
    candidates = [named_task(told, p)] if named else [ModularAddition(p=p), ModularSubtraction(p=p)]
    experiment = Experiment(task=candidates[0], model=spec)
    states = {step: fitted(state, experiment, path) for step, state in states.items()}
    task, scores = learned(states[max(states)], spec, candidates)
    if not named and scores.accuracy < 0.5:
        why = f"has no fn_name, and computes neither a + b nor a - b modulo {p}: {scores.accuracy:.1%}"
        raise ForeignFileError(path, why)
    stored = stored_losses(told)
    split, how = split_by(told, task, scores, stored)
    last, counted = last_step(told)
    return Release(
        name=f"nanda-{path.stem}",
        source=path,
        task=task,
        model=spec,
        optimization=optimization(told),
        split=split,
        steps=max(1, last, *states, given(told.config, "num_epochs", 1, told.cfg)),
        seed=given(told.config, "seed", 0, told.cfg),
        states=states,
        curves=told.curves,
        notes={"release": "Nanda et al. 2023", "split": how, "steps": counted},
        stored=stored,
    )


def documented(path: Path) -> Document:
    """Everything but the weights. Raises ForeignFileError."""
    content = read_content(path)
    require_not_hugging_face(path, content)
    curves = curves_in({name: values for name, values in content.items() if str(name).endswith("losses")}, path)
    beside = None if "config" in content else config_beside(path)
    if beside is None:
        return Document(path, content, settings(content, path) if "config" in content else {}, path, curves, path)
    config, logged = settings(read_config(beside), beside), path
    if not curves:
        with contextlib.suppress(ForeignFileError):  # a configuration need not have a history
            curves, logged = read_log(beside), beside
    return Document(path, content, config, beside, curves, logged)


def mapped_states(told: Document) -> tuple[dict[int, State], dict[str, int]]:
    """Every state dict under our names by its step, and the sizes of the network. Raises ForeignFileError."""
    states, path, sizes = {}, told.path, {}
    for step, state in weights_by_step(told):
        mapped = layout("nanda").read(plain(state, path), path)
        states[step], sizes = mapped.state, transformer_sizes(mapped)
    require_sizes(told.config, sizes, told.cfg, path)
    return states, sizes


def weights_by_step(told: Document) -> Iterator[tuple[int, State]]:
    """Every state dict with the number of optimizer steps before it. Raises ForeignFileError."""
    several = told.content.get("state_dicts")
    if isinstance(several, list | tuple) and several:
        for epoch, one in zip(epochs_of(told, len(several)), several, strict=True):
            yield epoch, weights_in({"state_dict": one}, told.path)
    if not several or "model" in told.content:
        yield last_step(told)[0], weights_in(told.content, told.path)


def epochs_of(told: Document, count: int) -> list[int]:
    """The epochs of several state dicts: listed, or every so many from the first on. Raises ForeignFileError."""
    epochs, every = told.content.get("epochs"), told.config.get("save_every")
    whole = isinstance(epochs, list | tuple) and all(isinstance(epoch, int) and epoch >= 0 for epoch in epochs)
    if whole and len(epochs) == count:
        return list(epochs)
    if isinstance(every, int) and every > 0:
        return [every * number for number in range(count)]
    raise ForeignFileError(told.path, f"does not say at which epochs its {count} state dicts were saved")


def last_step(told: Document) -> tuple[int, str]:
    """Optimizer steps before the last weights, and what says so.

    The optimizer's count; the number of the last epoch plus 1; the last logged step; the number of training losses,
    of which there is one for each step; the number of epochs asked for; or 1, since nothing says it.
    """
    optimizer, epoch = told.content.get("optimizer"), told.content.get("epoch")
    moments = optimizer.get("state") if isinstance(optimizer, Mapping) else None
    counts = (
        [one.get("step") for one in moments.values() if isinstance(one, Mapping)]
        if isinstance(moments, Mapping)
        else []
    )
    if counts and all(isinstance(count, int | Tensor) for count in counts):
        return max(int(count) for count in counts), "the optimizer's count"
    if isinstance(epoch, int) and epoch >= 0:
        return epoch + 1, "the last epoch in the file"
    if told.curves and told.logged != told.path:
        return int(told.curves["step"][-1]), f"the last row of the history in {told.logged.name}"
    if told.curves:
        return int(told.curves["step"][-1]) + 1, "the number of stored training losses"
    if isinstance(epochs := told.config.get("num_epochs"), int) and epochs >= 0:
        return epochs, "the number of epochs in the configuration"
    return 1, "unknown: counted as 1"


def spec_of(sizes: Mapping[str, int], states: Mapping[int, State], told: Document) -> TransformerSpec:
    """The transformer of the release: causal, read at "=", biases in the MLP. Raises ForeignFileError."""
    act = str(told.config.get("act_type", "ReLU"))
    if act.lower() not in ACTIVATIONS:
        raise ForeignFileError(told.cfg, f"act_type={act[:40]}: must be among {listed(ACTIVATIONS)}")
    if told.config.get("use_ln"):
        raise ForeignFileError(told.cfg, "use_ln=True: its LayerNorm is not known")
    return TransformerSpec(**spec_sizes(sizes), act_fn=ACTIVATIONS[act.lower()], biases=biases(states.values()))


def named_task(told: Document, p: int) -> Task:
    """The task of a ``fn_name``. Raises ForeignFileError."""
    tasks = {
        "add": lambda: ModularAddition(p=p),
        "subtract": lambda: ModularSubtraction(p=p),
        "x2xyy2": lambda: Polynomial(p=p, expression="x^2+xy+y^2"),
    }
    name = str(told.config["fn_name"])
    if name not in tasks:
        raise ForeignFileError(told.cfg, f"fn_name={name[:40]}: must be among {listed(tasks)}")
    return tasks[name]()


def learned(state: State, spec: TransformerSpec, candidates: Sequence[Task]) -> tuple[Task, Scores]:
    """The task that the network answers best, and how."""
    scored = []
    for task in candidates:
        experiment = Experiment(task=task, model=spec)
        scored.append((task, score(loaded(experiment, state), experiment.tokens(), task.labels())))
    return max(scored, key=lambda pair: pair[1].accuracy)


def split_by(told: Document, task: Task, scores: Scores, stored: Mapping[str, Stored]) -> tuple[Split, str]:
    """The split, of the configuration or of the stored losses, and where it comes from. Raises ForeignFileError."""
    config = told.config
    if "frac_train" in config:
        fraction, seed = given(config, "frac_train", 0.3, told.cfg), given(config, "seed", 0, told.cfg)
        if not 0 < fraction < 1:
            raise ForeignFileError(told.cfg, f"frac_train={fraction}: must lie strictly between 0 and 1")
        is_train = drawn(DRAW, task.n_examples, fraction=fraction, seed=seed)
        return split_of(
            task, is_train, fraction=fraction, seed=seed
        ), f"drawn by Python's random.shuffle with seed {seed}"
    found = None
    if {"train_loss", "test_loss"} <= stored.keys():
        found = split_of_losses(scores.losses, stored["train_loss"], stored["test_loss"], [DRAW])
    if found is None:
        return Split(trained_on=UNKNOWN), "unknown: the file does not state it"
    is_train = drawn(DRAW, task.n_examples, fraction=found.percent / 100, seed=found.seed)
    how = f"not in the file; the only draw by random.shuffle with the stored losses, seed {found.seed}"
    return split_of(task, is_train, fraction=found.percent / 100, seed=found.seed), how


def stored_losses(told: Document) -> dict[str, Stored]:
    """The losses of the last weights, as far as the files say them."""
    found = {}
    for name in ("train_loss", "test_loss"):
        value = told.content.get(name)
        value = value.detach().item() if isinstance(value, Tensor) and value.numel() == 1 else value
        values = [*told.curves.get(name, []), value if isinstance(value, int | float) else math.nan]
        if (stored := Stored.after(values)) is not None:
            found[name] = stored
    return found


def optimization(told: Document) -> Optimization:
    """AdamW as the configuration says it, or the optimizer that is in the file. Raises ForeignFileError."""
    optimizer = told.content.get("optimizer")
    groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
    group: dict[str, Any] = dict(groups[0]) if groups and isinstance(groups[0], Mapping) else {}
    values = {key: told.config.get(key, group.get(key)) for key in ("lr", "weight_decay")}
    known = {key: value for key, value in values.items() if value is not None}
    return Optimization(
        lr=given(known, "lr", 1e-3, told.cfg), weight_decay=given(known, "weight_decay", 1.0, told.cfg), loss="float64"
    )
