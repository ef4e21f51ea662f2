"""Find the parts of a module by the names that a user gives."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from grokinterp.custom.named_tables import Sizes, embedding_table, neuron_table, unembedding_table
from grokinterp.custom.reading import Look, Reading, example_axis, named_reading
from grokinterp.errors import ConfigError, short
from grokinterp.models.call_trace import latest_calls
from grokinterp.models.known_parts import KnownParts, Table
from grokinterp.models.places import EXAMPLES, Place
from grokinterp.models.recorded_state import state_tensors
from grokinterp.models.taps import Trace, vector

PARTS = ("embedding", "unembedding", "neurons", "pre_activations", "neuron_output", "attention")
"""The parts that can be named."""


class Named(NamedTuple):
    """The named parts, and those of their activations that are not the output of a submodule."""

    parts: KnownParts
    readings: list[Reading]


def named_parts(parts: Mapping[str, Any], look: Look, seen: Trace, sizes: Sizes) -> Named:
    """Return the tensors and hooks of the named parts.

    Raises:
        ConfigError: a key is unknown, a name does not exist, or a shape does not fit or is ambiguous.
    """
    for key, value in parts.items():
        several = [value] if isinstance(value, str) else value
        if key not in PARTS:
            raise ConfigError("parts", short(key), f"must be among {', '.join(PARTS)}")
        if not isinstance(several, Sequence) or not several or not all(isinstance(name, str) for name in several):
            raise ConfigError(f"parts[{key!r}]", short(value), "must be a name or a list of names")
    readings: list[Reading] = []
    tables = {
        "embedding": lambda names: embedding_table(names, look.module, sizes),
        "unembedding": lambda names: unembedding_table(names, look.module, sizes),
    }
    found: dict[str, Any] = {key: table(listed(parts[key])) for key, table in tables.items() if key in parts}
    if "embedding" in parts:
        require_embedding(found["embedding"], look, sizes.of_first)
        found["embed_hook"] = embed_hook(listed(parts["embedding"]), look.module, seen)
    if "unembedding" in parts:
        found["bias"] = bias_of(found["unembedding"], look.module)
    if "neurons" in parts:
        found["neurons"] = neuron_hook("neurons", parts["neurons"], look, seen, readings)
        of = neuron_weights(parts, look.module)
        count = neuron_count(found["neurons"], look, seen, readings)
        if of is not None and sizes.read is not None:
            found["neuron_output"] = neuron_table(of, look.module, count, sizes.read, named="neuron_output" in parts)
        if "pre_activations" in parts:
            found["pre_activations"] = neuron_hook("pre_activations", parts["pre_activations"], look, seen, readings)
            if (before := neuron_count(found["pre_activations"], look, seen, readings)) != count:
                raise ConfigError("parts['pre_activations']", f"{before} values", f"must match the {count} neurons")
    elif further := sorted({"neuron_output", "pre_activations"} & parts.keys()):
        raise ConfigError("parts", further[0], 'needs parts["neurons"] as well')
    if "attention" in parts:
        found["attention"] = attention_hooks(listed(parts["attention"]), look, seen, readings)
    return Named(KnownParts(**found), readings)


def listed(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return one or several names as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


def require_embedding(table: Table, look: Look, tokens: frozenset[int]) -> None:
    """Raise ConfigError if the first example's logits depend on table rows of tokens that it does not contain.

    A table that is also the unembedding has a gradient at every row and is not checked.
    """
    module, tensors = look.module, state_tensors(look.module)
    weights = [tensors[name] for name in table.names]
    storages = {weight.untyped_storage().data_ptr() for weight in weights}
    last = latest_calls(look.single, range(len(look.single.linear)))
    tied = any(x.untyped_storage().data_ptr() in storages for i in last for x in look.single.linear[i].operands)
    if tied or not all(weight.is_floating_point() and weight.requires_grad for weight in weights):
        return
    scored = (look.single.logits * torch.arange(1, look.single.logits.shape[1] + 1).to(look.single.logits)).sum()
    found = torch.autograd.grad(scored, weights, retain_graph=True, allow_unused=True)
    named = f"{', '.join(table.names)} of {type(module).__name__}"
    if any(gradient is None for gradient in found):
        raise ConfigError("parts['embedding']", named, "must be used by the module: the logits do not depend on it")
    gradients = dict(zip(table.names, found, strict=True))
    rows = table.of(gradients).abs().sum(1).nonzero().flatten().tolist()
    if other := sorted(set(rows) - tokens):
        rule = f"must be read only at an example's tokens: the first, {sorted(tokens)}, depends on row {other[0]}"
        raise ConfigError("parts['embedding']", named, rule)


def embed_hook(names: tuple[str, ...], module: nn.Module, seen: Trace) -> str | None:
    """Return the submodule whose output is the embedded sequence; None if no single submodule gives it."""
    name = names[0].removesuffix(".weight")
    is_one = len(names) == 1 and isinstance(dict(module.named_modules()).get(name), nn.Embedding | nn.Linear)
    return (
        name
        if is_one and name in seen.values and seen.shapes[name][0] == EXAMPLES and seen.values[name].ndim == 3
        else None
    )


def bias_of(table: Table, module: nn.Module) -> str | None:
    """Return the name of the unembedding bias; None if there is none."""
    name = table.names[0].removesuffix("weight") + "bias"
    return name if table.names[0].endswith("weight") and name in state_tensors(module) else None


def neuron_hook(key: str, name: Any, look: Look, seen: Trace, readings: list[Reading]) -> str:
    """Return the hook of the neurons: ``act`` names the output of a submodule, ``out.hook_in`` the input of ``out``."""
    if not isinstance(name, str):
        raise ConfigError(f"parts[{key!r}]", short(name), "must be a single name")
    if name.endswith(".hook_in"):
        reading = named_reading(look, f"parts[{key!r}]", name.removesuffix(".hook_in"))
        readings.append(reading)
        return reading.name
    return submodule_hook(key, name, look, seen)


def submodule_hook(key: str, name: str, look: Look, seen: Trace) -> str:
    """Return the hook of a submodule's output.

    Raises:
        ConfigError: the submodule has no hook.
    """
    plain = name.removesuffix(".hook_out")
    if plain in seen.values:
        return plain
    rule = "must be a submodule that runs once and outputs a tensor with an example axis"
    raise ConfigError(f"parts[{key!r}]", short(plain), f"{rule}; {type(look.module).__name__} has {hooks_of(seen)}")


def hooks_of(seen: Trace) -> str:
    """Return the names of some submodules with hooks, as text."""
    names = list(seen.values)
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "") or "none"


def neuron_weights(parts: Mapping[str, Any], module: nn.Module) -> str | None:
    """Return the name of the output weights of the neurons, given or inferred from the layer that reads them."""
    if "neuron_output" in parts:
        value = parts["neuron_output"]
        if not isinstance(value, str):
            raise ConfigError("parts['neuron_output']", short(value), "must be a single name")
        return value
    name = str(parts["neurons"])
    of = dict(module.named_modules()).get(name.removesuffix(".hook_in")) if name.endswith(".hook_in") else None
    return name.removesuffix(".hook_in") if isinstance(of, nn.Linear) else None


def neuron_count(hook: str, look: Look, seen: Trace, readings: list[Reading]) -> int:
    """Return the number of neurons at a hook."""
    value = next((one.value for one in readings if one.name == hook), seen.values.get(hook))
    assert value is not None
    return vector(value, look.read_at).shape[1]


def attention_hooks(names: tuple[str, ...], look: Look, seen: Trace, readings: list[Reading]) -> tuple[str, ...]:
    """Return the hook of each layer's attention pattern, in the order of the forward pass.

    Each name is a submodule that outputs the pattern, or inside which attention is computed by ``softmax``,
    ``scaled_dot_product_attention``, or ``nn.MultiheadAttention``; "" is the whole module.

    Raises:
        ConfigError: a submodule has no attention, or the layers differ in shape.
    """
    found: list[str] = []
    for name in names:
        value = seen.values.get(name.removesuffix(".hook_out"))
        if value is not None and is_pattern(value):
            found.append(name.removesuffix(".hook_out"))
            continue
        inside = patterns_inside(name, look, {reading.name for reading in readings})
        if not inside:
            rule = "must be a submodule that outputs or computes an attention pattern"
            raise ConfigError("parts['attention']", short(repr(name)), rule)
        readings += inside
        found += [reading.name for reading in inside]
    values = seen.values | {reading.name: reading.value for reading in readings}
    if len({values[name].shape[1:] for name in found}) != 1:
        raise ConfigError(
            "parts['attention']", ", ".join(names), "must be layers with the same numbers of heads and positions"
        )
    return tuple(found)


def patterns_inside(name: str, look: Look, taken: set[str]) -> list[Reading]:
    """Return the attention patterns computed inside a submodule."""
    found = []
    for i, (one, two) in enumerate(zip(look.single.attention, look.double.attention, strict=False)):
        inside = not name or two.module == name or two.module.startswith(f"{name}.")
        if not inside or not one.operands or not two.operands:
            continue
        axis = example_axis(one.operands[0], two.operands[0])
        if axis is None or axis >= two.operands[0].ndim - 2:
            continue
        place = Place(at="pattern", module=two.module, call=i, axis=axis, rows=one.operands[0].shape[axis])
        value = place.arranged(two.operands[0].detach())
        if is_pattern(value):
            name_of_hook = free(f"{two.module}.hook_pattern".lstrip("."), taken)
            found.append(Reading(name_of_hook, place, value, two.operands[0]))
    return found


def free(name: str, taken: set[str]) -> str:
    """Return the name, with a number appended if it is taken, and mark it as taken."""
    number = next(n for n in range(1, 10**6) if (name if n == 1 else f"{name}.{n}") not in taken)
    chosen = name if number == 1 else f"{name}.{number}"
    taken.add(chosen)
    return chosen


def is_pattern(value: Tensor) -> bool:
    """Return whether an activation [example, head, query, key] or [example, query, key] has weights that sum to 1.

    >>> is_pattern(torch.full((2, 1, 3, 3), 1 / 3)), is_pattern(torch.ones(2, 3, 3))
    (True, False)
    """
    if value.ndim not in (3, 4):
        return False
    sums = value.double().sum(-1)
    return bool((value >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
