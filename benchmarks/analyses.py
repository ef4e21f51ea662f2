"""Analyses of one checkpoint compared with a notebook's loop: one pass with a cache, one projection per frequency."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import xarray as xr
from torch import Tensor

from benchmarks.points import Size, trained_run
from benchmarks.turns import take_turns
from grokinterp.analysis import (
    attention_pattern,
    class_cosine,
    embedding_spectrum,
    evaluate,
    logit_spectrum,
    logit_statistics,
    neuron_logit_spectrum,
    performance,
    progress_measures,
    weight_norms,
)
from grokinterp.analysis.catalogue import ENTRIES
from grokinterp.analysis.engine.evaluator import declared_arguments, result_of
from grokinterp.analysis.engine.labeled import Analysis
from grokinterp.analysis.engine.passes import final_of, read_digests
from grokinterp.analysis.whole_run import arguments_of
from grokinterp.errors import NotDefined
from grokinterp.models import Transformer
from grokinterp.runs.trajectory import Trajectory

SAME = (
    performance,
    logit_statistics,
    attention_pattern,
    class_cosine,
    embedding_spectrum,
    neuron_logit_spectrum,
    progress_measures,
    weight_norms,
)
"""The analyses that together compute the quantities of ``notebook``."""


def mean_loss(logits: Tensor, labels: Tensor) -> float:
    """Return the mean cross-entropy in float64."""
    return float(-logits.double().log_softmax(-1).gather(-1, labels[:, None]).mean())


def wave_directions(p: int, frequency: int, dtype: torch.dtype) -> list[Tensor]:
    """Return the waves cos w(a + b) and sin w(a + b) over the pairs, normalized."""
    angle = 2 * torch.pi * frequency * torch.arange(p, dtype=dtype) / p
    cos, sin = angle.cos(), angle.sin()
    parts = [torch.outer(cos, cos) - torch.outer(sin, sin), torch.outer(sin, cos) + torch.outer(cos, sin)]
    return [part.flatten() / part.norm() for part in parts]


def gini(weights: Tensor, p: int) -> float:
    """Return the Gini coefficient of the norms of the weights' Fourier components along the first axis."""
    rows = [torch.ones(p, dtype=weights.dtype) / p**0.5]
    for frequency in range(1, p // 2 + 1):
        angle = 2 * torch.pi * frequency * torch.arange(p, dtype=weights.dtype) / p
        rows += [angle.cos() / angle.cos().norm(), angle.sin() / angle.sin().norm()]
    norms = (torch.stack(rows) @ weights[:p]).norm(dim=1).sort().values
    n = len(norms)
    return float(((2 * torch.arange(1, n + 1) - n - 1) * norms).sum() / (n * norms.sum()))


@torch.no_grad()
def notebook(model: Transformer, run: Trajectory, step: int, keys: list[int]) -> dict[str, Any]:
    """Return the quantities that a notebook computes for one checkpoint."""
    problem, p = run.problem, run.problem.task.n_classes
    model.load_state_dict(run.weights(step).state)
    logits, cache = model.run_with_cache(problem.tokens)
    logits, labels, is_train = logits[:, -1], problem.label, problem.is_train
    found: dict[str, Any] = {"all_loss": mean_loss(logits, labels), "attention": cache["pattern", 0][:, :, -1].mean(0)}
    for split, rows in {"train": is_train, "test": ~is_train}.items():
        found[f"{split}_loss"] = mean_loss(logits[rows], labels[rows])
        found[f"{split}_accuracy"] = float((logits[rows].argmax(-1) == labels[rows]).float().mean())
    found["logit_mean_abs"], found["logit_max_abs"] = float(logits.abs().mean()), float(logits.abs().max())
    top = logits.topk(2, dim=-1).values
    found["logit_margin"] = float((top[:, 0] - top[:, 1]).mean())
    restricted, found["excluded_loss_of"] = logits.mean(0), []
    without = logits.clone()
    for frequency in range(1, p // 2 + 1):
        part = sum(torch.outer(wave, wave @ logits) for wave in wave_directions(p, frequency, logits.dtype))
        found["excluded_loss_of"].append(mean_loss((logits - part)[is_train], labels[is_train]))
        if frequency in keys:
            restricted, without = restricted + part, without - part
    found["restricted_loss"] = mean_loss(restricted.expand_as(logits), labels)
    found["excluded_loss"] = mean_loss(without[is_train], labels[is_train])
    within = []
    for label in range(p):
        x = torch.nn.functional.normalize(cache["resid_post", 0][labels == label, -1], dim=-1)
        similarity = x @ x.T
        within.append(float((similarity.sum() - similarity.trace()) / (len(x) * (len(x) - 1))))
    found["class_cosine_within"] = within
    found["gini_embedding"] = gini(model.W_E, p)
    found["gini_neuron_logit"] = gini((model.W_out[0] @ model.W_U).T, p)
    found["weight_norm"] = sum(float(weight.square().sum()) for weight in model.parameters())
    return found


def check_equal(ours: xr.Dataset, theirs: dict[str, Any], tolerance: float) -> None:
    """Assert that both results agree, within the precision of the notebook."""
    at = ours.isel(step=0)
    names = ["all_loss", "train_loss", "test_loss", "restricted_loss", "excluded_loss", "excluded_loss_of"]
    names += ["class_cosine_within", "gini_embedding", "gini_neuron_logit", "weight_norm", "train_accuracy"]
    for name in names:
        mine, other = torch.tensor(at[name].values).double(), torch.tensor(theirs[name]).double()
        torch.testing.assert_close(
            mine, other, rtol=tolerance, atol=1e-2 * tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


def spread(run: Trajectory, count: int) -> list[int]:
    """Return checkpoints spaced evenly over the run, including the last."""
    return [run.steps[round(i * (len(run.steps) - 1) / count)] for i in range(1, count + 1)]


def work_of(name: str, size: Size, keys: list[int], checkpoints: int) -> dict[str, Callable[[], object]]:
    """Return a function that analyzes a few checkpoints in one of the ways."""
    run = trained_run(size)
    steps, arguments = spread(run, checkpoints), {"key_frequencies": torch.tensor(keys, dtype=torch.int64)}
    if name.startswith("notebook"):
        model = run.model().double() if name == "notebook64" else run.model()
        return {"analyses": lambda: [notebook(model, run, step, keys) for step in steps]}
    if name == "same":
        return {"analyses": lambda: evaluate(SAME, run, steps=steps, **arguments)}
    analyses, arguments = cheap(run)
    return {"analyses": lambda: evaluate(analyses, run, steps=steps, **arguments)}


def cheap(run: Trajectory) -> tuple[list[Analysis], dict[str, Any]]:
    """Return the analyses that ``analyze`` runs on every checkpoint of this run, and their arguments."""
    final = final_of(run, arguments_of, *read_digests(run, run.steps))
    every = [entry.analysis for entry in ENTRIES if entry.most is None]
    found = [one for one in every if not isinstance(result_of(one, final.checkpoint, final.arguments), NotDefined)]
    declared = {name for one in found for name in declared_arguments(one, final.arguments)}
    return found, {name: final.arguments[name] for name in declared}


def measure(size: Size, *, checkpoints: int, rounds: int) -> dict[str, Any]:
    """Return median milliseconds per checkpoint, with all ways taking turns on the same checkpoints."""
    run = trained_run(size)
    last = spread(run, checkpoints)[-1]
    is_key = evaluate([logit_spectrum], run, steps=[last])["is_key"].isel(step=0)
    keys = [int(k) for k in is_key["frequency"].values[is_key.values]]
    ours = evaluate(SAME, run, steps=[last], key_frequencies=torch.tensor(keys, dtype=torch.int64))
    for model, tolerance in ((run.model(step=last), 2e-3), (run.model(step=last).double(), 1e-6)):
        check_equal(ours, notebook(model, run, last, keys), tolerance)
    names = ("notebook32", "notebook64", "same", "all")
    ways = {name: partial(work_of, name, size, keys, checkpoints) for name in names}
    times = take_turns(ways, rounds=rounds, start=size.start)["analyses"]
    medians = {name: milliseconds / checkpoints for name, milliseconds in times.items()}
    return medians | {"checkpoints": checkpoints, "count": len(cheap(run)[0]), "names": [one.__name__ for one in SAME]}
