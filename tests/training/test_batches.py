"""Mini-batches: every epoch has every example once, and a batch follows from its step alone."""

import weakref

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.experiment.problem import Problem
from grokinterp.experiment.random_streams import EPOCH, NOISE, stream
from grokinterp.training import train
from grokinterp.training.batches import Batches
from grokinterp.training.step import Step
from tests.support.plain_loop import assert_trains_plainly, plain_batches
from tests.support.small_runs import TINY, changed

CPU = torch.device("cpu")
SEED = st.integers(0, 2**63 - 1)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """A number of examples, and of examples per batch."""
    examples = draw(st.integers(1, 40))
    return examples, draw(st.integers(1, examples))


@settings(max_examples=60)
@given(sizes=sizes(), seed=SEED)
def test_the_stream_has_every_example_once_an_epoch(sizes, seed):
    examples, size = sizes
    batches = Batches(examples, seed=seed, device=CPU)
    endless = [example for step in range(3 * examples) for example in batches.at(step * size, size).tolist()]
    assert len(endless) == 3 * examples * size
    for start in range(0, len(endless), examples):
        assert sorted(endless[start : start + examples]) == list(range(examples))


@settings(max_examples=60)
@given(sizes=sizes(), seed=SEED, order=st.permutations(range(12)))
def test_a_batch_depends_on_its_step_alone(sizes, seed, order):
    examples, size = sizes
    forwards = Batches(examples, seed=seed, device=CPU)
    expected = [forwards.at(step * size, size) for step in range(12)]
    anyhow = Batches(examples, seed=seed, device=CPU)
    assert all(torch.equal(anyhow.at(step * size, size), expected[step]) for step in order)
    fresh = (Batches(examples, seed=seed, device=CPU).at(step * size, size) for step in order)
    assert all(torch.equal(batch, expected[step]) for batch, step in zip(fresh, order, strict=True))


def test_batches_by_hand():
    """Five examples, two at a time: the third batch ends one epoch and begins the next."""
    batches = Batches(5, seed=3, device=CPU)
    first, second = (batches.order(epoch).tolist() for epoch in (0, 1))
    assert [batches.at(2 * step, 2).tolist() for step in range(4)] == [
        first[:2],
        first[2:4],
        [first[4], second[0]],
        second[1:3],
    ]


def test_far_into_training_nothing_is_counted_through():
    assert len(Batches(1000, seed=0, device=CPU).at(32 * 10**8, 32)) == 32


def test_the_last_two_orders_are_kept_and_no_others():
    batches = Batches(1000, seed=0, device=CPU)
    orders = [weakref.ref(batches.order(epoch)) for epoch in range(4)]
    assert [order() is not None for order in orders] == [False, False, True, True]


def test_epochs_and_seeds_and_purposes_have_orders_of_their_own():
    generators = [
        stream(seed, *path) for seed in (0, 1, 2**32, 2**63 - 1) for path in ((EPOCH, 0), (EPOCH, 1), (NOISE,))
    ]
    generators.append(torch.Generator().manual_seed(0))
    drawn = {tuple(torch.randperm(50, generator=generator).tolist()) for generator in generators}
    assert len(drawn) == len(generators)


def test_every_example_is_as_likely_at_every_place():
    """Means of 2,000 epochs within five standard deviations."""
    batches = Batches(6, seed=0, device=CPU)
    counts = (
        torch.stack([torch.nn.functional.one_hot(batches.at(6 * step, 6), 6) for step in range(2000)]).double().mean(0)
    )
    assert float((counts - 1 / 6).abs().max()) < 5 * (1 / 6 * 5 / 6 / 2000) ** 0.5


# --- the step ------------------------------------------------------------------------------------------------------


def test_a_step_sees_its_batch_and_nothing_else():
    experiment = changed(optimization={"batch_size": 10})
    model, problem = experiment.build_model(), Problem.of(experiment)
    step = Step(model, problem, experiment.optimization, seed=5)
    step.prepare()
    tokens = problem.tokens[problem.is_train]
    for at, batch in enumerate(plain_batches(changed(experiment, split={"seed": 5}, steps=9), len(tokens))):
        step.sampler.seen = 10 * at  # as many updates would have left it
        step.gradients(at)
        torch.testing.assert_close(step.logits, model(tokens[batch])[:, -1:])
    (answers,) = step.train_answers()
    torch.testing.assert_close(answers.logits, model(tokens)[:, -1:])


def test_a_batch_of_all_examples_trains_as_the_full_batch(tmp_path):
    """Up to the order of the examples, which only rounding can see."""
    whole = train(TINY, tmp_path / "whole", device="cpu").metrics
    shuffled = train(changed(optimization={"batch_size": 24}), tmp_path / "shuffled", device="cpu").metrics
    for name in ("train_loss", "test_loss", "gradient_norm"):
        torch.testing.assert_close(*(torch.tensor(run[name].values) for run in (whole, shuffled)), rtol=1e-3, atol=1e-5)


def test_mini_batches_train_as_in_a_plain_loop(tmp_path):
    """Seven of 24 examples: batches span epochs, whose order follows the split's seed."""
    for size in (1, 7):
        experiment = changed(optimization={"batch_size": size}, split={"seed": 4}, evaluate_every=1)
        assert_trains_plainly(experiment, tmp_path / str(size))
