"""A sequence model with a label per position, recorded from a plain loop."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from grokinterp import Recorder, Results, Trajectory, analyze
from grokinterp.errors import ConfigError


class Tagger(nn.Module):
    """A model with an output at every position [example, position, class]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(6, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, tokens):
        return self.head(self.mix(self.embed(tokens))[0])


def examples(seed: int, n: int = 20):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(6, (n, 5), generator=generator)
    labels = tokens.cumsum(1)[:, 2:] % 4
    labels[torch.rand(n, 3, generator=generator) < 0.3] = -100
    labels[:, 2] = tokens.sum(1) % 4
    return tokens, labels


@pytest.fixture
def recorded(tmp_path):
    torch.manual_seed(0)
    module, (train, test) = Tagger(), (examples(0), examples(1))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.02)
    with Recorder(tmp_path / "run", module, train=train, test=test, optimizer=optimizer) as recorder:
        for step in range(9):
            if step % 4 == 0:
                recorder.record(step)
            optimizer.zero_grad()
            functional.cross_entropy(module(train[0])[:, -3:].flatten(0, 1), train[1].flatten()).backward()
            optimizer.step()
    return tmp_path / "run", module, train, test


def test_losses_and_accuracies_are_those_of_the_labels_that_count(recorded):
    path, module, _, _ = recorded
    run = Trajectory.open(path, module)
    metrics = Results.open(path).metrics
    for part, seed in (("train", 0), ("test", 1)):
        tokens, labels = examples(seed)
        with torch.no_grad():
            logits = run.model(step=8).module(tokens)[:, -3:].double()
        right, asked = logits.argmax(-1) == labels, labels != -100
        losses = functional.cross_entropy(logits.movedim(2, 1), labels, reduction="none")
        of_examples = losses.sum(1) / asked.sum(1)
        last = metrics.isel(step=-1)
        assert float(last[f"{part}_loss"]) == pytest.approx(float(of_examples.mean()), rel=1e-5)
        assert float(last[f"{part}_accuracy"]) == pytest.approx(float((right | ~asked).all(1).double().mean()))
        for answer in range(3):
            expected = float(right[asked[:, answer], answer].double().mean())
            assert float(last[f"{part}_accuracy_of_answer"].sel(answer=answer)) == pytest.approx(expected)


def test_the_run_is_analyzed_at_the_last_answer(recorded):
    path, module, _, _ = recorded
    results = analyze(Trajectory.open(path, module), only=["performance"])
    expected = results.metrics["test_accuracy_of_answer"].sel(answer=2, step=8)
    assert float(results.dataset["test_accuracy"].sel(step=8)) == pytest.approx(float(expected))
    assert list(results.histories) == [0, 1, 2]
    with pytest.raises(ConfigError, match="answer=0: must be the last answer of a recorded module"):
        _ = Trajectory.open(path, module).at_answer(0).problem


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda train, test: ((train[0], train[1] * 0 - 100), test), "some rows hold only -100"),
        (lambda train, test: (train, (test[0], test[1][:, 1:])), "test=2 labels per example: must be as many"),
        (lambda train, test: ((train[0], train[1].double()), test), "must be integers in both train and test"),
        (
            lambda train, test: ((train[0], train[1].repeat(1, 2)), (test[0], test[1].repeat(1, 2))),
            "a position for each",
        ),
    ],
)
def test_labels_that_do_not_fit_are_named(change, message, tmp_path):
    train, test = change(examples(0), examples(1))
    with pytest.raises(ConfigError) as error, Recorder(tmp_path / "run", Tagger(), train=train, test=test) as recorder:
        recorder.record(0)
    assert message in str(error.value)
