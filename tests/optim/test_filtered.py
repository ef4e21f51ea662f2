"""Filters on optimizers: every filter on every optimizer of torch, against filtering by hand."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, LambdaLR, OneCycleLR

from grokinterp.optim import GrokfastEMA, GrokfastMA, filtered, filters_of
from tests.cases.filters import OFF, OPTIMIZERS, STACKS, bits, give_gradients, weights

every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
every_filter = pytest.mark.parametrize("filters", STACKS.values(), ids=STACKS)


class ByHand:
    """The plain optimizer, with every gradient passed through the filters before its step."""

    def __init__(self, optimizer, filters):
        self.optimizer, self.filters, self.memories = optimizer, filters, {}

    def step(self):
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.filter(parameter)
        self.optimizer.step()

    def filter(self, parameter):
        value, memories = parameter.grad, self.memories.setdefault(id(parameter), [None] * len(self.filters))
        for place, one in enumerate(self.filters):
            value, memories[place] = one(value, parameter.detach(), memories[place])
        parameter.grad = value


def run(optimizer, params, steps, scheduler=None):
    """The bits of the weights after each of the steps."""
    found = []
    for step in steps:
        give_gradients(params, step)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        found += bits(params)
    return found


def both(make, filters):
    """(optimizer, its parameters), filtered and by hand."""
    params, twins = weights(), weights()
    return (filtered(make(params), *filters), params), (ByHand(make(twins), filters), twins)


@every_optimizer
@every_filter
def test_a_filtered_optimizer_does_what_filtering_by_hand_does(make, filters):
    (one, params), (other, twins) = both(make, filters)
    assert run(one, params, range(6)) == run(other, twins, range(6))


@every_optimizer
def test_filters_that_amplify_nothing_leave_every_bit(make):
    params, twins = weights(), weights()
    assert run(filtered(make(params), *OFF), params, range(6)) == run(make(twins), twins, range(6))


@every_optimizer
def test_a_resumed_optimizer_goes_on_bit_for_bit(make):
    at = 4  # in the middle of a window
    filters, params = STACKS["all"], weights()
    optimizer = filtered(make(params), *filters)
    run(optimizer, params, range(at))
    filters_of(optimizer).boost(1.5)
    file = io.BytesIO()
    torch.save({"weights": params, "optimizer": optimizer.state_dict()}, file)
    whole = run(optimizer, params, range(at, 8))
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = weights()
    for parameter, value in zip(again, saved["weights"], strict=True):
        parameter.data.copy_(value)
    resumed = filtered(make(again), *filters)
    resumed.load_state_dict(saved["optimizer"])
    assert run(resumed, again, range(at, 8)) == whole
    assert filters_of(resumed).gain == filters_of(optimizer).gain


@every_optimizer
@pytest.mark.parametrize("way", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"])  # noqa: S301
def test_a_copied_optimizer_keeps_its_filters_and_what_they_remember(make, way):
    params = weights()
    optimizer = filtered(make(params), *STACKS["all"])
    run(optimizer, params, range(4))
    for parameter in params:
        parameter.grad = None  # nor does torch pickle gradients
    for _ in range(2):  # a copy of a copy, too
        optimizer_copy, params_copy = way((optimizer, params))
        expected = run(optimizer, params, range(4, 7))
        assert filters_of(optimizer_copy) is not filters_of(optimizer)
        assert run(optimizer_copy, params_copy, range(4, 7)) == expected
        optimizer, params = optimizer_copy, params_copy


SCHEDULERS = {
    "lambda": lambda optimizer: LambdaLR(optimizer, lambda step: 1 / (1 + step)),
    "one cycle": lambda optimizer: OneCycleLR(optimizer, max_lr=0.3, total_steps=20),  # momentum or betas, too
    "restarts": lambda optimizer: CosineAnnealingWarmRestarts(optimizer, T_0=3),
}


@pytest.mark.parametrize("schedule", SCHEDULERS.values(), ids=SCHEDULERS)
@pytest.mark.parametrize("name", ["momentum", "fused AdamW", "AdamW, lr a tensor", "Muon"])
@pytest.mark.parametrize("lr_normalize", [False, True])
def test_schedulers_see_their_own_learning_rate(schedule, name, lr_normalize):
    params, twins = weights(), weights()
    one, other = OPTIMIZERS[name](params), OPTIMIZERS[name](twins)
    filtered(one, *STACKS["orthograd"], GrokfastEMA(lamb=0.0), lr_normalize=lr_normalize)
    by_hand = ByHand(other, STACKS["orthograd"])
    schedules = [schedule(optimizer) for optimizer in (one, other)]
    found = run(one, params, range(9), schedules[0]), run(by_hand, twins, range(9), schedules[1])
    assert found[0] == found[1]
    assert schedules[0].get_last_lr() == schedules[1].get_last_lr()


@pytest.mark.parametrize("lr", [0.5, torch.tensor(0.5)], ids=["float", "tensor"])
def test_a_normalized_learning_rate_is_divided_by_the_gain_for_the_step_only(lr):
    """On constant gradients plain descent then steps as without filters; the filters' gain is 3 · 1.5."""
    params = weights()
    before = [parameter.detach().clone() for parameter in params]
    filters = GrokfastEMA(lamb=2.0), GrokfastMA(window=4, lamb=0.5, warm_up=False)
    optimizer = filtered(SGD(params, lr=lr, fused=True), *filters, lr_normalize=True)
    for count in range(1, 4):
        for parameter in params:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] is lr
        for parameter, start in zip(params, before, strict=True):
            torch.testing.assert_close(parameter.detach(), start - 0.5 * count)
    assert filters_of(optimizer).gain == 4.5


def test_groups_have_their_own_settings_and_may_come_later():
    params, twins = weights(), weights()
    one, other = (
        AdamW([{"params": them[:2]}, {"params": them[2:4], "lr": 0.01, "weight_decay": 1.0}], lr=0.1)
        for them in (params, twins)
    )
    by_hand = ByHand(other, STACKS["all"])
    filtered(one, *STACKS["all"])
    assert run(one, params, range(4)) == run(by_hand, twins, range(4))
    one.add_param_group({"params": params[4:], "lr": 1.0})
    other.add_param_group({"params": twins[4:], "lr": 1.0})
    assert run(one, params, range(4, 9)) == run(by_hand, twins, range(4, 9))
    state = one.state_dict()
    assert sorted(state["filters"]["memory"]) == sorted(state["state"]) == [0, 1, 2, 3, 4]


def test_the_object_and_its_class_stay_and_so_do_gradients():
    params = weights()
    optimizer = AdamW(params)
    give_gradients(params, 0)
    gradients = [parameter.grad for parameter in params]
    assert filtered(optimizer, GrokfastEMA()) is optimizer
    assert type(optimizer) is AdamW
    optimizer.step()
    assert all(parameter.grad is gradient for parameter, gradient in zip(params, gradients, strict=True))
    assert set(optimizer.state_dict()) == {"state", "param_groups", "filters"}
    assert all(set(state) == {"step", "exp_avg", "exp_avg_sq"} for state in optimizer.state.values())


def test_two_optimizers_share_nothing():
    (one, params), (_, twins) = both(OPTIMIZERS["SGD"], STACKS["ema"])
    filtered(SGD(twins, lr=0.1), *STACKS["ma"])
    run(one, params, range(3))
    assert [filter.kind for filter in filters_of(one).filters] == ["grokfast_ema"]


def test_a_parameter_without_gradient_is_left_alone_with_what_is_remembered_of_it():
    params = weights()
    optimizer = filtered(SGD(params, lr=0.1), GrokfastEMA(alpha=0.5, lamb=1.0))
    for gradient in (2.0, None, None, 4.0):
        params[4].grad = None if gradient is None else torch.tensor([gradient])
        start = params[4].item()
        optimizer.step()
        if gradient is None:
            assert params[4].item() == start
    assert params[4].item() == pytest.approx(start - 0.1 * (4 + 3))  # 4, and the mean of 2 and 4
    assert len(filters_of(optimizer).memory) == 1


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("name", ["SGD", "fused AdamW", "Rprop", "Muon"])
def test_filters_act_after_the_closure(name, by_name):
    (one, params), (other, twins) = both(OPTIMIZERS[name], STACKS["all"])
    for step in range(5):

        def closure(step=step):
            give_gradients(params, step)
            return step

        give_gradients(params, 100 + step)  # nobody may look at these
        assert (one.step(closure=closure) if by_name else one.step(closure)) == step
        give_gradients(twins, step)
        other.step()
        assert bits(params) == bits(twins)


class Counting(AdamW):
    """An optimizer whose step calls that of its parent, as many do."""

    def step(self, closure=None):
        return super().step(closure)


def test_a_step_within_a_step_filters_once():
    AdamW(weights())  # whose step has hooks from now on, too
    params, twins = weights(), weights()
    one, other = (
        filtered(Counting(params), *STACKS["all"], lr_normalize=True),
        filtered(AdamW(twins), *STACKS["all"], lr_normalize=True),
    )
    assert run(one, params, range(5)) == run(other, twins, range(5))
    with_closure = filtered(Counting(params), *STACKS["all"])
    without = filtered(AdamW(twins), *STACKS["all"])
    for step in range(5):
        with_closure.step(lambda step=step: give_gradients(params, step))
        give_gradients(twins, step)
        without.step()
    assert bits(params) == bits(twins)


def test_a_step_that_fails_leaves_nothing_behind():
    params = weights()
    optimizer = filtered(AdamW(params, lr=0.1), GrokfastEMA(), lr_normalize=True)
    give_gradients(params, 0)
    optimizer.param_groups[0]["betas"] = None  # torch fails behind the filters
    with pytest.raises(TypeError):
        optimizer.step()
    optimizer.param_groups[0]["betas"] = (0.9, 0.999)
    run(optimizer, params, range(1, 3))
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_remembered_in_single(dtype):
    """In bfloat16 the average of 1, 2, 2, … would stop where 0.02 (2 - e) rounds to nothing."""
    parameter = nn.Parameter(torch.zeros(3, dtype=dtype))
    optimizer = filtered(SGD([parameter], lr=0.0), GrokfastEMA(), *OFF)
    for step in range(200):
        parameter.grad = torch.full_like(parameter, 2.0 if step else 1.0)
        optimizer.step()
    assert parameter.grad.dtype == dtype
    average, *_ = filters_of(optimizer).memory[parameter]
    torch.testing.assert_close(average, torch.full((3,), 2 - 0.98**199))
    torch.testing.assert_close(parameter.grad.float(), torch.full((3,), 6.0), rtol=2e-2, atol=0)
    again = filtered(SGD([parameter], lr=0.0), GrokfastEMA(), *OFF)
    again.load_state_dict(optimizer.state_dict())
    assert filters_of(again).memory[parameter][0].dtype == torch.float32


def test_boosts_multiply_lambda_from_now_on():
    parameter = nn.Parameter(torch.zeros(()))
    optimizer = filtered(SGD([parameter], lr=1.0), GrokfastEMA(lamb=2.0))
    for expected in (-3.0, -7.0, -12.5):  # 1 + 2, 1 + 3, 1 + 4.5
        parameter.grad = torch.tensor(1.0)
        optimizer.step()
        assert parameter.item() == expected
        filters_of(optimizer).boost(1.5)
    assert filters_of(optimizer).filters == (GrokfastEMA(lamb=6.75),)


def test_an_optimizer_that_is_not_needed_goes_away():
    optimizer = filtered(SGD(weights(), lr=0.1), GrokfastEMA())
    gone = weakref.ref(optimizer)
    del optimizer
    gc.collect()
    assert gone() is None
