"""Animations: frames of the checkpoints, GIF and MP4, a program that is missing or fails, bad input."""

import os
import shutil
import stat
import subprocess

import numpy as np
import pytest
from PIL import Image

import grokinterp
from grokinterp.atlas.animation import drawn, thinned_evenly, views_of
from grokinterp.atlas.films import gif
from grokinterp.errors import ConfigError, GrokinterpError, RunDirectoryError
from grokinterp.report.content import view_of
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from tests.support.report_data import write_run
from tests.support.small_runs import draw_checkpoints

FFMPEG = """#!/bin/sh
for last; do :; done
echo "$@" > "$0.arguments"
wc -c > "$last"
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    run = draw_checkpoints(tmp_path_factory.mktemp("animation") / "run")
    grokinterp.analyze(run, only=["pair_answers", "embedding_spectrum", "logit_spectrum"])
    return run.path


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The program ffmpeg as a script, in a folder that is searched before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(text: str) -> None:
        (folder / "ffmpeg").write_text(text)
        (folder / "ffmpeg").chmod(stat.S_IRWXU)

    return write


def test_a_gif_has_a_frame_for_each_checkpoint(path, tmp_path):
    out = grokinterp.animate(path, tmp_path / "films" / "run.gif", dpi=30)
    with Image.open(out) as film:
        assert (film.n_frames, film.size) == (3, (300, 166))
        assert film.info["loop"] == 0
        durations = []
        for place in range(3):
            film.seek(place)
            durations.append(film.info["duration"])
    assert durations[0] == durations[1] == 80
    assert durations[2] > 2000


def test_frames_are_evenly_thinned_and_parts_of_a_run_have_their_own(path, tmp_path):
    assert thinned_evenly(range(100), 4) == [0, 33, 66, 99]
    for run, options in ((Trajectory.open(path)[10:], {}), (path, {"frames": 2})):
        with Image.open(grokinterp.animate(run, tmp_path / "two.gif", dpi=20, **options)) as film:
            assert film.n_frames == 2


def test_a_frame_marks_its_step(path):
    view = view_of(Results.open(path))
    first, last = drawn(views_of(view.results), [0, 20], view, 40)
    assert first.shape == last.shape == (224, 400, 3)
    curves = (first != last)[:90]
    columns = np.flatnonzero(curves.any((0, 2)))
    assert columns.min() < 40
    assert columns.max() > 360
    assert len(columns) <= 12


def test_a_run_shows_the_views_that_it_has(tmp_path):
    results = Results.open(write_run(tmp_path / "run", steps=3))
    assert [one.analyses[0] for one, _ in views_of(results)] == ["embedding_circles", "embedding_spectrum", "logit_map"]
    with Image.open(grokinterp.animate(results, tmp_path / "run.gif", dpi=20)) as film:
        assert film.n_frames == 3


def test_an_mp4_is_written_by_ffmpeg(path, tmp_path, program):
    program(FFMPEG)
    out = grokinterp.animate(path, tmp_path / "run.mp4", fps=5.0, dpi=20)
    height = int(out.read_text()) / 3 / 200 / 3
    assert height in (110, 112)
    arguments = (tmp_path / "bin" / "ffmpeg.arguments").read_text()
    assert f"-s 200x{height:.0f} -r 5 " in arguments


@pytest.mark.ffmpeg
def test_a_film_has_the_frames_that_were_drawn(path, tmp_path):
    out = grokinterp.animate(path, tmp_path / "run.mp4", dpi=40)
    view = view_of(Results.open(path))
    expected = list(drawn(views_of(view.results), Trajectory.open(path).steps, view, 40))
    command = ["ffmpeg", "-v", "error", "-i", str(out), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout
    frames = np.frombuffer(decoded, dtype=np.uint8).reshape(len(expected), *expected[0].shape)
    for one, other in zip(frames, expected, strict=True):
        assert np.abs(one.astype(float) - other).mean() < 6  # H.264 halves the resolution of the colors


def test_a_failure_of_ffmpeg_is_one_line(path, tmp_path, program):
    program("#!/bin/sh\necho noise >&2\necho 'Unknown encoder libx264' >&2\nexit 1\n")
    with pytest.raises(GrokinterpError, match=r"^ffmpeg could not write the animation: Unknown encoder libx264$"):
        grokinterp.animate(path, tmp_path / "run.mp4", dpi=20)
    assert not (tmp_path / "run.mp4").exists()


def test_a_missing_ffmpeg_is_named_before_any_work(path, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(GrokinterpError, match=r"in \.mp4 needs the program ffmpeg, which is not installed"):
        grokinterp.animate(path, tmp_path / "run.mp4")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("run.webm", {}, r"out=.*must end in \.gif or \.mp4"),
        ("run.gif", {"frames": 1}, "frames=1: must be from 2 to 2000"),
        ("run.gif", {"fps": 0.0}, "fps=0.0: must be above 0"),
        ("run.gif", {"dpi": 1000}, "dpi=1000: must be from 20 to 400"),
    ],
)
def test_bad_input_is_named(name, options, message, path, tmp_path):
    with pytest.raises(ConfigError, match=message):
        grokinterp.animate(path, tmp_path / name, **options)


def test_a_run_without_results_is_refused(tmp_path):
    with pytest.raises(RunDirectoryError, match="has fewer than two analyzed checkpoints to animate"):
        grokinterp.animate(draw_checkpoints(tmp_path / "run"), tmp_path / "run.gif")


def test_no_frames_are_refused():
    with pytest.raises(ConfigError, match="frames=0"):
        gif([], 10.0)
