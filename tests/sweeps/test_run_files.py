"""The files of a run as they travel: the same run arrives, whole; nothing else is written."""

import json
import shutil

import pytest

from grokinterp.errors import RunDirectoryError, RunInUse
from grokinterp.storage import RunDirectory
from grokinterp.sweeps.run_files import files_of, put_files, write_files
from grokinterp.training import train
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import train_until


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    path = tmp_path_factory.mktemp("stopped") / "run"
    train_until(path, 20)
    return path


@pytest.fixture(scope="module")
def run_id(stopped):
    return RunDirectory(stopped).run_id


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    train(TINY, path, device="cpu")
    return path


def test_a_run_arrives_as_it_was_and_continues(stopped, whole, run_id, tmp_path):
    files = files_of(stopped)
    put_files(files, tmp_path / "run", run_id)
    assert written(tmp_path / "run") == written(stopped)
    train(TINY, tmp_path / "run", device="cpu", resume=True)
    finished = written(tmp_path / "run")
    assert finished == written(whole)

    shutil.copytree(stopped, tmp_path / "earlier")
    put_files(files_of(tmp_path / "run"), tmp_path / "earlier", run_id)
    assert written(tmp_path / "earlier") == finished
    put_files(files, tmp_path / "earlier", run_id)  # an older state arrives after the run has ended
    assert written(tmp_path / "earlier") == finished


@pytest.mark.parametrize("eighths", [2, 5, 7])
def test_a_run_of_which_only_a_part_arrived_can_be_continued(stopped, whole, eighths, tmp_path):
    """The process was killed between two files, in a directory with an earlier state of the run."""
    train_until(tmp_path / "run", 8)
    files = list(files_of(stopped).items())
    write_files(dict(files[: eighths * len(files) // 8]), tmp_path / "run")
    train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert written(tmp_path / "run") == written(whole)


@pytest.mark.parametrize(
    "name",
    [
        "../outside", "/tmp/outside", "checkpoints/../../outside", "checkpoints/a/b", "checkpoints//a", "lock",
        "resume/lock", "", ".", "notes.txt", "checkpoints/.hidden", "checkpoints\\a", "checkpoints/a\0b", "resume/\n",
        ".status.json.0a1b2c3d.tmp", "checkpoints/" + "a" * 300, 5,
    ],
)  # fmt: skip
def test_files_that_are_not_of_a_run_are_refused_before_anything_is_written(stopped, run_id, name, tmp_path):
    with pytest.raises(RunDirectoryError, match=r"was sent with the file .* which is not one of a run"):
        put_files({**files_of(stopped), name: b"x"}, tmp_path / "root" / "run", run_id)
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_another_run_are_refused(stopped, run_id, tmp_path):
    files = files_of(stopped)
    other = changed(seed=1).to_dict()
    for configuration, why in (
        (json.dumps(other).encode(), "was sent the run"),
        (b"{", "without a readable"),
        (5, "file"),
    ):
        with pytest.raises(RunDirectoryError, match=why):
            put_files({**files, "experiment.json": configuration}, tmp_path / "run", run_id)
    del files["experiment.json"]
    with pytest.raises(RunDirectoryError, match=r"without a readable experiment.json"):
        put_files(files, tmp_path / "run", run_id)
    assert list(tmp_path.iterdir()) == []


def test_links_do_not_travel_and_are_not_followed(stopped, run_id, tmp_path):
    shutil.copytree(stopped, tmp_path / "run")
    (tmp_path / "secret").write_text("x")
    (tmp_path / "run" / "checkpoints" / "step_00000099.safetensors").symlink_to(tmp_path / "secret")
    assert files_of(tmp_path / "run").keys() == files_of(stopped).keys()


def test_a_run_in_training_is_not_overwritten(stopped, run_id, tmp_path):
    files = files_of(stopped)
    train_until(tmp_path / "run", 8)
    before = written(tmp_path / "run")
    with RunDirectory(tmp_path / "run").lock(), pytest.raises(RunInUse, match="in use by process"):
        put_files(files, tmp_path / "run", run_id)
    assert written(tmp_path / "run") == before
