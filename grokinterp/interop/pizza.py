"""The networks of Zhong et al. 2023: model_ID.pt with config_ID.json beside it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop.files import ForeignFileError, given, listed, read_config, read_torch, required, state_dict
from grokinterp.interop.layout import ACTIVATIONS, Sizes, State, biases, fitted, plain, sizes, untransposed
from grokinterp.interop.release import Release
from grokinterp.models import TransformerSpec
from grokinterp.tasks import ModularAddition, Table, Task

SUM = re.compile(r"lambda x: ?\(x\[0\] ?\+ ?x\[1\]\) ?% ?(\d{1,4})")


def read(path: Path) -> Release:
    """A network of the release; its split was drawn by a generator that nobody has recorded.

    Raises:
        ForeignFileError: a file that is not of this release, or a network that cannot be expressed here.
    """
    if path.suffix != ".pt" or not path.stem.startswith("model_"):
        raise ForeignFileError(path, "must be called model_ID.pt, with config_ID.json beside it")
    identity = path.stem.removeprefix("model_")
    beside = path.with_name(f"config_{identity}.json")
    config = read_config(beside)
    p = modulus(config, beside)
    state = untransposed(plain(state_dict(read_torch(path), path), path), path)
    shape = sizes(state, path)
    equals, task = bool(config.get("eqn_sign")), task_of(config, p)
    require_positions(shape, task, equals, path)
    spec = spec_of(config, shape, state, equals, beside)
    steps = given(config, "epoch", 20_000, beside, least=1)
    fraction = given(config, "frac", 0.8, beside)
    return Release(
        name=f"pizza-{identity}",
        source=path,
        task=task,
        model=spec,
        optimization=Optimization(
            lr=given(config, "lr", 1e-3, beside),
            weight_decay=given(config, "weight_decay", 0.0, beside),
            warmup_steps=0,
            loss="float32",
        ),
        split=Split(fraction=fraction, trained_on=UNKNOWN),
        steps=steps,
        seed=0,
        states={steps: fitted(state, Experiment(task=task, model=spec), path)},
        curves={},
        notes={"release": "Zhong et al. 2023", "split": "drawn by a generator whose seed was not recorded"},
    )


def modulus(config: Mapping[str, Any], path: Path) -> int:
    """P of ``funcs``, the sum of two inputs modulo p, which is read and never run."""
    p = given(config, "C", 0, path)
    found = SUM.fullmatch(str(required(config, "funcs", path)).strip())
    if not found or int(found[1]) != p:
        raise ForeignFileError(path, f"funcs={str(config['funcs'])[:60]}: must be lambda x: (x[0]+x[1])%C with C={p}")
    return p


def task_of(config: Mapping[str, Any], p: int) -> Task:
    """Addition modulo p; with ``diff_vocab`` the second operand b is the token p + b, by a table."""
    if not config.get("diff_vocab"):
        return ModularAddition(p=p)
    return Table.from_array([[-1] * p + [(a + b) % p for b in range(p)] for a in range(p)])


def require_positions(shape: Sizes, task: Task, equals: bool, path: Path) -> None:
    """Raise ForeignFileError unless the network has the task's tokens, an "=" behind them if there is one."""
    tokens, positions, classes = task.d_vocab + equals, task.n_ctx + equals, task.n_classes
    if shape.d_vocab != tokens or shape.n_ctx < positions or shape.d_vocab_out < classes:
        found = f"{shape.d_vocab} tokens, {shape.n_ctx} positions and {shape.d_vocab_out} outputs"
        raise ForeignFileError(path, f"has {found}; its configuration needs {tokens}, {positions} and {classes}")


def spec_of(config: Mapping[str, Any], shape: Sizes, state: State, equals: bool, path: Path) -> TransformerSpec:
    """The transformer: every position sees all, rate · softmax + (1 - rate) · 1."""
    act, rate = str(config.get("act_fn", "ReLU")), given(config, "attn_coeff", 1.0, path)
    if act.lower() not in ACTIVATIONS:
        raise ForeignFileError(path, f"act_fn={act[:40]}: must be among {listed(ACTIVATIONS)}")
    if rate > 1:
        raise ForeignFileError(path, f"attn_coeff={rate}: must be from 0 to 1")
    return TransformerSpec(
        **shape.spec(),
        act_fn=ACTIVATIONS[act.lower()],
        read_at="equals" if equals else "last",
        attention="bidirectional",
        attention_rate=rate,
        biases=biases([state]),
    )
