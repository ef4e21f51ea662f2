"""The parts of a model that are looked at as wholes."""

from collections.abc import Sequence

from grokinterp.models import Model, RecordedModel

NORM_OF = {"ln1": "attn", "ln2": "mlp", "ln_final": "unembed"}
"""A LayerNorm belongs to the part that it stands before (behind, if the model normalizes there)."""


MOST = 16
"""Parts of a recorded model."""


def parts(model: Model) -> dict[str, tuple[str, ...]]:
    """Part → the names of its parameters, in the order of the model; every parameter is in one part.

    Parts are embed, pos_embed, blocks.0.attn, blocks.0.mlp, …, unembed in a transformer; embed,
    layers.0, …, unembed in an MLP; embed, net, unembed in a recursive model; in a recorded one the submodules,
    at the deepest level that has at most 16. A part without trained
    parameters of its own (tied embeddings, fixed positions, one-hot vectors) is not among them.
    """
    found: dict[str, list[str]] = {}
    for name, part in part_of_each(model).items():
        found.setdefault(part, []).append(name)
    return {part: tuple(names) for part, names in found.items()}


def part_of_each(model: Model) -> dict[str, str]:
    """The part of every trained parameter."""
    names = [name for name, _ in model.named_parameters()]
    if not isinstance(model, RecordedModel):
        return {name: part_of(name) for name in names}
    return {name: submodule_of(name, depth_of(names)) for name in names}


def depth_of(parameters: Sequence[str]) -> int:
    """How many levels of submodules to tell apart: as many as leave at most 16 parts, at least one.

    >>> depth_of(["stem.w", *(f"layers.{i}.{part}.w" for i in range(9) for part in "ab")])
    2
    """
    deepest = max(name.count(".") for name in parameters)
    fitting = [d for d in range(1, deepest + 1) if len({submodule_of(name, d) for name in parameters}) <= MOST]
    return max(fitting, default=1)


def submodule_of(tensor: str, depth: int) -> str:
    """The submodule that holds a tensor, down to a depth; its own name where the module itself holds it.

    >>> submodule_of("layers.0.a.w", 2), submodule_of("layers.0.a.w", 9), submodule_of("scale", 2)
    ('layers.0', 'layers.0.a', 'scale')
    """
    *above, name = tensor.split(".")
    return ".".join(above[:depth]) or name


def part_of(parameter: str) -> str:
    """The part that a parameter of one of our own models belongs to, by its name.

    >>> part_of("blocks.0.attn.W_Q"), part_of("blocks.1.ln2.w"), part_of("ln_final.b"), part_of("net.W_in")
    ('blocks.0.attn', 'blocks.1.mlp', 'unembed', 'net')
    """
    *above, module, _ = parameter.split(".")
    return ".".join([*above, NORM_OF.get(module, module)])
