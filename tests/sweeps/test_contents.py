"""The document of a folder that lists which runs belong to which sweep."""

import pytest

from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.sweeps.contents import CONTENTS, Listed, Member, list_failures, list_sweep, sweeps_in


def listed(**runs: dict) -> Listed:
    return Listed("a sweep", {key: Member(f"run-{key}", values) for key, values in runs.items()}, [])


def test_sweeps_of_a_folder_share_a_document_and_keep_their_runs(tmp_path):
    assert sweeps_in(tmp_path) == {}
    first = listed(a={"p": 5, "steps": 9, "betas": [0.9, 0.98]}, b={"p": 7, "steps": 9, "betas": [0.9, 0.98]})
    list_sweep(tmp_path, "one", first)
    list_sweep(tmp_path, "two", listed(a={"p": 5, "steps": 9}))
    list_failures(tmp_path, "one", {"a": "the disk is full"})
    list_sweep(tmp_path, "one", listed(c={"p": 11, "steps": 9, "betas": [0.9, 0.98]}))
    found = sweeps_in(tmp_path)
    assert list(found) == ["one", "two"]
    assert found["one"].fixed == {"steps": 9, "betas": [0.9, 0.98]}
    assert {key: run.settings["p"] for key, run in found["one"].runs.items()} == {"a": 5, "b": 7, "c": 11}
    assert [run.failure for run in found["one"].runs.values()] == ["the disk is full", None, None]
    list_failures(tmp_path, "one", {"a": None})
    assert sweeps_in(tmp_path)["one"].runs["a"].failure is None


def test_a_name_stands_for_one_sweep(tmp_path):
    list_sweep(tmp_path, "one", listed(a={"p": 5, "steps": 9}, b={"p": 7, "steps": 9}))
    with pytest.raises(ConfigError, match=r"name=one: .* steps=9 there, 100 here; choose another --name"):
        list_sweep(tmp_path, "one", listed(c={"p": 5, "steps": 100}))
    list_sweep(tmp_path, "one", listed(c={"p": 5, "steps": 100}, d={"p": 5, "steps": 200}))
    assert sweeps_in(tmp_path)["one"].fixed == {}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [('"p"', '"q"', "does not match its digest"), ("{", "", ""), ('"digest"', '"digits"', "digest")],
)
def test_a_damaged_document_is_named_and_kept(old, new, why, tmp_path):
    list_sweep(tmp_path, "one", listed(a={"p": 5}))
    damaged = (tmp_path / CONTENTS).read_text().replace(old, new, 1)
    (tmp_path / CONTENTS).write_text(damaged)
    with pytest.raises(RunDirectoryError, match=f"sweep.json: .*{why}"):
        list_sweep(tmp_path, "two", listed(b={"p": 5}))
    assert (tmp_path / CONTENTS).read_text() == damaged
