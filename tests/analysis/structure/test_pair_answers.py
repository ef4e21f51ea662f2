"""Answers, losses and correct logits of every pair: naive twin, planted answers, undefined pairs."""

import math

import pytest
import torch

from grokinterp.analysis.structure.pair_answers import pair_answers
from grokinterp.errors import NotDefined
from grokinterp.tasks import ModularDivision
from tests.cases.models import TINY_SPECS
from tests.cases.tasks import TASKS
from tests.support.any_model import checkpoint_of
from tests.support.constructed import close
from tests.support.small_networks import assert_vmap_is_loop, drawn


def test_every_pair_equals_its_naive_twin():
    checkpoint, p = drawn(), 7
    found = pair_answers(checkpoint)
    for a in range(p):
        for b in range(p):
            example, label = a * p + b, (a + b) % p
            row = checkpoint.logits[example]
            close(found.pair_loss[a, b], torch.logsumexp(row, 0) - row[label])
            close(found.pair_correct_logit[a, b], row[label] - row.mean())
            assert found.pair_is_correct[a, b] == float(int(row.argmax()) == label)
            assert found.pair_is_trained[a, b] == float(checkpoint.problem.is_train[example])


def test_pairs_without_an_answer_are_missing():
    checkpoint = checkpoint_of(next(iter(TINY_SPECS.values())), ModularDivision(p=5))
    for values in pair_answers(checkpoint):
        assert values.shape == (5, 5)
        assert values.isnan().sum() == 5
        assert values[:, 0].isnan().all()  # nothing can be divided by 0
    shares = pair_answers(checkpoint).pair_is_trained
    assert math.isclose(float(shares.nansum()), int(checkpoint.problem.is_train.sum()))


def test_vmap_equals_loop():
    assert_vmap_is_loop(pair_answers, [drawn(seed) for seed in range(3)])


def test_tasks_without_two_operands_are_refused():
    with pytest.raises(NotDefined, match=r"pair_answers is not defined here: .*operands"):
        pair_answers(checkpoint_of(next(iter(TINY_SPECS.values())), TASKS["sum of three"]))
