"""Representations: theorems that prove a list of irreducible representations complete, and known characters."""

import json
import math
from itertools import permutations, product

import pytest
import torch

from grokinterp.interop.elements import renamed
from grokinterp.maths.fourier import real_basis
from grokinterp.maths.groups import Group, cyclic, group, opposite
from grokinterp.maths.permutations import all_permutations, parity
from grokinterp.maths.representations import COMMUTANT, characters, irreps
from grokinterp.maths.subgroups import generated
from grokinterp.maths.young import partitions, standard_tableaux
from grokinterp.tasks.matrices import MatrixMultiplication

INDICATOR = {"real": 1, "complex": 0, "quaternionic": -2}
"""Mean of χ(x²): of Frobenius and Schur's indicator 1, 0, -1, once for each complex constituent."""


def quaternions() -> Group:
    """±1, ±i, ±j, ±k."""
    units = [tuple(sign * (place == axis) for place in range(4)) for sign in (1, -1) for axis in range(4)]

    def times(x, y):
        a, b, c, d = x
        e, f, g, h = y
        return (
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        )

    table = torch.tensor([[units.index(times(x, y)) for y in units] for x in units])
    return Group("Q8", table, tuple(map(str, units)))


NAMES = [f"C{n}" for n in (*range(2, 13), 113)] + [f"D{n}" for n in (*range(3, 13), 59)]
NAMES += ["S2", "S3", "S4", "S5", "S6", "A3", "A4", "A5", "A6"]
NAMES += ["S3xC2", "C3xC3", "C4xC2", "D4xC3", "C3xC3xC2", "C5xC5xC3", "A4xC3", "A4xA4", "A5xC3"]
NAMELESS = [quaternions(), opposite(group("S4")), MatrixMultiplication(n=2, p=3, invertible=True).structure]
GROUPS = [cyclic(1), *map(group, NAMES), *NAMELESS]


def forgotten(g: Group) -> Group:
    """The same group, of which only the table is known."""
    return Group("any", g.table, g.elements)


def close(x: torch.Tensor, y: torch.Tensor | float, tolerance: float = 1e-9) -> bool:
    return bool(((x - y).abs() < tolerance).all())


# --- theorems --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("g", GROUPS, ids=lambda g: g.name)
def test_matrices_are_orthogonal_and_multiply_as_the_elements(g):
    """ρ(x) ρ(y) = ρ(x · y) for all x, y; in a large group for all x and some y that generate it."""
    y = range(g.order) if g.order <= 144 else torch.randperm(g.order, generator=torch.Generator().manual_seed(0))[:9]
    assert generated(g, *map(int, y)).all()
    for rho in irreps(g):
        M = rho.matrices
        assert M.shape == (g.order, rho.dimension, rho.dimension)
        assert M.dtype == torch.float64
        assert close(M @ M.mT, torch.eye(rho.dimension, dtype=torch.float64), 1e-12)
        assert all(close(M @ M[element], M[g.table[:, element]], 1e-12) for element in y)


@pytest.mark.parametrize("g", GROUPS, ids=lambda g: g.name)
def test_they_are_irreducible_inequivalent_of_their_type_and_all(g):
    found, chi = irreps(g), characters(g)
    commutant = torch.tensor([COMMUTANT[rho.type] for rho in found], dtype=torch.float64)
    assert close(chi @ chi.T / g.order, commutant.diag())
    squares = g.table.diagonal()
    indicator = torch.tensor([INDICATOR[rho.type] for rho in found], dtype=torch.float64)
    assert close(chi[:, squares].mean(1), indicator)
    assert sum(rho.rank for rho in found) == g.order
    assert [rho.rank * COMMUTANT[rho.type] for rho in found] == [rho.dimension**2 for rho in found]
    up_to_inversion = torch.minimum(g.conjugacy_classes, g.conjugacy_classes[g.inverse]).unique()
    assert len(found) == len(up_to_inversion)
    assert len({rho.name for rho in found}) == len(found)
    assert found[0].name == "trivial"
    assert close(chi[0], 1.0)
    assert close(chi[:, g.identity], torch.tensor([rho.dimension for rho in found]))


@pytest.mark.parametrize("name", ["C6", "D6", "S4", "A4", "C3xC3", "A4xC3"])
def test_their_entries_are_an_orthogonal_basis_of_all_functions(name):
    g = group(name)
    entries = [rho.matrices.flatten(1) for rho in irreps(g)]
    assert [int(torch.linalg.matrix_rank(e)) for e in entries] == [rho.rank for rho in irreps(g)]
    assert int(torch.linalg.matrix_rank(torch.cat(entries, 1))) == g.order
    for i, e in enumerate(entries):
        assert all(close(e.T @ f, 0.0) for f in entries[:i])


@pytest.mark.parametrize("name", ["C12", "D12", "D59", "S4", "S5", "A4", "A5", "A6", "C3xC3xC2", "D4xC3", "A4xC3"])
def test_both_roads_agree(name):
    """The closed forms and the splitting of the regular representation."""
    by_name, by_table = irreps(group(name)), irreps(forgotten(group(name)))
    overlap = torch.stack([r.character for r in by_table]) @ torch.stack([r.character for r in by_name]).T
    same = overlap.abs() > 1e-6
    assert (same.sum(0) == 1).all()
    assert (same.sum(1) == 1).all()
    for row, rho in zip(same, by_table, strict=True):
        partner = by_name[int(row.nonzero())]
        assert (rho.dimension, rho.type) == (partner.dimension, partner.type)
        assert close(rho.character, partner.character)


# --- names and types -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    {
        "C6": "trivial 1r, freq_1 2c, freq_2 2c, freq_3 1r",
        "D5": "trivial 1r, sign 1r, freq_1 2r, freq_2 2r",
        "D6": "trivial 1r, sign 1r, freq_1 2r, freq_2 2r, freq_3_a 1r, freq_3_b 1r",
        "S2": "trivial 1r, sign 1r",
        "S3": "trivial 1r, standard 2r, sign 1r",
        "S5": "trivial 1r, standard 4r, (3,2) 5r, (3,1,1) 6r, (2,2,1) 5r, standard_sign 4r, sign 1r",
        "A3": "trivial 1r, standard 2c",
        "A4": "trivial 1r, standard 3r, (2,2) 2c",
        "A5": "trivial 1r, standard 4r, (3,2) 5r, (3,1,1)_a 3r, (3,1,1)_b 3r",
        "S3xC2": "trivial 1r, trivial*freq_1 1r, standard*trivial 2r, standard*freq_1 2r, "
        "sign*trivial 1r, sign*freq_1 1r",
        "C3xC3": "trivial 1r, trivial*freq_1 2c, freq_1*trivial 2c, freq_1*freq_1_a 2c, freq_1*freq_1_b 2c",
    }.items(),
)
def test_names_dimensions_and_types_are_those_of_the_field(name, expected):
    assert ", ".join(f"{r.name} {r.dimension}{r.type[0]}" for r in irreps(group(name))) == expected


def test_the_quaternions_are_of_quaternionic_type():
    assert [str(rho) for rho in irreps(quaternions())[3:]] == [
        "Irrep(1d_3, dimension 1, real)",
        "Irrep(4d_1, dimension 4, quaternionic)",
    ]


# --- characters known otherwise --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_characters_of_permutations_are_counted_fixed_points(n):
    """On points, on pairs of points and on signs; Λ² of the standard representation is (n - 2, 1, 1)."""
    every = list(permutations(range(n)))
    chi = {rho.name: rho.character for rho in irreps(group(f"S{n}"))}
    sign = 1.0 - 2 * parity(all_permutations(n))
    points = torch.tensor([sum(x[i] == i for i in range(n)) for x in every])
    pairs = torch.tensor([sum({x[i], x[j]} == {i, j} for i in range(n) for j in range(i)) for x in every])
    assert close(chi["sign"], sign)
    assert close(chi["standard"], points - 1)
    if n > 3:
        assert close(chi["standard_sign"], (points - 1) * sign)
        assert close(chi[f"({n - 2},2)"], pairs - points)
    if n > 4:
        squares = group(f"S{n}").table.diagonal()
        assert close(chi[f"({n - 2},1,1)"], ((points - 1) ** 2 - (points - 1)[squares]) / 2)


def test_the_halves_of_a5_differ_in_the_golden_ratio():
    five = group("A5").elements.index("12340")
    chi = {rho.name: float(rho.character[five]) for rho in irreps(group("A5"))}
    golden = (1 + math.sqrt(5)) / 2
    assert sorted([chi["(3,1,1)_a"], chi["(3,1,1)_b"]]) == pytest.approx([1 - golden, golden])
    difference = characters(group("A5"))[3] - characters(group("A5"))[4]
    assert difference[difference.abs() > 1e-9][0] > 0


@pytest.mark.parametrize("n", [5, 6, 113])
def test_cyclic_irreps_are_the_fourier_basis(n):
    basis = real_basis(n)
    for k, rho in enumerate(irreps(group(f"C{n}"))[1:], 1):
        rows = basis[2 * k - 1 : 2 * k + 1]
        assert rho.name == f"freq_{k}"
        assert close(rho.matrices[:, :, 0].T, rows * math.sqrt(n / len(rows)))


@pytest.mark.parametrize("n", [5, 8])
def test_dihedral_irreps_turn_and_reflect(n):
    for k, rho in enumerate(irreps(group(f"D{n}"))[2 : 2 + (n - 1) // 2], 1):
        turns = [2 * math.cos(2 * math.pi * k * i / n) for i in range(n)]
        assert rho.name == f"freq_{k}"
        assert close(rho.character, torch.tensor([*turns, *[0.0] * n], dtype=torch.float64))
    signs = [rho.character for rho in irreps(group(f"D{n}")) if rho.dimension == 1]
    r, s = 1, n
    corners = {(round(float(chi[r])), round(float(chi[s]))) for chi in signs}
    assert corners == ({(1, 1), (1, -1)} if n % 2 else set(product((1, -1), repeat=2)))


def test_partitions_and_tableaux_are_counted():
    """5 has 7 partitions; the hook lengths of (3,2,1) give 6!/45 = 16 tableaux."""
    assert [len(list(partitions(n))) for n in range(1, 8)] == [1, 2, 3, 5, 7, 11, 15]
    assert len(standard_tableaux((3, 2, 1))) == 16
    assert sum(len(standard_tableaux(shape)) ** 2 for shape in partitions(6)) == math.factorial(6)


# --- published networks ----------------------------------------------------------------------------------------------


def published_logits(folder) -> torch.Tensor:
    """Logits [x, y, z] of Chughtai et al.'s one-layer MLP."""
    weights = torch.load(folder / "model.pt", weights_only=True, map_location="cpu")
    W_x, W_y, W, W_U = (weights[name].double() for name in ("W_x", "W_y", "W", "W_U"))
    return ((W_x @ W[:256])[:, None] + W_y @ W[256:]).relu() @ W_U


@pytest.mark.parametrize(
    ("folder", "name", "theirs"),
    [
        ("S5_MLP_seed1", "S5", {"(2,2,1)": "s5_5d_a", "(3,2)": "s5_5d_b", "(3,1,1)": "s5_6d"}),
        ("D59_MLP_seed1", "D59", {}),
    ],
)
def test_published_networks_use_the_irreps_that_were_published(published, folder, name, theirs):
    """cos(L - mean_z L, tr ρ(x y z⁻¹)) of every ρ; the dihedral elements are even in our order."""
    folder, g = published / "chughtai" / folder, group(name)
    logits = published_logits(folder)
    ours, right, _ = renamed(logits.argmax(2), g)
    assert right == 1
    logits = (logits - logits.mean(2, keepdim=True)).flatten()
    xyz = g.table[g.table[ours[:, None], ours][:, :, None], g.inverse[ours]].flatten()
    metrics = json.loads((folder / "summary_metrics.json").read_text())
    for rho in irreps(g)[1:]:
        cube = rho.character[xyz]
        similarity = float(logits @ cube / (logits.norm() * cube.norm()))
        stored = metrics.get(f"logit_{theirs.get(rho.name, rho.name)}_rep_trace_similarity", 0.0)
        assert similarity == pytest.approx(stored, abs=1e-5), rho
