"""Optimizers with filters: refusals and their messages; gradient scaling."""

import pytest
import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import LBFGS, SGD, AdamW, SparseAdam

from grokinterp.errors import ConfigError
from grokinterp.optim import EGD, GrokfastEMA, GrokfastMA, OrthoAdamW, OrthoGrad, filtered, filters_of
from tests.cases.filters import OFF, STACKS, bits, give_gradients, weights

# Refusals.


def stepped(*filters, params=None):
    params = params or weights()
    optimizer = filtered(SGD(params, lr=0.1), *filters)
    give_gradients(params, 0)
    optimizer.step()
    return optimizer


def sparse():
    embedding = nn.Embedding(5, 2, sparse=True)
    optimizer = filtered(SparseAdam(embedding.named_parameters()), GrokfastEMA())
    embedding(torch.tensor([1])).sum().backward()
    optimizer.step()


def sparse_without_a_name():
    dense, embedding = nn.Parameter(torch.ones(1)), nn.Embedding(5, 2, sparse=True)
    optimizer = filtered(
        SGD([{"params": [dense]}, {"params": [dense.detach().clone(), embedding.weight]}]), OrthoGrad()
    )
    dense.grad = torch.ones(1)
    embedding(torch.tensor([1])).sum().backward()
    optimizer.step()


def complex_later():
    optimizer = filtered(SGD(weights()), OrthoGrad())
    late = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    optimizer.add_param_group({"params": [late]})
    late.grad = torch.ones_like(late)
    optimizer.step()


def complex_now():
    filtered(SGD([nn.Parameter(torch.ones(2, dtype=torch.complex64))]), OrthoGrad())


GIVEN = "[{'kind': 'grokfast_ema', 'alpha': 0.98, 'lamb': 2.0}]"


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (sparse, "weight=sparse gradient: filters take dense gradients only (sparse=False)"),
        (
            sparse_without_a_name,
            "param_groups[1].params[1]=sparse gradient: filters take dense gradients only (sparse=False)",
        ),
        (complex_now, "param_groups[0].params[0]=complex: filters take real parameters only"),
        (complex_later, "param_groups[1].params[0]=complex: filters take real parameters only"),
        (
            lambda: filtered(LBFGS(weights()), OrthoGrad()),
            "optimizer=LBFGS: evaluates several gradients per step, for which filters are undefined",
        ),
        (
            lambda: filtered(stepped(OrthoGrad()), EGD()),
            "optimizer=SGD: already has filters: pass all filters at once",
        ),
        (
            lambda: filtered(OrthoAdamW(weights()), EGD()),
            "optimizer=OrthoAdamW: already has filters: pass all filters at once",
        ),
        (
            lambda: filters_of(AdamW(weights())),
            "optimizer=AdamW: has no filters: add them by filtered(optimizer, …)",
        ),
        (
            lambda: stepped(GrokfastEMA()).load_state_dict(SGD(weights(), lr=0.1).state_dict()),
            "filters=None: the state was saved without filters: load it before filtered(…)",
        ),
        (
            lambda: stepped(GrokfastEMA()).load_state_dict(stepped(EGD()).state_dict()),
            f"filters=[{{'kind': 'egd'}}]: the state belongs to other filters than {GIVEN}",
        ),
        (
            lambda: stepped(GrokfastEMA()).load_state_dict({**stepped(EGD()).state_dict(), "filters": 3}),
            f"filters=3: the state belongs to other filters than {GIVEN}",
        ),
        (
            lambda: stepped(GrokfastEMA()).load_state_dict(stepped(GrokfastEMA(), params=weights()[::-1]).state_dict()),
            "filters=(1,): the state belongs to other parameters: the shape here is (4, 3)",
        ),
        (
            lambda: stepped(GrokfastEMA()) and filters_of(stepped(GrokfastEMA())).boost(-1),
            "lamb=-2.0: must be 0 or positive, and finite",
        ),
    ],
)
def test_what_has_no_meaning_is_refused_in_one_line(wrong, line):
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert str(caught.value) == line


@pytest.mark.parametrize("wrong", [lambda: filtered(nn.Linear(1, 1), EGD()), lambda: filtered(SGD(weights()), EGD)])
def test_what_is_no_optimizer_or_no_filter_is_refused(wrong):
    with pytest.raises(Exception, match=r"must be a torch.optim.Optimizer|must each be a filter|type"):
        wrong()


def test_a_refused_state_changes_nothing():
    optimizer = stepped(GrokfastEMA())
    before = repr(optimizer.state_dict())
    for wrong in (stepped(EGD()).state_dict(), SGD(weights(), lr=7.0).state_dict()):
        with pytest.raises(ConfigError):
            optimizer.load_state_dict(wrong)
    with pytest.raises(ValueError, match="parameter group"):  # torch's own refusal
        optimizer.load_state_dict(stepped(GrokfastEMA(), params=weights()[:2]).state_dict())
    assert repr(optimizer.state_dict()) == before


def test_filters_that_remember_nothing_need_no_state():
    optimizer = filtered(AdamW(weights()), OrthoGrad())
    optimizer.load_state_dict(AdamW(weights(), lr=7.0).state_dict())
    assert optimizer.param_groups[0]["lr"] == 7.0


def test_a_refused_gradient_leaves_all_others_and_the_memory():
    params = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    optimizer = filtered(SGD(params, lr=0.1), GrokfastEMA())
    params[0].grad, params[1].grad = torch.ones(2), torch.ones(2).to_sparse()
    with pytest.raises(ConfigError):
        optimizer.step()
    assert params[0].grad.tolist() == params[0].tolist() == [1, 1]
    assert not filters_of(optimizer).memory


def test_a_state_dict_does_not_change_behind_ones_back():
    optimizer = stepped(GrokfastEMA(), GrokfastMA(window=2))
    saved = optimizer.state_dict()["filters"]
    before = repr(saved)
    params = optimizer.param_groups[0]["params"]
    for step in range(1, 5):
        give_gradients(params, step)
        optimizer.step()
    filters_of(optimizer).boost(2)
    assert repr(saved) == before


def test_the_plain_optimizer_reads_the_state_of_a_filtered_one():
    plain = SGD(weights(), lr=7.0)
    plain.load_state_dict(stepped(GrokfastEMA()).state_dict())
    assert plain.param_groups[0]["lr"] == 0.1


# Gradient scaling. The scales are no powers of two, and still nothing is lost but rounding.

SCALED = {
    "SGD": lambda params: SGD(params, lr=0.1),
    "fused SGD": lambda params: SGD(params, lr=0.1, fused=True),
    "AdamW": lambda params: AdamW(params, lr=0.1, foreach=True),
    "fused AdamW": lambda params: AdamW(params, lr=0.1, fused=True),
}
every_scaled = pytest.mark.parametrize("make", SCALED.values(), ids=SCALED)


def loss(params, step):
    """A loss whose gradient at step 3 is infinite once it is scaled."""
    factor = 1e36 if step == 3 else 1.0
    targets = [step + torch.arange(float(parameter.numel())).view_as(parameter) for parameter in params]
    return factor * sum((parameter - target).square().sum() for parameter, target in zip(params, targets, strict=True))


def scaled_run(optimizer, params, scaler, steps, *, unscale=False):
    for step in steps:
        optimizer.zero_grad()
        scaler.scale(loss(params, step)).backward()
        if unscale:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    assert not hasattr(optimizer, "grad_scale")
    assert not hasattr(optimizer, "found_inf")
    return params


def plain_run(optimizer, params, steps):
    for step in steps:
        optimizer.zero_grad()
        loss(params, step).backward()
        optimizer.step()
    return params


@every_scaled
@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("filters", [STACKS["ema"], STACKS["ma"], STACKS["orthograd"]], ids=["ema", "ma", "ortho"])
def test_filters_see_unscaled_gradients_and_no_infinite_ones(make, unscale, filters):
    """The run that skips the step with the infinite gradient altogether is the same."""
    params, twins = weights(), weights()
    scaler = GradScaler("cpu", init_scale=3000.0)
    optimizer = filtered(make(params), *filters, lr_normalize=True)
    found = scaled_run(optimizer, params, scaler, range(7), unscale=unscale)
    assert scaler.get_scale() == 1500  # one step was skipped
    expected = plain_run(filtered(make(twins), *filters, lr_normalize=True), twins, [0, 1, 2, 4, 5, 6])
    torch.testing.assert_close(list(found), list(expected), rtol=1e-4, atol=1e-5)


@every_scaled
def test_without_amplification_scaled_steps_are_the_same_bit_for_bit(make):
    params, twins = weights(), weights()
    found = scaled_run(filtered(make(params), *OFF), params, GradScaler("cpu", init_scale=3000.0), range(6))
    expected = scaled_run(make(twins), twins, GradScaler("cpu", init_scale=3000.0), range(6))
    assert bits(found) == bits(expected)


def test_a_scale_of_ones_own_is_there_again_after_the_step():
    params = weights()
    optimizer = filtered(AdamW(params, fused=True), GrokfastEMA(lamb=1.0))
    optimizer.grad_scale = own = torch.tensor(2.0)
    for parameter in params:
        parameter.grad = torch.full_like(parameter, 2.0)
    optimizer.step()
    assert optimizer.grad_scale is own
    assert all((parameter.grad == 2).all() for parameter in params)  # 1 + 1 · 1


def test_what_will_not_be_applied_is_not_remembered():
    params = weights()
    optimizer = filtered(AdamW(params, fused=True), GrokfastEMA())
    before = bits(params)
    for parameter in params:
        parameter.grad = torch.full_like(parameter, torch.nan)
    optimizer.found_inf = torch.ones(())
    optimizer.step()
    assert bits(params) == before
    assert not filters_of(optimizer).memory
