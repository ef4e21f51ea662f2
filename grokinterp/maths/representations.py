"""Real irreducible representations of finite groups, as orthogonal matrices.

A real irreducible representation has one of three types, according to the matrices that commute with all of its
matrices: multiples of 1 (real), a + bJ with J² = -1 (complex), or the quaternions. C_n acting by rotations of the plane
is of complex type; D_n, which also has reflections, of real type.

For type (real, complex, quaternionic) and c = (1, 2, 4): <χ, χ> = c, the d² matrix entries span d²/c functions on the
group, and the d²/c of all irreducible representations sum to the order.

| group | names |
|---|---|
| C_n | ``trivial``, ``freq_k`` for k = 1, ..., ⌊n/2⌋ |
| D_n | ``trivial``, ``sign`` (-1 on reflections), ``freq_k`` for k < n/2; for even n ``freq_{n/2}_a`` and ``_b`` |
| S_n | ``trivial``, ``standard``, ``standard_sign``, ``sign``; the other partitions, such as ``(3,2)`` |
| A_n | as S_n, where (3,2) and (2,2,1) agree; the halves of (3,1,1) are ``(3,1,1)_a`` and ``(3,1,1)_b`` |
| G x H | ``standard*freq_1``; ``freq_1*freq_2_a`` and ``_b`` if both are of complex type |
| any other | ``trivial``, ``1d_1``, ..., ``2d_1``, ... |

Source: Chughtai et al. 2023, §3 and Appendix; Serre 1977, Linear Representations of Finite Groups.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.fourier import waves
from grokinterp.maths.groups import Factor, Group
from grokinterp.maths.permutations import all_permutations, parity
from grokinterp.maths.regular import irreducible_matrices
from grokinterp.maths.young import Partition, alternator, conjugate, partitions, symmetric_matrices

Type = Literal["real", "complex", "quaternionic"]
COMMUTANT: dict[Type, int] = {"real": 1, "complex": 2, "quaternionic": 4}
"""Dimension of the algebra of matrices that commute with an irreducible representation, by type."""


@dataclass(frozen=True, eq=False)
class Irrep:
    """A real irreducible representation: ρ(x · y) = ρ(x) ρ(y), orthogonal matrices.

    Args:
        name: the name in this module's table.
        matrices: ρ(x) of every element x, float64.
        type: the type of the algebra that commutes with all of them.
    """

    name: str
    matrices: Float[Tensor, "element d d"]
    type: Type = "real"

    def __repr__(self) -> str:
        return f"Irrep({self.name}, dimension {self.dimension}, {self.type})"

    @property
    def dimension(self) -> int:
        """The size d of the matrices."""
        return self.matrices.shape[1]

    @property
    def character(self) -> Float[Tensor, "element"]:
        """The character χ(x) = tr ρ(x)."""
        return self.matrices.diagonal(dim1=1, dim2=2).sum(1)

    @property
    def rank(self) -> int:
        """Dimension of the functions on the group that its matrix entries span: d²/c."""
        return self.dimension**2 // COMMUTANT[self.type]


@lru_cache(maxsize=8)
def irreps(group: Group) -> tuple[Irrep, ...]:
    """Return the real irreducible representations of a group, one per equivalence class, the trivial first.

    >>> from grokinterp.maths.groups import group
    >>> [rho.name for rho in irreps(group("S4"))]
    ['trivial', 'standard', '(2,2)', 'standard_sign', 'sign']
    >>> irreps(group("A4"))[1:]
    (Irrep(standard, dimension 3, real), Irrep((2,2), dimension 2, complex))
    """
    if not group.factors:
        return _irreps_of_any(group)
    trivial, *others = reduce(_products, map(_irreps_of_factor, group.factors))
    return (replace(trivial, name="trivial"), *others)


def characters(group: Group) -> Float[Tensor, "irrep element"]:
    """Return χ_ρ(x) = tr ρ(x) of every real irreducible representation, in the order of ``irreps``.

    >>> from grokinterp.maths.groups import group
    >>> characters(group("S3")).round().tolist()
    [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 0.0, -1.0, -1.0, 0.0], [1.0, -1.0, -1.0, 1.0, 1.0, -1.0]]
    """
    return torch.stack([rho.character for rho in irreps(group)])


def _irreps_of_factor(factor: Factor) -> tuple[Irrep, ...]:
    match factor.family:
        case "C":
            return _cyclic(factor.n)
        case "D":
            return _dihedral(factor.n)
        case "S":
            return _symmetric(factor.n)
        case _:
            return _alternating(factor.n)


def _trivial(order: int) -> Irrep:
    return Irrep("trivial", torch.ones(order, 1, 1, dtype=torch.float64))


def _cyclic(n: int) -> tuple[Irrep, ...]:
    """Return the irreps of C_n: freq_k rotates the plane by 2πk/n; for k = n/2 it is ±1."""
    turns = [Irrep(f"freq_{k}", turn, "complex") for k, turn in enumerate(_turns(n), 1)]
    if n % 2 == 0:
        turns[-1] = Irrep(f"freq_{n // 2}", turns[-1].matrices[:, :1, :1])
    return (_trivial(n), *turns)


def _dihedral(n: int) -> tuple[Irrep, ...]:
    """Return the irreps of D_n: in freq_k, r rotates by 2πk/n and s reflects; for k = n/2 both axes are invariant."""
    mirror = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    planes = [Irrep(f"freq_{k}", torch.cat([turn, turn @ mirror])) for k, turn in enumerate(_turns(n), 1)]
    if n % 2 == 0:
        first, second = planes.pop().matrices.diagonal(dim1=1, dim2=2)[:, :, None, None].unbind(1)
        planes += [Irrep(f"freq_{n // 2}_a", first), Irrep(f"freq_{n // 2}_b", second)]
    return (_trivial(2 * n), Irrep("sign", mirror.diagonal().repeat_interleave(n)[:, None, None]), *planes)


def _turns(n: int) -> Float[Tensor, "frequency residue 2 2"]:
    cos, sin = waves(n)
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _symmetric(n: int) -> tuple[Irrep, ...]:
    return tuple(Irrep(_name(partition), symmetric_matrices(partition)) for partition in partitions(n))


def _alternating(n: int) -> tuple[Irrep, ...]:
    """Return the irreps of A_n: conjugate partitions agree there, and a self-conjugate partition splits into halves."""
    even, found = parity(all_permutations(n)) == 0, []
    for partition in partitions(n):
        if partition < conjugate(partition):
            continue
        name, matrices = _name(partition), symmetric_matrices(partition)[even]
        if partition > conjugate(partition):
            found.append(Irrep(name, matrices))
        elif ((J := alternator(partition)) @ J).trace() < 0:
            found.append(Irrep(name, matrices, "complex"))
        else:
            found += _halves(Irrep(name, matrices), J, "real")
    return tuple(found)


def _name(partition: Partition) -> str:
    n = sum(partition)
    common = {(2,) + (1,) * (n - 2): "standard_sign", (n - 1, 1): "standard", (1,) * n: "sign", (n,): "trivial"}
    return common.get(partition, f"({','.join(map(str, partition))})")


def _products(first: tuple[Irrep, ...], second: tuple[Irrep, ...]) -> tuple[Irrep, ...]:
    """Return the irreps of a direct product: tensor products, split in halves if both are of complex type."""
    found = []
    for rho in first:
        for sigma in second:
            product = _tensor_product(rho, sigma)
            if rho.type == sigma.type == "complex":
                found += _halves(product, torch.kron(_complex_unit(rho), _complex_unit(sigma)), "complex")
            else:
                found.append(product)
    return tuple(found)


def _tensor_product(rho: Irrep, sigma: Irrep) -> Irrep:
    """Return (ρ ⊗ σ)(g, h) = ρ(g) ⊗ σ(h), of the type of the factor that is not of real type, if any."""
    matrices = torch.einsum("gij,hkl->ghikjl", rho.matrices, sigma.matrices)
    d, order = rho.dimension * sigma.dimension, len(rho.matrices) * len(sigma.matrices)
    kind = sigma.type if rho.type == "real" else rho.type
    return Irrep(f"{rho.name}*{sigma.name}", matrices.reshape(order, d, d), kind)


def _complex_unit(rho: Irrep) -> Float[Tensor, "d d"]:
    """Return J with J² = -1 that commutes with a representation of complex type, up to sign.

    It is the normalized mean of ρ(x) K ρ(x)⁻¹ for any antisymmetric K.
    """
    d = rho.dimension
    K = torch.randn(d, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    J = (rho.matrices @ (K - K.T) @ rho.matrices.mT).mean(0)
    return J * (d**0.5 / J.norm())


def _halves(rho: Irrep, involution: Float[Tensor, "d d"], kind: Type) -> list[Irrep]:
    """Return the parts of ρ on which a symmetric matrix that commutes with it is 1 and -1.

    ``_a`` has the larger character at the first element at which the two differ.
    """
    values, vectors = torch.linalg.eigh(involution)
    halves = [vectors[:, values > 0], vectors[:, values < 0]]
    a, b = (Irrep(rho.name, half.T @ rho.matrices @ half, kind) for half in halves)
    difference = a.character - b.character
    if difference[difference.abs() > 1e-9][0] < 0:
        a, b = b, a
    return [replace(a, name=f"{rho.name}_a"), replace(b, name=f"{rho.name}_b")]


def _irreps_of_any(group: Group) -> tuple[Irrep, ...]:
    """Return irreps named by dimension and number, with the type determined by <χ, χ>."""
    types, counts, found = {c: name for name, c in COMMUTANT.items()}, Counter[int](), []
    for matrices in irreducible_matrices(group):
        d = matrices.shape[1]
        rho = Irrep(f"{d}d_{counts[d] + (d > 1)}" if found else "trivial", matrices)
        found.append(replace(rho, type=types[round(float(rho.character.square().mean()))]))
        counts[d] += 1
    return tuple(found)
