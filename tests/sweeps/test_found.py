"""Runs are found below a folder and through symbolic links, each of them once."""

from pathlib import Path

import pytest

from grokinterp.errors import ConfigError
from grokinterp.report.gallery import write_gallery
from grokinterp.sweeps.contents import Listed, Member, list_sweep
from grokinterp.sweeps.found import runs_below
from tests.support.planted_sweeps import BASE, write_planted


def place_run(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "metrics.jsonl").touch()
    return path


def directories(root: Path) -> list[str]:
    return [run.directory for run in runs_below(root).runs]


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_linked_runs_and_folders_are_found(root, tmp_path):
    place_run(tmp_path / "disk" / "one")
    (tmp_path / "disk" / "more").mkdir()
    (tmp_path / "disk" / "more" / "three").symlink_to(place_run(tmp_path / "other" / "three"))
    (root / "linked").symlink_to(tmp_path / "disk")
    (root / "relative").symlink_to("../other/three")
    place_run(root / "here")
    assert directories(root) == ["here", "linked/one", "relative"]


def test_a_run_that_several_paths_lead_to_is_found_once_by_its_own_path(root):
    place_run(root / "runs" / "one")
    for name in ("a link", "z link"):
        (root / name).symlink_to(root / "runs" / "one")
    (root / "all").symlink_to(root / "runs")
    assert directories(root) == ["runs/one"]
    assert directories(root / "all") == ["one"]


def test_links_that_lead_back_end(root, tmp_path):
    place_run(root / "a" / "one")
    place_run(tmp_path / "outside")
    for link, target in {"loop": root, "a/up": root / "a", "parent": tmp_path, "self": "self", "none": "gone"}.items():
        (root / link).symlink_to(target)
    assert directories(root) == ["a/one"]


def test_a_sweep_lists_its_linked_runs(root, tmp_path):
    place_run(tmp_path / "disk" / "one")
    (root / "one").symlink_to(tmp_path / "disk" / "one")
    list_sweep(root, "seeds", Listed("a sweep", {"a": Member("one", {"seed": 3})}, []))
    (run,) = runs_below(root).runs
    assert (run.run_id, run.settings, run.experiments) == ("a", {"seed": 3}, ("seeds",))


def test_a_folder_of_dangling_links_contains_no_run(root):
    (root / "one").symlink_to("gone")
    with pytest.raises(ConfigError, match="contains no run"):
        runs_below(root)


def test_a_gallery_shows_linked_runs(root, tmp_path):
    write_planted(tmp_path / "disk" / "far away", BASE, 600)
    (root / "linked").symlink_to(tmp_path / "disk")
    page = write_gallery(root, out=tmp_path / "gallery.html")
    assert "linked/far away" in page.read_text(encoding="utf-8")
