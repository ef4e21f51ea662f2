"""The average of a model, against its sum taken literally."""

import copy
import io
import math

import pytest
import torch
from torch import nn

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.optim import ModelEMA
from grokinterp.tasks import ModularAddition


class Network(nn.Module):
    """Tied weights, a BatchNorm, a mask of -∞, a table of whole numbers, and a buffer that is no part of the state."""

    def __init__(self):
        super().__init__()
        self.embed, self.normalize = nn.Embedding(7, 4), nn.BatchNorm1d(4)
        self.unembed = nn.Linear(4, 7, bias=False)
        self.unembed.weight = self.embed.weight
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("mask", torch.tensor([0.0, -math.inf, -math.inf]))
        self.register_buffer("order", torch.arange(7), persistent=False)
        self.register_buffer("seen", torch.tensor(False))

    def forward(self, tokens):
        return self.unembed(self.dropout(self.normalize(self.embed(self.order[tokens]))))


def training(network, steps):
    """Train, yielding after every step."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for step in steps:
        torch.manual_seed(step)
        network(torch.randint(7, (16,))).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        yield step


def network():
    torch.manual_seed(0)
    return Network()


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_is_the_weighted_sum_of_all_that_was(decay):
    """d^n θ₀ + Σ (1 - d) d^(n-i) θ_i, of weights and of running statistics, as ``optimization.average`` has it."""
    trained = network()
    average = ModelEMA(trained, decay=decay)
    history = [{name: value.clone() for name, value in trained.state_dict().items()}]
    for _ in training(trained, range(12)):
        average.update()
        history.append({name: value.clone() for name, value in trained.state_dict().items()})
        n = len(history) - 1
        shares = [decay**n, *((1 - decay) * decay ** (n - i) for i in range(1, n + 1))]
        for name in ("embed.weight", "normalize.weight", "normalize.running_mean", "normalize.running_var"):
            expected = sum(share * past[name].double() for share, past in zip(shares, history, strict=True))
            torch.testing.assert_close(average.model.state_dict()[name].double(), expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_averaged_is_copied():
    trained = network()
    average = ModelEMA(trained, decay=0.9)
    for _ in training(trained, range(5)):
        trained.seen.fill_(True)
        average.update()
    assert average.model.normalize.num_batches_tracked == trained.normalize.num_batches_tracked == 5
    assert average.model.mask.tolist() == [0, -math.inf, -math.inf]
    assert average.model.seen
    assert average.model.order.tolist() == list(range(7))


def test_tied_weights_stay_tied_and_nothing_is_shared_with_the_trained_model():
    trained = network()
    average = ModelEMA(trained)
    assert average.model.unembed.weight is average.model.embed.weight
    own, other = ({value.data_ptr() for value in one.state_dict().values()} for one in (average.model, trained))
    assert not own & other


def test_the_average_is_in_evaluation_mode_and_leaves_the_trained_model_alone():
    trained = network()
    twin = copy.deepcopy(trained)
    average = ModelEMA(trained, decay=0.9)
    for _ in training(trained, range(4)):
        average.update()
        state = torch.get_rng_state()
        logits = average.model(torch.arange(7))
        assert torch.equal(logits, average.model(torch.arange(7)))
        assert not logits.requires_grad
        torch.set_rng_state(state)
        assert trained.training
    list(training(twin, range(4)))
    assert all(
        torch.equal(a, b) for a, b in zip(trained.state_dict().values(), twin.state_dict().values(), strict=True)
    )


def test_before_the_first_update_the_average_is_the_model_as_it_was_given():
    trained = network()
    average = ModelEMA(trained)
    assert torch.equal(average.model.embed.weight, trained.embed.weight)
    assert isinstance(average.model, Network)


@pytest.mark.parametrize("at", [0, 1, 5])
def test_a_resumed_average_goes_on_bit_for_bit(at):
    trained = network()
    average = ModelEMA(trained, decay=0.9)
    for _ in training(trained, range(at)):
        average.update()
    file = io.BytesIO()
    torch.save(average.state_dict(), file)
    weights = copy.deepcopy(trained.state_dict())
    file.seek(0)
    again = network()
    again.load_state_dict(weights)
    resumed = ModelEMA(again, decay=0.9)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for one, kept in ((trained, average), (again, resumed)):
        for _ in training(one, range(at, 8)):
            kept.update()
    for name, value in average.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_state_of_another_model_is_refused():
    with pytest.raises(RuntimeError, match="Missing key"):
        ModelEMA(network()).load_state_dict(ModelEMA(nn.Linear(2, 2)).state_dict())


def test_models_of_our_own_are_averaged():
    model = Experiment(task=ModularAddition(p=5)).empty_model()
    average = ModelEMA(model, decay=0.5)
    for value in (2.0, 3.0):
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
        average.update()
    assert all((parameter == 2).all() for parameter in average.model.parameters())


@pytest.mark.parametrize("decay", [-0.1, 1.0, math.nan])
def test_absurd_decays_are_refused(decay):
    with pytest.raises(ConfigError, match=f"decay={decay}: must be from 0 to below 1"):
        ModelEMA(nn.Linear(1, 1), decay=decay)


def test_weights_that_an_average_could_not_follow_are_refused():
    with pytest.raises(ConfigError, match=r"weight=torch.bfloat16: an average needs weights in float32"):
        ModelEMA(nn.Linear(1, 1).bfloat16())
