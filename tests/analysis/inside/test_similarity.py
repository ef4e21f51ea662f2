"""Classes at any hook: naive twins over pairs, simplices, and independence of order."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokinterp.analysis import (
    activation_statistics,
    class_cosine,
    class_matrix,
    class_similarity,
    evaluate,
    frequency_probes,
    linear_probes,
)
from grokinterp.analysis.inside.similarity import centroids, class_means, separation
from grokinterp.models import MLPSpec, RecursiveSpec
from tests.support.constructed import close
from tests.support.small_networks import drawn, planted
from tests.support.small_runs import TINY, draw_checkpoints

CLASSES = 4


def vectors(seed: int, n: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    """Some vectors, including zero, and their classes; the last class is empty, the third has one vector."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64) + 1
    x[1] = 0
    labels = torch.randint(0, 2, (n,), generator=generator)
    labels[:5] = torch.tensor([0, 0, 1, 1, 2])
    return x, labels


def representing(x, labels, classes=CLASSES):
    return planted(torch.zeros(len(labels), classes, dtype=torch.float64), labels, residual=x)


def at(checkpoint, hook):
    """The vectors where the answer is read, and their classes."""
    return checkpoint.activation(hook)[:, -1].flatten(1), checkpoint.problem.label


def by_pairs(x, labels):
    """Mean cosine between the classes' examples, in plain Python."""

    def cosine(i, j):
        length = math.hypot(*x[i].tolist()) * math.hypot(*x[j].tolist())
        return float(x[i] @ x[j]) / length if length else 0.0

    members = [[i for i, label in enumerate(labels.tolist()) if label == c] for c in range(CLASSES)]
    found = torch.full((CLASSES, CLASSES), torch.nan, dtype=torch.float64)
    for c, left in enumerate(members):
        for d, right in enumerate(members):
            cosines = [cosine(i, j) for i in left for j in right if i != j]
            if cosines:
                found[c, d] = sum(cosines) / len(cosines)
    return found


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_matrix_is_the_mean_over_pairs(seed):
    x, labels = vectors(seed)
    torch.testing.assert_close(
        class_matrix(representing(x, labels)).class_cosine_matrix,
        by_pairs(x, labels),
        rtol=0,
        atol=1e-12,
        equal_nan=True,
    )


def test_its_diagonal_and_the_rest_are_those_of_class_cosine():
    checkpoint = drawn()
    found, known = class_matrix(checkpoint), class_cosine(checkpoint)
    close(found.class_cosine_matrix.diagonal(), known.class_cosine_within)
    n = checkpoint.problem.label.bincount()
    pairs = n[:, None] * n - (n**2).diag()
    close((found.class_cosine_matrix * pairs).sum() / pairs.sum(), known.class_cosine_between)


def test_centroids_of_two_squares_by_hand():
    x = torch.tensor([[0, 1], [2, 1], [4, 1], [6, 1], [3, 4], [3, 4]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    found = class_matrix(representing(x, labels, 3))
    # means (1, 1), (5, 1), (3, 4) about (3, 2): (-2, -1), (2, -1), (0, 2)
    close(found.centroid_norm, [5**0.5, 5**0.5, 2])
    close(found.centroid_cosine, [[1, -0.6, -(5**-0.5)], [-0.6, 1, -(5**-0.5)], [-(5**-0.5), -(5**-0.5), 1]])
    # about (3, 2): within 1 + 1 + 1 + 1 + 0 + 0, between 2 (5 + 5 + 4)
    close(separation(x, labels, 3), 28 / 32)


def test_a_simplex_whatever_the_sizes_of_its_classes():
    labels = torch.tensor([0] * 9 + [1] * 3 + [2, 3])
    x = torch.eye(CLASSES, dtype=torch.float64)[labels] + 5
    found = class_matrix(representing(x, labels))
    expected = torch.eye(CLASSES).double() * (1 + 1 / 3) - 1 / 3
    close(found.centroid_cosine, expected)
    close(found.centroid_norm, [0.75**0.5] * CLASSES)
    close(separation(x, labels, CLASSES), 1)


def test_a_class_without_examples_and_a_point_without_variance_are_nan():
    x, labels = vectors(0)
    found = class_matrix(representing(x, labels))
    assert found.centroid_norm.isnan().tolist() == [False, False, False, True]
    assert found.centroid_cosine.isnan().sum() == 7
    assert class_means(x, labels, CLASSES).isnan().all(1).tolist() == [False, False, False, True]
    same = torch.full((14, 3), 0.1, dtype=torch.float64)
    assert separation(same, labels, CLASSES).isnan()
    cosine, norm = centroids(class_means(same, labels, CLASSES))
    assert cosine.isnan().all()
    close(norm[:3], [0.0] * 3)


def test_separation_is_the_variance_of_the_means_and_meaningless_classes_have_their_share():
    random = torch.Generator().manual_seed(0)
    x, labels = torch.randn(3000, 20, generator=random).double(), torch.arange(3000) % 30
    shares = []
    for _ in range(5):
        mixed = labels[torch.randperm(3000, generator=random)]
        means = torch.stack([x[mixed == c].mean(0) for c in range(30)])
        shares.append(separation(x, mixed, 30))
        close(shares[-1], means.var(0, correction=0).sum() / x.var(0, correction=0).sum())
    assert float(sum(shares)) / 5 == pytest.approx(29 / 2999, rel=0.1)


def test_every_hook_is_what_its_activation_says():
    checkpoint = drawn()
    hooks = checkpoint.model.feature_hooks
    found = class_similarity(checkpoint)
    assert found.class_separation_at.shape == (len(hooks),)
    for place, hook in enumerate(hooks):
        x, labels = at(checkpoint, hook)
        alone = class_cosine(representing(x, labels, 7))
        close(found.class_cosine_within_at[place], alone.class_cosine_within_mean)
        close(found.class_cosine_between_at[place], alone.class_cosine_between)
        close(found.class_separation_at[place], separation(x, labels, 7))
        close(class_matrix(checkpoint, hook=hook).class_cosine_matrix.diagonal(), alone.class_cosine_within)
    last = class_cosine(checkpoint).class_cosine_within_mean
    close(found.class_cosine_within_at[hooks.index("blocks.0.hook_resid_post")], last)


def test_the_hooks_asked_for_in_that_order():
    hooks = ("blocks.0.hook_resid_post", "hook_embed", "blocks.0.attn.hook_z")
    found = class_similarity(drawn(), hooks=hooks)
    close(found.class_separation_at[::2], [float(separation(*at(drawn(), hook), 7)) for hook in hooks[::2]])
    assert found.class_separation_at[1].isnan()  # "=" is embedded alike in every example
    with pytest.raises(KeyError, match="no representation at 'nowhere'"):
        class_similarity(drawn(), hooks=["nowhere"])
    with pytest.raises(KeyError, match="no representation at"):
        class_matrix(drawn(), hook="blocks.0.attn.hook_pattern")


@pytest.mark.parametrize(
    ("model", "hooks"),
    [
        (MLPSpec(d_embed=4, hidden=(6, 5)), ["hook_embed", "layers.0.hook_post", "layers.1.hook_post"]),
        (MLPSpec(hidden=(6,)), ["layers.0.hook_post"]),
        (
            RecursiveSpec(d_model=4, d_mlp=6, n_latent=2, n_supervision=2),
            ["hook_embed", "steps.0.hook_answer", "steps.1.hook_answer"],
        ),
    ],
    ids=["MLP", "one-hot MLP", "recursive"],
)
def test_networks_without_positions_over_a_run(model, hooks, tmp_path):
    run = draw_checkpoints(tmp_path / "run", replace(TINY, model=model), steps=(0, 10))
    analyses = [class_similarity, linear_probes, frequency_probes, activation_statistics]
    found = evaluate(analyses, run, vectorize=False, key_frequencies=torch.tensor([2]))
    assert found["hook"].values.tolist() == hooks
    assert all(np.isfinite(value).all() for name, value in found.items() if name != "frequency_probe_control")


def test_the_axis_follows_the_hooks_that_are_asked_for(tmp_path):
    run, hooks = draw_checkpoints(tmp_path / "run", steps=(0, 10)), ["blocks.0.mlp.hook_pre", "blocks.0.attn.hook_z"]
    chosen = evaluate([class_similarity, activation_statistics], run, vectorize=False, hooks=hooks)
    assert chosen["hook"].values.tolist() == hooks
    every = evaluate([class_similarity], run, vectorize=False, hooks=[*hooks, "hook_embed"])
    np.testing.assert_allclose(every["class_separation_at"].sel(hook=hooks), chosen["class_separation_at"])
    matrix = evaluate([class_matrix], run, hook="blocks.0.mlp.hook_pre", vectorize=False)
    assert matrix["centroid_cosine"].dims == ("step", "class", "other_class")
