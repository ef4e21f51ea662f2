"""Slow twins of the Fourier and progress measures: explicit basis matrices, explicit loops, numpy only."""

import itertools
import math

import numpy as np


def basis(p: int) -> list[tuple[int, np.ndarray]]:
    """(frequency, unit vector) of the constant and every cosine and sine that does not vanish."""
    t = np.arange(p)
    rows = [(0, np.ones(p))]
    for k in range(1, p // 2 + 1):
        rows.append((k, np.cos(2 * np.pi * k * t / p)))
        if 2 * k != p:
            rows.append((k, np.sin(2 * np.pi * k * t / p)))
    return [(k, row / np.linalg.norm(row)) for k, row in rows]


def power(x: np.ndarray) -> np.ndarray:
    """Squared norm over the columns of the components at each frequency, the constant (0) first."""
    p = len(x)
    total = np.zeros(p // 2 + 1)
    for k, row in basis(p):
        total[k] += ((row @ x) ** 2).sum()
    return total


def gini(x: np.ndarray) -> float:
    """Half the mean absolute difference over the mean."""
    differences = [abs(u - v) for u, v in itertools.product(x, x)]
    return sum(differences) / (2 * len(x) ** 2 * x.mean())


def component_norms(x: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(row @ x) for _, row in basis(len(x))])


def neuron_fve(h: np.ndarray, *, harmonic: bool) -> np.ndarray:
    """Share of variance of h [a, b] in the block {0, k} (or {0, k, 2k}) squared, for each k, by double projections."""
    p = len(h)
    rows = basis(p)
    h = h - h.mean()
    energy = {(i, j): 0.0 for i in range(p // 2 + 1) for j in range(p // 2 + 1)}
    for (i, u), (j, v) in itertools.product(rows, rows):
        energy[i, j] += (u @ h @ v) ** 2
    out = []
    for k in range(1, p // 2 + 1):
        double = min(2 * k % p, -2 * k % p)
        block = {0, k, double} if harmonic else {0, k}
        out.append(sum(energy[pair] for pair in itertools.product(block, block)) / sum(energy.values()))
    return np.array(out)


def cosine(k: int, p: int) -> np.ndarray:
    """cos(w_k(a + b - c)), [a, b, c]."""
    a, b, c = np.meshgrid(*[np.arange(p)] * 3, indexing="ij")
    return np.cos(2 * np.pi * k * (a + b - c) / p)


def similarity(logits: np.ndarray) -> np.ndarray:
    p = logits.shape[2]
    centered = logits - logits.mean(2, keepdims=True)
    cubes = [cosine(k, p) for k in range(1, p // 2 + 1)]
    return np.array([(centered * c).sum() / np.linalg.norm(centered) / np.linalg.norm(c) for c in cubes])


def variance_explained(logits: np.ndarray, keys: list[int]) -> float:
    """One minus the residual share of a least-squares fit of the keys' cosines and a constant."""
    p = logits.shape[2]
    design = np.stack([np.ones(p**3), *(cosine(k, p).ravel() for k in keys)], axis=1)
    fitted = design @ np.linalg.lstsq(design, logits.ravel(), rcond=None)[0]
    return 1 - ((logits.ravel() - fitted) ** 2).sum() / ((logits - logits.mean()) ** 2).sum()


def projection(logits: np.ndarray, k: int) -> np.ndarray:
    """C_k C_kᵀ L + S_k S_kᵀ L with the directions written out on the grid of pairs."""
    p = logits.shape[2]
    a, b = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    w = 2 * math.pi * k / p
    directions = [np.cos(w * a) * np.cos(w * b) - np.sin(w * a) * np.sin(w * b)]
    if 2 * k != p:
        directions.append(np.sin(w * a) * np.cos(w * b) + np.cos(w * a) * np.sin(w * b))
    total = np.zeros_like(logits)
    for direction in directions:
        direction = direction / np.linalg.norm(direction)
        total += direction[:, :, None] * np.einsum("ab,abc->c", direction, logits)
    return total


def losses(logits: np.ndarray) -> np.ndarray:
    """-log softmax at a + b, [a, b], example by example."""
    p = logits.shape[2]
    out = np.zeros((p, p))
    for a, b in itertools.product(range(p), range(p)):
        row = logits[a, b] - logits[a, b].max()
        out[a, b] = math.log(np.exp(row).sum()) - row[(a + b) % p]
    return out


def squares(logits: np.ndarray) -> np.ndarray:
    """Squared error of every pair, summed class by class."""
    p = len(logits)
    found = np.zeros((p, p))
    for a in range(p):
        for b in range(p):
            found[a, b] = sum((logits[a, b, c] - (c == (a + b) % p)) ** 2 for c in range(p)) / p
    return found


def attention_fve(to_a: np.ndarray) -> np.ndarray:
    """For each frequency, R² of a least-squares fit of A [a, b] by 1, cos a - cos b, sin a - sin b."""
    p = len(to_a)
    a, b = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    out = []
    for k in range(1, p // 2 + 1):
        w = 2 * math.pi * k / p
        design = np.stack([np.ones((p, p)), np.cos(w * a) - np.cos(w * b), np.sin(w * a) - np.sin(w * b)], -1)
        design = design.reshape(p * p, 3)
        rest = to_a.ravel() - design @ np.linalg.lstsq(design, to_a.ravel(), rcond=1e-9)[0]
        out.append(1 - (rest**2).sum() / ((to_a - to_a.mean()) ** 2).sum())
    return np.array(out)
