"""The input of the last linear layer in modules of many styles: the recorder finds it, or is given it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.analysis import analyze
from grokinterp.analysis.inside.class_cosine import class_cosine, cosines_of
from grokinterp.analysis.inside.linear_probes import linear_probes
from grokinterp.custom.recorder import Recorder
from grokinterp.errors import ConfigError
from grokinterp.interventions import patch
from grokinterp.runs.trajectory import Trajectory

CLASSES, TOKENS = 3, 7
NUMBERS = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
SEQUENCES = torch.randint(TOKENS, (12, 4), generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % CLASSES


class Written(nn.Module):
    """A module whose answer and whose last hidden vector are given as functions of it and its input."""

    def __init__(self, read: Callable[[Any, Tensor], Any], answer: Callable[[Any, Any], Tensor], **parts: Any) -> None:
        super().__init__()
        self.read, self.answer = read, answer
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self, self.read(self, x))


def hidden(module: Any, x: Tensor) -> Tensor:
    return functional.relu(module.first(x))


def token_hidden(module: Any, x: Tensor) -> Tensor:
    return functional.relu(module.first(module.emb(x)))


def linear() -> nn.Linear:
    return nn.Linear(8, CLASSES)


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape))


def slots(module: Any, h: Tensor) -> Tensor:
    """Logits written one by one into an empty tensor."""
    out = h.new_empty(len(h), CLASSES)
    for i, head in enumerate(module.heads):
        out[:, i] = head(h)[:, 0]
    return out


def members(module: Any, x: Tensor) -> list[Tensor]:
    return [functional.relu(first(x)) for first in module.firsts]


FIRST = {"first": nn.Linear(8, 8)}
EMBEDDED = FIRST | {"emb": nn.Embedding(TOKENS, 8)}

CASES: dict[str, tuple[Written, Tensor, str]] = {
    "functional relu": (Written(hidden, lambda m, h: m.head(h), **FIRST, head=linear()), NUMBERS, "head.hook_in"),
    "log-softmax and scale": (
        Written(hidden, lambda m, h: functional.log_softmax(3 * m.head(h) + 1, -1), **FIRST, head=linear()),
        NUMBERS,
        "head.hook_in",
    ),
    "layer norm": (
        Written(
            lambda m, x: m.norm(hidden(m, x)), lambda m, h: m.head(h), **FIRST, norm=nn.LayerNorm(8), head=linear()
        ),
        NUMBERS,
        "norm",
    ),
    "tied": (
        Written(lambda m, x: token_hidden(m, x)[:, -1], lambda m, h: functional.linear(h, m.emb.weight), **EMBEDDED),
        SEQUENCES,
        "linear(emb.weight).hook_in",
    ),
    "einsum": (
        Written(token_hidden, lambda m, h: torch.einsum("bpd,cd->bpc", h, m.emb.weight), **EMBEDDED),
        SEQUENCES,
        "einsum(emb.weight).hook_in",
    ),
    "weight on the left": (
        Written(hidden, lambda m, h: (m.W @ h.T).T, **FIRST, W=weight(CLASSES, 8)),
        NUMBERS,
        "matmul(W).hook_in",
    ),
    "predicted temperature": (
        Written(
            hidden, lambda m, h: m.head(h) / functional.softplus(m.t(h)), **FIRST, head=linear(), t=nn.Linear(8, 1)
        ),
        NUMBERS,
        "head.hook_in",
    ),
    "cosine": (
        Written(
            lambda m, x: functional.normalize(hidden(m, x)),
            lambda m, h: functional.linear(h, functional.normalize(m.W)),
            **FIRST,
            W=weight(CLASSES, 8),
        ),
        NUMBERS,
        "linear().hook_in",
    ),
    "frozen": (
        Written(hidden, lambda m, h: m.head(h), **FIRST, head=linear().requires_grad_(False)),
        NUMBERS,
        "head.hook_in",
    ),
    "fixed matrix": (
        Written(hidden, lambda m, h: h @ m.W, **FIRST, W=torch.randn(8, CLASSES)),
        NUMBERS,
        "matmul(W).hook_in",
    ),
    "shared layer": (
        Written(lambda m, x: functional.relu(m.first(hidden(m, x))), lambda m, h: m.first(h)[:, :CLASSES], **FIRST),
        NUMBERS,
        "first.linear(first.weight).hook_in",
    ),
    "logits one by one": (
        Written(hidden, slots, **FIRST, heads=nn.ModuleList(nn.Linear(8, 1) for _ in range(CLASSES))),
        NUMBERS,
        "heads.0.hook_in",
    ),
    "positions in one axis": (
        Written(
            token_hidden,
            lambda m, h: h.reshape(-1, 8).matmul(m.W).view(-1, 4, CLASSES),
            **EMBEDDED,
            W=weight(8, CLASSES),
        ),
        SEQUENCES,
        "matmul(W).hook_in",
    ),
    "convolution": (
        Written(
            lambda m, x: functional.relu(m.conv(x.view(-1, 1, 2, 4))).mean((2, 3), keepdim=True),
            lambda m, h: m.head(h)[:, :, 0, 0],
            conv=nn.Conv2d(1, 6, 3, padding=1),
            head=nn.Conv2d(6, CLASSES, 1),
        ),
        NUMBERS,
        "head.hook_in",
    ),
    "stacked ensemble": (
        Written(
            lambda m, x: functional.relu(torch.einsum("bd,mdh->mbh", x, m.V)),
            lambda m, h: torch.bmm(h, m.W).mean(0),
            V=weight(4, 8, 5),
            W=weight(4, 5, CLASSES),
        ),
        NUMBERS,
        "bmm(W).hook_in",
    ),
    "ensemble": (
        Written(
            members,
            lambda m, h: torch.stack([head(x) for head, x in zip(m.heads, h, strict=True)]).mean(0),
            firsts=nn.ModuleList(nn.Linear(8, 5) for _ in range(2)),
            heads=nn.ModuleList(nn.Linear(5, CLASSES) for _ in range(2)),
        ),
        NUMBERS,
        "heads.0.hook_in heads.1.hook_in",
    ),
    "answer at another position": (
        Written(token_hidden, lambda m, h: m.head(h)[:, 1], **EMBEDDED, head=linear()),
        SEQUENCES,
        "head.hook_in",
    ),
    "mean over positions": (
        Written(token_hidden, lambda m, h: m.head(h).mean(1), **EMBEDDED, head=linear()),
        SEQUENCES,
        "head.hook_in",
    ),
    "residual stream, a block zero at the start": (
        Written(
            lambda m, x: m.emb(x) + m.block(m.emb(x)),
            lambda m, h: m.head(h[:, -1]),
            emb=nn.Embedding(TOKENS, 8),
            block=nn.Linear(8, 8),
            head=linear(),
        ),
        SEQUENCES,
        "head.hook_in",
    ),
}
nn.init.zeros_(CASES["residual stream, a block zero at the start"][0].block.weight)
nn.init.zeros_(CASES["residual stream, a block zero at the start"][0].block.bias)


def as_vectors(name: str, h: Any) -> Tensor:
    """The input of the last layer as one row per example, written out for each case."""
    if name == "ensemble":
        return torch.cat(h, 1)
    if name == "stacked ensemble":
        return h.movedim(1, 0).flatten(1)
    if name == "answer at another position":
        return h[:, 1]
    if name == "mean over positions":
        return h.mean(1)
    return h.flatten(1) if name == "convolution" else h[:, -1] if h.ndim == 3 else h


def run_of(path, module: nn.Module, x: Tensor, **options: Any) -> Trajectory:
    """A recording of one step."""
    classes = module(x[:1]).shape[-1]
    labels = LABELS % classes
    with Recorder(path, module, train=(x[:8], labels[:8]), test=(x[8:], labels[8:]), **options) as recorder:
        recorder.record(0)
    return Trajectory.open(path, module)


@pytest.mark.parametrize("name", [*CASES])
def test_what_the_last_linear_layer_reads_is_found(name, tmp_path):
    module, x, reads = CASES[name]
    run = run_of(tmp_path, module, x)
    assert " ".join(run.experiment.model.reads) == reads
    module, x = module.double(), x.double() if x.is_floating_point() else x
    expected = as_vectors(name, module.read(module, x)).detach()
    module.float()
    checkpoint = run[0]
    torch.testing.assert_close(checkpoint.representation, expected, rtol=1e-6, atol=1e-7)
    for one, other in zip(
        class_cosine(checkpoint), cosines_of(expected, LABELS, checkpoint.logits.shape[1]), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9, equal_nan=True)
    assert len(checkpoint.features(*run.experiment.model.reads)) == len(reads.split())
    assert set(reads.split()) <= set(checkpoint.model.feature_hooks)


@pytest.mark.parametrize("name", ["functional relu", "einsum", "weight on the left", "stacked ensemble",
                                  "answer at another position", "mean over positions",
                                  "positions in one axis"])  # fmt: skip
def test_what_is_read_can_be_changed(name, tmp_path):
    """Patching it from another example gives the other's logits, which depend on nothing else."""
    module, x, _ = CASES[name]
    model = run_of(tmp_path, module, x)[0].model
    (hook,) = model.spec.reads
    clean, corrupted = torch.arange(4)[:, None], torch.arange(4, 8)[:, None]
    torch.testing.assert_close(patch(model, clean, corrupted, hook=hook), model(clean)[:, -1].detach())


def test_what_precedes_a_functional_nonlinearity_is_something_else(tmp_path):
    """The network of the issue: before the ReLU it has another cosine, which was reported for it."""
    torch.manual_seed(0)
    module = Written(hidden, lambda m, h: m.head(h), first=nn.Linear(8, 64), head=nn.Linear(64, CLASSES))
    checkpoint = run_of(tmp_path, module, NUMBERS)[0]
    before = cosines_of(checkpoint.features("first")[0], LABELS, CLASSES).class_cosine_between
    after = cosines_of(checkpoint.features("first")[0].relu(), LABELS, CLASSES).class_cosine_between
    found = class_cosine(checkpoint).class_cosine_between
    torch.testing.assert_close(found, after)
    assert abs(found - before) > 0.2
    assert linear_probes(checkpoint).class_probe_accuracy.shape == (len(checkpoint.model.feature_hooks),)


def test_it_can_be_named(tmp_path):
    module = CASES["functional relu"][0]
    assert run_of(tmp_path / "a", module, NUMBERS, reads="first").experiment.model.reads == ("first.hook_in",)
    tied = CASES["tied"][0]
    found = run_of(tmp_path / "b", tied, SEQUENCES, reads=["emb.weight"])
    assert found.experiment.model.reads == ("linear(emb.weight).hook_in",)
    for name, line in (("nowhere", "must be a submodule or a weight of Written"), ("first.bias", "it multiplies 0")):
        with pytest.raises(ConfigError, match=line):
            run_of(tmp_path / "c", module, NUMBERS, reads=name)
    assert not (tmp_path / "c").exists()


def test_without_a_linear_layer_it_is_the_last_submodule(tmp_path):
    module = Written(lambda m, x: m.emb(x), lambda m, h: h.sum(1), emb=nn.Embedding(TOKENS, CLASSES))
    spec = run_of(tmp_path, module, SEQUENCES).experiment.model
    assert (spec.reads, spec.penultimate) == ((), "emb")


def test_a_module_of_one_precision_only_is_named_in_one_line(tmp_path):
    """The analyses run in float64; a module that makes float32 constants cannot."""

    class OneHot(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.W = nn.Parameter(torch.randn(5, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.one_hot(x, 5).float() @ self.W

    x, module = torch.arange(40) % 5, OneHot()
    with Recorder(tmp_path / "run", module, train=(x[:20], x[:20] % 3), test=(x[20:], x[20:] % 3)) as recorder:
        recorder.record(0)
    with pytest.raises(ConfigError, match="module=OneHot: must run in float64, in which it is analyzed: "):
        analyze(Trajectory.open(tmp_path / "run", module))
