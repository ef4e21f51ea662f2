"""Gradient filters: the laws of all of them, and each against its formula taken literally."""

import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.errors import ConfigError
from grokinterp.optim import GradientFilter, GrokfastDual, GrokfastEMA, GrokfastMA, OrthoGrad

FILTERS = {
    "ema": GrokfastEMA(alpha=0.9),
    "ma": GrokfastMA(window=3),
    "ma at once": GrokfastMA(window=3, warm_up=False),
    "dual": GrokfastDual(ma=GrokfastMA(window=3, lamb=1.0)),
    "orthograd": OrthoGrad(),
}
NONE = {"ema": GrokfastEMA(lamb=0.0), "ma": GrokfastMA(window=2, lamb=0.0)}
NONE["dual"] = GrokfastDual(ema=NONE["ema"], ma=NONE["ma"])

every_filter = pytest.mark.parametrize("name", FILTERS)


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradients(n, *shape, dtype=torch.float32):
    return [drawn(*shape, seed=seed, dtype=dtype) for seed in range(n)]


def passed(filter, stream, weight=None, memory=None):
    """What becomes of successive gradients, and what the filter remembers at the end."""
    found = []
    for gradient in stream:
        filtered, memory = filter(gradient, torch.ones_like(gradient) if weight is None else weight, memory)
        found.append(filtered)
    return found, memory


def bits(tensor):
    return tensor.numpy().tobytes()


def cosine(x, y):
    x, y = x.double(), y.double()
    return float((x * y).sum() / (x.norm() * y.norm()))


# All filters.


@every_filter
def test_a_filter_is_a_frozen_value(name):
    filter = FILTERS[name]
    assert isinstance(filter, GradientFilter)
    assert filter == replace(filter)
    assert hash(filter) == hash(replace(filter))
    for field in fields(filter):
        with pytest.raises(FrozenInstanceError):
            setattr(filter, field.name, None)


@every_filter
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 3), (5,), (), (1, 1), (0,)], ids=str)
def test_shape_and_dtype_stay_and_nothing_is_changed_in_place(name, dtype, shape):
    weight, memory = drawn(*shape, seed=9, dtype=dtype), None
    for gradient in gradients(5, *shape, dtype=dtype):
        before = bits(gradient), bits(weight), repr(memory)
        filtered, after = FILTERS[name](gradient, weight, memory)
        assert before == (bits(gradient), bits(weight), repr(memory))
        assert (filtered.shape, filtered.dtype) == (gradient.shape, gradient.dtype)
        assert filtered.isfinite().all()
        memory = after


@every_filter
def test_what_becomes_of_the_gradient_afterwards_does_not_reach_the_memory(name):
    """Optimizers clear .grad in place."""
    filter, memories = FILTERS[name], []
    for clear in (False, True):
        memory = None
        for gradient in gradients(5, 4, 3):
            _, memory = filter(gradient, drawn(4, 3, seed=9), memory)
            if clear:
                gradient.zero_()
        memories.append(repr(memory))
    assert memories[0] == memories[1]


@every_filter
def test_memory_alone_carries_a_filter_on(name):
    """Stopped after any gradient and taken up again with the memory, nothing differs by a bit."""
    stream, filter = gradients(8, 4, 3), FILTERS[name]
    whole, _ = passed(filter, stream)
    for at in range(9):
        first, memory = passed(filter, stream[:at])
        second, _ = passed(replace(filter), stream[at:], memory=memory)
        assert list(map(bits, whole)) == list(map(bits, first + second))
    if not filter.has_memory:
        assert memory is None


@every_filter
def test_zero_gradients_stay_zero(name):
    found, _ = passed(FILTERS[name], [torch.zeros(4, 3)] * 5, drawn(4, 3))
    assert not any(filtered.any() for filtered in found)


@every_filter
def test_vmap_equals_the_loop(name):
    stream, weights = [drawn(6, 4, seed=seed) for seed in range(4)], drawn(6, 4, seed=9)

    def last(gradients, weight):
        return passed(FILTERS[name], list(gradients), weight)[0][-1]

    looped = torch.stack([last([g[i] for g in stream], weights[i]) for i in range(6)])
    torch.testing.assert_close(torch.vmap(last, in_dims=(1, 0))(torch.stack(stream), weights), looped)


# Grokfast.


def test_ema_equals_its_formula():
    stream, e = gradients(30, 4, dtype=torch.float64), None
    for gradient, filtered in zip(stream, passed(GrokfastEMA(), stream)[0], strict=True):
        e = gradient if e is None else 0.98 * e + 0.02 * gradient
        torch.testing.assert_close(filtered, gradient + 2.0 * e, rtol=1e-14, atol=0)


@pytest.mark.parametrize("warm_up", [True, False])
@pytest.mark.parametrize("window", [1, 2, 7, 40])
def test_ma_equals_its_formula_over_the_whole_history(window, warm_up):
    stream = gradients(30, 4, dtype=torch.float64)
    found, memory = passed(GrokfastMA(window=window, warm_up=warm_up), stream)
    for t, (gradient, filtered) in enumerate(zip(stream, found, strict=True)):
        seen = stream[max(0, t + 1 - window) : t + 1]
        slow = torch.stack(seen).mean(0) if len(seen) == window or not warm_up else torch.zeros(4)
        torch.testing.assert_close(filtered, gradient + 5.0 * slow, rtol=1e-13, atol=1e-14)
    newer, _, older = memory
    assert len(newer) + len(older) == min(window, 30)


def test_ma_does_not_drift():
    """A running sum would keep the rounding of a huge gradient that has long left the window."""
    stream = [torch.full((3,), 1e20), *[torch.full((3,), 1e-3)] * 5]
    found, _ = passed(GrokfastMA(window=2, lamb=1.0), stream)
    torch.testing.assert_close(found[-1], torch.full((3,), 2e-3), rtol=1e-6, atol=0)


def test_dual_adds_what_both_make_of_the_raw_gradient():
    stream = gradients(10, 4, dtype=torch.float64)
    dual = FILTERS["dual"]
    ema, ma, both = (passed(one, stream)[0] for one in (dual.ema, dual.ma, dual))
    for g, one, other, together in zip(stream, ema, ma, both, strict=True):
        torch.testing.assert_close(together, one + other - g, rtol=1e-12, atol=1e-14)


def test_dual_with_one_of_its_parts_off_is_the_other_bit_for_bit():
    stream = gradients(10, 4)
    ema, ma = GrokfastEMA(), GrokfastMA(window=3)
    for dual, alone in ((GrokfastDual(ema=ema, ma=NONE["ma"]), ema), (GrokfastDual(ema=NONE["ema"], ma=ma), ma)):
        assert list(map(bits, passed(dual, stream)[0])) == list(map(bits, passed(alone, stream)[0]))


@pytest.mark.parametrize("name", NONE)
def test_without_amplification_the_gradient_stays_bit_for_bit(name):
    stream = [torch.tensor([-0.0, 0.0, 1e-45, -3.0, 1e38])] * 4
    for gradient, filtered in zip(stream, passed(NONE[name], stream)[0], strict=True):
        assert bits(gradient) == bits(filtered)


def test_the_defaults_are_the_published_ones():
    assert (GrokfastEMA().alpha, GrokfastEMA().lamb) == (0.98, 2.0)
    assert (GrokfastMA().window, GrokfastMA().lamb, GrokfastMA().warm_up) == (100, 5.0, True)
    assert GrokfastDual() == GrokfastDual(ema=GrokfastEMA(), ma=GrokfastMA(lamb=1.0))


def test_a_constant_gradient_grows_by_one_plus_the_amplification():
    stream = [drawn(4, dtype=torch.float64)] * 5
    for filter, factor in ((FILTERS["ema"], 3), (FILTERS["ma"], 6), (FILTERS["dual"], 4)):
        torch.testing.assert_close(passed(filter, stream)[0][-1], factor * stream[0])


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda: GrokfastEMA(alpha=1.1), "alpha=1.1: must be from 0 to 1"),
        (lambda: GrokfastEMA(alpha=math.nan), "alpha=nan: must be from 0 to 1"),
        (lambda: GrokfastMA(window=0), "window=0: must be an integer from 1"),
        (lambda: GrokfastMA(lamb=-1.0), "lamb=-1.0: must be 0 or positive, and finite"),
        (lambda: GrokfastEMA(lamb=math.inf), "lamb=inf: must be 0 or positive, and finite"),
    ],
)
def test_absurd_values_are_refused(wrong, line):
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert str(caught.value) == line


# OrthoGrad.


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(2, 200), tilt=st.floats(-1e5, 1e5), scale=st.floats(1e-20, 1e15))
def test_orthograd_is_orthogonal_and_as_long_as_the_gradient(seed, size, tilt, scale):
    weight = drawn(size, seed=seed, dtype=torch.float64)
    gradient = scale * (drawn(size, seed=seed + 1, dtype=torch.float64) + tilt * weight)
    across = gradient - (weight @ gradient) / (weight @ weight) * weight
    filtered, _ = OrthoGrad()(gradient, weight)
    if across.norm() > 2e-6 * gradient.norm():
        assert abs(cosine(filtered, weight)) < 1e-6
        torch.testing.assert_close(filtered.norm(), gradient.norm())
        assert cosine(filtered, across) == pytest.approx(1)


def test_orthograd_in_float32_takes_its_products_in_float64():
    weight = drawn(10_000)
    filtered, _ = OrthoGrad()(drawn(10_000, seed=1) + 1e3 * weight, weight)
    assert abs(cosine(filtered, weight)) < 1e-6


@pytest.mark.parametrize("factor", [3.7, -1e-3, 1e8])
def test_a_parallel_gradient_becomes_no_full_size_step(factor):
    weight = drawn(50)
    gradient = factor * weight
    assert float(OrthoGrad()(gradient, weight)[0].norm()) < 1e-6 * float(gradient.norm())


def test_orthograd_leaves_alone_what_has_nothing_across():
    gradient = drawn(4, 3)
    assert bits(OrthoGrad()(gradient, torch.zeros(4, 3))[0]) == bits(gradient)
    assert bits(OrthoGrad()(drawn(1, 1), drawn(1, 1, seed=1))[0]) == bits(drawn(1, 1))


def test_orthograd_by_hand():
    filtered, memory = OrthoGrad()(torch.tensor([3.0, 4.0]), torch.tensor([2.0, 0.0]))
    assert filtered.tolist() == [0, 5]
    assert memory is None
