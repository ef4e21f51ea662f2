"""The usage examples of the documents that describe a trainer and its stabilized loss; only their imports differ."""

import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EXAMPLES = {
    "the trainer": """
from grokinterp import GrokkingAwareTrainer

trainer = GrokkingAwareTrainer(
    model,
    device="cpu",
    learning_rate=1e-3,
    max_supervision_steps=16,
    use_ema=True,
    ema_decay=0.999,
    grokfast_alpha=0.98,
    grokfast_lambda=2.0,
    grokfast_window=100,
    adaptive_lambda=True,
    lambda_boost=1.5,
    enable_grokking_detection=True,
    grokking_patience=200,
)

for step, batch in enumerate(train_loader):
    metrics = trainer.train_step(batch)
    print(metrics["loss"], metrics["accuracy"])

train_result = trainer.evaluate(train_loader)
eval_result = trainer.evaluate(eval_loader)
status = trainer.check_grokking(train_result["accuracy"], eval_result["accuracy"])
if status["grokking_detected"]:
    print(f"grokked at step {status['grokking_step']}")
print(f"gap {status['current_gap']:.2f}, {status['converged']}")
if status["should_stop"]:
    print("done")
""",
    "the detector": """
from grokinterp import GrokkingDetector

detector = GrokkingDetector(window_size=50, gap_threshold=0.05, jump_threshold=0.10, patience=200)
for step in range(0, 1000, 10):
    status = detector.update(step, train_acc=1.0, eval_acc=0.1 if step < 500 else 1.0)
    if detector.should_stop:
        break
print(detector.grokking_detected, detector.converged, detector.should_stop)
print(detector.train_acc_history[-1], detector.eval_acc_history[-1])
print(detector.gap_history[-1], detector.step_history[-1])
""",
    "training in one call": """
from grokinterp import train_until_grokking

result = train_until_grokking(
    model,
    train_loader,
    eval_loader,
    max_steps=20,
    eval_interval=10,
    device="cpu",
    grokking_patience=200,
)
print(f"{result['grokking_step']}, {result['final_train_acc']}, {result['final_eval_acc']}")
""",
    "an external logger": """
from grokinterp import train_until_grokking

class Tracker:
    def log(self, values, step):
        print(step, values["grokking/train"], values["grokking/eval"], values["grokking/gap"],
              values["grokking/lambda"], values["grokking/detected"])

train_until_grokking(model, train_loader, eval_loader, 20, 10, "cpu", 200, loggers=[Tracker()], log_prefix="grokking/")
""",
    "Grokfast": """
from torch.optim import AdamW
from grokinterp import filtered
from grokinterp.optim import GrokfastEMA, GrokfastMA

optimizer = filtered(AdamW(model.parameters()), GrokfastEMA(alpha=0.98, lamb=2.0))
other = filtered(AdamW(model.parameters()), GrokfastMA(window=100, lamb=5.0))
for inputs, labels in train_loader:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
""",
    "deep supervision and the averaged model": """
from grokinterp import GrokkingAwareTrainer

class Recursive(nn.Module):
    def __init__(self):
        super().__init__()
        self.read, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, inputs, state=None):
        state = torch.tanh(self.read(inputs) + (0 if state is None else state))
        return self.head(state), state

trainer = GrokkingAwareTrainer(Recursive(), max_supervision_steps=16, ema_decay=0.999)
for batch in train_loader:
    metrics = trainer.train_step(batch)
result = trainer.evaluate(eval_loader)
print(result["accuracy"], result["average_accuracy"])
""",
    "the stable loss, its getter, and its adapter": """
from grokinterp import configure_for_grokking
from grokinterp.losses import StableCrossEntropyLoss, get_stable_loss_function
from grokinterp.optim import OrthoAdamW

model, optimizer, loss_function = configure_for_grokking(model, lr=1e-3, weight_decay=.01)
assert isinstance(optimizer, OrthoAdamW)
assert type(get_stable_loss_function()) is type(loss_function) is StableCrossEntropyLoss
for inputs, labels in train_loader:
    optimizer.zero_grad()
    loss = loss_function(model(inputs), labels)
    loss.backward()
    optimizer.step()
    print(loss.item())
""",
    "orthogonal gradients around an optimizer": """
from torch.optim import SGD
from grokinterp import filtered
from grokinterp.optim import OrthoGrad

optimizer = filtered(SGD(model.parameters(), lr=0.1), OrthoGrad())
for inputs, labels in train_loader:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
""",
}


@pytest.fixture
def names() -> dict[str, Any]:
    """A model and loaders that know nothing of this package."""
    torch.manual_seed(0)
    x = torch.randn(48, 6)
    train, held_out = (TensorDataset(part, part[:, :3].argmax(1)) for part in (x[:32], x[32:]))
    return {
        "nn": nn,
        "torch": torch,
        "model": nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
        "train_loader": DataLoader(train, batch_size=8, shuffle=True),
        "eval_loader": DataLoader(held_out, batch_size=16),
    }


PRINTED = {
    "the trainer": r"(\d\.\d+ \d\.\d+\n){4}gap -?\d\.\d\d, False\n",
    "the detector": r"True False True\n1.0 1.0\n0.0 790\n",
    "training in one call": r"None, \d\.\d+, \d\.\d+\n",
    "an external logger": r"((0|10|20) \d\.\d+ \d\.\d+ -?\d\.\d+ 2.0 0.0\n){3}",
    "Grokfast": "",
    "deep supervision and the averaged model": r"\d\.\d+ \d\.\d+\n",
    "the stable loss, its getter, and its adapter": r"(\d\.\d+\n){4}",
    "orthogonal gradients around an optimizer": "",
}


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_it_runs(name: str, names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    before = {key: value.detach().clone() for key, value in names["model"].state_dict().items()}
    exec(compile(EXAMPLES[name], name, "exec"), names)
    assert re.fullmatch(PRINTED[name], capsys.readouterr().out)
    trained = {key for key, value in names["model"].state_dict().items() if not torch.equal(value, before[key])}
    assert bool(trained) is (name not in ("the detector", "deep supervision and the averaged model"))
