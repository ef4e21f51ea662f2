"""Losses, accuracies, logit magnitudes, softmax collapse."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from grokinterp.analysis.health.collapse import ROWS, logit_statistics, softmax_collapse
from grokinterp.analysis.health.performance import performance
from tests.support.small_networks import assert_vmap_is_loop, drawn, permuted, planted

ANALYSES = (performance, logit_statistics, softmax_collapse)


def by_hand(logits, labels, is_train):
    """Every measure of ``performance`` and ``logit_statistics``, example by example in plain Python."""
    rows = [(row.tolist(), int(y), bool(t)) for row, y, t in zip(logits, labels, is_train, strict=True)]
    splits = ([r for r in rows if r[2]], [r for r in rows if not r[2]], rows)
    found = {}
    for split, members in zip(("train", "test", "all"), splits, strict=True):
        loss, right, mean_abs, biggest, margin, norm, square = [], [], [], [], [], [], []
        for z, y, _ in members:
            loss.append(math.log(sum(math.exp(v) for v in z)) - z[y])
            right.append(z.index(max(z)) == y)
            mean_abs.append(sum(abs(v) for v in z) / len(z))
            biggest.append(max(abs(v) for v in z))
            margin.append(z[y] - max(v for j, v in enumerate(z) if j != y))
            centered = [v - sum(z) / len(z) for v in z]
            norm.append(math.sqrt(sum(v * v for v in centered)))
            square.append(sum(v * v for v in centered) / len(z))
        mean = [sum(values) / len(members) for values in (loss, right, mean_abs, margin, norm)]
        found[split] = (*mean, max(biggest), math.sqrt(sum(square) / len(members)))
    return found


def test_performance_and_statistics_equal_their_naive_twin():
    checkpoint = drawn()
    expected = by_hand(checkpoint.logits, checkpoint.problem.label, checkpoint.problem.is_train)
    measured, statistics = performance(checkpoint), logit_statistics(checkpoint)
    for i, split in enumerate(("train", "test", "all")):
        found = (
            getattr(measured, f"{split}_loss"),
            getattr(measured, f"{split}_accuracy"),
            statistics.logit_mean_abs[i],
            statistics.logit_margin[i],
            statistics.logit_norm[i],
            statistics.logit_max_abs[i],
            statistics.logit_scale[i],
        )
        assert [float(value) for value in found] == pytest.approx(expected[split], rel=1e-12)


def test_more_rows_than_are_taken_at_a_time():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2 * ROWS + 5, 7, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 7, (len(logits),), generator=generator)
    is_train = torch.arange(len(logits)) % 2 == 0
    found = logit_statistics(planted(logits, labels, is_train))
    expected = by_hand(logits, labels, is_train)["all"]
    assert float(found.logit_mean_abs[2]) == pytest.approx(expected[2], rel=1e-12)
    assert float(found.logit_margin[2]) == pytest.approx(expected[3], rel=1e-12)
    assert float(found.logit_norm[2]) == pytest.approx(expected[4], rel=1e-12)


def test_values_that_can_be_checked_by_hand():
    logits = torch.tensor([[2.0, -4.0, 2.0], [0.0, 0.0, 3.0]], dtype=torch.float64)
    checkpoint = planted(logits, torch.tensor([0, 2]), torch.tensor([True, False]))
    found = logit_statistics(checkpoint)
    assert found.logit_mean_abs.tolist() == pytest.approx([8 / 3, 1, 11 / 6])
    assert found.logit_max_abs.tolist() == [4, 3, 4]
    assert found.logit_margin.tolist() == [0, 3, 1.5]
    assert found.logit_norm.tolist() == pytest.approx([24**0.5, 6**0.5, (24**0.5 + 6**0.5) / 2])
    assert found.logit_scale.tolist() == pytest.approx([8**0.5, 2**0.5, 5**0.5])
    measured = performance(checkpoint)
    assert float(measured.train_loss) == pytest.approx(math.log(2 + math.exp(-6)))
    assert (float(measured.train_accuracy), float(measured.test_accuracy)) == (1, 1)  # a tie goes to the first class


def test_equal_logits_lose_log_of_the_number_of_classes():
    measured = performance(planted(torch.zeros(5, 113, dtype=torch.float64), torch.arange(5)))
    assert float(measured.train_loss) == pytest.approx(math.log(113))
    assert float(measured.train_accuracy) == 0.2


def test_a_split_without_examples_is_nan():
    found = logit_statistics(planted(torch.eye(3, dtype=torch.float64), torch.arange(3)))
    assert all(math.isnan(value[1]) and math.isfinite(value[0]) for value in found)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_statistics_scale_with_the_logits_and_centered_ones_ignore_a_shift(scale, shift):
    base = drawn()
    before = logit_statistics(base)
    after = logit_statistics(planted(base.logits * scale, base.problem.label, base.problem.is_train))
    for field, value in before._asdict().items():
        torch.testing.assert_close(getattr(after, field), scale * value)
    moved = logit_statistics(planted(base.logits + shift, base.problem.label, base.problem.is_train))
    for field in ("logit_margin", "logit_norm", "logit_scale"):
        torch.testing.assert_close(getattr(moved, field), getattr(before, field))


def with_gap(gap, classes=113):
    """One training example with every wrong logit ``gap`` below the correct one."""
    logits = torch.full((1, classes), -float(gap), dtype=torch.float64)
    logits[0, 3] = 0
    return planted(logits, torch.tensor([3]))


def autograd_twin(checkpoint, dtype):
    """Collapsed, zero loss, zero gradient of the examples, with torch's own loss and its backward."""
    found = []
    for z, y in zip(checkpoint.logits, checkpoint.problem.label, strict=True):
        z = z.to(dtype).requires_grad_(True)
        denominator = torch.exp(z.detach() - z.detach().max()).sum()
        loss = functional.cross_entropy(z[None], y[None])
        loss.backward()
        found.append([denominator == 1, loss == 0, bool((z.grad == 0).all())])
    return torch.tensor(found, dtype=torch.float64).mean(0)


@pytest.mark.parametrize("gap", [5, 20, 21.5, 30, 39, 40.5, 70, 95, 110, 500, 720, 760])
def test_collapse_equals_torch_and_its_backward_at_every_gap(gap):
    found = torch.stack(tuple(softmax_collapse(with_gap(gap))))
    for i, dtype in enumerate((torch.float32, torch.float64)):
        twin = autograd_twin(with_gap(gap), dtype)
        if gap in (95, 720):  # the wrong probabilities are subnormal: torch may keep them, training flushes them
            twin[2] = float(gap == 720 or dtype == torch.float32)
        assert torch.equal(found[:, i], twin), (gap, dtype)


@pytest.mark.parametrize(("precision", "dtype", "published_gap"), [(0, torch.float32, 20.7), (1, torch.float64, 39.4)])
@pytest.mark.parametrize("field", ["collapsed_share", "zero_loss_share"])
def test_loss_is_exactly_zero_from_about_the_published_gap_on(precision, dtype, published_gap, field):
    """Never later than exactly rounded sums allow; up to 2 earlier, as the order of summation has it."""
    logits = -torch.arange(15, 45, 0.1, dtype=torch.float64)[:, None].repeat(1, 113)
    logits[:, 3] = 0
    share = getattr(softmax_collapse(planted(logits, torch.full((300,), 3))), field)[precision]
    first = 45 - 30 * float(share)
    assert first == pytest.approx(published_gap, abs=2)
    assert first < math.log(112 * 2 / torch.finfo(dtype).eps) + 0.1


@pytest.mark.parametrize(("precision", "eps"), [(2, 2.0**-10), (3, 2.0**-7)], ids=["float16", "bfloat16"])
def test_few_bits_collapse_at_small_margins(precision, eps):
    """1 + 112 exp(-gap) rounds to 1 where the second term is at most half of the distance to the next number."""
    gap = math.log(112 * 2 / eps)
    shares = [float(softmax_collapse(with_gap(gap + side)).collapsed_share[precision]) for side in (-0.5, 0.5)]
    assert shares == [0, 1]


@pytest.mark.parametrize(("precision", "threshold"), [(0, 87.34), (1, 708.40)])
def test_gradient_is_zero_from_the_smallest_normal_probability_on(precision, threshold):
    below, above = (softmax_collapse(with_gap(threshold + side)) for side in (-0.01, 0.01))
    assert (float(below.zero_gradient_share[precision]), float(above.zero_gradient_share[precision])) == (0, 1)


def test_collapse_counts_training_examples_only_and_a_wrong_answer_has_no_zero_loss():
    logits = torch.tensor([[0.0, 200, 0], [0, 200, 0], [0, 1, 0], [0, 200, 0]], dtype=torch.float64)
    labels, is_train = torch.tensor([1, 0, 1, 1]), torch.tensor([True, True, True, False])
    found = softmax_collapse(planted(logits, labels, is_train))
    assert found.collapsed_share.tolist() == pytest.approx([2 / 3] * 4)
    assert found.zero_loss_share.tolist() == pytest.approx([1 / 3] * 4)
    assert found.zero_gradient_share.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])


@pytest.mark.parametrize("analysis", ANALYSES)
def test_flushing_subnormals_changes_nothing(analysis):
    before = analysis(with_gap(95)), analysis(with_gap(720))
    torch.set_flush_denormal(True)
    try:
        after = analysis(with_gap(95)), analysis(with_gap(720))
    finally:
        torch.set_flush_denormal(False)
    for one, other in zip(before, after, strict=True):
        if analysis is softmax_collapse:
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("analysis", ANALYSES)
def test_order_of_neurons_and_heads_changes_nothing(analysis):
    neurons = random.Random(0).sample(range(12), 12)
    for field, value in analysis(drawn())._asdict().items():
        other = getattr(analysis(permuted(drawn(), neurons=neurons, heads=[1, 0])), field)
        torch.testing.assert_close(other, value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("analysis", ANALYSES)
def test_vmap_equals_loop(analysis):
    assert_vmap_is_loop(analysis, [drawn(seed) for seed in range(3)])
