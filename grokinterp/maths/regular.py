"""The real irreducible representations of any finite group, computed from its regular representation.

Left translation L(g) f(x) = f(g⁻¹x) of functions on the group commutes with (R f)(x) = Σ_y w(x⁻¹y) f(y) for every w. R
is symmetric if w(g) = w(g⁻¹), and for almost every such w each of its eigenspaces is irreducible: eigenvalues coincide
only where symmetry forces them to. Every irreducible representation occurs among them.

Source: Dixon 1970, Computing irreducible representations of groups (the same idea, for complex representations).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.maths.groups import Group


def irreducible_matrices(group: Group) -> list[Float[Tensor, "element d d"]]:
    """Return an orthogonal representation of each equivalence class, smallest first, the trivial first of all.

    >>> from grokinterp.maths.groups import cyclic
    >>> [tuple(rho.shape) for rho in irreducible_matrices(cyclic(4))]
    [(4, 1, 1), (4, 1, 1), (4, 2, 2)]
    """
    found: dict[tuple[float, ...], Float[Tensor, "element d d"]] = {}
    translate = group.table[group.inverse]  # translate[g, x] = g⁻¹x
    firsts = group.conjugates.amin(0).unique()
    for space in _eigenspaces(group):
        character = _matrices(space, translate[firsts]).diagonal(dim1=1, dim2=2).sum(1)
        key = (space.shape[1], *(round(-value, 6) + 0.0 for value in character.tolist()))
        if key not in found:
            found[key] = _matrices(space, translate)
    return [found[key] for key in sorted(found)]


def _matrices(space: Float[Tensor, "x d"], translate: Int[Tensor, "g x"]) -> Float[Tensor, "g d d"]:
    """Return the translations restricted to an invariant subspace, in its orthonormal basis."""
    return torch.cat([space.T @ space[rows] for rows in translate.split(64)])


def _eigenspaces(group: Group) -> tuple[Float[Tensor, "x d"], ...]:
    weight = torch.randn(group.order, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight = weight + weight[group.inverse]
    values, vectors = torch.linalg.eigh(weight[group.table[group.inverse]])
    gaps = values.diff() > 1e-9 * group.order
    return vectors.tensor_split((gaps.nonzero().flatten() + 1).tolist(), dim=1)
