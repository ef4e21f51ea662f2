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


@pytest.mark.parametrize("answer", [0, 1])
def test_every_answer_is_analyzed_at_its_position_with_the_whole_input(recorded, answer):
    path, module, *_ = recorded
    run = Trajectory.open(path, module).at_answer(answer)
    tokens, labels = (torch.cat(parts) for parts in zip(examples(0), examples(1), strict=True))
    asked, checkpoint = labels[:, answer] != -100, run[8]
    assert torch.equal(checkpoint.problem.label, labels[asked, answer])
    copied = checkpoint.model.module
    with torch.no_grad():
        states = copied.mix(copied.embed(tokens[asked]))[0][:, answer - 3]
        torch.testing.assert_close(checkpoint.logits, copied.head(states))
    (found,) = checkpoint.features("mix")
    torch.testing.assert_close(found, states)
    results = analyze(run, only=["performance", "class_cosine"])
    expected = results.metrics["test_accuracy_of_answer"].sel(answer=answer, step=8)
    assert float(results.dataset["test_accuracy"].sel(step=8)) == pytest.approx(float(expected))


class Named(Tagger):
    """The same with its logits among other outputs."""

    def forward(self, tokens):
        return {"tokens": tokens.double(), "scores": super().forward(tokens)}


def test_a_function_may_find_the_logits_of_all_positions(tmp_path):
    module, (train, test) = Named(), (examples(0), examples(1))
    with Recorder(tmp_path / "run", module, train=train, test=test, logits=lambda found: found["scores"]) as recorder:
        recorder.record(0)
    run = Trajectory.open(tmp_path / "run", module, logits=lambda found: found["scores"])
    for answer in range(3):
        asked = test[1][:, answer] != -100
        with torch.no_grad():
            scores = module(test[0])["scores"][:, answer - 3]
        right = (scores.argmax(1) == test[1][:, answer])[asked].double().mean()
        row = recorder.last_row["test_accuracy_of_answer"]
        checkpoint = run.at_answer(answer)[0]
        measured = checkpoint.logits.argmax(1) == checkpoint.problem.label
        assert float(right) == pytest.approx(row[str(answer)])
        assert float(measured[checkpoint.problem.is_test].double().mean()) == pytest.approx(float(right))


def test_logits_of_one_position_do_not_fit_several_labels(tmp_path):
    given = {"train": examples(0), "test": examples(1), "logits": lambda found: found[:, -1]}
    message = r"model=output \[\d+, 4\]: must be logits \[example, position, class\]"
    with Recorder(tmp_path / "run", Tagger(), **given) as recorder, pytest.raises(ConfigError, match=message):
        recorder.record(0)


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
