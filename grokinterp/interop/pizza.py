"""Import of the networks of Zhong et al. 2023: model_ID.pt with config_ID.json next to it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.errors import short
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop import linear
from grokinterp.interop.files import ForeignFileError, given, listed, read_config, required
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
from grokinterp.interop.release import Release
from grokinterp.interop.weights import read_content, require_not_hugging_face, weights_in
from grokinterp.models import ModelSpec, TransformerSpec
from grokinterp.tasks import ModularAddition, Table, Task

SUM = re.compile(r"lambda x: ?\(x\[0\] ?\+ ?x\[1\]\) ?% ?(\d{1,4})")


class Network(NamedTuple):
    """The fields that differ between the two kinds of networks of the release."""

    task: Task
    model: ModelSpec
    state: State
    notes: dict[str, str]


def read(path: Path) -> Release:
    """Read a network of the release; the seed of its split was not recorded.

    A configuration with a ``model_type`` belongs to a network without attention.

    Raises:
        ForeignFileError: if a file is not of this release, or the network cannot be expressed by this package.
    """
    if path.suffix not in (".pt", ".safetensors") or not path.stem.startswith("model_"):
        raise ForeignFileError(path, "must be named model_ID.pt, with config_ID.json next to it")
    identity = path.stem.removeprefix("model_")
    beside = path.with_name(f"config_{identity}.json")
    config = read_config(beside)
    content = read_content(path)
    require_not_hugging_face(path, content)
    weights = plain(weights_in(content, path), path)
    kind = linear.network if "model_type" in config else transformer
    network = kind(config, weights, beside, path)
    steps = given(config, "epoch", 20_000, beside, least=1)
    return Release(
        name=f"pizza-{identity}",
        source=path,
        task=network.task,
        model=network.model,
        optimization=Optimization(
            lr=given(config, "lr", 1e-3, beside),
            weight_decay=given(config, "weight_decay", 0.0, beside),
            warmup_steps=0,
            loss="float32",
        ),
        split=Split(fraction=given(config, "frac", 0.8, beside), trained_on=UNKNOWN),
        steps=steps,
        seed=0,
        states={steps: network.state},
        curves={},
        notes={"release": "Zhong et al. 2023", "split": "unknown: its seed was not recorded"} | network.notes,
    )


def transformer(config: Mapping[str, Any], weights: State, beside: Path, path: Path) -> Network:
    """Return a network with attention. Raises ForeignFileError."""
    p = modulus(config, beside)
    mapped = layout("nanda").read(weights, path)
    sizes = transformer_sizes(mapped)
    require_sizes(config, sizes, beside, path)
    equals, task = bool(config.get("eqn_sign")), task_of(config, p)
    require_positions(sizes, task, equals, path)
    spec = spec_of(config, sizes, mapped.state, equals, beside)
    return Network(task, spec, fitted(mapped.state, Experiment(task=task, model=spec), path), {})


def modulus(config: Mapping[str, Any], path: Path) -> int:
    """Return p of ``funcs``, the sum of two inputs modulo p; the code is parsed and never run."""
    p = given(config, "C", 0, path)
    found = SUM.fullmatch(str(required(config, "funcs", path)).strip())
    if not found or int(found[1]) != p:
        raise ForeignFileError(path, f"funcs={short(config['funcs'], 60)}: must be lambda x: (x[0]+x[1])%C with C={p}")
    return p


def task_of(config: Mapping[str, Any], p: int) -> Task:
    """Return addition modulo p; with ``diff_vocab``, the token of the second operand b is p + b, as a table."""
    if not config.get("diff_vocab"):
        return ModularAddition(p=p)
    return Table.from_array([[-1] * p + [(a + b) % p for b in range(p)] for a in range(p)])


def require_positions(sizes: Mapping[str, int], task: Task, equals: bool, path: Path) -> None:
    """Raise ForeignFileError unless the network has the task's tokens, followed by "=" if it has one."""
    tokens, positions, classes = task.d_vocab + equals, task.n_ctx + equals, task.n_classes
    found = sizes["d_vocab"], sizes["n_ctx"], sizes["d_vocab_out"]
    if found[0] != tokens or found[1] < positions or found[2] < classes:
        has = "{} tokens, {} positions and {} outputs".format(*found)
        raise ForeignFileError(path, f"has {has}; its configuration needs {tokens}, {positions} and {classes}")


def spec_of(
    config: Mapping[str, Any], sizes: Mapping[str, int], state: State, equals: bool, path: Path
) -> TransformerSpec:
    """Return the transformer: bidirectional attention, rate · softmax + (1 - rate) · 1."""
    act, rate = str(config.get("act_fn", "ReLU")), given(config, "attn_coeff", 1.0, path)
    if act.lower() not in ACTIVATIONS:
        raise ForeignFileError(path, f"act_fn={short(act, 40)}: must be among {listed(ACTIVATIONS)}")
    if rate > 1:
        raise ForeignFileError(path, f"attn_coeff={rate}: must be from 0 to 1")
    return TransformerSpec(
        **spec_sizes(sizes),
        act_fn=ACTIVATIONS[act.lower()],
        read_at="equals" if equals else "last",
        attention="bidirectional",
        attention_rate=rate,
        biases=biases([state]),
    )
