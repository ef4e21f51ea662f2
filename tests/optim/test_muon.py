"""Muon on any parameter, against torch's Muon and AdamW on theirs; OrthoAdamW."""

import copy
import inspect

import pytest
import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from grokinterp.errors import ConfigError
from grokinterp.optim import Muon, OrthoAdamW, OrthoGrad, filtered
from tests.cases.filters import bits, give_gradients, weights


def matrices(tensors):
    """A matrix, the matrices of two heads, a kernel as [out, rest]; and parameters that are not matrices."""
    matrix, heads, kernel, *rest = tensors
    return [matrix, *heads, kernel.flatten(1)], rest


def twins(params, **settings):
    """Torch's Muon on copies of the matrices, its AdamW on copies of the rest, and a function that copies gradients."""
    pieces = [[nn.Parameter(piece.detach().clone()) for piece in part] for part in matrices(params)]

    def give():
        for part, gradients in zip(pieces, matrices([parameter.grad for parameter in params]), strict=True):
            for piece, gradient in zip(part, gradients, strict=True):
                piece.grad = gradient.clone()

    adamw = {key: settings.pop(key) for key in ("betas", "eps") if key in settings}
    both = {key: settings[key] for key in ("lr", "weight_decay") if key in settings}
    return pieces, torch.optim.Muon(pieces[0], **settings), AdamW(pieces[1], **both, **adamw), give


def all_gradients(params, step):
    for parameter in params:
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(100 + step))


@pytest.mark.parametrize("adjust_lr_fn", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_matrix_is_stepped_by_torchs_muon_and_the_rest_by_its_adamw(adjust_lr_fn, layout):
    """While learning rate, weight decay, momentum and betas change; in the storage of the parameters."""
    params = weights()
    params[2].data = params[2].data.to(memory_format=layout)
    storage = [parameter.data_ptr() for parameter in params]
    settings = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": adjust_lr_fn, "betas": (0.9, 0.99)}
    one = Muon(params, **settings)
    pieces, muon, adamw, give = twins(params, **settings)
    for step in range(5):
        all_gradients(params, step)
        give()
        for optimizer, keys in ((one, ("momentum", "betas")), (muon, ("momentum",)), (adamw, ("betas",))):
            changed = {"lr": 0.1 / (1 + step), "weight_decay": 0.1 * step, "momentum": 0.9 - 0.1 * step}
            changed |= {"betas": (0.9 - 0.1 * step, 0.99)}
            for key in ("lr", "weight_decay", *keys):
                optimizer.param_groups[0][key] = changed[key]
            optimizer.step()
        found, rest = matrices([parameter.detach() for parameter in params])
        torch.testing.assert_close(found, [piece.detach() for piece in pieces[0]], rtol=2e-3, atol=2e-4)
        assert bits(rest) == bits(pieces[1])
    assert storage == [parameter.data_ptr() for parameter in params]


def test_a_group_for_adamw_has_its_matrices_there_too():
    params, others = weights(), weights()
    one = Muon([{"params": params, "adamw": True, "lr": 0.3}], lr=0.1, eps=1e-6)
    other = AdamW(others, lr=0.3, betas=(0.9, 0.95), weight_decay=0.1, eps=1e-6)
    for step in range(5):
        give_gradients(params, step)
        give_gradients(others, step)
        one.step()
        other.step()
    assert bits(params) == bits(others)


def test_what_is_remembered_lies_where_ordinary_optimizers_keep_it():
    params = weights()
    optimizer = Muon(params)
    all_gradients(params, 0)
    optimizer.step()
    state = optimizer.state_dict()["state"]
    assert [sorted(state[i]) for i in range(5)] == [["momentum_buffer"]] * 3 + [["exp_avg", "exp_avg_sq", "step"]] * 2
    assert [state[i]["momentum_buffer"].shape for i in range(3)] == [parameter.shape for parameter in params[:3]]


def test_a_state_of_another_memory_layout_is_taken_over():
    """Were the moments of a kernel copied at every step, they would be lost."""
    params, others = weights(), weights()
    others[2].data = others[2].data.to(memory_format=torch.channels_last)
    one, other = Muon(params, lr=0.1), Muon(others, lr=0.1)
    for step in range(6):
        if step == 2:
            other.load_state_dict(copy.deepcopy(one.state_dict()))
            for mine, theirs in zip(params, others, strict=True):
                theirs.data.copy_(mine.data)
        all_gradients(params, step)
        all_gradients(others, step)
        one.step()
        other.step()
    torch.testing.assert_close(params[2].detach(), others[2].detach(), rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(
        one.state[params[2]]["momentum_buffer"], other.state[others[2]]["momentum_buffer"].contiguous()
    )


def test_the_closure_has_gradients_and_its_loss_comes_back():
    params = weights()
    optimizer = Muon(params)

    def closure():
        optimizer.zero_grad()
        loss = sum(parameter.square().sum() for parameter in params)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(20)]
    assert losses == sorted(losses, reverse=True)


def test_an_update_that_is_found_infinite_is_not_applied():
    params = weights()
    optimizer = Muon(params)
    before = bits(params)
    for found_inf in (1.0, 0.0):
        all_gradients(params, 0)
        optimizer.found_inf = torch.tensor(found_inf)
        optimizer.step()
        assert (bits(params) == before) == bool(found_inf)
        assert bool(optimizer.state) != bool(found_inf)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"lr": -1.0}, "learning rate"),
        ({"momentum": -1.0}, "momentum"),
        ({"weight_decay": -1.0}, "weight decay"),
        ({"betas": (1.0, 0.9)}, "beta"),
        ({"adjust_lr_fn": "none"}, "not supported|type"),
    ],
)
def test_settings_out_of_range_are_refused_at_once(settings, error):
    with pytest.raises(Exception, match=f"(?i){error}"):
        Muon(weights(), **settings)


def test_complex_parameters_are_refused():
    with pytest.raises(ConfigError, match="params=complex: Muon takes real parameters only"):
        Muon([nn.Parameter(torch.ones(2, 2, dtype=torch.complex64))])


# OrthoAdamW.


def test_ortho_adamw_is_adamw_with_orthograd():
    params, others = weights(), weights()
    options = {"lr": 0.1, "weight_decay": 0.5, "betas": (0.8, 0.9), "eps": 1e-6}
    one = OrthoAdamW(params, **options, amsgrad=True)
    other = filtered(AdamW(others, **options, amsgrad=True), OrthoGrad())
    schedulers = [OneCycleLR(optimizer, max_lr=1.0, total_steps=9) for optimizer in (one, other)]
    for step in range(8):
        for them, optimizer, scheduler in zip((params, others), (one, other), schedulers, strict=True):
            give_gradients(them, step)
            optimizer.step()
            scheduler.step()
    assert bits(params) == bits(others)
    assert isinstance(one, AdamW)


def test_ortho_adamw_has_the_defaults_of_adamw():
    own, torchs = (inspect.signature(cls).parameters for cls in (OrthoAdamW, AdamW))
    for name in ("lr", "weight_decay", "betas", "eps"):
        assert own[name].default == torchs[name].default


def test_the_gradient_that_adamw_sees_is_across_the_weights_and_as_long():
    params = weights()[:3]
    optimizer = OrthoAdamW(params)
    all_gradients(params, 0)
    lengths, before = (
        [parameter.grad.norm() for parameter in params],
        [parameter.detach().clone() for parameter in params],
    )
    optimizer.step()
    for parameter, length, weight in zip(params, lengths, before, strict=True):
        assert abs((parameter.grad * weight).sum()) < 1e-6 * length * weight.norm()
        torch.testing.assert_close(parameter.grad.norm(), length)


def test_a_copy_and_a_state_of_ortho_adamw_go_on_alike():
    params = weights()
    optimizer = OrthoAdamW(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    copied, params_copied = copy.deepcopy((optimizer, params))
    loaded = OrthoAdamW(copy.deepcopy(params), lr=1.0)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch would share the moments
    found = []
    for one, them in ((optimizer, params), (copied, params_copied), (loaded, loaded.param_groups[0]["params"])):
        give_gradients(them, 1)
        one.step()
        found.append(bits(them))
    assert found[0] == found[1] == found[2]
