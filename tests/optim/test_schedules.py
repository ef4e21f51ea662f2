"""Schedules: closed forms compared with independent arithmetic, adaptive schedules as state machines, use in torch."""

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from grokinterp.errors import ConfigError
from grokinterp.optim.schedules import (
    BATCH_SCHEDULES,
    LR_SCHEDULES,
    WEIGHT_DECAY_SCHEDULES,
    Constant,
    Cosine,
    Cyclic,
    Evaluation,
    Gap,
    Increasing,
    Mastery,
    Plateau,
    as_lambda,
)

EVERY = {
    "constant": Constant(),
    "cosine": Cosine(),
    "cosine to a tenth": Cosine(final=0.1),
    "cyclic": Cyclic(low=0.2, period=7),
    "increasing": Increasing(low=0.1),
    "increasing over 5": Increasing(low=0.25, over=5),
    "plateau": Plateau(by=0.3, patience=20, lowest=0.05),
    "gap": Gap(doubling=30, most=9.0),
    "mastery": Mastery(low=0.2, by=1.7, hold=15),
}
ADAPTIVE = ("plateau", "gap", "mastery")

shares = st.floats(0.001, 1)
values = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.95, 0.99, 1.0, math.nan]))
losses = st.one_of(st.floats(0, 10), st.sampled_from([0.0, math.nan, math.inf]))


@st.composite
def courses(draw):
    """Evaluations of arbitrary curves at arbitrary increasing steps."""
    gaps = draw(st.lists(st.integers(1, 60), max_size=40))
    steps = np.cumsum([draw(st.integers(0, 10)), *gaps])
    return [Evaluation(int(step), draw(losses), draw(values), draw(losses), draw(values)) for step in steps]


def run(schedule, course, state=None):
    """The state after every evaluation."""
    states = [schedule.start() if state is None else state]
    for evaluation in course:
        states.append(schedule.observe(states[-1], evaluation))
    return states[1:]


def resting(steps, *, train=1.0, held_out=0.0, loss=1.0):
    return [Evaluation(step, loss, train, 9.0, held_out) for step in steps]


class TestEvery:
    @pytest.mark.parametrize("name", EVERY)
    @given(course=courses(), step=st.integers(0, 400), steps=st.integers(1, 300))
    def test_factors_are_positive_finite_and_bounded_whatever_happens(self, name, course, step, steps):
        schedule = EVERY[name]
        for state in [{}, schedule.start(), *run(schedule, course)]:
            factor = schedule.factor(step, steps, state)
            assert isinstance(factor, float)
            assert 0 < factor <= schedule.largest < math.inf
            assert schedule.largest == (9 if name == "gap" else 1)

    @pytest.mark.parametrize("name", EVERY)
    @given(course=courses(), cut=st.integers(0, 41))
    def test_going_on_from_the_stored_state_is_going_on(self, name, course, cut):
        schedule = EVERY[name]
        before = run(schedule, course[:cut])
        stored = json.loads(json.dumps(before[-1] if before else schedule.start(), allow_nan=False))
        assert run(schedule, course[cut:], stored) == run(schedule, course)[len(course[:cut]) :]

    @pytest.mark.parametrize("name", EVERY)
    @given(course=courses())
    def test_observing_changes_nothing_but_what_is_returned(self, name, course):
        schedule, configuration = EVERY[name], asdict(EVERY[name])
        state = schedule.start()
        kept = dict(state)
        for evaluation in course:
            after = schedule.observe(state, evaluation)
            assert state == kept
            assert after is not state
            state, kept = after, dict(after)
        assert asdict(schedule) == configuration

    @pytest.mark.parametrize("name", EVERY)
    @given(course=courses().filter(len))
    def test_an_evaluation_seen_twice_counts_once(self, name, course):
        schedule = EVERY[name]
        seen = run(schedule, course)[-1]
        assert schedule.observe(seen, course[-1]) == seen

    @pytest.mark.parametrize("table", [LR_SCHEDULES, WEIGHT_DECAY_SCHEDULES, BATCH_SCHEDULES])
    def test_json_there_and_back(self, table):
        for kind, schedule in table.items():
            assert schedule().kind == kind
            assert schedule.about
            made = TypeAdapter(schedule).validate_json(json.dumps(asdict(schedule())), strict=True)
            assert made == schedule()
            with pytest.raises(ValidationError):
                TypeAdapter(schedule).validate_python({"kind": kind, "unknown": 1})

    @pytest.mark.parametrize("name", EVERY)
    def test_frozen(self, name):
        with pytest.raises(FrozenInstanceError):
            setattr(EVERY[name], fields(EVERY[name])[0].name, 1)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        (lambda: Cosine(final=-0.1), "final"),
        (lambda: Cosine(final=math.nan), "final"),
        (lambda: Cyclic(low=0.0), "low"),
        (lambda: Cyclic(low=1.5), "low"),
        (lambda: Cyclic(period=1), "period"),
        (lambda: Cyclic(period=10**9 + 1), "period"),
        (lambda: Increasing(low=0.0), "low"),
        (lambda: Increasing(over=0), "over"),
        (lambda: Plateau(by=1.0), "by"),
        (lambda: Plateau(threshold=0.0), "threshold"),
        (lambda: Plateau(patience=0), "patience"),
        (lambda: Plateau(lowest=0.0), "lowest"),
        (lambda: Gap(doubling=0), "doubling"),
        (lambda: Gap(most=0.5), "most"),
        (lambda: Gap(most=math.inf), "most"),
        (lambda: Mastery(low=2.0), "low"),
        (lambda: Mastery(by=1.0), "by"),
        (lambda: Mastery(accuracy=0.0), "accuracy"),
        (lambda: Mastery(hold=0), "hold"),
        (lambda: as_lambda(Plateau(), steps=10), "schedule"),
        (lambda: as_lambda(Cosine(), steps=0), "steps"),
        (lambda: as_lambda(Cosine(), steps=10, warmup_steps=-1), "warmup_steps"),
    ],
)
def test_wrong_arguments_are_refused_by_name(wrong, key):
    with pytest.raises(ConfigError) as refused:
        wrong()
    assert refused.value.key == key


class TestClosedForms:
    @given(final=st.floats(0, 1), steps=st.integers(1, 500), data=st.data())
    def test_cosine_is_that_of_torch(self, final, steps, data):
        """η_min + (η_max - η_min)(1 + cos(π t / T)) / 2, which torch computes by recursion."""
        step = data.draw(st.integers(0, steps - 1))
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        closed = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=final)
        closed.last_epoch = step
        expected = closed._get_closed_form_lr()[0]
        assert Cosine(final=final).factor(step, steps, {}) == pytest.approx(expected, rel=1e-12, abs=1e-15)

    @given(final=st.floats(0, 0.9), steps=st.integers(2, 300))
    def test_cosine_falls_to_the_last_update_and_stays_there(self, final, steps):
        schedule = Cosine(final=final)
        factors = [schedule.factor(step, steps, {}) for step in range(steps + 3)]
        assert factors[0] == 1
        assert all(after < before for before, after in pairwise(factors[:steps]))
        assert factors[steps - 1] == factors[steps] == factors[steps + 2] > final

    @given(low=shares, half=st.integers(1, 200), step=st.integers(0, 5000))
    def test_cyclic_is_that_of_torch(self, low, half, step):
        """torch's triangular policy, whose period is step_size_up + step_size_down."""
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
        cyclic = torch.optim.lr_scheduler.CyclicLR(optimizer, low, 1.0, step_size_up=half, cycle_momentum=False)
        optimizer.step()
        cyclic.last_epoch = step - 1
        cyclic.step()
        assert Cyclic(low=low, period=2 * half).factor(step, 1, {}) == pytest.approx(cyclic.get_last_lr()[0], rel=1e-6)

    @given(low=shares, period=st.integers(2, 200), step=st.integers(0, 10**6))
    def test_cyclic_repeats_is_symmetric_and_begins_low(self, low, period, step):
        def factor(step):
            return Cyclic(low=low, period=period).factor(step, 7, {})

        assert factor(step) == factor(step + period) == factor((-step) % period)
        assert factor(0) == low
        assert max(map(factor, range(period))) == pytest.approx(1 - (1 - low) * (period % 2) / period)

    @given(low=shares, over=st.integers(1, 500), step=st.integers(0, 1000))
    def test_increasing_is_a_line_with_a_corner(self, low, over, step):
        expected = float(np.interp(step, [0, over], [low, 1]))
        assert Increasing(low=low, over=over).factor(step, 7, {}) == pytest.approx(expected, rel=1e-12)
        assert Increasing(low=low).factor(step, over, {}) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("name", ["constant", "cosine", "cyclic", "increasing over 5"])
    def test_nothing_that_is_evaluated_counts(self, name):
        states = run(EVERY[name], resting(range(0, 100, 10)))
        assert all(state == {} for state in states)
        assert EVERY[name].factor(3, 10, {"factor": 0.1}) == EVERY[name].factor(3, 10, {})


class TestLambda:
    @pytest.mark.parametrize("name", [name for name in EVERY if name not in ADAPTIVE])
    def test_a_torch_scheduler_sets_the_rate_of_every_update(self, name):
        weight = torch.zeros(3, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.5)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, as_lambda(EVERY[name], steps=20, warmup_steps=4))
        for step in range(20):
            before = weight.detach().clone()
            weight.grad = torch.ones(3)
            optimizer.step()
            rates.step()
            expected = 0.5 * min(1, (step + 1) / 4) * EVERY[name].factor(step, 20, {})
            assert (before - weight.detach()).tolist() == pytest.approx(3 * [expected], rel=1e-4)

    def test_the_torch_scheduler_is_resumed_by_its_step(self):
        def scheduled():
            optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
            return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, as_lambda(Cosine(), steps=10))

        optimizer, rates = scheduled()
        for _ in range(4):
            optimizer.step()
            rates.step()
        resumed_optimizer, resumed = scheduled()
        resumed_optimizer.load_state_dict(optimizer.state_dict())
        resumed.load_state_dict(rates.state_dict())
        resumed_optimizer.step()
        resumed.step()
        assert resumed.get_last_lr() == [Cosine().factor(5, 10, {})]


class TestPlateau:
    SCHEDULE = Plateau(by=0.5, patience=100, threshold=0.01, lowest=0.1)

    def factors(self, course):
        return [state["factor"] for state in run(self.SCHEDULE, course)]

    def test_a_loss_that_rests_lowers_the_rate_again_and_again_and_no_further_than_the_lowest(self):
        assert self.factors(resting(range(0, 600, 50))) == [
            1,
            1,
            0.5,
            0.5,
            0.25,
            0.25,
            0.125,
            0.125,
            0.1,
            0.1,
            0.1,
            0.1,
        ]

    def test_a_loss_that_falls_keeps_the_rate(self):
        course = [Evaluation(50 * i, 0.98**i, 0.0, 1.0, 0.0) for i in range(40)]
        assert set(self.factors(course)) == {1.0}

    def test_a_loss_that_falls_by_less_than_the_threshold_rests(self):
        course = [Evaluation(50 * i, 1 - 0.004 * i, 0.0, 1.0, 0.0) for i in range(3)]
        assert self.factors(course) == [1, 1, 0.5]

    @pytest.mark.parametrize("loss", [math.nan, math.inf])
    def test_a_loss_that_is_not_finite_has_not_fallen_and_is_never_the_best(self, loss):
        course = [*resting([0, 50, 100], loss=loss), *resting([120], loss=7.0), *resting([200, 220], loss=7.0)]
        assert self.factors(course) == [1, 1, 0.5, 0.5, 0.5, 0.25]

    @given(interval=st.sampled_from([1, 2, 4, 5, 10, 20, 25, 50, 100]))
    def test_the_interval_between_evaluations_does_not_count(self, interval):
        assert run(self.SCHEDULE, resting(range(0, 301, interval)))[-1]["factor"] == 0.125

    def test_what_was_best_stays_the_measure_after_a_spike(self):
        course = [
            *resting([0], loss=1.0),
            *resting([50], loss=5.0),
            *resting([99], loss=2.0),
            *resting([100], loss=2.0),
        ]
        assert self.factors(course) == [1, 1, 1, 0.5]


class TestGap:
    SCHEDULE = Gap(doubling=100, most=8.0)

    def factors(self, course):
        return [state["factor"] for state in run(self.SCHEDULE, course)]

    def test_grows_while_memorized_and_not_generalizing_up_to_the_most(self):
        factors = self.factors(resting(range(0, 500, 50)))
        assert factors == pytest.approx([min(2 ** (i / 2), 8) for i in range(10)])

    def test_nothing_happens_before_the_run_has_memorized(self):
        assert set(self.factors(resting(range(0, 500, 50), train=0.98))) == {1.0}

    def test_returns_at_once_where_it_generalizes_and_begins_anew_where_that_is_lost(self):
        course = [*resting([0, 200]), *resting([210, 400], held_out=0.95), *resting([450, 550], held_out=0.9)]
        assert self.factors(course) == [1, 4, 1, 1, 1, 2]

    def test_shrinks_where_memorization_is_lost(self):
        course = [*resting([0, 200]), *resting([300, 400, 500, 900], train=0.5)]
        assert self.factors(course) == [1, 4, 8, 4, 2, 1]

    def test_no_growth_is_stored_beyond_the_most(self):
        course = [*resting([0, 10_000]), *resting([10_100, 10_200], train=0.5)]
        assert self.factors(course) == [1, 8, 8, 4]

    @pytest.mark.parametrize(("train", "held_out"), [(1.0, math.nan), (math.nan, 0.0), (math.nan, math.nan)])
    def test_what_is_unknown_changes_nothing(self, train, held_out):
        course = [*resting([0, 100]), *resting([100, 300, 500], train=train, held_out=held_out)]
        assert self.factors(course)[-1] == 2
        assert set(self.factors(resting(range(0, 500, 50), train=train, held_out=held_out))) == {1.0}

    @given(changes=st.lists(st.sampled_from([(1.0, 0.0), (0.5, 0.0), (1.0, 1.0), (1.0, 0.94)]), max_size=12))
    def test_finer_evaluations_of_the_same_course_give_the_same_weight_decay(self, changes):
        def course(interval):
            pieces = [changes[step // 60] for step in range(0, 60 * len(changes), interval)]
            steps = range(0, 60 * len(changes), interval)
            return [Evaluation(step, 0.1, *piece[:1], 1.0, piece[1]) for step, piece in zip(steps, pieces, strict=True)]

        coarse, fine = run(self.SCHEDULE, course(60)), run(self.SCHEDULE, course(12))
        assert [state["factor"] for state in fine[::5]] == [state["factor"] for state in coarse]


class TestMastery:
    SCHEDULE = Mastery(low=0.1, by=3.0, accuracy=0.9, hold=100)

    def factors(self, course):
        return [state["factor"] for state in run(self.SCHEDULE, course)]

    def test_grows_each_time_the_examples_are_mastered_up_to_the_whole(self):
        course = [*resting([0, 50], train=0.89), *resting([60, 100, 160, 200, 260, 500], train=0.9)]
        assert self.factors(course) == pytest.approx([0.1, 0.1, 0.3, 0.3, 0.9, 0.9, 1, 1])

    def test_waits_until_a_larger_batch_is_mastered(self):
        course = [*resting([0]), *resting([200, 300], train=0.5), *resting([400])]
        assert self.factors(course) == pytest.approx([0.3, 0.3, 0.3, 0.9])

    def test_an_unknown_accuracy_is_not_mastery(self):
        assert set(self.factors(resting(range(0, 500, 50), train=math.nan))) == {0.1}

    @given(course=courses())
    def test_never_shrinks(self, course):
        factors = [0.1, *self.factors(course)]
        assert all(before <= after for before, after in pairwise(factors))
