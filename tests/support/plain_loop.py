"""Training as a script would do it: the hooked module at all positions, torch's losses, torch's AdamW, LambdaLR."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.experiment.random_streams import EPOCH, stream
from grokinterp.training import train

LAST, ALL = slice(-1, None), slice(None)
"""Which of a model's answers are trained: the last, or, under deep supervision, all."""


def assert_trains_plainly(experiment: Experiment, path: Path, *, rel: float = 2e-4, trained: slice = LAST) -> None:
    """Training writes the numbers of a plain loop, column by column.

    The norm of b_K is excepted: attention does not depend on it, and Adam amplifies the rounding error of its gradient.
    """
    rows, expected = (
        [*train(experiment, path, device="cpu").directory.read_metrics()[0].rows()],
        plain_rows(experiment, trained),
    )
    assert [row["step"] for row in rows] == list(range(0, experiment.steps + 1, experiment.evaluate_every))
    for row, plain in zip(rows, expected[:: experiment.evaluate_every], strict=True):
        assert set(row) == set(plain)
        norms, plain_norms = row.pop("weight_norm_of"), plain.pop("weight_norm_of")
        assert row == pytest.approx(plain, rel=rel, abs=1e-5)
        for name in norms:
            assert name.endswith("b_K") or norms[name] == pytest.approx(plain_norms[name], rel=rel, abs=1e-9)


def plain_rows(experiment: Experiment, trained: slice) -> list[dict[str, Any]]:
    """The expected rows of metrics.jsonl at every step."""
    model, problem, rows = initial_model(experiment), Problem.of(experiment), []
    plain = experiment.optimization
    settings = {"weight_decay": plain.weight_decay, "batch_size": plain.batch_size or int(problem.is_train.sum())}
    for step, gradient, rate in plain_steps(experiment, model, problem, trained):
        found = measured(model, problem, trained)
        rows.append({"step": step, **found, "gradient_norm": gradient, "learning_rate": rate, **settings})
    return rows


def initial_model(experiment: Experiment) -> nn.Module:
    """The initial weights of an unscaled run, times the initial scale."""
    unscaled = replace(experiment, optimization=replace(experiment.optimization, init_scale=1.0)).build_model()
    for weight in unscaled.parameters():
        weight.data = weight.data * experiment.optimization.init_scale
    return unscaled


def plain_steps(
    experiment: Experiment, model: nn.Module, problem: Problem, trained: slice
) -> Iterator[tuple[int, float, float]]:
    """Step, gradient norm and learning rate, before every update and after the last."""
    settings, is_train = experiment.optimization, problem.is_train
    tokens, labels = problem.tokens[is_train], problem.trained_label[is_train]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay, foreach=True
    )
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(1.0, (n + 1) / settings.warmup_steps))
    started_with = length(model)
    for step, batch in enumerate(plain_batches(experiment, len(labels))):
        optimizer.zero_grad()
        plain_losses(model(tokens[batch])[:, trained].double(), labels[batch], settings.loss).mean().backward()
        gradient = torch.cat([weight.grad.flatten() for weight in model.parameters()]).norm()
        yield step, float(gradient), warmup.get_last_lr()[0]
        optimizer.step()
        warmup.step()
        if settings.constrain_norm:
            now = length(model)
            for weight in model.parameters():
                weight.data = weight.data * (started_with / now)


def plain_batches(experiment: Experiment, examples: int) -> list[list[int]]:
    """The examples of every step: epoch behind epoch, counted off."""
    size, seed = experiment.optimization.batch_size, experiment.split.data_seed(experiment.seed)
    if size is None:
        return [list(range(examples))] * (experiment.steps + 1)
    endless: list[int] = []
    for epoch in range((experiment.steps + 1) * size // examples + 1):
        endless += torch.randperm(examples, generator=stream(seed, EPOCH, epoch)).tolist()
    return [endless[step * size : (step + 1) * size] for step in range(experiment.steps + 1)]


def plain_losses(answers: Tensor, labels: Tensor, form: str) -> Tensor:
    """Loss of every example [example] by torch, of the mean over its answers [example, answer, class]."""
    if form == "mse":
        wanted = functional.one_hot(labels, answers.shape[-1]).to(answers.dtype)
        return torch.stack([(logits - wanted).pow(2).sum(1) / wanted.shape[1] for logits in answers.unbind(1)]).mean(0)
    of_every_answer = [functional.cross_entropy(logits, labels, reduction="none") for logits in answers.unbind(1)]
    return torch.stack(of_every_answer).mean(0)


def length(model: nn.Module) -> float:
    return float(torch.cat([weight.detach().double().flatten() for weight in model.parameters()]).norm())


@torch.no_grad()
def measured(model: nn.Module, problem: Problem, trained: slice) -> dict[str, Any]:
    """Losses, accuracies and logit statistics of the whole problem, part by part."""
    outputs, labels = model(problem.tokens).double(), problem.trained_label
    losses, logits = plain_losses(outputs[:, trained], labels, problem.loss), outputs[:, -1]
    answers = logits.argmax(1)
    is_held_out = ~problem.is_train
    parts = {"train": problem.is_train, "test": is_held_out & ~problem.is_validation}
    if problem.is_validation.any():
        parts["validation"] = problem.is_validation
    found = {f"{name}_loss": float(losses[part].mean()) for name, part in parts.items()}
    found |= {f"{name}_accuracy": float((answers == labels)[part].double().mean()) for name, part in parts.items()}
    noisy = labels != problem.label
    if noisy.any():
        found["noisy_accuracy"] = float((answers == labels)[noisy].double().mean())
        found["clean_accuracy"] = float((answers == labels)[~noisy & problem.is_train].double().mean())
        found["restored_accuracy"] = float((answers == problem.label)[noisy].double().mean())
    logits, labels = logits[problem.is_train], labels[problem.is_train]
    others = logits.scatter(1, labels[:, None], -torch.inf).max(1).values
    norms = {name: float(weight.double().square().sum()) for name, weight in model.named_parameters()}
    return found | {
        "weight_norm": sum(norms.values()),
        "logit_mean_abs": float(logits.abs().mean()),
        "logit_max_abs": float(logits.abs().max()),
        "logit_margin": float((logits.gather(1, labels[:, None])[:, 0] - others).mean()),
        "weight_norm_of": norms,
    }
