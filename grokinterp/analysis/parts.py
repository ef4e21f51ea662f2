"""The parts of a model that are looked at as wholes."""

from grokinterp.models import Model

NORM_OF = {"ln1": "attn", "ln2": "mlp", "ln_final": "unembed"}
"""A LayerNorm belongs to the part that it stands before (behind, if the model normalizes there)."""


def parts(model: Model) -> dict[str, tuple[str, ...]]:
    """Part → the names of its parameters, in the order of the model; every parameter is in one part.

    Parts are embed, pos_embed, blocks.0.attn, blocks.0.mlp, …, unembed in a transformer; embed,
    layers.0, …, unembed in an MLP; embed, net, unembed in a recursive model. A part without trained
    parameters of its own (tied embeddings, fixed positions, one-hot vectors) is not among them.
    """
    found: dict[str, list[str]] = {}
    for name, _ in model.named_parameters():
        found.setdefault(part_of(name), []).append(name)
    return {part: tuple(names) for part, names in found.items()}


def part_of(parameter: str) -> str:
    """The part that a parameter belongs to, by its name.

    >>> part_of("blocks.0.attn.W_Q"), part_of("blocks.1.ln2.w"), part_of("ln_final.b"), part_of("net.W_in")
    ('blocks.0.attn', 'blocks.1.mlp', 'unembed', 'net')
    """
    *above, module, _ = parameter.split(".")
    return ".".join([*above, NORM_OF.get(module, module)])
