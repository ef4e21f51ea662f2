"""Modules that know nothing of us, their examples, and a plain loop that trains and records them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.custom.recorder import Recorder


class SmallCNN(nn.Module):
    """Convolutions with BatchNorm, dropout before the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2))
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(self.stem(x)).mean((2, 3))
        return self.head(self.dropout(x))


class Encoder(nn.Module):
    """torch's own encoder, [position, batch, feature] inside, pooled over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.position = nn.Parameter(0.1 * torch.randn(3, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.answer = nn.Linear(8, 7)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.encoder(self.embedding(tokens).transpose(0, 1) + self.position)
        return self.answer(x.mean(0))


def gpt2() -> nn.Module:
    """A Hugging Face GPT-2 from a configuration; wte and lm_head are one tensor."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=11, n_positions=4, n_embd=8, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    return GPT2LMHeadModel(config)


class Foreign(NamedTuple):
    """A network, its examples, and the options of its recorder."""

    make: Callable[[], nn.Module]
    inputs: Any
    labels: Tensor
    options: dict[str, Any] = {}  # noqa: RUF012  (never changed)

    def some(self, part: slice) -> tuple[Any, Tensor]:
        """Inputs and labels of some examples."""
        return take(self.inputs, part), self.labels[part]


def take(inputs: Any, part: Any) -> Any:
    if isinstance(inputs, dict):
        return {name: value[part] for name, value in inputs.items()}
    return inputs[part]


def call(module: nn.Module, inputs: Any) -> Tensor:
    """The logits, as a user computes them."""
    output = module(**inputs) if isinstance(inputs, dict) else module(inputs)
    return output.logits[:, -1] if hasattr(output, "logits") else output


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures() -> Foreign:
    x = torch.randn(40, 1, 8, 8, generator=drawn(0))
    return Foreign(SmallCNN, x, (x.mean((1, 2, 3)) > 0).long() + (x[:, 0, 0, 0] > 1).long())


def sequences() -> Foreign:
    x = torch.randint(7, (40, 3), generator=drawn(1))
    return Foreign(Encoder, x, x.sum(1) % 7, {"read_at": "mean"})


def language() -> Foreign:
    x = torch.randint(11, (40, 4), generator=drawn(2))
    return Foreign(gpt2, {"input_ids": x}, (x[:, 0] + x[:, -1]) % 11)


FOREIGN = {"cnn": pictures, "encoder": sequences, "gpt2": language}

TRAIN, TEST = slice(0, 24), slice(24, 40)


def trained(
    foreign: Foreign, directory: Path | None, *, steps: int = 6, every: int = 2, seed: int = 0, **options: Any
) -> tuple[nn.Module, Recorder | None]:
    """A plain loop on the training examples, recorded where there is a directory."""
    torch.manual_seed(seed)
    module = foreign.make().train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, weight_decay=0.1)
    recorder = None
    if directory is not None:
        arguments = {"optimizer": optimizer, "run_steps": steps} | foreign.options | options
        recorder = Recorder(directory, module, train=foreign.some(TRAIN), test=foreign.some(TEST), **arguments)
    inputs, labels = foreign.some(TRAIN)
    for step in range(steps + 1):
        if recorder is not None and step % every == 0:
            recorder.record(step)
        if step < steps:
            optimizer.zero_grad()
            functional.cross_entropy(call(module, inputs), labels).backward()
            optimizer.step()
    if recorder is not None:
        recorder.finish()
    return module, recorder
