"""The metrics log: every damaged row is named and skipped, every other row is used, in flat memory."""

import json
import math
import os
import shutil
import tracemalloc
from collections.abc import Callable

import pytest

from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.storage import RunDirectory
from grokinterp.storage.metrics_log import MAX_ROW_BYTES
from tests.support.stored import EXPERIMENT


def row(step: int, **more: float) -> dict:
    return {"step": step, "train_loss": step / 8, "weight_norm_of": {"W_E": 0.5, "W_U": step * 1e-3}} | more


def finished(path, *, run: dict = EXPERIMENT, steps=(0, 10, 20, 30)) -> RunDirectory:
    """A finished run with a row at every step."""
    made = RunDirectory.create(path, run, {})
    with made.lock() as held:
        for step in steps:
            held.metrics.append(row(step))
        held.write_status({"status": "finished", "step": steps[-1]})
    return made


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return finished(tmp_path / "run")


def without_checks(run: RunDirectory) -> list[bytes]:
    """The lines of the log as earlier versions wrote them."""
    rows = [json.loads(line) for line in run.metrics.path.read_bytes().splitlines()]
    kept = [{key: value for key, value in row.items() if key not in ("previous_step", "check")} for row in rows]
    return [json.dumps(row).encode() for row in kept]


def write_lines(run: RunDirectory, lines: list[bytes]) -> None:
    run.metrics.path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_rows_are_lines_of_strict_json_with_a_check(tmp_path):
    run = RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    with run.lock() as held:
        held.metrics.append({"step": 0, "train_loss": math.nan, "weight_norm_of": {"W_E": math.inf, "W_U": 0.1}})
        offset = held.metrics.offset
        held.metrics.append({"step": 1, "train_loss": 0.5, "gap": 2})
        held.metrics.sync()
    first, second = map(json.loads, run.metrics.path.read_text().splitlines())
    assert (first["previous_step"], second["previous_step"]) == (None, 0)
    assert (first["train_loss"], first["weight_norm_of"]["W_E"], len(second["check"])) == (None, None, 16)
    table, check = run.read_metrics()
    assert list(table.rows()) == [
        {"step": 0, "train_loss": None, "weight_norm_of": {"W_E": None, "W_U": 0.1}, "gap": None},
        {"step": 1, "train_loss": 0.5, "weight_norm_of": {"W_E": None, "W_U": None}, "gap": 2.0},
    ]
    assert (check.rows, check.faults, check.unprotected_rows) == (2, "", "")
    with run.lock() as held:
        held.metrics.truncate(offset)
        assert (held.metrics.offset, held.metrics.last_step) == (run.metrics.path.stat().st_size, 0)
        held.metrics.append({"step": 1, "train_loss": 0.5, "gap": 2})
    assert [json.loads(line) for line in run.metrics.path.read_text().splitlines()] == [first, second]


def test_every_flipped_bit_is_named_and_every_other_row_is_used(run):
    rows = list(run.read_metrics()[0].rows())
    content = run.metrics.path.read_bytes()
    for at in range(0, 8 * len(content), 7):  # every byte, and every bit
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << at % 8
        run.metrics.path.write_bytes(flipped)
        table, check = run.read_metrics()
        assert check.faults, at
        lost = 2 if content[at // 8 : at // 8 + 1] == b"\n" else 1  # two rows in one line
        assert [row for row in rows if row in list(table.rows())] == list(table.rows())
        assert len(rows) - check.rows <= lost


def flip_digit(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"2.5", b"2.4"), lines[3]]


def torn(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1][:20], *lines[2:]]


def changed(line: int, old: str, new: str) -> Callable[[list[bytes]], list[bytes]]:
    """Change one line, from 1."""
    return lambda lines: [
        text.replace(old.encode(), new.encode()) if number == line else text for number, text in enumerate(lines, 1)
    ]


DAMAGE: dict[str, tuple[Callable[[list[bytes]], list[bytes]], list[int], str, str]] = {
    # damage; steps in use; message for a protected log; message for an older log, "" if it cannot notice the damage
    "digit": (flip_digit, [0, 10, 30], "line 3: its check does not match", ""),
    "torn row": (torn, [0, 20, 30], "line 2: is not a JSON object", "line 2: is not a JSON object"),
    "empty line": (lambda lines: [b"", *lines], [0, 10, 20, 30], "line 1: is not a JSON object", "line 1: is not"),
    "removed row": (
        lambda lines: [*lines[:1], *lines[2:]],
        [0, 20, 30],
        "line 2 was written after step 10 but now follows step 0, so rows were removed or inserted",
        "",
    ),
    "removed start": (lambda lines: lines[1:], [10, 20, 30], "after step 0 but now follows the start", ""),
    "cut short": (lambda lines: lines[:2], [0, 10], "ends at step 10, but the run finished at step 30", "ends at"),
    "empty": (lambda lines: [], [], "has no usable row, but the run finished at step 30", "has no usable row"),
    "repeated row": (
        lambda lines: [*lines[:2], *lines[1:]],
        [0, 10, 20, 30],
        "line 3: step 10 is repeated or out of order",
        "line 3: step 10 is repeated or out of order",
    ),
    "unsorted rows": (
        lambda lines: [lines[0], lines[2], lines[1], lines[3]],
        [0, 10, 30],
        "line 2: step 20 is repeated or out of order",
        "line 2: step 20 is repeated or out of order",
    ),
    "step out of order": (changed(2, "10,", "90,"), [0, 20, 30], "line 2: its check", "line 2: step 90 is repeated or"),
    "negative step": (changed(2, "10,", "-10,"), [0, 20, 30], "line 2: its check", "line 2: step=-10: must be"),
    "step of no integer": (changed(2, "10,", "1e1,"), [0, 20, 30], "line 2: its check", "line 2: step=10.0: must be"),
    "no step": (changed(2, '"step": 10, ', ""), [0, 20, 30], "line 2: its check", "line 2: has no step"),
    "infinite": (changed(2, "1.25", "1e400"), [0, 20, 30], "line 2: its check", "line 2: train_loss is not finite"),
    "long integer": (changed(2, "1.25", "9" * 400), [0, 20, 30], "line 2: is not a JSON", "line 2: is not a JSON"),
    "text": (changed(2, "1.25", '"x"'), [0, 20, 30], "line 2: its check", "line 2: train_loss is not a number"),
    "truth value": (changed(2, "1.25", "true"), [0, 20, 30], "line 2: its check", "line 2: train_loss is not a"),
    "object": (changed(2, "1.25", "{}"), [0, 20, 30], "line 2: its check", "line 2: train_loss is an empty object"),
    "text within": (changed(2, "0.5", '"x"'), [0, 20, 30], "line 2: its check", "line 2: W_E is not a number"),
    "misspelled": (
        changed(2, "train_loss", "train_lost"),
        [0, 20, 30],
        "line 2: its check",
        "line 2: has 'train_lost' in place of 'train_loss'",
    ),
    "misspelled within": (changed(2, "W_E", "W_F"), [0, 20, 30], "line 2: its check", "in place of"),
    "too long": (changed(2, "1.25", "1" * MAX_ROW_BYTES), [0, 20, 30], "line 2: is not a JSON", "line 2: is not a"),
    "deep": (changed(2, "1.25", "[" * 100_000), [0, 20, 30], "line 2: is not a JSON", "line 2: is not a JSON"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_costs_no_other_row(damage, run):
    change, steps, said, said_of_old = DAMAGE[damage]
    protected, old = run.metrics.path.read_bytes().splitlines(), without_checks(run)
    write_lines(run, change(protected))
    table, check = run.read_metrics()
    assert list(table.steps) == steps
    assert said in check.faults
    assert check.unprotected == 0
    write_lines(run, change(old))
    table, check = run.read_metrics()
    assert said_of_old in check.faults
    assert bool(said_of_old) == bool(check.faults)
    assert check.unprotected == check.rows
    if said_of_old:
        assert list(table.steps) == steps
        assert {*table.columns} <= {"train_loss", ("weight_norm_of", "W_E"), ("weight_norm_of", "W_U")}


def test_rows_of_another_run_are_named(run, tmp_path):
    other = finished(tmp_path / "other", run=EXPERIMENT | {"seed": 1})
    shutil.copy(other.metrics.path, run.metrics.path)
    table, check = run.read_metrics()
    assert (len(table.steps), check.n_skipped) == (0, 4)
    assert "4 damaged rows skipped (line 1: its check does not match: it was changed, or belongs to another run; " in (
        check.faults
    )
    run.metrics.path.unlink()
    assert run.read_metrics()[1].faults == "has no usable row, but the run finished at step 30"


def test_an_older_log_is_reported_as_unprotected_and_can_be_continued(run):
    write_lines(run, without_checks(run))
    table, check = run.read_metrics()
    assert (len(table.steps), check.faults) == (4, "")
    assert check.unprotected_rows.startswith("metrics.jsonl has no checks, since an earlier version wrote it")
    with run.lock() as held:
        assert held.metrics.last_step == 30
        held.metrics.append(row(40))
        held.write_status({"status": "finished", "step": 40})
    check = run.read_metrics()[1]
    assert (check.rows, check.faults, check.unprotected) == (5, "", 4)
    assert check.unprotected_rows.startswith("in its first 4 of 5 rows, metrics.jsonl has no checks")
    write_lines(run, [*run.metrics.path.read_bytes().splitlines(), b'{"step": 50, "train_loss": 1}'])
    assert "line 6: has no check, unlike the rows before it" in run.read_metrics()[1].faults


def test_a_row_being_written_is_left_out_by_readers_and_removed_by_the_next_writer(run):
    with open(run.metrics.path, "ab") as file:
        file.write(b'{"step": 40, "train')
    assert list(run.read_metrics()[0].steps) == [0, 10, 20, 30]
    with pytest.warns(UserWarning, match="the last row was only partly written and was removed"), run.lock() as held:
        held.metrics.append(row(40))
    assert list(run.read_metrics()[0].steps) == [0, 10, 20, 30, 40]


def test_columns_that_only_some_rows_have_are_no_damage(tmp_path):
    """Columns that a single row or a few rows have are accepted, in an older log as well."""
    run = RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    with run.lock() as held:
        for step in range(20):
            held.metrics.append(row(step, **({"gap": 1.0} if step % 7 == 3 else {"lamb": 2.0} if step == 5 else {})))
    for lines in (run.metrics.path.read_bytes().splitlines(), without_checks(run)):
        write_lines(run, lines)
        table, check = run.read_metrics()
        assert (len(table.steps), check.faults) == (20, "")
        assert sum(not math.isnan(value) for value in table.columns["gap"]) == 3


def test_a_log_that_would_fill_the_memory_with_empty_cells_is_refused(run):
    wide = json.dumps({"step": 0} | {f"column{i}": 0 for i in range(5000)}).encode()
    write_lines(run, [wide, *(b'{"step": %d}' % step for step in range(1, 5000))])
    table, check = run.read_metrics()
    assert len(table.steps) == 0
    assert "would make a table of 5000 columns that is almost empty; no row is used" in check.faults


def test_memory_is_that_of_the_numbers(tmp_path):
    run = RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    n, columns = 400, [f"column{i}" for i in range(20)]
    with run.lock() as held:
        for step in range(n):
            held.metrics.append({"step": step} | {name: step + i / 7 for i, name in enumerate(columns)})
    tracemalloc.start()
    table, _ = run.read_metrics()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table.columns) == 20
    assert peak < 2 * 8 * n * len(columns) + 2**17


# --- the writer ------------------------------------------------------------------------------------------------------


def test_the_end_of_a_long_log_is_all_that_its_writer_reads(run):
    """The log is sparse, with a hole of 8 GiB between its rows."""
    content = run.metrics.path.read_bytes()
    with open(run.metrics.path, "r+b") as file:
        file.seek(2**33)
        file.write(b"\n" + content)
    with run.lock() as held:
        held.metrics.append(row(40))
        end = held.metrics.offset
        held.metrics.append(row(50))
        held.metrics.truncate(end)
        held.metrics.append(row(41))
    assert run.metrics.path.stat().st_size < 2**33 + 2 * len(content)
    with open(run.metrics.path, "rb") as file:
        file.seek(end)
        assert json.loads(file.read())["previous_step"] == 40


@pytest.mark.parametrize("bad", [{"train_loss": 1.0}, {"step": -1}, {"step": 40, "check": 1.0}])
def test_a_row_that_could_not_be_read_is_not_written(bad, run):
    before = run.metrics.path.read_bytes()
    with run.lock() as held:
        with pytest.raises(ValueError, match=r"has no step|must be an integer|cannot be the name of a metric"):
            held.metrics.append(bad)
        with pytest.raises(RunDirectoryError, match="already ends at step 30, so step 30 cannot follow"):
            held.metrics.append(row(30))
    assert run.metrics.path.read_bytes() == before


def test_truncate_refuses_a_wrong_offset(tmp_path):
    run = RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    with run.lock() as held:
        held.metrics.truncate(0)
        with pytest.raises(RunDirectoryError, match="has 0 bytes, but the resume state needs 5"):
            held.metrics.truncate(5)
        held.metrics.append({"step": 0})
        with pytest.raises(RunDirectoryError, match="no row that ends at byte 3"):
            held.metrics.truncate(3)
    assert list(run.read_metrics()[0].steps) == [0]


def test_partly_written_row_is_taken_back(run, monkeypatch):
    before, write = run.metrics.path.read_bytes(), os.write
    with run.lock() as held:
        with monkeypatch.context() as patch:
            patch.setattr("grokinterp.storage.metrics_writer.os.write", lambda fd, data: write(fd, data[:5]))
            with pytest.raises(GrokinterpError, match=r"cannot write .*metrics\.jsonl: .*ENOSPC"):
                held.metrics.append(row(40))
        assert run.metrics.path.read_bytes() == before
        held.metrics.append(row(40))
    assert run.read_metrics()[1].rows == 5


def test_a_log_removed_during_the_run_is_written_again(run):
    before = run.metrics.path.read_bytes()
    with run.lock() as held:
        held.metrics.append(row(40))
        run.metrics.path.unlink()
        with pytest.warns(UserWarning, match=r"metrics\.jsonl was removed during the run and was written again"):
            held.metrics.append(row(50))
        held.metrics.append(row(60))
    assert run.metrics.path.read_bytes().startswith(before)
    assert list(run.read_metrics()[0].steps) == [0, 10, 20, 30, 40, 50, 60]


@pytest.mark.parametrize("other", ["replaced", "extended"])
def test_a_log_that_another_program_changed_is_left_alone(other, run):
    with run.lock() as held:
        held.metrics.append(row(40))
        if other == "replaced":
            shutil.copy(run.metrics.path, run.path / "copy")
            os.replace(run.path / "copy", run.metrics.path)
        else:
            with open(run.metrics.path, "ab") as file:
                file.write(b"{}\n")
        there = run.metrics.path.read_bytes()
        for write in (lambda: held.metrics.append(row(50)), lambda: held.save_resume_state(50, {}, {})):
            with pytest.raises(RunDirectoryError, match=r"by another (file|program) during the run"):
                write()
    assert run.metrics.path.read_bytes() == there
    assert run.resume.steps() == ()


def test_a_log_that_is_no_regular_file_is_refused(run):
    run.metrics.path.unlink()
    os.mkfifo(run.metrics.path)
    with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl is not a regular file"):
        run.read_metrics()
    with run.lock() as held, pytest.raises(RunDirectoryError, match=r"metrics\.jsonl is not a regular file"):
        held.metrics.append(row(40))


def test_rows_without_the_numbers_of_parameters_are_otherwise_the_same(tmp_path):
    run = RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    inside = [{"W_E": 1.0, "W_U": None}, {'a}, "train_loss": 9, "b{': 2.0}, {"W": 3}]
    with run.lock() as held:
        for step, norms in enumerate(inside):
            held.metrics.append({"step": step, "train_loss": [0.5, math.nan, 1.5][step], "of": norms, "gap": step})
    whole, check = run.read_metrics()
    part, same = run.read_metrics(nested=False)
    assert same == check
    flat = [{key: value for key, value in row.items() if key != "of"} for row in whole.rows()]
    assert [{key: value for key, value in row.items() if key != "of"} for row in part.rows()] == flat
    assert (whole.undefined, part.undefined) == ({"train_loss": {2}, ("of", "W_U"): {1}}, {"train_loss": {2}})
