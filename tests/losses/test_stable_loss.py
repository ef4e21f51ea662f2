"""StableMax and its cross-entropy against plain Python; losses as modules against torch.nn.CrossEntropyLoss."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from grokinterp.errors import ConfigError
from grokinterp.losses import (
    ClassificationLoss,
    LogSoftmaxCrossEntropyLoss,
    OneHotMSELoss,
    SoftplusCrossEntropyLoss,
    StableCrossEntropyLoss,
    cross_entropy,
    get_stable_loss_function,
    log_stablemax,
    stablemax,
)
from grokinterp.maths.stablemax import stable_scale
from tests.cases.losses import FORMS, SOFTMAX_FORMS

SHAPES = [(5,), (4, 5), (4, 5, 3), (2, 5, 3, 2)]


def scale(x: float) -> float:
    return x + 1 if x >= 0 else 1 / (1 - x)


def drawn(*shape: int, seed: int = 0, size: float = 3.0) -> Tensor:
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels_of(logits: Tensor, seed: int = 0) -> Tensor:
    axis = min(1, logits.ndim - 1)
    shape = logits.shape[:axis] + logits.shape[axis + 1 :]
    return torch.randint(0, logits.shape[axis], shape, generator=torch.Generator().manual_seed(seed))


# --- StableMax --------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9), st.data())
@settings(max_examples=100, deadline=None)
def test_stablemax_and_its_loss_in_plain_python(row: list[float], data: st.DataObject) -> None:
    label = data.draw(st.integers(0, len(row) - 1))
    logits = torch.tensor(row, dtype=torch.float64)
    share = [scale(x) / sum(map(scale, row)) for x in row]
    assert stablemax(logits).tolist() == pytest.approx(share, rel=1e-12)
    assert log_stablemax(logits).tolist() == pytest.approx([math.log(p) for p in share], rel=1e-9, abs=1e-12)
    wrong = sum(scale(x) for place, x in enumerate(row) if place != label)
    loss = cross_entropy(logits, torch.tensor(label), form="stablemax")
    assert float(loss) == pytest.approx(math.log1p(wrong / scale(row[label])), rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_stablemax_sums_to_one_along_its_dimension(dim: int) -> None:
    logits = drawn(4, 5, 6, size=1e4).float()
    torch.testing.assert_close(stablemax(logits, dim).sum(dim), torch.ones_like(logits).mean(dim))
    torch.testing.assert_close(log_stablemax(logits, dim).exp(), stablemax(logits, dim))


def adjacent(x: float, dtype: torch.dtype, count: int = 50) -> Tensor:
    """The representable numbers around x, in ascending order."""
    up, down = [torch.tensor(x, dtype=dtype)], [torch.tensor(x, dtype=dtype)]
    for _ in range(count):
        up.append(torch.nextafter(up[-1], torch.tensor(math.inf, dtype=dtype)))
        down.append(torch.nextafter(down[-1], torch.tensor(-math.inf, dtype=dtype)))
    return torch.stack([*reversed(down[1:]), *up])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", [1.0, 0.0, -1.0, 1e4, -1e4])
def test_gradients_are_finite_and_correct_around_every_edge(dtype: torch.dtype, at: float) -> None:
    """The published form has a NaN gradient at exactly 1. d/dz_c -log p_c = -(1 - p_c) / (1 + |z_c|)."""
    edge = adjacent(at, dtype)
    logits = torch.stack([edge, torch.zeros_like(edge), torch.full_like(edge, -3.0)], 1).requires_grad_()
    cross_entropy(logits, torch.zeros(len(edge), dtype=torch.int64), form="stablemax").sum().backward()
    share = stablemax(logits.detach().double())[:, 0]
    expected = -(1 - share) / (1 + edge.double().abs())
    torch.testing.assert_close(
        logits.grad[:, 0].double(), expected, rtol=3e-6 if dtype == torch.float32 else 1e-12, atol=0
    )
    assert logits.grad.isfinite().all()
    again = logits.detach().clone().requires_grad_()
    stablemax(again)[:, 0].sum().backward()
    assert again.grad.isfinite().all()


def test_stablemax_is_monotone() -> None:
    """A larger logit never has a smaller probability, nor its label a larger loss, but for the last bit."""
    rising = torch.cat([torch.linspace(-1e4, 1e4, 4001), *(adjacent(x, torch.float32) for x in (-1.0, 0.0, 1.0))])
    rising = rising.sort().values
    assert (stable_scale(rising).diff() >= 0).all()
    logits = torch.stack([rising, torch.zeros_like(rising)], 1)
    share = stablemax(logits)[:, 0]
    assert (share.diff() >= -torch.finfo(torch.float32).eps * share[:-1]).all()
    apart = logits.double()[rising.diff(prepend=torch.tensor([-1e5])) > 1e-3]
    assert len(apart) > 3990
    assert (cross_entropy(apart, torch.zeros(len(apart), dtype=torch.int64), form="stablemax").diff() < 0).all()


def test_the_loss_does_not_collapse() -> None:
    """Where log-softmax returns 0, and even where p rounds to 1."""
    logits = torch.tensor([[1e9, -1e9]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]), form="stablemax")
    assert float(loss.detach()) == pytest.approx(1e-18, rel=1e-5)
    assert float(stablemax(logits.detach())[0, 0]) == 1
    loss.sum().backward()
    assert float(logits.grad[0, 0]) == pytest.approx(-1e-27, rel=1e-5)


@pytest.mark.parametrize("masked", [[0.5, -math.inf, 2.0], [0.5, -math.inf, -math.inf], [0.5]])
def test_classes_that_are_ruled_out_have_no_probability(masked: list[float]) -> None:
    logits = torch.tensor([masked], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([0]), form="stablemax")
    known = [x for x in masked if x > -math.inf]
    assert float(loss.detach()) == pytest.approx(
        math.log(sum(map(scale, known)) / scale(masked[0])), rel=1e-6, abs=1e-30
    )
    loss.sum().backward()
    assert logits.grad.isfinite().all()


# --- modules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", SOFTMAX_FORMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("ignored", [False, True])
def test_the_usual_cross_entropies_are_torchs(form: str, shape: tuple[int, ...], reduction: str, ignored: bool) -> None:
    """Values and gradients, in every shape."""
    ours, theirs = drawn(*shape).requires_grad_(), drawn(*shape).requires_grad_()
    labels = labels_of(ours)
    if ignored and labels.ndim:
        labels.view(-1)[::2] = 7
    found = get_stable_loss_function(form, ignore_index=7, reduction=reduction)(ours, labels)
    expected = nn.CrossEntropyLoss(ignore_index=7, reduction=reduction)(theirs, labels)
    exactness = {"rtol": 1e-5, "atol": 1e-6} if form == "float32" else {"rtol": 1e-10, "atol": 1e-12}
    torch.testing.assert_close(found, expected, check_dtype=False, **exactness)
    weight = drawn(*expected.shape, seed=1)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, **exactness)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["stablemax", "mse"])
def test_the_other_losses_one_example_at_a_time(shape: tuple[int, ...], form: str) -> None:
    logits, module = drawn(*shape), get_stable_loss_function(form, reduction="none")
    labels = labels_of(logits)
    rows = logits.movedim(min(1, logits.ndim - 1), -1)
    found = module(logits, labels)
    assert found.shape == labels.shape
    one = {
        "stablemax": lambda row, label: -math.log(scale(row[label]) / sum(map(scale, row))),
        "mse": lambda row, label: sum((z - (c == label)) ** 2 for c, z in enumerate(row)) / len(row),
    }[form]
    each = [one(row.tolist(), int(c)) for row, c in zip(rows.reshape(-1, 5), labels.flatten(), strict=True)]
    assert found.flatten().tolist() == pytest.approx(each)
    assert float(type(module)()(logits, labels)) == pytest.approx(sum(each) / len(each))
    assert float(type(module)(reduction="sum")(logits, labels)) == pytest.approx(sum(each))


@pytest.mark.parametrize("form", FORMS)
def test_nothing_to_learn_is_a_loss_of_zero(form: str) -> None:
    """All labels ignored, or no example at all: 0, and a gradient of 0, where PyTorch has NaN."""
    logits = drawn(4, 5).requires_grad_()
    loss = get_stable_loss_function(form)(logits, torch.full((4,), -100))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))
    assert float(get_stable_loss_function(form)(drawn(0, 5), torch.zeros(0, dtype=torch.int64))) == 0


@pytest.mark.parametrize("form", FORMS)
def test_what_is_ignored_may_be_anything(form: str) -> None:
    """Padding with NaN logits reaches neither the loss nor any gradient."""
    clean = drawn(4, 5)
    dirty = torch.cat([clean, torch.full((2, 5), math.nan, dtype=torch.float64)]).requires_grad_()
    labels = torch.cat([labels_of(clean), torch.tensor([-100, -100])])
    loss = get_stable_loss_function(form)(dirty, labels)
    loss.backward()
    torch.testing.assert_close(loss.detach(), get_stable_loss_function(form)(clean, labels[:4]))
    assert torch.equal(dirty.grad[4:], torch.zeros(2, 5, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("form", FORMS)
def test_half_precision_is_safe(form: str, dtype: torch.dtype) -> None:
    """Computed in single precision: finite at the largest half, and equal to the loss of the same logits in float32."""
    logits = torch.tensor([[6e4, -6e4, 1.0], [-6e4, 6e4, 1.0]], dtype=dtype, requires_grad=True)
    wide = logits.detach().float().requires_grad_()
    labels = torch.tensor([0, 0])
    loss, expected = (get_stable_loss_function(form)(x, labels) for x in (logits, wide))
    loss.backward()
    expected.backward()
    assert loss.dtype == (torch.float64 if form == "float64" else torch.float32)
    assert torch.equal(loss, expected)
    assert logits.grad.isfinite().all() or form == "mse"  # 2 z / C does not fit a half
    assert torch.equal(logits.grad, wide.grad.to(dtype))


LOGITS = torch.zeros(4, 5)
WRONG = {
    "a label too large": (LOGITS, torch.tensor([0, 1, 5, 0]), r"target=5: must be from 0 to 4"),
    "a negative label": (LOGITS, torch.tensor([0, 1, -1, 0]), r"target=-1: must be from 0 to 4"),
    "one label too few": (LOGITS, torch.tensor([0, 1, 2]), r"target=\[3\]: must be \[4\]"),
    "the class last": (torch.zeros(4, 3, 5), torch.zeros(4, 3, dtype=torch.int64), r"must be \[4, 5\]"),
    "probabilities": (LOGITS, torch.zeros(4, 5), r"must be class indices"),
    "integer logits": (LOGITS.long(), torch.zeros(4, dtype=torch.int64), r"input=torch.int64"),
    "a number": (torch.tensor(1.0), torch.tensor(0), r"must be logits \[C\]"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_errors_say_what_is_wrong(name: str) -> None:
    logits, labels, words = WRONG[name]
    with pytest.raises(ConfigError, match=words):
        StableCrossEntropyLoss()(logits, labels)


def test_wrong_settings() -> None:
    with pytest.raises(ConfigError, match=r"dtype=torch\.int8: must be one of torch\.float16, torch\.bfloat16, "):
        LogSoftmaxCrossEntropyLoss(torch.int8)
    modules = [get_stable_loss_function(form) for form in FORMS]
    assert [type(module) for module in modules] == [
        SoftplusCrossEntropyLoss,
        LogSoftmaxCrossEntropyLoss,
        LogSoftmaxCrossEntropyLoss,
        StableCrossEntropyLoss,
        OneHotMSELoss,
        *2 * [LogSoftmaxCrossEntropyLoss],
    ]
    widths = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
    assert [modules[place].dtype for place in (1, 2, 5, 6)] == widths
    assert all(isinstance(module, ClassificationLoss) and not list(module.parameters()) for module in modules)
