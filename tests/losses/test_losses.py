"""Cross-entropy: right everywhere, and exactly zero only where the papers' forms were. Squared error by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokinterp.losses import cross_entropy, exact, example_losses, squared_error
from tests.cases.losses import FORMS, SOFTMAX_FORMS


def gap_logits(gap: float, classes: int, dtype: torch.dtype) -> Tensor:
    """One example of class 0 whose correct logit is ``gap`` above all the others."""
    logits = torch.zeros(1, classes, dtype=dtype)
    logits[0, 0] = gap
    return logits


def of_gap(gap: float, classes: int) -> float:
    """log(1 + (C - 1) e^-gap), without cancellation."""
    return math.log1p((classes - 1) * math.exp(-gap))


ZERO = torch.tensor([0])


@given(
    st.integers(2, 9),
    st.integers(1, 6),
    st.integers(0, 2**31 - 1),
    st.sampled_from(SOFTMAX_FORMS),
)
@settings(max_examples=60, deadline=None)
def test_every_form_is_minus_log_softmax(classes: int, n: int, seed: int, form: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (n,), generator=generator)
    reference = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    loss = cross_entropy(logits, labels, form=form)
    tolerance = 1e-5 if form == "float32" else 1e-12
    torch.testing.assert_close(loss.double(), reference, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("classes", [2, 3, 113])
def test_softplus_in_float32_stays_precise_down_to_e_80(classes: int) -> None:
    """The bound of 4e-6 is half a spacing of float32 at 80, which the gap itself is rounded to."""
    for gap in [0.0, 1.0, 5.0, 15.9, 16.0, 20.0, 20.7, 21.0, 39.4, 40.0, 41.0, 60.0, 79.5]:
        logits = gap_logits(gap, classes, torch.float32)
        loss = float(cross_entropy(logits, ZERO))
        assert loss > 0
        assert loss == pytest.approx(of_gap(float(logits[0, 0]), classes), rel=4e-6)


@given(st.floats(0, 80, width=32), st.integers(0, 2**31 - 1), st.sampled_from([2, 3, 10, 113]))
@settings(max_examples=200, deadline=None)
def test_softplus_in_float32_is_never_exactly_zero(gap: float, seed: int, classes: int) -> None:
    noise = torch.rand(1, classes, generator=torch.Generator().manual_seed(seed)) - 1  # in [-1, 0)
    noise[0, 0] = gap
    loss = float(cross_entropy(noise, ZERO))
    reference = float(cross_entropy(noise.double(), ZERO))
    assert loss > 0
    assert loss == pytest.approx(reference, rel=5e-6)


def smallest_collapsed_gap(form: str, dtype: torch.dtype, classes: int) -> float:
    gaps = torch.arange(400, 4500) / 100
    logits = torch.zeros(len(gaps), classes, dtype=dtype)
    logits[:, 0] = gaps
    loss = cross_entropy(logits, torch.zeros(len(gaps), dtype=torch.int64), form=form)
    return float(gaps[loss == 0][0])


@pytest.mark.parametrize(("form", "dtype", "bits"), [("float32", torch.float32, 24), ("float64", torch.float64, 53)])
@pytest.mark.parametrize("classes", [2, 113])
def test_log_softmax_is_exactly_zero_from_a_gap_on(form: str, dtype: torch.dtype, bits: int, classes: int) -> None:
    """Once (C - 1) e^-gap is under half an epsilon it is lost; the order of the sum decides when."""
    latest = math.log(classes - 1) + bits * math.log(2)
    assert bits * math.log(2) - 0.01 <= smallest_collapsed_gap(form, dtype, classes) <= latest + 0.01
    gap = latest + 0.1
    logits = gap_logits(gap, classes, dtype)
    assert float(cross_entropy(logits, ZERO, form=form)) == 0
    assert float(cross_entropy(logits, ZERO)) == pytest.approx(of_gap(float(logits[0, 0]), classes), rel=4e-6)


@pytest.mark.parametrize(("form", "dtype", "gap"), [("float32", torch.float32, 20.7), ("float64", torch.float64, 39.4)])
def test_collapse_at_113_classes(form: str, dtype: torch.dtype, gap: float) -> None:
    """The gaps that docs/formulas.md reports; other vector widths sum in another order and differ by less than one."""
    assert smallest_collapsed_gap(form, dtype, 113) == pytest.approx(gap, abs=1)


@pytest.mark.parametrize(("form", "bits"), [("float16", 11), ("bfloat16", 8)])
@pytest.mark.parametrize("classes", [2, 113])
def test_a_softmax_of_16_bits_collapses_early(form: str, bits: int, classes: int) -> None:
    """The sum of the wrong classes is lost under half an epsilon; the gradient of a wrong answer survives."""
    latest = math.log(classes - 1) + bits * math.log(2)
    assert smallest_collapsed_gap(form, torch.float32, classes) == pytest.approx(latest, abs=0.1)
    logits = gap_logits(-3.0, classes, torch.float32).requires_grad_()
    loss = cross_entropy(logits, ZERO, form=form)
    (expected,) = cross_entropy(logits.detach(), ZERO)
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(expected), rel=2.0 ** (2 - bits))
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert float(gradient[0, 0]) == pytest.approx(-1, abs=0.06)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", SOFTMAX_FORMS)
@pytest.mark.parametrize("classes", [2, 113])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("wrong", [False, True])
def test_gradients_are_finite(dtype: torch.dtype, form: str, classes: int, size: float, wrong: bool) -> None:
    """Huge logits, right or wrong, and no gap at all."""
    logits = gap_logits(-size if wrong else size, classes, dtype).requires_grad_()
    loss = cross_entropy(logits, ZERO, form=form).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    if wrong and size == 1e4:
        assert float(loss.detach()) == pytest.approx(size + math.log(classes - 1), rel=1e-6)
    if size == 0:
        expected = torch.full_like(logits, 1 / classes) - torch.nn.functional.one_hot(ZERO, classes)
        torch.testing.assert_close(logits.grad, expected.to(dtype))


def test_gradient_survives_where_log_softmax_has_none() -> None:
    """At a gap of 60 in float32 the gradient of the correct logit is -(C - 1) e^-60, not 0."""
    logits = gap_logits(60.0, 113, torch.float32).requires_grad_()
    cross_entropy(logits, ZERO).sum().backward()
    assert float(logits.grad[0, 0]) == pytest.approx(-112 * math.exp(-60), rel=1e-5)
    dead = gap_logits(60.0, 113, torch.float32).requires_grad_()
    cross_entropy(dead, ZERO, form="float32").sum().backward()
    assert float(dead.grad[0, 0]) == 0


def test_works_under_vmap_and_nested_grad() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 4, 1])
    stacked = torch.vmap(lambda x: cross_entropy(x, labels))(logits)
    torch.testing.assert_close(stacked, torch.stack([cross_entropy(x, labels) for x in logits]))

    def mean_loss(x: Tensor) -> Tensor:
        return cross_entropy(x, labels).mean()

    def reference(x: Tensor) -> Tensor:
        return -x.log_softmax(-1).gather(-1, labels[:, None]).mean()

    def sharpness(f):  # type: ignore[no-untyped-def]
        return torch.func.grad(lambda x: torch.func.grad(f)(x).square().sum())

    torch.testing.assert_close(torch.vmap(sharpness(mean_loss))(logits), torch.vmap(sharpness(reference))(logits))


# --- squared error, supervision steps ------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**31 - 1))
@settings(max_examples=60, deadline=None)
def test_squared_error_in_plain_python(classes: int, n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (n,), generator=generator)
    expected = [
        sum((z - (c == label)) ** 2 for c, z in enumerate(row)) / classes
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    assert squared_error(logits, labels).tolist() == pytest.approx(expected)
    assert torch.equal(example_losses(logits, labels, form="mse"), squared_error(logits, labels))


def test_the_gradient_of_squared_error_by_hand() -> None:
    """2 (z - wanted) / classes."""
    logits = torch.tensor([[3.0, 2.0, -1.0]], requires_grad=True)
    squared_error(logits, torch.tensor([1])).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[2.0, 2 / 3, -2 / 3]]))


@pytest.mark.parametrize("form", FORMS)
def test_deep_supervision_is_the_mean_over_its_steps(form: str) -> None:
    generator = torch.Generator().manual_seed(0)
    supervised = torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 4, 1])
    each = [example_losses(logits, labels, form=form) for logits in supervised]
    found = example_losses(supervised[-1], labels, form=form, supervised=supervised)
    torch.testing.assert_close(found, sum(each) / 3)
    once = example_losses(supervised[0], labels, form=form, supervised=supervised[:1])
    torch.testing.assert_close(once, each[0])


def test_the_exact_form_evaluates_the_same_loss() -> None:
    same = ("stablemax", "mse")
    assert [exact(form) for form in FORMS] == [form if form in same else "softplus" for form in FORMS]


@pytest.mark.parametrize("form", ["softplus", "stablemax", "mse"])
def test_losses_work_under_vmap_and_grad(form: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.tensor([0, 3, 4, 1])

    def mean_loss(x: Tensor) -> Tensor:
        return example_losses(x[-1], labels, form=form, supervised=x).mean()

    stacked = torch.vmap(torch.func.grad(mean_loss))(logits)
    for x, found in zip(logits, stacked, strict=True):
        torch.testing.assert_close(found, torch.func.grad(mean_loss)(x))
