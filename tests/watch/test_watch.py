"""Following a run: it may begin later, is called unfinished until it ends, and its page stops refreshing itself."""

import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from grokinterp.errors import ConfigError, RunDirectoryError
from grokinterp.storage import RunDirectory
from grokinterp.storage.sealed_rows import sealed
from grokinterp.watch import follow, following
from grokinterp.watch.dashboard import dashboard
from grokinterp.watch.look import Pace, look_at
from grokinterp.watch.page import page
from tests.support.planted_sweeps import BASE, write_planted

SECONDS = 60


def words(text: str) -> str:
    """The text of a page, without markup."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL).split())


def begin(path: Path) -> RunDirectory:
    return RunDirectory.create(path, BASE.to_dict(), {"n_test": 100, "n_classes": 23})


def evaluate(run: RunDirectory, steps: range) -> None:
    """Append evaluations to the log of a run."""
    for step in steps:
        test = float(step > 600)
        row = {"step": step, "train_loss": 1 / (step + 1), "test_loss": 2.0 - test, "train_accuracy": float(step > 100),
               "test_accuracy": test, "previous_step": step - 50 if step else None}  # fmt: skip
        with run.metrics.path.open("ab") as log:
            log.write(sealed(row, run.run_id))


def printed(look, width: int, height: int = 24) -> str:
    console = Console(width=width, height=height, file=None, color_system=None)
    with console.capture() as captured:
        console.print(dashboard(look, width=width, height=height))
    return captured.get()


def test_a_run_is_followed_from_before_it_exists_until_it_ends(tmp_path, capsys):
    out, looks = tmp_path / "page.html", []
    failed: list[BaseException] = []

    def train() -> None:
        try:
            time.sleep(0.3)
            run = begin(tmp_path / "run")
            with run.lock():
                run.write_status({"status": "running", "step": 0})
                for stop in (200, 900):
                    evaluate(run, range(0 if stop == 200 else 200, stop, 50))
                    wait_for(out, f"at step {stop - 50}")
                    looks.append(out.read_text())
                run.write_status({"status": "finished", "step": 850})
        except BaseException as error:
            failed.append(error)

    training = threading.Thread(target=train)
    training.start()
    look = follow(tmp_path / "run", out=out, every=0.1)
    training.join()
    assert failed == []
    for text in looks:
        assert 'http-equiv="refresh" content="1"' in text
        assert "UNFINISHED, training at step" in words(text)
        assert "Training has not finished; this page refreshes itself every 1 seconds" in words(text)
    assert "So far (this may change): Grokked, not yet sustained" in words(looks[1])
    final = out.read_text()
    assert 'http-equiv="refresh"' not in final
    assert "Finished at step 850" in words(final)
    assert "may change" not in words(final)
    assert (look.status, look.step) == ("finished", 850)
    err = capsys.readouterr().err
    assert err.startswith(f"waiting for {tmp_path / 'run'} to begin\n")
    assert err.splitlines()[-1].startswith("finished at step 850 of 3,000, train 100 %, test 100 %")


def wait_for(page: Path, text: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not (page.exists() and text in page.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_watch_that_is_interrupted_leaves_a_page_that_stays(tmp_path, monkeypatch):
    run, out = begin(tmp_path / "run"), tmp_path / "page.html"
    evaluate(run, range(0, 500, 50))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupt)
    with run.lock():
        run.write_status({"status": "running", "step": 0})
        with pytest.raises(KeyboardInterrupt):
            follow(run.path, out=out, shown=False)
    text = out.read_text()
    assert 'http-equiv="refresh"' not in text
    assert "This page no longer refreshes itself, and training had not finished." in words(text)


def test_a_run_that_ended_before_is_shown_once(tmp_path):
    write_planted(tmp_path / "run", BASE, 800, status="interrupted", until=1000)
    look = follow(tmp_path / "run", shown=False)
    assert (look.is_over, look.status, look.step) == (True, "interrupted", 1000)
    assert "UNFINISHED" not in look.state


def test_a_killed_run_is_over_although_its_status_says_running(tmp_path):
    write_planted(tmp_path / "run", BASE, 800, status="running", until=1000)
    with RunDirectory.open(tmp_path / "run").lock():
        assert not look_at(tmp_path / "run").is_over
    assert follow(tmp_path / "run", shown=False).status == "interrupted"


def test_what_never_begins_or_is_no_run_is_named(tmp_path):
    with pytest.raises(RunDirectoryError, match=r"does not exist, after 0\.2 seconds of waiting"):
        follow(tmp_path / "nowhere", patience=0.2, every=0.1, shown=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunDirectoryError, match="has not begun: no process is writing to it"):
        follow(tmp_path / "empty", patience=0, shown=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").touch()
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        follow(tmp_path / "full")
    with pytest.raises(ConfigError, match=r"every=0\.01: must be at least"):
        follow(tmp_path / "full", every=0.01)


@pytest.mark.parametrize("width", [100, 60, 40])
def test_the_dashboard_fits_the_terminal_and_says_that_the_run_is_unfinished(width, tmp_path):
    write_planted(tmp_path / "run", BASE, 800, status="running", until=1500)
    with RunDirectory.open(tmp_path / "run").lock():
        look = look_at(tmp_path / "run")._replace(speed=50.0)
    text = printed(look, width)
    assert max(map(len, text.splitlines())) <= width
    joined = " ".join(text.replace("│", " ").split())
    assert "UNFINISHED, training at step 1,500 of 3,000" in joined
    assert "at most 30 s left" in joined
    assert "So far (this may change): Grokked" in joined
    assert "test accuracy 100 %" in joined
    if width == 100:
        assert len(text.splitlines()) <= 24


def test_the_charts_rise_and_fall_with_the_curves(tmp_path):
    write_planted(tmp_path / "run", BASE, 800)
    rows = printed(look_at(tmp_path / "run"), 100, 40).splitlines()
    top = next(i for i, row in enumerate(rows) if "Accuracy" in row) + 1
    assert rows[top].rstrip(" │").endswith("train test")  # both end at 1
    assert rows[top].index("⠉") > 30  # and only late


def test_a_run_without_evaluations_has_a_page_and_a_dashboard(tmp_path):
    run = begin(tmp_path / "run")
    look = look_at(run.path)
    assert "Too few evaluations for a verdict." in printed(look, 80)
    assert "There are fewer than two evaluations." in words(page(look, every=2, written=0.0))
    assert look.state == "not begun: no process has written to the run yet"


def test_names_and_reasons_are_escaped(tmp_path):
    run = begin(tmp_path / "<b>[bold]x")
    evaluate(run, range(0, 200, 50))
    run.write_status({"status": "diverged", "step": 150, "why": "<script>alert(1)</script>\x1b[31m[red]"})
    look = look_at(run.path)
    text = page(look, every=2, written=0.0)
    assert "<script>" not in text
    assert "<b>[bold]" not in text
    shown = printed(look, 120)
    assert "\x1b" not in shown
    assert "[bold]x" in shown
    assert "[red]" in shown


def test_the_pace_is_that_of_the_last_minute():
    pace = Pace()
    assert pace.speed(None, 0.0) is None
    assert pace.speed(0, 0.0) is None
    assert pace.speed(100, 10.0) == 10.0
    assert pace.speed(100, 12.0) == 10.0  # nothing new
    assert pace.speed(200, 100.0) == pytest.approx(100 / 90)
    assert np.isfinite(pace.speed(300, 110.0))
