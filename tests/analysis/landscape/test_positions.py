"""Paths of the weights and of the embeddings: singular value decomposition of all checkpoints, damage, few steps."""

import numpy as np
import pytest
import torch

from grokinterp.analysis.landscape import weight_positions as of_weights
from grokinterp.analysis.landscape.weight_positions import weight_positions
from grokinterp.analysis.structure.token_positions import token_positions
from grokinterp.errors import RunDirectoryError
from tests.support.small_runs import draw_checkpoints

STEPS = (0, 10, 20, 30, 40)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return draw_checkpoints(tmp_path_factory.mktemp("positions") / "run", steps=STEPS)


def stack(run, steps) -> np.ndarray:
    names = [name for name, _ in run.empty_model().named_parameters()]
    found = run.params(names, steps=steps)
    return torch.cat([found[name].flatten(1).double() for name in names], 1).numpy()


@pytest.mark.parametrize("limit", [2**29, 4000])
def test_positions_are_those_of_the_singular_value_decomposition(limit, run, monkeypatch):
    monkeypatch.setattr(of_weights, "BYTES", limit)
    weights = stack(run, STEPS)
    _, sizes, directions = np.linalg.svd(weights - weights.mean(0), full_matrices=False)
    found = weight_positions(run)
    expected = (weights - weights.mean(0)) @ directions[:3].T
    assert found["step"].values.tolist() == list(STEPS)
    assert np.allclose(np.abs(found["weight_position"]), np.abs(expected), atol=1e-6)
    assert np.allclose(found["position_share"], (sizes**2 / (sizes**2).sum())[:3])
    assert (found["weight_position"].values[-1] >= 0).all()


def test_a_part_of_a_run_has_its_own_components(run):
    assert weight_positions(run[10:31])["step"].values.tolist() == [10, 20, 30]
    with pytest.raises(RunDirectoryError, match="has 1 readable checkpoint, not two"):
        weight_positions(run[40:])


def test_tokens_are_in_the_plane_of_the_last_embedding(run):
    found = token_positions(run)
    last = run.model(40).embedding.detach().double().numpy()
    centered = last - last.mean(0)
    at_last = found["token_position"].sel(step=40).values
    share = found["position_share"].values
    assert np.allclose((at_last**2).sum(0) / (centered**2).sum(), share)
    assert share[0] >= share[1]
    first = run.model(0).embedding.detach().double().numpy()
    plane = np.linalg.lstsq(centered, at_last, rcond=None)[0]
    assert np.allclose((first - first.mean(0)) @ plane, found["token_position"].sel(step=0).values, atol=1e-6)


def test_damaged_checkpoints_are_left_out(tmp_path):
    run = draw_checkpoints(tmp_path / "run", steps=STEPS)
    run.directory.checkpoint_path(20).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="left out: checkpoint"):
        assert token_positions(run)["step"].values.tolist() == [0, 10, 30, 40]
    assert weight_positions(run)["step"].values.tolist() == [0, 10, 30, 40]
