"""The trainer's detection, boost and patience; what can go wrong with it; ``configure_for_grokking``."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from grokinterp.custom import DivergedError, GrokkingAwareTrainer, configure_for_grokking
from grokinterp.errors import ConfigError
from grokinterp.losses import StableCrossEntropyLoss
from grokinterp.optim import GrokfastEMA, GrokfastMA, OrthoAdamW, OrthoGrad, filtered, filters_of
from grokinterp.phases import JumpRule, SustainedRule, grok_step, jump_rule
from grokinterp.specification import require_integer
from tests.support.anyones_models import CASES, images, vectors
from tests.support.anyones_training import equal, train, trainer_of, weights

# --- detection, boost, patience ---------------------------------------------------------------------------------------


def curve(trainer: GrokkingAwareTrainer, evaluations: list[tuple[float, float]]) -> list[bool]:
    found = []
    for train_accuracy, eval_accuracy in evaluations:
        trainer.step += 10
        found.append(bool(trainer.check_grokking(train_accuracy, eval_accuracy)))
    return found


GROKS = [(0.5, 0.1), (1.0, 0.1), (1.0, 0.6), *[(1.0, 0.97)] * 6]


def test_detection_boosts_once_and_patience_stops() -> None:
    trainer = GrokkingAwareTrainer(
        nn.Linear(6, 3), rule=SustainedRule(window=3), lambda_boost=1.5, grokking_patience=30
    )
    stops, detected, lambdas = [], [], []
    for evaluation in GROKS:
        detected += curve(trainer, [evaluation])
        stops.append(trainer.should_stop)
        lambdas.append(trainer.lamb)
    steps = range(10, 100, 10)
    assert trainer.detector.grokking_step == grok_step(steps, *zip(*GROKS, strict=True), window=3) == 40
    assert detected == [False] * 5 + [True] + [False] * 3
    assert lambdas == [2.0] * 5 + [3.0] * 4
    assert stops == [False] * 8 + [True]


@pytest.mark.parametrize("patience", [None, 0])
def test_patience_is_the_only_end(patience: int | None) -> None:
    """A network that fails for long is not stopped; without patience no network is."""
    trainer = GrokkingAwareTrainer(nn.Linear(6, 3), rule=SustainedRule(window=1), grokking_patience=patience)
    curve(trainer, [(1.0, 0.0)] * 500)
    assert not trainer.should_stop
    curve(trainer, [(1.0, 1.0)] * 20)
    assert trainer.should_stop is (patience == 0)


def test_the_jump_rule_by_its_own_name() -> None:
    """Online as offline; it takes a plain jump for grokking though nothing is memorized, and is no default for that."""
    trainer = GrokkingAwareTrainer(nn.Linear(6, 3), rule=JumpRule(), grokking_patience=0)
    random = np.random.default_rng(0)
    test = np.clip(np.cumsum(random.normal(0.02, 0.1, 40)), 0, 1)
    curve(trainer, [(0.5, float(value)) for value in test])
    steps = range(10, 410, 10)
    assert trainer.detector.grokking_step == jump_rule(steps, [0.5] * 40, test).jumped
    assert trainer.detector.grokking_step is not None
    assert trainer.should_stop


def test_evaluations_without_a_step_between() -> None:
    trainer = GrokkingAwareTrainer(nn.Linear(6, 3), rule=SustainedRule(window=2))
    found = [trainer.check_grokking(1, 0), trainer.check_grokking(1, 1), trainer.check_grokking(1, 1)]
    assert [(status.step, status.newly_detected) for status in found] == [(0, False), (1, False), (2, True)]


# --- what can go wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["input", "gradient"])
def test_a_loss_that_is_not_finite_leaves_the_weights(bad: str) -> None:
    """Also running statistics, the average, the optimizer's and the filters' memory."""
    trainer = trainer_of("CNN")
    train(trainer, "CNN", 4)
    before, average = weights(trainer.model), weights(trainer.average.model)
    memory = copy.deepcopy(trainer.optimizer.state_dict())
    x, labels = images()[0]
    if bad == "input":
        x = x.clone()
        x[0, 0, 0, 0] = math.nan
    else:
        trainer.model.classifier[1].weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(DivergedError, match=r"^step 4: the (loss|gradient) is not finite; .* lower lr$"):
        trainer.train_step((x, labels))
    assert equal(weights(trainer.model), before)
    assert equal(weights(trainer.average.model), average)
    assert equal(trainer.optimizer.state_dict(), memory)
    assert trainer.step == 4


def linear(**options: Any) -> GrokkingAwareTrainer:
    return GrokkingAwareTrainer(nn.Linear(6, 3), **options)


X, Y = vectors()[0]
FROZEN, OTHER = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
WRONG = {
    "lambda_boost=-1: must be from 1 to 1000": lambda: linear(lambda_boost=-1),
    "lambda_boost=0.5: must be from 1 to 1000": lambda: linear(lambda_boost=0.5),
    "lambda_boost=1001: must be from 1 to 1000": lambda: linear(lambda_boost=1001),
    "^grokking_patience=-1": lambda: linear(grokking_patience=-1),
    "^grokking_patience=True: must be an integer from 0": lambda: linear(grokking_patience=True),
    "^ema_decay=1.0: must be": lambda: linear(ema_decay=1.0),
    "^max_supervision_steps=0": lambda: linear(max_supervision_steps=0),
    "^max_supervision_steps=True: must be an integer from 1": lambda: linear(max_supervision_steps=True),
    "^learning_rate=-1: must be positive": lambda: linear(learning_rate=-1),
    "^learning_rate=0.1: cannot be used with optimizer=": lambda: GrokkingAwareTrainer(
        OTHER, SGD(OTHER.parameters(), lr=0.1), learning_rate=0.1
    ),
    "^grokfast_alpha=2.0: must be": lambda: linear(grokfast_alpha=2),
    "^grokfast_lambda=-1.0: must be": lambda: linear(grokfast_lambda=-1, grokfast_window=5),
    "^grokfast_window=0: must be": lambda: linear(grokfast_window=0),
    "^device=abacus: cannot be used: ": lambda: linear(device="abacus"),
    "^device=cuda:99: cannot be used: ": lambda: linear(device="cuda:99"),
    "^filters=.*: cannot be used with grokfast_alpha": lambda: linear(filters=[OrthoGrad()], grokfast_lambda=1),
    "^autocast=torch.int8: must be torch.bfloat16": lambda: linear(autocast=torch.int8),
    "^autocast=None: the state was saved with scaled gradients": lambda: linear().load_state_dict(
        linear(autocast=torch.float16).state_dict()
    ),
    "^whole=2.5: must be an integer from 1": lambda: require_integer("whole", 2.5, 1),
    "optimizer=SGD: has none of the model's": lambda: linear(optimizer=SGD(nn.Linear(6, 3).parameters(), lr=0.1)),
    "^lr=-1: must be positive and below 10$": lambda: configure_for_grokking(nn.Linear(6, 3), lr=-1),
    "^lr=nan: must be positive and below 10$": lambda: configure_for_grokking(nn.Linear(6, 3), lr=math.nan),
    "^weight_decay=-1: must be 0 or positive": lambda: configure_for_grokking(nn.Linear(6, 3), weight_decay=-1),
    "no trained parameter": lambda: GrokkingAwareTrainer(FROZEN),
    "loader=empty": lambda: linear().evaluate([]),
    "loader=empty: .* a label that counts": lambda: linear().evaluate([(X, torch.full_like(Y, -100))]),
    "batch=Tensor: must be": lambda: linear().train_step(X),
    "batch=dict: must be": lambda: linear().train_step({"input": X}),
    r"labels=\[7\]: must have one label for each row of the logits \[8, 3\]": lambda: linear().train_step((X, Y[:7])),
    "labels=numbers .8.: must be .batch, output.": lambda: linear().train_step((X, Y.float())),
    "loss=StableCrossEntropyLoss: is a loss of classes": lambda: linear().train_step((X, X[:, :3])),
    "tolerance=None: must be given": lambda: linear(loss=nn.MSELoss()).train_step((X, X[:, :3])),
    "tolerance=0.1: is for labels that are numbers": lambda: linear(tolerance=0.1).evaluate([(X, Y)]),
    "tolerance=-1: must be a positive number": lambda: linear(tolerance=-1),
    r"loss=\[8\]: must be a scalar": lambda: linear(loss=nn.CrossEntropyLoss(reduction="none")).train_step((X, Y)),
    "target=9: must be from 0 to 2": lambda: linear().train_step((X, 0 * Y + 9)),
    "already has filters": lambda: GrokkingAwareTrainer(OTHER, OrthoAdamW(OTHER.parameters()), filters=[GrokfastEMA()]),
    "use_ema=False: .* saved with an average": lambda: linear(use_ema=False).load_state_dict(linear().state_dict()),
    "rule=SustainedRule": lambda: linear().load_state_dict(linear(rule=JumpRule()).state_dict()),
}


@pytest.mark.parametrize("words", list(WRONG))
def test_wrong_arguments_are_refused(words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        WRONG[words]()


@pytest.mark.parametrize("options", [{"rule": JumpRule()}, {"use_ema": False}, {"autocast": torch.float16}])
def test_a_refused_state_changes_nothing(options: dict[str, Any]) -> None:
    trainer, other = linear(), linear(**options)
    for one in (trainer, other):
        one.check_grokking(1.0, 0.0)
        one.train_step((X, Y))
    other.train_step((X, Y))
    before = copy.deepcopy(trainer.state_dict())
    with pytest.raises(ConfigError):
        trainer.load_state_dict(other.state_dict())
    assert equal(trainer.state_dict(), before)


def test_an_optimizer_that_lacks_parameters_is_named() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    with pytest.warns(UserWarning, match="optimizer: 2 of the model's 4 trained parameters are not in it"):
        GrokkingAwareTrainer(model, SGD(model[1].parameters(), lr=0.1))
    model[0].requires_grad_(False)
    GrokkingAwareTrainer(model, SGD(model[1].parameters(), lr=0.1))


@pytest.mark.parametrize("place", ["loader", "sampler", "sampler of the batches"])
def test_an_evaluation_leaves_the_loaders_own_generator(place: str) -> None:
    generator, data = torch.Generator().manual_seed(0), TensorDataset(X, Y)
    sampler = RandomSampler(data, generator=generator)
    loader = {
        "loader": lambda: DataLoader(data, batch_size=3, shuffle=True, generator=generator),
        "sampler": lambda: DataLoader(data, batch_size=3, sampler=sampler),
        "sampler of the batches": lambda: DataLoader(data, batch_sampler=BatchSampler(sampler, 3, drop_last=False)),
    }[place]()
    before = generator.get_state()
    linear().evaluate(loader)
    assert torch.equal(generator.get_state(), before)
    list(loader)
    assert not torch.equal(generator.get_state(), before)


# --- configure_for_grokking -------------------------------------------------------------------------------------------


def test_configured_for_grokking() -> None:
    """⊥AdamW and the stable loss; attention as it is."""
    model = CASES["encoder, batch first"].model()
    same, optimizer, loss = configure_for_grokking(model, lr=0.01, weight_decay=0.1)
    assert same is model
    assert type(optimizer) is OrthoAdamW
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.01, 0.1)
    assert type(loss) is StableCrossEntropyLoss
    assert type(model.encoder.layers[0].self_attn) is nn.MultiheadAttention
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    tokens, padding, labels = CASES["encoder, batch first"].batches()[0]
    loss(model(tokens, padding), labels).backward()
    raw = model.head.weight.grad.clone()
    optimizer.step()
    assert float((model.head.weight.grad * before["head.weight"]).sum()) == pytest.approx(0, abs=1e-7)
    assert float((raw * before["head.weight"]).sum().abs()) > 1e-5


def test_stablemax_attention_says_what_was_not_replaced(recwarn: pytest.WarningsRecorder) -> None:
    model, *_ = configure_for_grokking(CASES["encoder, batch first"].model(), stablemax_attention=True)
    assert type(model.encoder.layers[0].self_attn) is not nn.MultiheadAttention
    assert not recwarn
    with pytest.warns(UserWarning, match="stablemax_attention: No attention was found"):
        configure_for_grokking(nn.Linear(2, 2), stablemax_attention=True)


def test_configured_parts_go_into_the_trainer() -> None:
    """``GrokkingAwareTrainer(*configure_for_grokking(model))``, with OrthoGrad alone: there is no λ to boost."""
    trainer = GrokkingAwareTrainer(*configure_for_grokking(CASES["CNN"].model()), rule=SustainedRule(window=1))
    assert filters_of(trainer.optimizer).filters == (OrthoGrad(),)
    curve(trainer, GROKS)
    assert trainer.lamb == 0


@pytest.mark.parametrize("given", [False, True])
def test_a_given_optimizer_keeps_its_filters(given: bool) -> None:
    model = nn.Linear(6, 3)
    optimizer: Optimizer = SGD(model.parameters(), lr=0.1)
    if given:
        filtered(optimizer, GrokfastMA(window=3))
    trainer = GrokkingAwareTrainer(model, optimizer)
    assert trainer.optimizer is optimizer
    assert trainer.lamb == (5.0 if given else 0.0)
    loader = DataLoader(TensorDataset(X, Y), batch_size=4)
    for batch in loader:
        trainer.train_step(batch)
    assert trainer.evaluate(loader).accuracy <= 1
