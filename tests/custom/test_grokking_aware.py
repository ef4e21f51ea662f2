"""The trainer on models that know nothing of us: it trains, resumes bit-equal, and leaves everything as it was."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW
from torch.utils.data import DataLoader

from grokinterp.custom import GrokkingAwareTrainer
from grokinterp.losses import SoftplusCrossEntropyLoss, StableCrossEntropyLoss
from grokinterp.optim import GrokfastEMA, GrokfastMA, OrthoGrad, filters_of
from grokinterp.phases import SustainedRule
from tests.support.anyones_models import CASES, ConvNet, Refiner, gpt2, images, positions, texts, vectors
from tests.support.anyones_training import equal, train, trainer_of, weights

# --- every model ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CASES))
def test_it_learns(name: str) -> None:
    """A few dozen steps bring the loss down, and with it the averaged model's."""
    trainer = trainer_of(name)
    for group in trainer.optimizer.param_groups:
        group["lr"] = 1e-2
    before = trainer.evaluate(CASES[name].batches())
    assert (before.loss, before.accuracy) == (before.average_loss, before.average_accuracy)
    found = train(trainer, name, 45)
    after = trainer.evaluate(CASES[name].batches())
    assert after.loss < 0.9 * before.loss
    assert after.average_loss < 0.95 * before.average_loss
    assert after.average_loss != after.loss
    assert all(math.isfinite(value) for row in found for value in row.values())
    assert set(found[0]) == {"loss", "accuracy", "gradient_norm"}


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("at", [7, 27])
def test_a_resumed_training_is_bit_equal(name: str, at: int) -> None:
    """Optimizer, filters' memory, average, detector, boost and dropout, before the detection and after it."""
    rule = SustainedRule(window=2)
    whole = trainer_of(name, rule=rule, filters=[GrokfastEMA(), OrthoGrad(), GrokfastMA(window=3)])
    train(whole, name, 40)
    half = trainer_of(name, rule=rule, filters=[GrokfastEMA(), OrthoGrad(), GrokfastMA(window=3)])
    first = train(half, name, at)
    file = io.BytesIO()
    torch.save(half.state_dict(), file)
    train(half, name, 3)  # a saved state is one of its own
    torch.manual_seed(99)
    rest = trainer_of(name, rule=rule, filters=[GrokfastEMA(), OrthoGrad(), GrokfastMA(window=3)])
    file.seek(0)
    rest.load_state_dict(torch.load(file, weights_only=True))
    assert rest.step == at
    train(rest, name, 40 - at)
    assert len(first) == at
    assert equal(rest.state_dict(), whole.state_dict())
    assert rest.detector.grokking_step == 20
    assert rest.detector.detected_step == 25
    assert rest.should_stop is False
    assert filters_of(rest.optimizer).factor == 1.5


@pytest.mark.parametrize("name", list(CASES))
def test_an_evaluation_changes_nothing(name: str) -> None:
    """Weights, running statistics, modes, gradients, and what dropout draws next."""
    batches, trainer, other = CASES[name].batches(), trainer_of(name), trainer_of(name)
    data = DataLoader(list(range(3)), shuffle=True, batch_size=1, collate_fn=lambda places: batches[places[0]])
    trainer.model.eval()
    frozen = next(trainer.model.children(), trainer.model)
    frozen.train()
    for one in (trainer, other):
        torch.manual_seed(5)
        one.train_step(batches[0])
    modes = [module.training for module in trainer.model.modules()]
    before = weights(trainer.model)
    random = torch.get_rng_state()
    trainer.evaluate(data)
    assert torch.equal(torch.get_rng_state(), random)
    assert equal(weights(trainer.model), before)
    assert modes == [module.training for module in trainer.model.modules()]


@pytest.mark.parametrize("name", list(CASES))
def test_scores_are_those_of_one_batch_at_a_time(name: str) -> None:
    """Compared with logits of the model: means over all labels that count, for any batch sizes."""
    trainer, batches = trainer_of(name, loss=SoftplusCrossEntropyLoss()), CASES[name].batches()
    model, losses, hits = copy.deepcopy(trainer.model).eval(), [], []
    for batch in batches:
        if isinstance(batch, dict):
            logits, labels = model(**{k: v for k, v in batch.items() if k != "labels"}).logits, batch["labels"]
            logits, labels = logits[:, :-1], labels[:, 1:]
        elif name == "recursive":
            (_, state), labels = model(batch[0]), batch[1]
            logits, _ = model(batch[0], model(batch[0], state)[1])
        else:
            logits, labels = model(*batch[:-1]), batch[-1]
        for row, label in zip(logits.flatten(0, -2), labels.flatten(), strict=True):
            if label != -100:
                losses.append(-row.double().log_softmax(-1)[label].item())
                hits.append(float(row.argmax() == label))
    found = trainer.evaluate(batches)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.accuracy == pytest.approx(np.mean(hits))


def test_a_language_model_has_hugging_faces_own_loss() -> None:
    """Labels are the tokens themselves there, and belong to the position before."""
    torch.manual_seed(0)
    model, batch = gpt2().eval(), texts()[0]
    trainer = GrokkingAwareTrainer(model, loss=SoftplusCrossEntropyLoss(), use_ema=False)
    assert trainer.evaluate([batch]).loss == pytest.approx(model(**batch).loss.item(), rel=1e-5)


# --- one step by hand -------------------------------------------------------------------------------------------------


def test_a_step_is_the_optimizers() -> None:
    """By hand: loss, backward, AdamW; the gradient's norm is that of the loss, without filters."""
    trainer = GrokkingAwareTrainer(CASES["linear"].model(), use_ema=False, filters=[])
    model = CASES["linear"].model()
    optimizer = AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for x, labels in vectors():
        found = trainer.train_step((x, labels))
        optimizer.zero_grad()
        logits = model(x)
        loss = StableCrossEntropyLoss()(logits, labels)
        loss.backward()
        norm = torch.cat([one.grad.flatten() for one in model.parameters()]).norm()
        optimizer.step()
        assert found["loss"] == loss.item()
        assert found["accuracy"] == float((logits.argmax(1) == labels).double().mean())
        assert found["gradient_norm"] == pytest.approx(float(norm), rel=1e-6)
    assert equal(weights(trainer.model), weights(model))
    assert trainer.step == 3


@pytest.mark.parametrize("named", [True, False])
def test_deep_supervision_takes_every_step(named: bool) -> None:
    """By hand: an optimizer step at each, the state detached in between, no step skipped for a small loss."""

    class Unnamed(Refiner):
        def forward(self, x: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
            return super().forward(x, before)

    torch.manual_seed(0)
    model = Refiner() if named else Unnamed()
    by_hand, rate = copy.deepcopy(model), 0.1
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    options = {"max_supervision_steps": 4, "state_name": "state" if named else "before", "use_ema": False}
    trainer = GrokkingAwareTrainer(model, SGD(model.parameters(), lr=rate), **options)
    x, labels = vectors()[0]
    found = trainer.train_step((x, labels))
    state = None
    for _ in range(4):
        logits, state = by_hand(x, state)
        loss = StableCrossEntropyLoss()(logits, labels)
        gradients = torch.autograd.grad(loss, list(by_hand.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(by_hand.parameters(), gradients, strict=True):
                parameter -= rate * gradient
        state = state.detach()
    assert len(calls) == 4
    assert found["loss"] == loss.item()
    torch.testing.assert_close(weights(model), weights(by_hand), rtol=1e-6, atol=1e-7)
    assert trainer.step == 1


def test_frozen_parts_stay_frozen() -> None:
    """Layers in evaluation mode of a model in training mode, and parameters without gradients."""
    torch.manual_seed(0)
    model = ConvNet()
    model.features[1].eval()
    model.features[0].requires_grad_(False)
    before = weights(model.features[:2])
    trainer = GrokkingAwareTrainer(model)
    for batch in images():
        trainer.train_step(batch)
    del before["1.weight"], before["1.bias"]
    assert equal({name: model.features[:2].state_dict()[name] for name in before}, before)
    assert not model.features[1].training
    model.eval()
    trainer.train_step(images()[0])
    assert not any(module.training for module in model.modules())


def test_labels_first_or_last() -> None:
    """[batch, class, position] with torch's loss is the same as [batch, position, class]."""

    class Turned(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, tokens: Tensor) -> Tensor:
            return self.inner(tokens).transpose(1, 2)

    batches = [(x[:4, :3], y[:4, :3]) for x, y in positions()]
    straight = CASES["encoder, every position"].model()
    found = [
        GrokkingAwareTrainer(model, loss=nn.CrossEntropyLoss(), use_ema=False).evaluate(batches)
        for model in (straight, Turned(straight))
    ]
    assert found[0] == found[1]
