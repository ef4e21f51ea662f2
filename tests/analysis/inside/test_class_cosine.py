"""Mean cosine of representations within and between classes."""

import math
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.analysis.inside.class_cosine import ROWS, class_cosine
from tests.support.small_networks import assert_vmap_is_loop, drawn, permuted, planted


def by_pairs(residual, labels, classes):
    """Within, mean of within, between: every pair of examples, in plain Python."""
    rows, labels = residual.tolist(), labels.tolist()
    within, between = {c: [] for c in range(classes)}, []
    for i, x in enumerate(rows):
        for j, y in enumerate(rows):
            if i == j:
                continue
            length = math.sqrt(sum(v * v for v in x)) * math.sqrt(sum(v * v for v in y))
            cosine = sum(v * w for v, w in zip(x, y, strict=True)) / length if length else 0.0
            (within[labels[i]] if labels[i] == labels[j] else between).append(cosine)
    means = [sum(found) / len(found) if found else math.nan for found in within.values()]
    known = [mean for mean in means if not math.isnan(mean)]
    return means, sum(known) / len(known), sum(between) / len(between)


def representing(residual, labels, classes):
    logits = torch.zeros(len(labels), classes, dtype=torch.float64)
    return planted(logits, labels, residual=residual)


def assert_equal_to_pairs(checkpoint, residual, classes):
    found = class_cosine(checkpoint)
    within, mean, between = by_pairs(residual, checkpoint.problem.label, classes)
    assert found.class_cosine_within.tolist() == pytest.approx(within, abs=1e-12, nan_ok=True)
    assert float(found.class_cosine_within_mean) == pytest.approx(mean, abs=1e-12)
    assert float(found.class_cosine_between) == pytest.approx(between, abs=1e-12)


def test_network_equals_its_naive_twin():
    checkpoint = drawn()
    assert_equal_to_pairs(checkpoint, checkpoint.readout.residual, 7)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(5, 15), zeros=st.integers(0, 2))
def test_zero_vectors_and_small_classes_equal_the_naive_twin(seed, n, zeros):
    generator = torch.Generator().manual_seed(seed)
    residual = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    residual[:zeros] = 0
    labels = torch.randint(0, 4, (n,), generator=generator)
    labels[:3] = torch.tensor([0, 0, 1])
    assert_equal_to_pairs(representing(residual, labels, 4), residual, 4)


def test_values_that_can_be_checked_by_hand():
    residual = torch.tensor([[1.0, 0], [3, 0], [0, 2], [0, -5], [1, 1]], dtype=torch.float64)
    found = class_cosine(representing(residual, torch.tensor([0, 0, 1, 1, 2]), 3))
    assert found.class_cosine_within.tolist() == pytest.approx([1, -1, math.nan], nan_ok=True)
    assert float(found.class_cosine_within_mean) == pytest.approx(0)
    # of 16 ordered pairs, class 2 is at 45° with class 0 (4), at 45° and 135° with class 1; 0 and 1 at right angles
    assert float(found.class_cosine_between) == pytest.approx(2 * 2 * 0.5**0.5 / 16)


def test_collapsed_classes_are_a_simplex():
    """Neural collapse: one centered simplex vector per class has cosine 1 within and -1/(C-1) between."""
    classes, each = 5, 4
    labels = torch.arange(classes).repeat(each)
    vertex = torch.eye(classes, dtype=torch.float64) - 1 / classes
    found = class_cosine(representing(vertex[labels], labels, classes))
    assert found.class_cosine_within.tolist() == pytest.approx([1] * classes)
    assert float(found.class_cosine_between) == pytest.approx(-1 / (classes - 1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100), factor=st.floats(1e-6, 1e6))
def test_lengths_and_rotations_change_nothing(seed, factor):
    generator = torch.Generator().manual_seed(seed)
    checkpoint = drawn()
    residual, labels = checkpoint.readout.residual, checkpoint.problem.label
    lengths = factor * (0.1 + torch.rand(len(labels), 1, generator=generator, dtype=torch.float64))
    rotation = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q
    for field, value in class_cosine(representing(lengths * residual @ rotation, labels, 7))._asdict().items():
        torch.testing.assert_close(value, getattr(class_cosine(checkpoint), field), rtol=1e-9, atol=1e-12)


def test_order_of_neurons_and_heads_changes_nothing():
    other = permuted(drawn(), neurons=random.Random(0).sample(range(12), 12), heads=[1, 0])
    for one, two in zip(class_cosine(drawn()), class_cosine(other), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


def test_vmap_equals_loop():
    assert_vmap_is_loop(class_cosine, [drawn(seed) for seed in range(3)])


def test_a_single_class_has_no_pair_of_different_classes():
    residual = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = class_cosine(representing(residual, torch.zeros(5, dtype=torch.int64), 3))
    assert found.class_cosine_between.isnan()
    assert found.class_cosine_within.isnan().tolist() == [False, True, True]


def test_more_rows_than_are_taken_at_a_time():
    """Every row three times: pairs of equal rows are added to those within a class."""
    n, generator = 2 * ROWS // 3, torch.Generator().manual_seed(0)
    residual = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    labels = torch.arange(n) % 4
    once = class_cosine(representing(residual, labels, 4))
    thrice = class_cosine(representing(residual.repeat(3, 1), labels.repeat(3), 4))
    torch.testing.assert_close(thrice.class_cosine_between, once.class_cosine_between)
    of_class = labels.bincount().double()
    within = (9 * of_class * (of_class - 1) * once.class_cosine_within + 6 * of_class) / (
        3 * of_class * (3 * of_class - 1)
    )
    torch.testing.assert_close(thrice.class_cosine_within, within)
