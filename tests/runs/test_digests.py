"""A changed bit of a run's files is named or harmless, and results belong to the run and its checkpoints."""

import hashlib
import itertools
import json
import os
import random
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from grokinterp.errors import RunDirectoryError
from grokinterp.report import render
from grokinterp.runs.completeness import RECORD, is_complete, mark_complete
from grokinterp.runs.datasets import CHECKPOINTS, read_not_defined, write_analysis, write_not_defined
from grokinterp.runs.netcdf import decode_dataset
from grokinterp.runs.results import Results
from grokinterp.storage import RunDirectory
from grokinterp.storage.run_directory import DOCUMENTS, NOT_DEFINED
from tests.support.report_page import Page
from tests.support.small_runs import TINY, changed, draw_checkpoints, drawn_tensors, without_digests

STEPS = (0, 10, 20)
FILES = ("experiment.json", *DOCUMENTS, "analysis/planted.nc")
MOST = 100
"""The largest number of bits, and of lengths, that are tried of each file."""


def make_run(path: Path, experiment=TINY) -> Path:
    """A run with every small file, and results of one analysis with each kind of variable and attribute."""
    run = draw_checkpoints(path, experiment, STEPS).directory
    run.write_status({"status": "finished", "step": 20})
    run.write_document("clock.json", {"sessions": [{"steps": [0, 20], "seconds": [0.0, 1.5], "peak_bytes": 7}]})
    write_not_defined(path, {"circuit_verdict": "the model has no circle", "grafts": "the run has one checkpoint"})
    write_analysis(path, "planted", results_of(run))
    return path


def results_of(run: RunDirectory) -> xr.Dataset:
    digests = np.array([run.digest(step) for step in STEPS], dtype="S64")
    values = np.arange(6.0).reshape(3, 2)
    data = {"loss": (("step", "split"), values, {"long_name": "loss", "units": "nats"}), CHECKPOINTS: ("step", digests)}
    coords = {"step": list(STEPS), "split": ["train", "test"]}
    return xr.Dataset(data, coords, {"title": "Planted", "skipped": "{}", "leaked_share": 0.25})


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("digests") / "run")


@pytest.fixture
def run(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "run")


def seen(path: Path, name: str) -> tuple[object, list[str]]:
    """The content of a file of the run, and the lines that say what was left out; None where there is no run."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            results = Results.open(path)
            if name.endswith(".nc"):
                found = {key: dataset.to_dict() for key, dataset in results.analyses.items()}
                left_out = results.left_out
            else:
                directory = results.directory
                found = directory.experiment if name == "experiment.json" else directory.document(name)
                left_out = directory.left_out()
        except RunDirectoryError as error:
            return None, [error.why]
    lines = [str(line.message) for line in caught]
    assert left_out.keys() <= {name}
    assert all(any(why in line for line in lines) for why in left_out.values())
    return found, lines


def tried(count: int, seed: str) -> list[int]:
    """All numbers below ``count``, or ``MOST`` of them."""
    return sorted(random.Random(seed).sample(range(count), min(MOST, count)))


def damages(content: bytes, seed: str) -> Iterator[bytes]:
    """The content with one changed bit, at each of many places, and cut short, at each of many lengths."""
    for bit in tried(8 * len(content), seed):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)
    for length in tried(len(content) - 1, seed):
        yield content[:length]


@pytest.mark.parametrize("name", FILES)
def test_a_changed_bit_or_a_lost_end_is_named_or_harmless(name, run):
    (whole, _), file = seen(run, name), run / name
    for damaged in damages(file.read_bytes(), name):
        file.write_bytes(damaged)
        found, lines = seen(run, name)
        if lines:
            (line,) = lines
            assert name in line, damaged
            assert line.isprintable(), damaged
            assert not found or name == "experiment.json", damaged
        else:
            assert found == whole, damaged


def test_every_length_of_a_dataset_counts(run):
    data = (run / "analysis" / "planted.nc").read_bytes()
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"^(damaged: its bytes|no digest)"):
            decode_dataset(data[:length])


def test_a_changed_record_of_completeness_is_not_trusted(run):
    mark_complete(run)
    record = run / "analysis" / RECORD
    for damaged in itertools.islice(damages(record.read_bytes(), RECORD), 0, None, 10):
        record.write_bytes(damaged)
        assert not is_complete(run)


@pytest.mark.parametrize("name", [name for name in FILES if name != "experiment.json"])
def test_a_file_of_another_run_is_left_out(name, run, tmp_path):
    other = make_run(tmp_path / "other", changed(seed=1))
    shutil.copy(other / name, run / name)
    found, (line,) = seen(run, name)
    assert not found
    assert re.search(rf"{re.escape(name)}.*: belongs to run (tiny-)?{RunDirectory(other).run_id}$", line)


def test_results_of_a_checkpoint_that_was_replaced_are_left_out(run):
    directory = RunDirectory.open(run)
    directory.checkpoint_path(10).unlink()
    assert "planted" in Results.open(run).analyses  # its results remain, as those of a damaged checkpoint
    directory.save_checkpoint(10, drawn_tensors(TINY, 11))
    why = "checkpoint 10 has been replaced since it was analyzed"
    results = Results.open(run)
    with pytest.warns(UserWarning, match=f"left out analysis/planted.nc: {why}"):
        assert results.analyses == {}
    assert results.left_out == {"analysis/planted.nc": why}
    assert results.summary()["left_out"] == [{"file": "analysis/planted.nc", "reason": why}]
    page = Page(render(results)).text
    assert "1 file was left out" in page
    assert why in page


def test_a_damaged_checkpoint_does_not_cost_its_results(run):
    file = RunDirectory.open(run).checkpoint_path(10)
    content = file.read_bytes()
    for damaged in damages(content[:2000], "header"):
        file.write_bytes(damaged + content[2000:])
        assert list(Results.open(run).analyses) == ["planted"]


def test_files_of_earlier_versions_are_read(run):
    intact = [seen(run, name) for name in FILES if name != NOT_DEFINED]
    reasons, directory = read_not_defined(run), RunDirectory.open(run)
    (without_digests(run) / NOT_DEFINED).write_text(json.dumps(reasons))
    dataset = results_of(directory)
    (run / "analysis" / "planted.nc").write_bytes(as_before(dataset))
    assert read_not_defined(run) == reasons
    assert [seen(run, name) for name in FILES if name != NOT_DEFINED] == intact
    (run / "analysis" / "planted.nc").write_bytes(as_before(dataset, dataset.assign(loss=dataset["loss"] + 1)))
    assert seen(run, "analysis/planted.nc")[1] == [
        f"{run}: left out analysis/planted.nc: damaged: its content does not match its digest"
    ]


def test_the_documented_checks_hold(run, root, monkeypatch):
    monkeypatch.chdir(run)
    (run / "analysis" / "planted.nc").rename("performance.nc")
    text = (root / "docs" / "checkpoint_format.md").read_text(encoding="utf-8")
    blocks = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Path(" in block]
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)  # the documentation's own code


def as_before(dataset: xr.Dataset, stored: xr.Dataset | None = None) -> bytes:
    """netCDF with a digest of names, shapes and values alone, by default its own."""
    digest = hashlib.sha256()
    for name in sorted(map(str, dataset.variables)):
        values = dataset[name].values
        text = values.dtype.kind in "SU"
        digest.update(f"{name}{values.shape}".encode())
        digest.update(np.char.encode(values.astype(str)).tobytes() if text else values.astype("<f8").tobytes())
    whole = dataset if stored is None else stored
    return bytes(whole.assign_attrs(content_digest=digest.hexdigest()).to_netcdf(engine="scipy"))


def test_what_is_unchanged_is_not_written_again(run):
    directory = RunDirectory.open(run)
    for file in run.rglob("*.*"):
        os.utime(file, ns=(0, 0))
    directory.write_status(directory.status)
    write_not_defined(run, read_not_defined(run))
    write_analysis(run, "planted", results_of(directory))
    assert {file.stat().st_mtime_ns for file in run.rglob("*.*")} == {0}
