"""Files of weights, in PyTorch's format or safetensors, and the state dict inside."""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from grokinterp.errors import short
from grokinterp.interop.files import LARGEST_FILE, ForeignFileError, listed, read_torch, state_dict
from grokinterp.interop.text_files import read_bytes
from grokinterp.storage.files import parse_json, read_json

SUFFIXES = (".pt", ".pth", ".safetensors", ".bin", ".ckpt", ".tar")
"""Suffixes of files of weights."""

WRAPPERS = ("model_state_dict", "state_dict", "model", "net", "network", "module", "weights", "params")
"""Keys under which training code saves a state dict next to an optimizer, an epoch or losses."""

PREFIXES = ("module.", "_orig_mod.", "model.")
"""Prefixes of all names: from torch.nn.DataParallel, torch.compile, or a module that holds the network."""

SAVED_AS = re.compile(r"(pytorch_)?model(-\d+-of-\d+)?\.(safetensors|bin)")
"""File names of weights in the transformers library."""

HUGGING_FACE = re.compile(
    r"(transformer\.)?h\.\d+\.(attn|self_attention|ln_1|mlp)\..*"
    r"|(model\.)?(decoder\.)?layers\.\d+\.(self_attn\.[qkv]_proj|input_layernorm)\..*"
    r"|gpt_neox\.layers\.\d+\..*"
    r"|(\w+\.)?encoder\.layer\.\d+\..*"
)
"""Names of weights in models of the transformers library."""

USE_INSTEAD = (
    "no layout of this package describes it. Load it with transformers, and record its training with "
    "grokinterp.Recorder (docs/recorder.md), or write the names of its weights into a table (docs/import.md)"
)


def read_content(path: Path) -> Mapping[str, Any]:
    """Return the content of a file; for safetensors, the tensors under "state_dict", and the metadata.

    Raises:
        ForeignFileError: if the file is not as expected, or holds no dictionary.
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    if not isinstance(content, Mapping):
        raise ForeignFileError(path, f"holds {type(content).__name__}, not a state dict")
    return content


def weights_in(content: Mapping[str, Any], path: Path, at: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a network by name.

    Args:
        content: a state dict, or a dictionary that has one under one of ``WRAPPERS``.
        path: the file, for messages.
        at: keys that lead to the state dict, such as "states.model"; then no others are tried.

    Raises:
        ForeignFileError: if there is no state dict, or an entry is not a plain tensor.
    """
    inner: Any = content
    wrapped = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
    if at is not None:
        inner = value_at(content, at, path)
    elif wrapped:
        inner = content[wrapped[0]]
    elif not any(isinstance(value, Tensor) for value in content.values()):
        places = ", ".join(WRAPPERS)
        raise ForeignFileError(
            path, f"holds no state dict, at the top level or under {places}; it has {listed(content)}"
        )
    return without_prefix(state_dict(inner, path))


def without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Strip a prefix shared by all names.

    >>> import torch
    >>> list(without_prefix({"module.a": torch.ones(1), "module.b": torch.ones(1)}))
    ['a', 'b']
    """
    for prefix in PREFIXES:
        if all(name.startswith(prefix) and name != prefix for name in state):
            return without_prefix({name.removeprefix(prefix): value for name, value in state.items()})
    return state


def value_at(content: Any, keys: str, path: Path) -> Any:
    """Return the value at a dotted path of keys. Raises ForeignFileError naming the existing keys."""
    value = content
    for key in [keys] if isinstance(content, Mapping) and keys in content else keys.split("."):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list | tuple) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            there = listed(value) if isinstance(value, Mapping) else f"a {type(value).__name__}"
            raise ForeignFileError(path, f"has no {keys!r}: at {key!r} it has {there}")
    return value


def require_not_hugging_face(path: Path, names: Mapping[str, Any] | None = None) -> None:
    """Raise ForeignFileError, with an alternative, for a model of the transformers library.

    Args:
        path: a folder, or a file of weights.
        names: the names in the file; None checks only the configuration next to it.

    A configuration of that library applies to its folder, and to the files that the library itself names.
    """
    config = (path if path.is_dir() else path.parent) / "config.json"
    made = _architecture(config)
    if made and (names is None or SAVED_AS.fullmatch(path.name)):
        raise ForeignFileError(path, f"is a Hugging Face model ({made}): {USE_INSTEAD}")
    if example := next((name for name in names or {} if HUGGING_FACE.fullmatch(str(name))), None):
        raise ForeignFileError(path, f"is a Hugging Face model, according to its {short(example, 60)}: {USE_INSTEAD}")


def _architecture(config: Path) -> str | None:
    """Return the class that a configuration of the transformers library names."""
    with contextlib.suppress(OSError, ValueError):
        values = read_json(config)
        named = values.get("architectures") if isinstance(values, dict) else None
        if isinstance(named, list) and named and isinstance(named[0], str):
            return short(named[0], 60)
    return None


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Return the tensors under "state_dict", and the metadata with parsed numbers. Raises ForeignFileError."""
    data = read_bytes(path, limit=LARGEST_FILE)
    try:
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        tensors = safetensors.torch.load(data)
    except Exception as error:  # the header of a damaged file can raise anything
        raise ForeignFileError(path, f"is not a safetensors file: {short(error, 100)}") from None
    metadata: dict[str, Any] = {}
    for key, text in (header.get("__metadata__") or {}).items():
        metadata[key] = text
        with contextlib.suppress(ValueError):
            metadata[key] = parse_json(text, non_finite=True)
    return metadata | {"state_dict": tensors}
