"""Formation of induction heads on planted scores."""

import numpy as np
import pytest
import xarray as xr

from grokinterp.phases import induction


def planted(*best, chance=0.2):
    """Scores of two layers of two heads, of which head 1.0 has the given ones."""
    score = np.full((len(best), 2, 2), chance)
    score[:, 1, 0] = best
    found = {"prefix_matching": (("step", "layer", "head"), score), "copying": (("step", "layer", "head"), score)}
    found["prefix_matching_chance"] = (("step",), np.full(len(best), chance))
    return xr.Dataset(found, {"step": 10 * np.arange(len(best)), "layer": [0, 1], "head": [0, 1]})


@pytest.mark.parametrize(
    ("best", "start", "formed"),
    [
        ((0.2, 0.3, 0.7, 0.9), 10, 20),
        ((0.2, 0.9, 0.3, 0.9), 20, 30),  # it was lost in between
        ((0.9, 0.9), None, 0),
        ((0.2, 0.2), 10, None),
        ((0.2, 0.5), 0, None),  # on its way
        ((0.2, 0.9, 0.5), 0, None),  # lost at the end
    ],
)
def test_formation_lasts_to_the_end(best, start, formed):
    found = induction(planted(*best))
    assert (found.layer, found.head) == (1, 0) or best[-1] == 0.2
    assert (found.start, found.formed) == (start, formed)
    assert found.prefix_matching == best[-1]
    assert found.chance == 0.2


def test_without_scores_there_is_none():
    assert induction(xr.Dataset({}, {"step": [0]})) is None
