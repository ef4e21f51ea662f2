"""Find the activations that the last linear layers of any module read, and name their hooks."""

from collections.abc import Container, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from grokinterp.errors import ConfigError, short
from grokinterp.models.call_trace import Call, Calls, latest_calls
from grokinterp.models.places import Place, ReadAt
from grokinterp.models.taps import vector

LEFT = frozenset({"matmul", "__matmul__", "mm", "bmm"})
"""Functions whose first operand, if it is a weight, mixes the rows of the second operand."""


class Reading(NamedTuple):
    """An activation that is not the output of a submodule, such as the input of a linear layer.

    Args:
        name: the name of its hook.
        place: its location in the module.
        value: its value for two examples, as seen at the hook.
        source: the tensor in the module.
    """

    name: str
    place: Place
    value: Tensor
    source: Tensor


class Look(NamedTuple):
    """A module, its calls for one example and for two examples, and the position that is read."""

    module: nn.Module
    single: Calls
    double: Calls
    read_at: ReadAt


def last_readings(look: Look) -> list[Reading]:
    """Return the inputs of the last linear layers: several in an ensemble, none without linear layers.

    A linear layer multiplies a tensor that depends on the examples by one that does not. The last ones are those whose
    output reaches the logits without passing another linear layer; scales, shifts, log-softmax, and means over ensemble
    members may come between.
    """
    pairs = zip(look.single.linear, look.double.linear, strict=False)
    moving = {i: axes for i, (one, two) in enumerate(pairs) if (axes := moving_operands(one, two))}
    found: list[Reading] = []
    for i in latest_calls(look.double, moving):
        for operand, axis in moving[i].items():
            reading = reading_of(look, i, operand, axis)
            if reading is not None and not any(is_view(reading.source, other.source) for other in found):
                found.append(reading)
    return distinct(found)


def named_readings(look: Look, key: str, names: Sequence[str]) -> list[Reading]:
    """Return the inputs of the named linear layers: submodules, or weights by which a function multiplies.

    Raises:
        ConfigError: a submodule or weight does not exist, or is not used exactly once in a forward pass.
    """
    return distinct([named_reading(look, key, name) for name in names])


def named_reading(look: Look, key: str, name: str) -> Reading:
    """Return the input of one linear layer.

    Raises:
        ConfigError: as for ``named_readings``.
    """
    if name in dict(look.module.named_modules()):
        given = [calls.passed.inputs.get(name, []) for calls in (look.single, look.double)]
        if [len(values) for values in given] != [1, 1]:
            raise ConfigError(key, short(name), "must run once in a forward pass, with a tensor as its first input")
        one, two = given[0][0], given[1][0]
        if (axis := example_axis(one, two)) is None:
            raise ConfigError(key, short(name), "must receive a tensor with an example axis")
        place = Place(at="input", module=name, axis=axis, rows=one.shape[axis])
        return Reading(f"{name}.hook_in", place, place.arranged(two.detach()), two)
    weight = dict([*look.module.named_buffers(), *look.module.named_parameters(remove_duplicate=False)]).get(name)
    if weight is None:
        raise ConfigError(key, short(name), f"must be a submodule or a weight of {type(look.module).__name__}")
    storage, found = weight.untyped_storage().data_ptr(), []
    for i, (one, two) in enumerate(zip(look.single.linear, look.double.linear, strict=False)):
        if any(x.untyped_storage().data_ptr() == storage for x in two.operands):
            found += [(i, operand, axis) for operand, axis in moving_operands(one, two).items()]
    reading = reading_of(look, *found[0]) if len(found) == 1 else None
    if reading is None:
        raise ConfigError(key, short(name), f"must multiply one activation; it multiplies {len(found)}")
    return reading


def moving_operands(single: Call, double: Call) -> dict[int, int]:
    """Return the example axes of the operands that depend on the examples; empty if no operand is a weight.

    A weight that multiplies positions from the left, as in pooling, is not a linear layer.
    """
    if double.function != single.function or len(single.operands) != len(double.operands):
        return {}
    axes = [example_axis(one, two) for one, two in zip(single.operands, double.operands, strict=True)]
    weights = [i for i, axis in enumerate(axes) if axis is None and double.operands[i].ndim > 1]
    moving = {i: axis for i, axis in enumerate(axes) if axis is not None}
    if not weights or not moving:
        return {}
    if double.function in LEFT and weights[0] == 0:
        right = double.operands[1]
        if right.ndim > 2 and moving[1] != right.ndim - 1 and right.shape[-1] != 1:
            return {}
    return moving


def example_axis(one: Tensor, two: Tensor) -> int | None:
    """Return the axis on which a tensor is twice as long for two examples as for one; None if there is no such axis.

    >>> example_axis(torch.ones(3, 1, 2), torch.ones(3, 2, 2)), example_axis(torch.ones(3, 2), torch.ones(3, 2))
    (1, None)
    """
    if one.ndim != two.ndim:
        return None
    axes = [axis for axis, (a, b) in enumerate(zip(one.shape, two.shape, strict=True)) if a != b]
    return axes[0] if len(axes) == 1 and two.shape[axes[0]] == 2 * one.shape[axes[0]] else None


def reading_of(look: Look, number: int, operand: int, axis: int) -> Reading | None:
    """Return the activation that a call reads by one operand; None if its rows are not in the order of the examples."""
    call, one = look.double.linear[number], look.single.linear[number].operands[operand]
    weights = [x for x in call.operands if x is not call.operands[operand] and x.ndim > 1]
    stacked = not call.function.startswith(("conv", "bilinear")) and any(x.squeeze().ndim > 2 for x in weights)
    alone = call.is_input == operand and len(look.double.passed.inputs[call.module]) == 1
    place = Place(
        at="input" if alone else "operand",
        module=call.module,
        call=0 if alone else number,
        operand=0 if alone else operand,
        axis=axis,
        rows=one.shape[axis],
        flat=stacked,
    )
    value, first = (place.arranged(x.detach()) for x in (call.operands[operand], one))
    if not torch.allclose(value[:1], first, rtol=1e-3, atol=1e-5, equal_nan=True):
        return None
    name = f"{call.module}.hook_in" if alone else name_of_call(look.module, call, weights)
    return at_its_position(Reading(name, place, value, call.operands[operand]), look, number)


def at_its_position(reading: Reading, look: Look, number: int) -> Reading:
    """Return the reading at the position on which the logits depend, if it is not the position of ``read_at``.

    If the logits depend on several positions, the reading is their mean.
    """
    place, value, output = reading.place, reading.value, look.double.linear[number].output
    if value.ndim != 3 or output is None or not output.requires_grad:
        return reading
    logits = look.double.logits
    weight = torch.rand(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits)
    (gradient,) = torch.autograd.grad((logits * weight).sum(), output, retain_graph=True, allow_unused=True)
    if gradient is None or gradient.ndim <= place.axis or gradient.shape[place.axis] != 2 * place.rows:
        return reading
    arranged = place.arranged(gradient)
    if arranged.ndim != 3 or arranged.shape[1] != value.shape[1]:
        return reading
    matters = arranged.abs().sum((0, 2)).nonzero().flatten().tolist()
    expected = {"last": [value.shape[1] - 1], "first": [0], "mean": list(range(value.shape[1]))}[look.read_at]
    if not matters or matters == expected:
        return reading
    place = replace(place, position=matters[0] if len(matters) == 1 else "mean")
    return reading._replace(place=place, value=place.seen(value))


def name_of_call(module: nn.Module, call: Call, weights: Sequence[Tensor]) -> str:
    """Return a hook name for the input of a function: ``decoder.linear(embed.weight).hook_in``."""
    tensors = {**dict(module.named_buffers()), **dict(module.named_parameters())}
    of = {value.untyped_storage().data_ptr(): name for name, value in tensors.items()}
    weight = next((of[key] for x in weights if (key := x.untyped_storage().data_ptr()) in of), "")
    function = "matmul" if call.function == "__matmul__" else call.function
    return f"{call.module}.{function}({weight}).hook_in".removeprefix(".")


def distinct(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings, with numbers appended to repeated names."""
    names = [reading.name for reading in readings]
    before = [names[:i].count(name) for i, name in enumerate(names)]
    return [one._replace(name=f"{one.name}.{n + 1}") if n else one for one, n in zip(readings, before, strict=True)]


def submodule_giving(reading: Reading, look: Look, hooks: Container[str]) -> str | None:
    """Return the last submodule whose output is the reading at the position that is read; None if there is none.

    Equal values are not sufficient, because a residual stream equals its input if a block is zero at initialization.
    """
    wanted, found = vector(reading.value, look.read_at), None
    for name, given in look.double.passed.outputs.items():
        for value, version in given:
            shared = value.untyped_storage().data_ptr() == reading.source.untyped_storage().data_ptr()
            if name in hooks and shared and value._version == version and value.ndim > 1:
                axis = reading.place.axis if value.ndim == reading.source.ndim else 0
                seen = vector(value.detach().movedim(axis, 0), look.read_at)
                found = name if seen.shape == wanted.shape and torch.equal(seen, wanted) else found
    return found


def is_view(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are the same numbers in memory."""
    places = [(x.data_ptr(), x.shape, x.stride()) for x in (one, other)]
    return places[0] == places[1]
