"""Gradient filters: the laws of all of them, and each against its formula taken literally."""

import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from grokinterp import optim
from grokinterp.errors import ConfigError
from grokinterp.experiment.kinds import by_kind
from grokinterp.optim import EGD, GradientFilter, GrokfastDual, GrokfastEMA, GrokfastMA, OrthoGrad
from tests.cases.filters import FILTERS

NONE = {"ema": GrokfastEMA(lamb=0.0), "ma": GrokfastMA(window=2, lamb=0.0)}
NONE["dual"] = GrokfastDual(ema=NONE["ema"], ma=NONE["ma"])

every_filter = pytest.mark.parametrize("name", FILTERS)


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gradients(n, *shape, dtype=torch.float32):
    return [drawn(*shape, seed=seed, dtype=dtype) for seed in range(n)]


def passed(filter, stream, weight=None, memory=None):
    """Successive filtered gradients, and the final memory of the filter."""
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


def test_every_kind_is_tried_here():
    assert {filter.kind: type(filter) for filter in FILTERS.values()} == optim.FILTERS
    assert all(cls.about and "\n" not in cls.about for cls in optim.FILTERS.values())


@every_filter
def test_json_there_and_back_is_the_same_filter(name):
    adapter = TypeAdapter(by_kind(optim.FILTERS, "grokfast_ema"))
    there = adapter.dump_json(FILTERS[name])
    assert adapter.validate_json(there, strict=True) == FILTERS[name]
    for wrong in (b'{"kind": "nothing"}', there.replace(b"{", b'{"unknown": 1, ', 1), there.replace(b"3", b'"3"')):
        if wrong != there:
            with pytest.raises(ValidationError):
                adapter.validate_json(wrong, strict=True)


@every_filter
def test_the_gain_is_what_a_constant_gradient_grows_by(name):
    """Also of a boosted filter; boosting does not change a filter without λ."""
    filter, gradient = FILTERS[name], torch.tensor([3.0, 4.0], dtype=torch.float64)
    for boosted in (filter, filter.boosted(1.5), filter.boosted(0)):
        last = passed(boosted, [gradient] * 5, torch.tensor([4.0, -3.0], dtype=torch.float64))[0][-1]
        unit = gradient / gradient.norm() if name == "egd" else gradient
        torch.testing.assert_close(last, boosted.gain * unit)
    without = not isinstance(filter, GrokfastEMA | GrokfastMA | GrokfastDual)
    assert without == (filter.boosted(1.5) == filter) == (filter.gain == 1)


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
def test_later_changes_of_the_gradient_do_not_reach_the_memory(name):
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


def test_ma_takes_two_additions_a_gradient_and_one_tensor_more_than_its_window():
    class Counted(torch.Tensor):
        additions = 0

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            cls.additions += function in (torch.Tensor.add, torch.Tensor.__add__)
            return super().__torch_function__(function, types, args, kwargs or {})

    memory, filter = None, GrokfastMA(window=20)
    for _ in range(200):
        _, memory = filter.addition(torch.ones(3).as_subclass(Counted), memory)
        newer, _, older = memory
        assert len(newer) + len(older) <= 20
    assert 200 < Counted.additions <= 3 * 200  # to the newer, of the older, and both together


@pytest.mark.parametrize("window", [1, 2, 3, 5])
@pytest.mark.parametrize("place", range(6))
def test_ma_does_not_drift(window, place):
    """A running sum would keep the rounding of a huge gradient that has long left the window."""
    stream = [torch.full((3,), 1e-3)] * (place + 2 * window)
    stream[place] = torch.full((3,), 1e20)
    found, _ = passed(GrokfastMA(window=window, lamb=1.0), stream)
    for filtered in found[place + window :]:
        torch.testing.assert_close(filtered, torch.full((3,), 2e-3), rtol=1e-6, atol=0)


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


def test_boosting_multiplies_lambda_and_nothing_else():
    assert GrokfastEMA(alpha=0.5, lamb=2.0).boosted(1.5) == GrokfastEMA(alpha=0.5, lamb=3.0)
    assert GrokfastMA(window=3, warm_up=False).boosted(2) == GrokfastMA(window=3, lamb=10.0, warm_up=False)
    assert GrokfastDual().boosted(0.5) == GrokfastDual(ema=GrokfastEMA(lamb=1.0), ma=GrokfastMA(lamb=0.5))


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


# Egalitarian gradient descent.


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 8), columns=st.integers(1, 8), scale=st.floats(1e-20, 1e15))
def test_egd_equals_its_formula(seed, rows, columns, scale):
    """(G Gᵀ)^-½ G by eigenvalues; of a tall matrix G (Gᵀ G)^-½, which is the same where both are defined."""
    gradient = drawn(rows, columns, seed=seed, dtype=torch.float64)
    wide = gradient if rows <= columns else gradient.T
    values, vectors = torch.linalg.eigh(wide @ wide.T)
    if values.min() < 1e-6:
        return
    expected = vectors @ torch.diag(values.rsqrt()) @ vectors.T @ wide
    filtered, memory = EGD()(scale * gradient, torch.zeros(rows, columns, dtype=torch.float64))
    torch.testing.assert_close(filtered, expected if rows <= columns else expected.T, rtol=1e-8, atol=1e-8)
    assert memory is None


@pytest.mark.parametrize("rank", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_egd_leaves_null_directions_null(rank, dtype):
    gradient = drawn(6, rank, dtype=dtype) @ drawn(rank, 5, seed=1, dtype=dtype)
    values = torch.linalg.svdvals(EGD()(gradient, gradient)[0])
    torch.testing.assert_close(values, (torch.arange(5) < rank).to(dtype), atol=1e-5, rtol=0)


def test_egd_takes_heads_one_by_one_and_a_kernel_as_one_matrix():
    heads, kernel = drawn(3, 4, 2), drawn(4, 3, 2, 2, seed=1)
    of_heads, of_kernel = EGD()(heads, heads)[0], EGD()(kernel, kernel)[0]
    for head, filtered in zip(heads, of_heads, strict=True):
        torch.testing.assert_close(filtered, EGD()(head, head)[0])
    torch.testing.assert_close(torch.linalg.svdvals(of_kernel.flatten(1)), torch.ones(4))


def test_egd_of_vectors_and_numbers_is_their_direction():
    vector = drawn(7)
    torch.testing.assert_close(EGD()(vector, vector)[0], vector / vector.norm())
    assert EGD()(torch.tensor(-3.0), torch.tensor(1.0))[0].item() == pytest.approx(-1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_egd_passes_on_what_is_not_finite(bad):
    gradient = drawn(4, 3)
    gradient[1, 1] = bad
    assert bits(EGD()(gradient, gradient)[0]) == bits(gradient)
