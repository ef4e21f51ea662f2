"""Models that know nothing of us, with batches for each: a small CNN, Transformer encoders, GPT-2, a linear map."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Batches = list[Any]


class Case(NamedTuple):
    """A model of a seed, and a few batches of a seed."""

    model: Callable[[], nn.Module]
    batches: Callable[[], Batches]


class ConvNet(nn.Module):
    """As torchvision's are: convolutions with BatchNorm, pooling, dropout, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(1),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class EncoderClassifier(nn.Module):
    """A Transformer encoder that answers at every position, or by the mean of those that are not padding."""

    def __init__(self, *, batch_first: bool, pooled: bool) -> None:
        super().__init__()
        self.batch_first, self.pooled = batch_first, pooled
        self.embed = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 5)

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        x = self.embed(tokens)
        x = self.encoder(x if self.batch_first else x.transpose(0, 1), src_key_padding_mask=padding)
        x = x if self.batch_first else x.transpose(0, 1)
        if not self.pooled:
            return self.head(x)
        seen = torch.ones_like(tokens, dtype=x.dtype) if padding is None else (~padding).to(x.dtype)
        return self.head((x * seen.unsqueeze(-1)).sum(1) / seen.sum(1, keepdim=True))


class Refiner(nn.Module):
    """Refines a state; as in deep supervision, the state comes back with the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.mix, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        before = torch.zeros(len(x), 8) if state is None else state
        after = torch.tanh(self.read(x) + self.mix(before))
        return self.head(after), after


def seeded(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        torch.manual_seed(0)
        return build()

    return make


def images() -> Batches:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 8, 8, generator=generator), torch.randint(0, 4, (8,), generator=generator)) for _ in range(3)
    ]


def vectors() -> Batches:
    generator = torch.Generator().manual_seed(1)
    found = [torch.randn(8, 6, generator=generator) for _ in range(3)]
    return [(x, x[:, :3].argmax(1)) for x in found]


def padded() -> Batches:
    """(tokens, padding, labels): one label for each sequence."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(3):
        tokens = torch.randint(0, 11, (6, 5), generator=generator)
        length = torch.randint(2, 6, (6, 1), generator=generator)
        found.append((tokens, torch.arange(5) >= length, tokens[:, 0] % 5))
    return found


def positions() -> Batches:
    """A label at every position; some are ignored."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(3):
        tokens = torch.randint(0, 11, (6, 5), generator=generator)
        found.append((tokens, (tokens % 5).masked_fill(torch.rand(6, 5, generator=generator) < 0.2, -100)))
    return found


def texts() -> Batches:
    """Batches in the format of a Hugging Face collator."""
    generator = torch.Generator().manual_seed(1)
    found: Batches = []
    for _ in range(3):
        start = torch.randint(0, 13, (4, 1), generator=generator)
        tokens = (start + torch.arange(6)) % 13
        mask = (torch.arange(6) < torch.randint(3, 7, (4, 1), generator=generator)).long()
        labels = tokens.masked_fill(mask == 0, -100)
        found.append({"input_ids": tokens, "attention_mask": mask, "labels": labels})
    return found


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=13, n_positions=8, n_embd=16, n_layer=2, n_head=2))


CASES: Mapping[str, Case] = {
    "linear": Case(seeded(lambda: nn.Linear(6, 3)), vectors),
    "CNN": Case(seeded(ConvNet), images),
    "encoder, batch first": Case(seeded(lambda: EncoderClassifier(batch_first=True, pooled=True)), padded),
    "encoder, batch second": Case(seeded(lambda: EncoderClassifier(batch_first=False, pooled=True)), padded),
    "encoder, every position": Case(seeded(lambda: EncoderClassifier(batch_first=True, pooled=False)), positions),
    "GPT-2": Case(seeded(gpt2), texts),
    "recursive": Case(seeded(Refiner), vectors),
}
