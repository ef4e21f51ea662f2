"""Real Fourier analysis on Z_p.

The p *components* of a function on Z_p are, in this order, the constant, cos 1, sin 1, cos 2, sin 2, … up to the
*frequency* ⌊p/2⌋; for even p the last component, cos(πt), has no sine counterpart. The basis is orthonormal, so
components have the units of the function and their squares sum to its squared norm.

Source: Nanda et al. 2023, §4.1; docs/formulas.md, Fourier structure.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def waves(p: int, device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
    """Return cos(2πkt/p) and sin(2πkt/p), both [frequency, residue], k = 1..⌊p/2⌋; the sine of k = p/2 is exactly 0.

    >>> cos, sin = waves(4)
    >>> cos[1].tolist(), sin[1].tolist()
    ([1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0])
    """
    frequency, residue = torch.arange(1, p // 2 + 1, device=device), torch.arange(p, device=device)
    turn = torch.outer(frequency, residue) % p
    angle = turn.double() * (2 * math.pi / p)
    return angle.cos(), angle.sin() * (2 * turn != p)


def squared_norms(p: int, device: torch.device | str | None = None) -> Float[Tensor, "frequency"]:
    """Return Σ_t cos²(2πkt/p) for every frequency: p/2, and p for k = p/2.

    >>> squared_norms(6).tolist()
    [3.0, 3.0, 6.0]
    """
    frequency = torch.arange(1, p // 2 + 1, device=device)
    return torch.where(2 * frequency == p, p, p / 2).double()


def real_basis(p: int, device: torch.device | str | None = None) -> Float[Tensor, "component residue"]:
    """Return the orthonormal basis, a component per row.

    >>> real_basis(2).float()
    tensor([[ 0.7071,  0.7071],
            [ 0.7071, -0.7071]])
    """
    cos, sin = waves(p, device)
    pairs = torch.stack([cos, sin], dim=1) / squared_norms(p, device).sqrt()[:, None, None]
    constant = torch.full((1, p), p**-0.5, dtype=torch.float64, device=device)
    return torch.cat([constant, pairs.flatten(0, 1)])[:p]


def real_fourier(x: Float[Tensor, "residue *rest"]) -> Float[Tensor, "component *rest"]:
    """Return the components of functions on Z_p along the first axis, ``real_basis(p) @ x``, by a single FFT.

    >>> real_fourier(torch.tensor([3.0, 1.0])).tolist()
    [2.828427..., 1.414213...]
    """
    p = x.shape[0]
    spectrum = torch.fft.rfft(x, dim=0, norm="ortho")
    pairs = math.sqrt(2) * torch.stack([spectrum.real, -spectrum.imag], dim=1).flatten(0, 1)
    constant, inner = spectrum.real[:1], pairs[2 : p + p % 2]
    return torch.cat([constant, inner] if p % 2 else [constant, inner, spectrum.real[p // 2 :]])


def real_fourier_2d(x: Float[Tensor, "a b *rest"]) -> Float[Tensor, "component_a component_b *rest"]:
    """Return the components of functions on Z_p × Z_p: X̂[i, j] = Σ_ab F_ia F_jb x[a, b].

    >>> real_fourier_2d(torch.ones(3, 3))[0, 0].round().item()
    3.0
    """
    return real_fourier(real_fourier(x).transpose(0, 1)).transpose(0, 1)


def by_frequency(energy: Float[Tensor, "component *rest"]) -> Float[Tensor, "frequency *rest"]:
    """Sum the cosine and sine entries of each frequency, omitting the constant.

    >>> by_frequency(torch.tensor([9.0, 1.0, 2.0, 3.0])).tolist()
    [3.0, 3.0]
    """
    p = energy.shape[0]
    alone = [] if p % 2 else [torch.zeros_like(energy[:1])]
    return torch.cat([energy[1:], *alone]).unflatten(0, (p // 2, 2)).sum(1)
