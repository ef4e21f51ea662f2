"""The part of a model that a tensor belongs to, by the tensor's name."""

from collections.abc import Sequence

NORM_OF = {"ln1": "attn", "ln2": "mlp", "ln_final": "unembed"}
"""The part of each LayerNorm: the part that it precedes or, with post-normalization, follows."""

MOST = 16
"""Largest number of parts that a recorded model is divided into."""


def part_of(tensor: str) -> str:
    """Return the part that a tensor with a TransformerLens name belongs to.

    >>> part_of("blocks.0.attn.W_Q"), part_of("blocks.1.ln2.w"), part_of("ln_final.b"), part_of("layers.0.norm.w")
    ('blocks.0.attn', 'blocks.1.mlp', 'unembed', 'layers.0')
    """
    *above, module, _ = tensor.split(".")
    if module == "norm" and above:
        return ".".join(above)
    return ".".join([*above, NORM_OF.get(module, module)])


def depth_of(parameters: Sequence[str]) -> int:
    """Return the deepest level with at most 16 submodules, at least 1.

    >>> depth_of(["stem.w", *(f"layers.{i}.{part}.w" for i in range(9) for part in "ab")])
    2
    """
    deepest = max(name.count(".") for name in parameters)
    fitting = [d for d in range(1, deepest + 1) if len({submodule_of(name, d) for name in parameters}) <= MOST]
    return max(fitting, default=1)


def submodule_of(tensor: str, depth: int) -> str:
    """Return the submodule that holds a tensor, up to a depth; the tensor's name if the module itself holds it.

    >>> submodule_of("layers.0.a.w", 2), submodule_of("layers.0.a.w", 9), submodule_of("scale", 2)
    ('layers.0', 'layers.0.a', 'scale')
    """
    *above, name = tensor.split(".")
    return ".".join(above[:depth]) or name
