"""When each key frequency was learned, on planted similarities."""

import numpy as np
import pytest
import xarray as xr

from grokinterp.phases import learning_order

STEPS = np.array([0, 10, 20, 30, 40])


def planted(similarity, is_key, prefix=("logit_similarity", "is_key", "frequency"), names=(3, 5, 7)):
    name, key, axis = prefix
    values = {name: (("step", axis), np.array(similarity, float).T), key: (("step", axis), np.array(is_key, bool).T)}
    return xr.Dataset(values, {"step": STEPS[: len(similarity[0])], axis: list(names)})


SIMILARITY = [[0, 0.1, 0.2, 0.35, 0.6], [0.5, 0.1, 0.4, 0.4, 0.5], [0.9, 0.9, 0.9, 0.9, 0.01]]
IS_KEY = [[0, 0, 0, 0, 1], [1, 1, 0, 1, 1], [1, 1, 1, 1, 0]]


def test_both_dates_hold_from_then_on_and_the_first_learned_comes_first():
    found = learning_order(planted(SIMILARITY, IS_KEY))
    assert found["learned"].values.tolist() == ["k = 5", "k = 3"]  # 7 is not key in the end
    assert found["half_from"].values.tolist() == [20, 30]
    assert found["key_from"].values.tolist() == [30, 40]
    assert found["final_similarity"].values.tolist() == [0.5, 0.6]


@pytest.mark.parametrize(
    "prefix", [("irrep_similarity", "is_key_irrep", "irrep"), ("answer_similarity", "is_key_answer", "answer_irrep")]
)
def test_representations_by_their_names(prefix):
    found = learning_order(planted(SIMILARITY, IS_KEY, prefix, ("a", "b", "c")))
    assert found["learned"].values.tolist() == ["b", "a"]


def test_frequencies_are_preferred_to_the_same_representations():
    both = planted(SIMILARITY, IS_KEY).merge(
        planted(SIMILARITY, IS_KEY, ("irrep_similarity", "is_key_irrep", "irrep"), ("a", "b", "c"))
    )
    assert learning_order(both)["learned"].values.tolist() == ["k = 5", "k = 3"]


def test_a_similarity_that_is_not_a_number_is_not_half_of_anything():
    similarity = [[np.nan, 0.6, np.nan, 0.6, 0.6], *SIMILARITY[1:]]
    found = learning_order(planted(similarity, IS_KEY))
    assert dict(zip(found["learned"].values, found["half_from"].values, strict=True)) == {"k = 3": 30, "k = 5": 20}


@pytest.mark.parametrize("dataset", [
    xr.Dataset(coords={"step": np.array([], dtype=np.int64)}),
    planted(SIMILARITY, IS_KEY).drop_vars("is_key"),
    planted(SIMILARITY, IS_KEY).isel(step=[-1]),
    planted(SIMILARITY, np.zeros((3, 5))),
])  # fmt: skip
def test_where_nothing_was_learned_or_measured_there_is_no_order(dataset):
    found = learning_order(dataset)
    assert found.sizes["learned"] == 0
    assert set(found) == {"key_from", "half_from", "final_similarity"}


def test_an_order_does_not_depend_on_how_the_dataset_is_laid_out():
    dataset = planted(SIMILARITY, IS_KEY)
    assert learning_order(dataset.transpose("frequency", "step")).equals(learning_order(dataset))
