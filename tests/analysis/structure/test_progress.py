"""Restricted, excluded and trig loss: closed forms, naive twins, the published network."""

import math

import numpy as np
import pytest
import torch

from grokinterp.analysis.structure.progress import (
    DRAWS,
    Examples,
    cross_entropies,
    progress_measures,
    random_sets,
    squared_errors,
)
from grokinterp.errors import GrokinterpError
from grokinterp.maths.products import by_product
from tests.support import naive
from tests.support.constructed import CASES, SMALL, close, pair_sums, planted_logits
from tests.support.published_networks import STORED_LOSSES, nanda
from tests.support.small_networks import assert_vmap_is_loop, drawn, permuted, problem


def measured(logits, is_train, keys, measures=cross_entropies):
    """The measures of logits where everything that is not trained on is tested on."""
    p = logits.shape[1]
    return measures(logits, Examples(by_product(pair_sums(p), p), is_train, ~is_train), keys)


def mask(p: int, *keys: int) -> torch.Tensor:
    return torch.tensor([k in keys for k in range(1, p // 2 + 1)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_the_constructed_network_loses_what_is_removed(case):
    keys = list(case.amplitudes)
    found = progress_measures(case.checkpoint(), key_frequencies=torch.tensor(keys))
    close(found.restricted_loss, case.loss(*keys))
    close(found.trig_loss, [case.loss(*keys)] * 3)
    close(found.excluded_loss, math.log(case.p))
    each = [case.loss(*(j for j in keys if j != k)) for k in range(1, case.p // 2 + 1)]
    close(found.excluded_loss_of, each)
    close(found.restricted_loss_control, math.log(case.p))
    close(found.excluded_loss_control, case.loss(*keys))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"p={case.p}")
def test_the_constructed_network_restricted_to_one_of_its_frequencies(case):
    key, *others = case.amplitudes
    found = progress_measures(case.checkpoint(), key_frequencies=torch.tensor([key]))
    close(found.restricted_loss, case.loss(key))
    close(found.excluded_loss, case.loss(*others))


@pytest.mark.parametrize("p", [23, 24, 97])
def test_planted_logits_of_amplitude_one(p):
    """Restricted to all planted frequencies nothing changes; without them every class is as likely."""
    logits, keys = planted_logits(p, {2: 1.0, 7: 1.0, p // 2: 1.0}), mask(p, 2, 7, p // 2)
    found = measured(logits, problem(p).is_train, keys)
    full = torch.nn.functional.cross_entropy(logits, problem(p).label)
    close(found.restricted_loss, full)
    close(found.excluded_loss, math.log(p))


@pytest.mark.parametrize("p", [4, 5, 6, 9])
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize(("measures", "losses"), [(cross_entropies, naive.losses), (squared_errors, naive.squares)])
def test_measures_equal_their_naive_twins(p, scale, measures, losses):
    random = np.random.default_rng(p)
    cube = scale * random.standard_normal((p, p, p))
    keys, is_train = sorted({1, p // 2}), random.random((p, p)) < 0.4
    logits, train = torch.from_numpy(cube).reshape(p * p, p), torch.from_numpy(is_train).flatten()
    found = measured(logits, train, mask(p, *keys), measures)
    kept = sum(naive.projection(cube, k) for k in keys)
    restricted = losses(kept + cube.mean((0, 1)))
    close(found.restricted_loss, restricted.mean())
    close(found.trig_loss, [restricted[is_train].mean(), restricted[~is_train].mean(), restricted.mean()])
    close(found.excluded_loss, losses(cube - kept)[is_train].mean())
    for k in range(1, p // 2 + 1):
        close(found.excluded_loss_of[k - 1], losses(cube - naive.projection(cube, k))[is_train].mean())
    draws = [np.flatnonzero(row) + 1 for row in random_sets(mask(p, *keys)).numpy()]
    parts = [sum((naive.projection(cube, k) for k in draw), np.zeros_like(cube)) for draw in draws]
    close(found.excluded_loss_control, np.mean([losses(cube - part)[is_train].mean() for part in parts]))
    controls = [losses(part + cube.mean((0, 1))).mean() for part in parts]
    close(found.restricted_loss_control, np.mean(controls))


def test_trig_loss_restores_the_mean_over_pairs():
    p = 6
    cube = np.random.default_rng(0).standard_normal((p, p, p))
    kept = naive.projection(cube, 2)
    corrected = naive.losses(kept + (cube - kept).mean((0, 1)))
    found = measured(torch.from_numpy(cube).reshape(p * p, p), problem(p).is_train, mask(p, 2))
    close(found.trig_loss[2], corrected.mean())
    close(found.trig_loss[2], found.restricted_loss)


def test_huge_components_are_removed_exactly_and_only_the_impossible_is_nan():
    p, train = 23, problem(23).is_train
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((p * p, p)))
    found = measured(noise + planted_logits(p, {2: 2000.0, 5: 1500.0}), train, mask(p, 2, 5))
    plain = measured(noise, train, mask(p, 2, 5))
    close(found.excluded_loss, plain.excluded_loss, rtol=1e-7)
    assert bool(found.excluded_loss_of.isfinite().all())
    impossible = measured(1e4 * noise, train, mask(p, 2))
    assert bool(impossible.excluded_loss.isnan())


def test_without_key_frequencies_only_the_constant_is_left():
    logits, train = planted_logits(23, {3: 2.0}), problem(23).is_train
    found = measured(logits, train, mask(23))
    close(found.restricted_loss, math.log(23))
    close(found.excluded_loss, torch.nn.functional.cross_entropy(logits, problem(23).label))


@pytest.mark.parametrize(("p", "keys"), [(23, (2, 5, 11)), (7, (1, 2)), (6, (1, 2, 3))])
def test_controls_are_other_frequencies_of_equal_number(p, keys):
    sets, keys = random_sets(mask(p, *keys)), mask(p, *keys)
    assert sets.shape == (DRAWS, p // 2)
    assert not bool((sets & keys).any())
    assert sets.sum(1).tolist() == [min(int(keys.sum()), int((~keys).sum()))] * DRAWS
    assert bool((random_sets(keys) == sets).all())


def test_permuting_neurons_and_heads_changes_no_measure():
    checkpoint, keys = drawn(p=7), torch.tensor([1, 3])
    other = permuted(checkpoint, neurons=list(range(11, -1, -1)), heads=[1, 0])
    pairs = zip(*(progress_measures(c, key_frequencies=keys) for c in (checkpoint, other)), strict=True)
    for before, after in pairs:
        close(after, before)


@pytest.mark.parametrize("p", [6, 7])
@pytest.mark.parametrize("keys", [[], [2], [1, 3]])
def test_vmap_is_the_loop(p, keys):
    keys = torch.tensor(keys, dtype=torch.int64)
    assert_vmap_is_loop(
        lambda checkpoint: progress_measures(checkpoint, key_frequencies=keys), [drawn(seed, p=p) for seed in range(3)]
    )


def test_a_frequency_that_does_not_exist_is_refused():
    with pytest.raises(GrokinterpError, match="key_frequencies=4: must be integers from 1 to 3 for p=7"):
        progress_measures(SMALL.checkpoint(), key_frequencies=torch.tensor([4]))


def test_the_published_network_has_its_published_losses(published):
    checkpoint = nanda(published)
    losses, is_train = checkpoint.losses, checkpoint.problem.is_train
    assert float(losses[is_train].mean()) == pytest.approx(STORED_LOSSES["train"], rel=1e-2)
    assert float(losses[~is_train].mean()) == pytest.approx(STORED_LOSSES["test"], rel=1e-2)
    assert float(losses.mean()) == pytest.approx(1.111e-7, rel=1e-2)
    found = progress_measures(checkpoint, key_frequencies=torch.tensor([36, 52]))
    assert float(found.restricted_loss) == pytest.approx(1.13e-8, rel=1e-2)
    assert float(found.excluded_loss) == pytest.approx(75.6, rel=1e-2)
