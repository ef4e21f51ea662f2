"""The logarithm of a sum of exponentials against PyTorch's."""

import pytest
import torch
from torch.func import vmap

from grokinterp.maths.log_sum_exp import log_sum_exp


def terms(dtype: torch.dtype, spread: float) -> torch.Tensor:
    """Rows of terms, of which some are -∞."""
    x = spread * torch.randn(50, 113, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return x.masked_fill(x < -2.3 * spread, -torch.inf)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0, 1e3])
def test_values_and_gradients_are_those_of_pytorch(dtype: torch.dtype, spread: float) -> None:
    """The values to the last bit, the gradients within rounding, and zero where they would underflow."""
    x = terms(dtype, spread).requires_grad_()
    ours, theirs = log_sum_exp(x), x.logsumexp(-1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    found, expected = (torch.autograd.grad(one.sum(), x)[0] for one in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-36)
    torch.testing.assert_close(vmap(log_sum_exp)(x), theirs, rtol=0, atol=0)


def test_without_a_finite_term() -> None:
    """The only class is the correct one: no wrong answer has any weight, and no gradient is NaN."""
    x = torch.full((2, 1), -torch.inf).requires_grad_()
    found = log_sum_exp(x)
    assert (found < -1e38).all()
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert not gradient.isnan().any()


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_what_is_not_finite_stays_so(value: float) -> None:
    assert not log_sum_exp(torch.tensor([[0.0, value]])).isfinite().any()
