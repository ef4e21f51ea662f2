"""The formats of published folders: which configuration and weights each has, and which runs it can hold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from grokinterp._version import __version__
from grokinterp.errors import require_choice
from grokinterp.models import TransformerSpec
from grokinterp.runs.trajectory import Trajectory

State = dict[str, Tensor]


class Format(NamedTuple):
    """A format of published folders.

    Attributes:
        config: returns the content of config.json, given the exported steps.
        state: returns the weights under the names of the format.
        reason_against: returns why a run cannot be exported; "" if it can.
        loading: how to load the weights, as Markdown.
    """

    config: Callable[[Trajectory, Sequence[int]], dict[str, Any]]
    state: Callable[[Trajectory, State], State]
    reason_against: Callable[[Trajectory], str]
    loading: str


def hub_config(run: Trajectory, steps: Sequence[int]) -> dict[str, Any]:
    """Return the configuration of a run with the sizes of its task, for the Hugging Face hub."""
    task = run.experiment.task
    return {
        "model_type": "grokinterp",
        "grokinterp": __version__,
        "run_id": run.directory.run_id,
        "d_vocab": task.d_vocab + run.experiment.model.appends_equals,
        "n_classes": task.n_classes,
        "n_ctx": task.n_ctx + run.experiment.model.appends_equals,
        "steps": list(steps),
        "last_step": steps[-1],
        **{key: run.directory.experiment.get(key) for key in ("task", "model", "optimization", "split", "seed")},
    }


def lens_config(run: Trajectory, _: Sequence[int] = ()) -> dict[str, Any]:
    """Return the arguments of a HookedTransformerConfig."""
    config = run.experiment.empty_model(device="meta").cfg
    names = ("n_layers", "d_model", "n_ctx", "n_heads", "d_head", "d_mlp", "d_vocab", "d_vocab_out", "act_fn",
             "normalization_type", "attention_dir", "positional_embedding_type")  # fmt: skip
    return {name: getattr(config, name) for name in names}


def lens_state(run: Trajectory, state: State) -> State:
    """Return weights as the state dict of a HookedTransformer: with its masks, and with W_U also if it is tied."""
    sizes = lens_config(run)
    size, layers = sizes["n_ctx"], sizes["n_layers"]
    mask, ignore = torch.ones(size, size, dtype=torch.bool).tril(), torch.tensor(-torch.inf)
    masks = {f"blocks.{i}.attn.{name}": value.clone() for i in range(layers)
             for name, value in (("mask", mask), ("IGNORE", ignore))}  # fmt: skip
    tied = {} if "unembed.W_U" in state else {"unembed.W_U": state["embed.W_E"][: sizes["d_vocab_out"]].T}
    return {**state, **tied, **masks}


def against_lens(run: Trajectory) -> str:
    """Return why TransformerLens has no model with the logits of a run; "" if it has one."""
    kind, settings = run.experiment.model.kind, run.experiment.every_setting
    if kind != TransformerSpec.kind:
        return f"model.kind={kind}: TransformerLens has transformers only"
    found: list[str] = list(getattr(run.experiment.model, "beyond_transformer_lens", ()))
    scale = settings["model.output_scale"]
    found += [f"output_scale={scale}"] if scale != 1 else []
    return f"model.{', model.'.join(found)}: TransformerLens has no such transformer" if found else ""


def against_hub(run: Trajectory) -> str:
    """Return "": every run can be published on the hub."""
    return ""


WITH_SAFETENSORS = """\
With safetensors and PyTorch alone:

```python
from safetensors.torch import load_file

weights = load_file("model.safetensors")  # the last step
earlier = load_file("steps/step_{first:08d}/model.safetensors")
data = load_file("dataset.safetensors")  # tokens and labels of all examples
```
"""

WITH_GROKINTERP = """\
With grokinterp, as the same run, with all checkpoints and metrics:

```
grokinterp import {to} FOLDER --out checkpoints/{name}
grokinterp report checkpoints/{name}
```
"""

WITH_TRANSFORMER_LENS = """\
With TransformerLens 2 and 3:

```python
import json
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig

config = HookedTransformerConfig.from_dict(json.load(open("config.json")))
model = HookedTransformer(config)
model.load_state_dict(load_file("model.safetensors"))
logits = model(load_file("dataset.safetensors")["tokens"])[:, -1]
```

With TransformerLens 4, which has no HookedTransformer:

```python
import json
from safetensors.torch import load_file
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge.sources.native import boot
from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

config = TransformerBridgeConfig(**json.load(open("config.json")), architecture="TransformerLensNative")
weights = load_file("model.safetensors")
kept = {{name: value for name, value in weights.items() if not name.endswith((".mask", ".IGNORE"))}}
model = boot(config)
model.load_state_dict(convert_tl_checkpoint(kept, config))
logits = model(load_file("dataset.safetensors")["tokens"])[:, -1]
```
"""

FORMATS: Mapping[str, Format] = {
    "hf": Format(hub_config, lambda _, state: state, against_hub, WITH_SAFETENSORS + WITH_GROKINTERP),
    "transformer-lens": Format(
        lens_config, lens_state, against_lens, WITH_TRANSFORMER_LENS + WITH_SAFETENSORS + WITH_GROKINTERP
    ),
}
"""The formats by the name that the command line gives them."""


def format_of(name: str) -> Format:
    """Return a format. Raises ConfigError for an unknown name."""
    require_choice("to", name, FORMATS)
    return FORMATS[name]
