"""Pure mathematical functions of arrays, from Fourier analysis to group representations; imports no other room."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

if TYPE_CHECKING:
    from grokinterp.maths import (
        cosines,
        fourier,
        grid,
        groups,
        langevin,
        matrix_norms,
        permutations,
        regular,
        representations,
        residues,
        singular,
        sparsity,
        spectra,
        stablemax,
        subgroups,
        young,
    )

__all__ = [
    "cosines",
    "fourier",
    "grid",
    "groups",
    "langevin",
    "matrix_norms",
    "permutations",
    "regular",
    "representations",
    "residues",
    "singular",
    "sparsity",
    "spectra",
    "stablemax",
    "subgroups",
    "young",
]

__getattr__, __dir__ = front_door(__name__, {}, __all__)
