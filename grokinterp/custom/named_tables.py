"""Find the matrices of a module by the names that a user gives, and determine their orientation."""

import re
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from grokinterp.errors import ConfigError, short
from grokinterp.models.known_parts import Table
from grokinterp.models.recorded_state import state_tensors

NOTATION = re.compile(r"(?P<name>[^\[\]]+)\[(?P<rows>token|class|neuron|feature), ?(?P<columns>\w+)\]")


WORDS = {"embedding": "token", "unembedding": "class", "neuron_output": "neuron"}
"""The name of each table's row axis."""


class Sizes(NamedTuple):
    """The sizes that a module's tables must match.

    Args:
        tokens: the largest input token plus 1.
        operands: number of tokens whose one-hot vectors are concatenated in one input; 1 otherwise.
        classes: number of classes of the task.
        logits: number of logits of the module.
        read: number of features that the last linear layer reads; None if unknown.
        of_first: the tokens of the first example.
    """

    tokens: int
    operands: int
    classes: int
    logits: int
    read: int | None
    of_first: frozenset[int] = frozenset()


class Weight(NamedTuple):
    """A tensor of the module under its own name, and the known meaning of its axes.

    Args:
        name: name of the parameter or buffer.
        value: the tensor.
        is_embedding: whether it belongs to an ``nn.Embedding``, with a row per token.
        is_linear: whether it belongs to an ``nn.Linear`` [out, in].
        transposed: whether the notation, as in ``name[feature, token]``, says that columns are rows; None without
            notation.
    """

    name: str
    value: Tensor
    is_embedding: bool
    is_linear: bool
    transposed: bool | None


def weight_named(key: str, name: str, module: nn.Module) -> Weight:
    """Return the tensor with a name, or the matrix of the submodule with that name.

    Raises:
        ConfigError: there is no such matrix.
    """
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
                f"parts[{key!r}]", short(plain), f"must contain one matrix; name one of these: {short(names)}"
            )
        value = matrices[0]
    else:
        raise ConfigError(
            f"parts[{key!r}]", short(plain), f"must be a submodule or a parameter of {type(module).__name__}"
        )
    own = next((n for n, x in state_tensors(module).items() if x is value), None)
    if own is None or value.ndim not in (2, 3):
        raise ConfigError(
            f"parts[{key!r}]", f"{short(plain)} {list(value.shape)}", "must be a matrix in the module's state dict"
        )
    return Weight(own, value, isinstance(owner, nn.Embedding), isinstance(owner, nn.Linear), transposed)


def is_transposed(
    key: str, weight: Weight, rows: Callable[[int], bool], columns: Callable[[int], bool], of: str
) -> bool:
    """Return whether the rows of a table are the last axis of the tensor.

    Raises:
        ConfigError: neither axis fits, or both fit and the notation does not decide.
    """
    first, second = weight.value.shape[-2:]
    fits = {False: rows(first) and columns(second), True: rows(second) and columns(first)}
    shape, stated = f"{weight.name} {list(weight.value.shape)}", weight.transposed
    if stated is None and all(fits.values()):
        raise ConfigError(
            f"parts[{key!r}]", shape, f'has an ambiguous orientation: write "{weight.name}[{WORDS[key]}, feature]" or '
            f'"{weight.name}[feature, {WORDS[key]}]"'
        )  # fmt: skip
    if not any(fits.values()) or (stated is not None and not fits[stated]):
        raise ConfigError(f"parts[{key!r}]", shape, f"must have {of}")
    return fits[True] if stated is None else stated


def embedding_table(names: tuple[str, ...], module: nn.Module, sizes: Sizes) -> Table:
    """Return the embedding, with a row for each token; separate one-hot tables of the operands are concatenated."""
    found = []
    for name in names:
        weight = weight_named("embedding", name, module)
        if weight.is_embedding or weight.is_linear:  # the axes are known
            weight = weight._replace(transposed=weight.is_linear if weight.transposed is None else weight.transposed)
        exact = {sizes.tokens, sizes.tokens * sizes.operands}
        fitting = exact if exact & set(weight.value.shape[-2:]) else range(sizes.tokens, 2**40)
        wanted = f"a row or a column for each of the {sizes.tokens} tokens"
        found.append((weight, is_transposed("embedding", weight, lambda n, f=fitting: n in f, lambda n: True, wanted)))
    weight, transposed = found[0]
    if any((one.value.shape, other) != (weight.value.shape, transposed) for one, other in found):
        raise ConfigError("parts['embedding']", ", ".join(names), "must be tables of the same shape")
    rows = weight.value.shape[-1 if transposed else -2]
    if weight.value.ndim == 3:
        tables = len(weight.value)
    else:
        tables = sizes.operands if sizes.operands > 1 and rows == sizes.tokens * sizes.operands else 1
    return Table(names=tuple(one.name for one, _ in found), transposed=transposed, tables=tables)


def unembedding_table(names: tuple[str, ...], module: nn.Module, sizes: Sizes) -> Table:
    """Return the unembedding, with a row for each class."""
    if len(names) != 1:
        raise ConfigError("parts['unembedding']", ", ".join(names), "must be a single matrix")
    weight = weight_named("unembedding", names[0], module)
    if weight.is_embedding or weight.is_linear:  # [class, feature], also for a tied embedding
        weight = weight._replace(transposed=weight.transposed or False)
    exact = {sizes.logits}
    fitting = exact if exact & set(weight.value.shape) else range(sizes.classes, 2**40)
    of = f"{sizes.logits} classes by the {sizes.read} features that the last linear layer reads"
    wanted = of if sizes.read else f"a row or a column for each of the {sizes.logits} classes"
    reads = (lambda n: n == sizes.read) if sizes.read else (lambda n: True)
    return Table(
        names=(weight.name,), transposed=is_transposed("unembedding", weight, lambda n: n in fitting, reads, wanted)
    )


def neuron_table(name: str, module: nn.Module, neurons: int, read: int, *, named: bool) -> Table | None:
    """Return the output weights of the neurons, with a row for each neuron; None if unnamed weights do not fit."""
    weight = weight_named("neuron_output", name, module)
    if weight.is_linear and weight.transposed is None:
        weight = weight._replace(transposed=True)
    wanted = f"{neurons} neurons by the {read} features that the last linear layer reads"
    try:
        turned = is_transposed("neuron_output", weight, lambda n: n == neurons, lambda n: n == read, wanted)
    except ConfigError:
        if named:
            raise
        return None
    return Table(names=(weight.name,), transposed=turned)
