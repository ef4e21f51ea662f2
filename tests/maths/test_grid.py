"""Removing a frequency of a + b from an activation: exact on planted waves, equal to a naive twin, a projection."""

import pytest
import torch

from grokinterp.analysis.structure.progress import frequency_parts
from grokinterp.maths.grid import mean_by_sum, without_sum_frequency

CASES = [(3, 1), (5, 2), (6, 3), (6, 1), (8, 4), (23, 11), (23, 4)]


def drawn(p: int, *rest: int) -> torch.Tensor:
    return torch.rand(p * p, *rest, dtype=torch.float64, generator=torch.Generator().manual_seed(p))


def wave(function, k: int, p: int, sign: int = 1) -> torch.Tensor:
    a = torch.arange(p, dtype=torch.float64)
    return function(2 * torch.pi * k * (a[:, None] + sign * a) / p).flatten()


def by_projection(x: torch.Tensor, p: int, k: int) -> torch.Tensor:
    """P_k as docs/formulas.md writes it, with normalized vectors on the p² grid."""
    vectors = [wave(torch.cos, k, p)] + ([wave(torch.sin, k, p)] if 2 * k != p else [])
    removed = [torch.outer(v / v.norm(), (v / v.norm()) @ x) for v in vectors]
    return x - sum(removed)


@pytest.mark.parametrize(("p", "k"), CASES)
def test_equals_the_projection_written_out(p, k):
    x = drawn(p, 4)
    torch.testing.assert_close(without_sum_frequency(x, p=p, frequency=k), by_projection(x, p, k), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("p", "k"), CASES)
def test_removes_what_the_progress_measures_call_the_frequencys_part(p, k):
    x = drawn(p, p)
    removed = frequency_parts(mean_by_sum(x))[k - 1]
    torch.testing.assert_close(mean_by_sum(x - without_sum_frequency(x, p=p, frequency=k)), removed, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("p", "k"), CASES)
def test_takes_the_frequency_of_the_sum_and_nothing_else(p, k):
    planted = wave(torch.cos, k, p, 1) + (wave(torch.sin, k, p, 1) if 2 * k != p else 0)
    others = [torch.ones(p * p, dtype=torch.float64)]
    others += [wave(torch.cos, j, p) for j in range(1, p // 2 + 1) if j != k]
    others += [wave(torch.cos, k, p, -1)] if 2 * k != p else []  # a - b is a + b at k = p/2
    kept = sum(others)
    torch.testing.assert_close(without_sum_frequency(planted + kept, p=p, frequency=k), kept, rtol=0, atol=1e-12)


def test_removing_twice_is_removing_once_and_order_does_not_matter():
    x, p = drawn(7, 2, 3), 7
    once = without_sum_frequency(x, p=p, frequency=2)
    torch.testing.assert_close(without_sum_frequency(once, p=p, frequency=2), once, rtol=0, atol=1e-14)
    other_way = without_sum_frequency(without_sum_frequency(x, p=p, frequency=3), p=p, frequency=2)
    torch.testing.assert_close(without_sum_frequency(once, p=p, frequency=3), other_way, rtol=0, atol=1e-14)


def test_keeps_shape_and_precision():
    x = drawn(5, 3, 4).float()
    out = without_sum_frequency(x, p=5, frequency=1)
    assert out.shape == x.shape
    assert out.dtype == torch.float32


@pytest.mark.parametrize("frequency", [0, -1, 4])
def test_a_frequency_out_of_range_is_refused(frequency):
    with pytest.raises(ValueError, match=rf"^frequency={frequency}: must be an integer from 1 to 3 for p=7$"):
        without_sum_frequency(drawn(7, 2), p=7, frequency=frequency)


def test_part_of_the_grid_is_refused():
    with pytest.raises(ValueError, match="x has 48 examples: must have all p² = 49 pairs for p=7"):
        without_sum_frequency(drawn(7, 2)[:-1], p=7, frequency=1)
