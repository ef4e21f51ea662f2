"""The matrices of a module by the names that a user gives: which tensor each is, and how it lies."""

import re
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from grokinterp.errors import ConfigError, short
from grokinterp.models.known_parts import Table
from grokinterp.models.recorded import state_tensors

NOTATION = re.compile(r"(?P<name>[^\[\]]+)\[(?P<rows>token|class|neuron|feature), ?(?P<columns>\w+)\]")


WORDS = {"embedding": "token", "unembedding": "class", "neuron_output": "neuron"}
"""What the rows of a table are."""


class Sizes(NamedTuple):
    """What a module's tables are measured by.

    Args:
        tokens: the largest token that it is given, and 1.
        operands: how many tokens have one-hot vectors side by side in one input; 1 otherwise.
        classes: of the task.
        logits: as many as the module gives.
        read: features that the last linear layer reads; None where it is unknown.
        of_first: the tokens of the first example.
    """

    tokens: int
    operands: int
    classes: int
    logits: int
    read: int | None
    of_first: frozenset[int] = frozenset()


class Weight(NamedTuple):
    """A tensor of the module by its own name, with what its module or the notation says of its axes.

    Args:
        name: of the parameter or buffer.
        value: the tensor.
        is_embedding: whether it is that of an ``nn.Embedding``, with a row per token.
        is_linear: whether it is that of an ``nn.Linear`` [out, in].
        transposed: what ``name[feature, token]`` says, None without that.
    """

    name: str
    value: Tensor
    is_embedding: bool
    is_linear: bool
    transposed: bool | None


def weight_named(key: str, name: str, module: nn.Module) -> Weight:
    """The tensor of that name, or of the submodule of that name. Raises ConfigError if there is none."""
    notation = NOTATION.fullmatch(name)
    plain = notation["name"] if notation else name
    transposed = None if notation is None else notation["rows"] == "feature"
    modules, owner = dict(module.named_modules()), None
    aliases = dict([*module.named_buffers(), *module.named_parameters(remove_duplicate=False)])
    if plain in aliases:
        value, owner = aliases[plain], modules.get(plain.rpartition(".")[0]) if plain.endswith(".weight") else None
    elif plain in modules and plain:
        owner = modules[plain]
        matrices = [x for x in [*owner.parameters(), *owner.buffers()] if x.ndim > 1]
        if len(matrices) != 1:
            names = ", ".join(n for n, x in owner.named_parameters(prefix=plain) if x.ndim > 1) or "none"
            raise ConfigError(
                f"parts[{key!r}]", short(plain), f"must hold one matrix; name one of its own: {short(names)}"
            )
        value = matrices[0]
    else:
        raise ConfigError(
            f"parts[{key!r}]", short(plain), f"must be a submodule or a parameter of {type(module).__name__}"
        )
    own = next((n for n, x in state_tensors(module).items() if x is value), None)
    if own is None or value.ndim not in (2, 3):
        raise ConfigError(
            f"parts[{key!r}]", f"{short(plain)} {list(value.shape)}", "must be a matrix of the module's state"
        )
    return Weight(own, value, isinstance(owner, nn.Embedding), isinstance(owner, nn.Linear), transposed)


def is_transposed(
    key: str, weight: Weight, rows: Callable[[int], bool], columns: Callable[[int], bool], of: str
) -> bool:
    """Whether the rows of a table are the last axis of the tensor.

    Raises:
        ConfigError: neither axis fits, or both do and nothing says which.
    """
    first, second = weight.value.shape[-2:]
    fits = {False: rows(first) and columns(second), True: rows(second) and columns(first)}
    shape, said = f"{weight.name} {list(weight.value.shape)}", weight.transposed
    if said is None and all(fits.values()):
        raise ConfigError(
            f"parts[{key!r}]", shape, f'could be either way round: write "{weight.name}[{WORDS[key]}, feature]" or '
            f'"{weight.name}[feature, {WORDS[key]}]"'
        )  # fmt: skip
    if not any(fits.values()) or (said is not None and not fits[said]):
        raise ConfigError(f"parts[{key!r}]", shape, f"must have {of}")
    return fits[True] if said is None else said


def embedding_table(names: tuple[str, ...], module: nn.Module, sizes: Sizes) -> Table:
    """The embedding: a row for each token, those of operands with one-hot vectors of their own one after the other."""
    found = []
    for name in names:
        weight = weight_named("embedding", name, module)
        if weight.is_embedding or weight.is_linear:  # whose axes are known
            weight = weight._replace(transposed=weight.is_linear if weight.transposed is None else weight.transposed)
        exact = {sizes.tokens, sizes.tokens * sizes.operands}
        fitting = exact if exact & set(weight.value.shape[-2:]) else range(sizes.tokens, 2**40)
        wanted = f"a row or a column for each of the {sizes.tokens} tokens"
        found.append((weight, is_transposed("embedding", weight, lambda n, f=fitting: n in f, lambda n: True, wanted)))
    weight, transposed = found[0]
    if any((one.value.shape, other) != (weight.value.shape, transposed) for one, other in found):
        raise ConfigError("parts['embedding']", ", ".join(names), "must be tables of one shape")
    rows = weight.value.shape[-1 if transposed else -2]
    if weight.value.ndim == 3:
        tables = len(weight.value)
    else:
        tables = sizes.operands if sizes.operands > 1 and rows == sizes.tokens * sizes.operands else 1
    return Table(names=tuple(one.name for one, _ in found), transposed=transposed, tables=tables)


def unembedding_table(names: tuple[str, ...], module: nn.Module, sizes: Sizes) -> Table:
    """The unembedding: a row for each class."""
    if len(names) != 1:
        raise ConfigError("parts['unembedding']", ", ".join(names), "must be one matrix")
    weight = weight_named("unembedding", names[0], module)
    if weight.is_embedding or weight.is_linear:  # [class, feature], a tied embedding too
        weight = weight._replace(transposed=weight.transposed or False)
    exact = {sizes.logits}
    fitting = exact if exact & set(weight.value.shape) else range(sizes.classes, 2**40)
    of = f"{sizes.logits} classes by the {sizes.read} numbers that the last linear layer reads"
    wanted = of if sizes.read else f"a row or a column for each of the {sizes.logits} classes"
    reads = (lambda n: n == sizes.read) if sizes.read else (lambda n: True)
    return Table(
        names=(weight.name,), transposed=is_transposed("unembedding", weight, lambda n: n in fitting, reads, wanted)
    )


def neuron_table(name: str, module: nn.Module, neurons: int, read: int, *, named: bool) -> Table | None:
    """What the neurons write: a row for each neuron; None where it was not named and does not fit."""
    weight = weight_named("neuron_output", name, module)
    if weight.is_linear and weight.transposed is None:
        weight = weight._replace(transposed=True)
    wanted = f"{neurons} neurons by the {read} numbers that the last linear layer reads"
    try:
        turned = is_transposed("neuron_output", weight, lambda n: n == neurons, lambda n: n == read, wanted)
    except ConfigError:
        if named:
            raise
        return None
    return Table(names=(weight.name,), transposed=turned)
