"""The networks of Nanda et al. 2023: one .pth file with weights, loss curves, optimizer and mostly a configuration."""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop.files import ForeignFileError, given, listed, read_torch, state_dict
from grokinterp.interop.layout import ACTIVATIONS, Sizes, State, biases, fitted, plain, sizes, untransposed
from grokinterp.interop.logs import curves_in
from grokinterp.interop.release import Curves, Release, loaded, split_of
from grokinterp.interop.scores import Scores, score
from grokinterp.models import TransformerSpec
from grokinterp.tasks import ModularAddition, ModularSubtraction, Polynomial, Task

TOLERANCE = 0.01
"""Relative difference between a stored loss and that of the split which gave it."""


def read(path: Path) -> Release:
    """A network of the release.

    The file's ``config`` says task, seed and fraction. Without one, the task is addition or
    subtraction, whichever the network has learned, and the split the one whose losses are stored.

    Raises:
        ForeignFileError: a file that is not of this release.
    """
    content = read_torch(path)
    if not isinstance(content, Mapping):
        raise ForeignFileError(path, "holds no dict with the weights under 'model'")
    config = content.get("config", {})
    if not isinstance(config, Mapping):
        raise ForeignFileError(path, f"config is {type(config).__name__}, no dict")
    states = {step: untransposed(plain(state, path), path) for step, state in weights_by_step(content, config, path)}
    shape = sizes(states[max(states)], path)
    spec = spec_of(shape, states, config, path)
    p = given(config, "p", min(shape.d_vocab - 1, shape.d_vocab_out), path, least=3)
    if shape.d_vocab != p + 1 or shape.n_ctx < 3:
        why = f"{shape.d_vocab} tokens at {shape.n_ctx} positions; p={p} needs p + 1 at 3"
        raise ForeignFileError(path, f"embeds {why}")
    candidates = (
        [named_task(config, p, path)] if "fn_name" in config else [ModularAddition(p=p), ModularSubtraction(p=p)]
    )
    states = fit_all(states, spec, candidates[0], path)
    task, scores = learned(states[max(states)], spec, candidates)
    if len(candidates) > 1 and scores.accuracy < 0.5:
        raise ForeignFileError(
            path, f"has no fn_name, and answers neither a + b nor a - b modulo {p}: {scores.accuracy:.1%}"
        )
    split, how = split_by(config, content, task, scores, path)
    return Release(
        name=f"nanda-{path.stem}",
        source=path,
        task=task,
        model=spec,
        optimization=optimization(config, content, path),
        split=split,
        steps=max(1, *states, given(config, "num_epochs", 1, path)) if config else max(1, *states),
        seed=given(config, "seed", 0, path),
        states=states,
        curves=curves_of(content, path),
        notes={"release": "Nanda et al. 2023", "split": how},
    )


def weights_by_step(content: Mapping[str, Any], config: Mapping[str, Any], path: Path) -> Iterator[tuple[int, State]]:
    """Every state dict with the number of optimizer steps behind it."""
    several = content.get("state_dicts")
    if isinstance(several, list | tuple) and several:
        yield from zip(
            epochs_of(content, config, len(several), path), (state_dict(one, path) for one in several), strict=True
        )
    last = steps_taken(content, config)
    if "model" in content:
        if last is None:
            raise ForeignFileError(
                path, f"does not say after how many epochs: no epoch, no optimizer; it has {listed(content)}"
            )
        yield last, state_dict(content["model"], path)
    elif not several:
        raise ForeignFileError(path, f"has no 'model' and no 'state_dicts'; it has {listed(content)}")


def epochs_of(content: Mapping[str, Any], config: Mapping[str, Any], count: int, path: Path) -> list[int]:
    """The epochs of several state dicts: listed, or every so many from the first on."""
    epochs, every = content.get("epochs"), config.get("save_every")
    whole = isinstance(epochs, list | tuple) and all(isinstance(epoch, int) and epoch >= 0 for epoch in epochs)
    if whole and len(epochs) == count:
        return list(epochs)
    if isinstance(every, int) and every > 0:
        return [every * number for number in range(count)]
    raise ForeignFileError(path, f"does not say at which epochs its {count} state dicts were saved")


def steps_taken(content: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    """Optimizer steps behind the last weights: the optimizer's count, or the number of the last epoch plus 1."""
    optimizer = content.get("optimizer")
    moments = optimizer.get("state") if isinstance(optimizer, Mapping) else None
    if isinstance(moments, Mapping):
        counts = [one.get("step") for one in moments.values() if isinstance(one, Mapping)]
        if counts and all(isinstance(count, int | Tensor) for count in counts):
            return max(int(count) for count in counts)
    epoch, epochs = content.get("epoch"), config.get("num_epochs")
    counted = epoch + 1 if isinstance(epoch, int) else epochs
    return counted if isinstance(counted, int) and counted >= 0 else None


def spec_of(shape: Sizes, states: Mapping[int, State], config: Mapping[str, Any], path: Path) -> TransformerSpec:
    """The transformer of the release: causal, read at "=", biases in the MLP."""
    act = str(config.get("act_type", "ReLU"))
    if act.lower() not in ACTIVATIONS:
        raise ForeignFileError(path, f"act_type={act[:40]}: must be among {listed(ACTIVATIONS)}")
    if config.get("use_ln"):
        raise ForeignFileError(path, "use_ln=True: its LayerNorm is not known")
    return TransformerSpec(**shape.spec(), act_fn=ACTIVATIONS[act.lower()], biases=biases(states.values()))


def named_task(config: Mapping[str, Any], p: int, path: Path) -> Task:
    """The task of a ``fn_name``."""
    tasks = {
        "add": lambda: ModularAddition(p=p),
        "subtract": lambda: ModularSubtraction(p=p),
        "x2xyy2": lambda: Polynomial(p=p, expression="x^2+xy+y^2"),
    }
    name = str(config["fn_name"])
    if name not in tasks:
        raise ForeignFileError(path, f"fn_name={name[:40]}: must be among {listed(tasks)}")
    return tasks[name]()


def fit_all(states: Mapping[int, State], spec: TransformerSpec, task: Task, path: Path) -> dict[int, State]:
    """Every state as the model of the task holds it."""
    experiment = Experiment(task=task, model=spec)
    return {step: fitted(state, experiment, path) for step, state in states.items()}


def learned(state: State, spec: TransformerSpec, candidates: Sequence[Task]) -> tuple[Task, Scores]:
    """The task that the network answers best, and how."""
    scored = []
    for task in candidates:
        experiment = Experiment(task=task, model=spec)
        scored.append((task, score(loaded(experiment, state), experiment.tokens(), task.labels())))
    return max(scored, key=lambda pair: pair[1].accuracy)


def shuffled(p: int, seed: int, fraction: float) -> Bool[Tensor, "example"]:
    """The first ⌊fraction · p²⌋ pairs in the order of Python's shuffle.

    Source: the code released with Nanda et al. 2023.

    >>> shuffled(3, 0, 0.3).nonzero().flatten().tolist()
    [5, 7]
    """
    return _first(permutation(p, seed), int(fraction * p * p))


def permutation(p: int, seed: int) -> list[int]:
    """The pairs a·p + b in the order of Python's shuffle, which moves any list of that length alike."""
    order = list(range(p * p))
    random.Random(seed).shuffle(order)
    return order


def split_by(
    config: Mapping[str, Any], content: Mapping[str, Any], task: Task, scores: Scores, path: Path
) -> tuple[Split, str]:
    """The split of the configuration, or that of the stored losses, and where it comes from."""
    p = task.d_vocab
    if "frac_train" in config:
        fraction, seed = given(config, "frac_train", 0.3, path), given(config, "seed", 0, path)
        if not 0 < fraction < 1:
            raise ForeignFileError(path, f"frac_train={fraction}: must lie strictly between 0 and 1")
        split = split_of(task, shuffled(p, seed, fraction), fraction=fraction, seed=seed)
        return split, f"drawn by Python's random.shuffle with seed {seed}"
    found = split_of_losses(content, p, scores)
    if found is None:
        return Split(trained_on=UNKNOWN), "not told by the file"
    percent, seed = found
    split = split_of(task, shuffled(p, seed, percent / 100), fraction=percent / 100, seed=seed)
    return (
        split,
        f"not told by the file; of those by Python's random.shuffle the one whose losses are stored, seed {seed}",
    )


def split_of_losses(content: Mapping[str, Any], p: int, scores: Scores) -> tuple[int, int] | None:
    """Percentage and seed, from 0 to 9, of the only shuffled split with the stored train and test loss.

    Both have to agree to 1 %. None where no split or several have them: then nobody can tell.
    """
    train, test = _last(content, "train"), _last(content, "test")
    if train is None or test is None:
        return None
    counts = {int(percent / 100 * p * p): percent for percent in range(99, 0, -1)}
    found = []
    for seed in range(10):
        total = scores.losses[permutation(p, seed)].cumsum(0)
        for count, percent in counts.items():
            means = total[count - 1] / count, (total[-1] - total[count - 1]) / (p * p - count)
            pairs = zip(means, (train, test), strict=True)
            if count and all(abs(float(mean) - loss) <= TOLERANCE * abs(loss) for mean, loss in pairs):
                found.append((percent, seed))
    return found[0] if len(found) == 1 else None


def _first(order: list[int], count: int) -> Bool[Tensor, "example"]:
    mask = torch.zeros(len(order), dtype=torch.bool)
    mask[order[:count]] = True
    return mask


def _last(content: Mapping[str, Any], split: str) -> float | None:
    """The last stored loss of a split."""
    value = content.get(f"{split}_loss")
    curve = content.get(f"{split}_losses")
    if value is None and isinstance(curve, list | tuple) and curve:
        value = curve[-1]
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.detach().item()
    return float(value) if isinstance(value, int | float) else None


def curves_of(content: Mapping[str, Any], path: Path) -> Curves:
    """The stored loss curves, one value an epoch or, of the test losses, one every few; none without both."""
    return curves_in({name: value for name, value in content.items() if name.endswith("losses")}, path)


def optimization(config: Mapping[str, Any], content: Mapping[str, Any], path: Path) -> Optimization:
    """AdamW as the configuration says it, or the optimizer that is in the file."""
    optimizer = content.get("optimizer")
    groups = optimizer.get("param_groups") if isinstance(optimizer, Mapping) else None
    group: dict[str, Any] = dict(groups[0]) if groups and isinstance(groups[0], Mapping) else {}
    values = {key: config.get(key, group.get(key)) for key in ("lr", "weight_decay")}
    known = {key: value for key, value in values.items() if value is not None}
    return Optimization(
        lr=given(known, "lr", 1e-3, path), weight_decay=given(known, "weight_decay", 1.0, path), loss="float64"
    )
