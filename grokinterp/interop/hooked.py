"""Import of a saved HookedTransformer: its state dict, with its configuration in a JSON file next to it."""

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grokinterp.errors import ConfigError, short
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.split import UNKNOWN
from grokinterp.interop import chughtai
from grokinterp.interop.beside import required_config
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
from grokinterp.interop.release import Release, loaded
from grokinterp.interop.scores import score
from grokinterp.interop.weights import read_content, require_not_hugging_face, weights_in
from grokinterp.models import TransformerSpec
from grokinterp.tasks import ModularAddition, ModularDivision, ModularMultiplication, ModularSubtraction, Task

UNLIKE: dict[str, tuple[object, ...]] = {
    "attn_only": (False,),
    "parallel_attn_mlp": (False,),
    "gated_mlp": (False,),
    "use_local_attn": (False,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "use_attn_scale": (True,),
    "post_embedding_ln": (False,),
    "use_normalization_before_and_after": (False,),
    "positional_embedding_type": ("standard",),
    "normalization_type": ("LN", "LNPre"),
    "attention_dir": ("causal", "bidirectional"),
    "attn_scores_soft_cap": (-1, 0),
    "output_logits_soft_cap": (-1, 0),
    "eps": (1e-5,),
}
"""Settings of a HookedTransformerConfig that restrict which networks can be imported, with the supported values."""


def read(path: Path) -> Release:
    """Read a HookedTransformer trained on a task with two operands.

    Its configuration does not state the task. The key ``task``, with the same table as in configurations of this
    package, states it, or ``group`` and ``group_parameter`` as in Chughtai et al. 2023; otherwise it is inferred as the
    operation modulo p that the network computes. Neither the split nor, without a key ``num_epochs`` or ``steps``, the
    number of training steps is stated.

    Args:
        path: .pt, .pth or .safetensors; the JSON file has the same name, or a name with config or cfg in it.

    Raises:
        ForeignFileError: if a file is not as expected, or the network cannot be expressed by this package.
    """
    content = read_content(path)
    require_not_hugging_face(path, content)
    cfg = required_config(path)
    config = {key: value for key, value in read_config(cfg).items() if value is not None}
    if "group" in config:
        return chughtai.read_files(path, cfg)._replace(name=f"transformer-lens-{path.stem}")
    mapped = layout("transformer-lens").read(plain(weights_in(content, path), path), path)
    sizes = transformer_sizes(mapped)
    require_sizes(config, sizes, cfg, path)
    for task in tasks_of(config, sizes, cfg):
        spec = spec_of(config, sizes, mapped.state, task, cfg)
        experiment = Experiment(task=task, model=spec)
        ours = fitted(mapped.state, experiment, path)
        right = score(loaded(experiment, ours), experiment.tokens(), task.label()).accuracy
        if "task" in config or right > 0.5:
            break
    else:
        why = "computes none of a + b, a - b, a · b and a / b modulo its number of classes"
        raise ForeignFileError(
            path, f'{why}: state the task in {cfg.name}, as in "task": {{"kind": "polynomial", "p": 97}}'
        )
    step_key = next((key for key in ("num_epochs", "steps") if key in config), "")
    steps = given(config, step_key, 1, cfg, least=1)
    return Release(
        name=f"transformer-lens-{path.stem}",
        source=path,
        task=task,
        model=spec,
        optimization=Optimization(),
        split=Split(trained_on=UNKNOWN),
        steps=steps,
        seed=given(config, "seed", 0, cfg),
        states={steps: ours},
        curves={},
        notes={
            "release": "a HookedTransformer",
            "split": "not stated in the file",
            "optimization": "not stated in the file: the configuration shows defaults",
            "steps": f"as stated in {cfg.name}" if step_key else "not stated in the file: counted as 1",
        },
    )


def tasks_of(config: Mapping[str, Any], sizes: Mapping[str, int], path: Path) -> list[Task]:
    """Return the stated task, or all tasks that a network of this shape may have learned. Raises ForeignFileError."""
    if "task" in config:
        try:
            return [Experiment.from_dict({"task": config["task"]}).task]
        except ConfigError as error:
            raise ForeignFileError(path, str(error)) from None
    p = sizes["d_vocab"] - (sizes["n_ctx"] > 2)
    kinds = (ModularAddition, ModularSubtraction, ModularMultiplication, ModularDivision)
    found: list[Task] = []
    for kind in kinds:
        with contextlib.suppress(ConfigError):
            found.append(kind(p=p))
    if not found or sizes["d_vocab_out"] < p or sizes["n_ctx"] < 2:
        why = "{d_vocab} tokens, {n_ctx} positions, {d_vocab_out} classes".format(**sizes)
        raise ForeignFileError(path, f"fits no operation on two operands: {why}")
    return found


def spec_of(
    config: Mapping[str, Any], sizes: Mapping[str, int], state: State, task: Task, path: Path
) -> TransformerSpec:
    """Return the transformer of a configuration. Raises ForeignFileError naming an unsupported setting."""
    for key, values in UNLIKE.items():
        if key in config and config[key] not in values:
            raise ForeignFileError(path, f"{key}={short(config[key], 40)}: must be among {listed(values)}")
    act = str(config.get("act_fn", "relu"))
    if act.lower() not in ACTIVATIONS:
        raise ForeignFileError(path, f"act_fn={short(act, 40)}: must be among {listed(ACTIVATIONS)}")
    scale = given(config, "attn_scale", -1.0, path, least=-1)
    if scale not in (-1.0, 0.0) and not math.isclose(scale, sizes["d_head"] ** 0.5, rel_tol=1e-6):
        raise ForeignFileError(path, f"attn_scale={scale}: must be the square root of d_head={sizes['d_head']}")
    learned = "LN" if any(".ln1." in name for name in state) else None
    return TransformerSpec(
        **spec_sizes(sizes),
        act_fn=ACTIVATIONS[act.lower()],
        read_at="equals" if sizes["d_vocab"] > task.d_vocab else "last",
        normalization=config.get("normalization_type", learned),
        attention=config.get("attention_dir", "causal"),
        biases=biases([state]),
    )
