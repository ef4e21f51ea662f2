"""The database of runs: it says what the files say, whatever happened to them or to the process that wrote it."""

import json
import os
import resource
import signal
import sqlite3
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.database import simulate
from grokinterp.cli.entry import run as run_command_line
from grokinterp.errors import ConfigError, WriteError
from grokinterp.numbers import flat
from grokinterp.storage import RunDirectory
from grokinterp.storage.sealed_rows import sealed
from grokinterp.sweeps import build_db, open_db, update_db
from grokinterp.sweeps.contents import Listed, Member, list_failures, list_sweep
from grokinterp.sweeps.database import VERSION
from tests.support.small_runs import TINY, changed

LONG = replace(TINY, steps=600, evaluate_every=10)
ROWS = 60


def dump(path: Path) -> list[str]:
    """All content of a database as statements, in an order that does not depend on when they were written."""
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def rows(path: Path, sql: str) -> list[tuple]:
    return open_db(path).select(sql)[1]


@pytest.fixture
def root(tmp_path) -> Path:
    """Four runs in two sweeps, of which one is in both and one failed before it began, and one run in a folder."""
    runs = {decay: changed(LONG, optimization={"weight_decay": decay}) for decay in (0.5, 1.0, 2.0)}
    runs = {decay: [one, replace(one, seed=1)] for decay, one in runs.items()}
    listed = {}
    for decay, seed in ((0.5, 0), (1.0, 0), (1.0, 1), (2.0, 0)):
        one = runs[decay][seed]
        name = f"{decay}-{seed}"
        if decay < 2:
            directory = simulate(tmp_path / name, one, ROWS if decay == 1 else 5)
            listed[directory.run_id] = Member(name, flat(one.to_dict()))
        else:
            listed["0123456789"] = Member(name, flat(one.to_dict()))
    list_sweep(tmp_path, "decay", Listed("weight decay", listed, [{"settings": {"task.p": 1}, "why": "too small"}]))
    list_sweep(tmp_path, "seeds", Listed("two seeds", dict(list(listed.items())[1:3]), []))
    list_failures(tmp_path, "decay", {"0123456789": "too large for the memory"})
    simulate(tmp_path / "methods" / "run", replace(LONG, seed=7), 0)
    return tmp_path


def test_the_tables_and_views_say_what_the_files_say(root, tmp_path):
    changes = build_db(root, tmp_path / "a.db")
    assert changes[:4] == (5, 0, 0, 2 * ROWS + 5)
    db = open_db(tmp_path / "a.db")
    runs = db.runs.set_index("directory")
    assert list(runs.experiments) == ["decay", "decay seeds", "decay seeds", "decay", "methods/"]
    assert list(runs.status) == ["finished", "finished", "finished", "failed", "finished"]
    assert runs.why["2.0-0"] == "too large for the memory"
    assert list(runs.grok_epoch.dropna()) == [300, 300]
    assert runs.ratio["1.0-0"] == 16 / 7
    assert runs.setting_id["1.0-0"] == runs.setting_id["1.0-1"] != runs.setting_id["0.5-0"]
    assert json.loads(runs.configuration["1.0-1"]) == RunDirectory.open(root / "1.0-1").experiment
    assert [phase["name"] for phase in json.loads(runs.phases["1.0-0"])][-1] == "generalization"

    one = db.metrics(runs.run_id["1.0-0"])
    table, _ = RunDirectory.open(root / "1.0-0").read_metrics()
    assert list(one.epoch) == list(table.steps)
    assert list(one.test_loss) == list(table.columns["test_loss"])
    assert len(db.metrics()) == changes.rows

    assert list(db.run_summary.groupby("experiment").grokked.sum().items()) == [
        ("decay", 2), ("methods/", 0), ("seeds", 2)
    ]  # fmt: skip
    boundary = db.phase_boundary[["weight_decay", "runs", "grokked", "success_rate"]]
    assert boundary.values.tolist() == [[0.5, 2, 0, 0], [1, 2, 2, 1]]
    stats = db.ratio_sweep_stats.set_index(["experiment", "weight_decay"])
    assert stats.loc[("seeds", 1.0), ["seeds", "mean_grok_epoch", "max_grok_epoch"]].tolist() == [2, 300, 300]
    overview = db.experiment_overview.set_index("experiment")
    assert overview.loc["decay", ["listed", "runs", "finished", "failed", "grokked"]].tolist() == [4, 4, 3, 1, 2]
    assert overview.fastest_run["seeds"] == min(runs.run_id["1.0-0"], runs.run_id["1.0-1"])
    assert json.loads(db.experiments.impossible[0]) == [{"settings": {"task.p": 1}, "why": "too small"}]


def test_nan_is_kept_apart_from_missing(tmp_path):
    run = simulate(tmp_path / "run", LONG, 0)
    with run.lock() as held:
        held.metrics.append({"step": 0, "train_loss": 1.0, "own measure": 2.0})
        held.metrics.append({"step": 10, "train_loss": float("nan"), "test_loss": 1.0, "own measure": float("inf")})
        held.metrics.append({"step": 20, "test_loss": float("inf")})
    build_db(tmp_path, tmp_path / "a.db")
    found = rows(tmp_path / "a.db", "SELECT train_loss, test_loss, not_finite, others FROM metrics")
    assert found == [
        (1.0, None, None, '{"own measure":2.0}'),
        (None, 1.0, "train_loss", '{"own measure":null}'),
        (None, None, "test_loss", None),
    ]
    last = rows(tmp_path / "a.db", "SELECT final_train_loss, final_test_loss, not_finite FROM runs")
    assert last == [(None, None, "final_test_loss")]


def test_an_update_reads_what_changed_and_equals_a_new_database(root, tmp_path):
    a, b = tmp_path / "a.db", tmp_path / "b.db"
    build_db(root, a)
    before = a.read_bytes()
    assert update_db(root, a)[:4] == (0, 5, 0, 0)
    assert a.read_bytes() == before

    run = RunDirectory.open(root / "0.5-0")
    run.write_status({"status": "diverged", "step": 50, "why": "the loss is NaN"})
    with run.lock() as held:
        held.metrics.append({"step": 50, "train_loss": None, "test_loss": 9.0})
    (root / "1.0-1").rename(root / "moved")
    simulate(root / "methods" / "another", replace(LONG, seed=8), 4)
    (root / "methods" / "run" / "experiment.json").unlink()
    list_failures(root, "decay", {"0123456789": None})
    changes = update_db(root, a)
    assert changes[:3] == (3, 1, 2)
    assert changes.left_out["methods/run"].endswith("is not a run directory: it has no experiment.json")
    build_db(root, b)
    assert dump(a) == dump(b)
    assert rows(a, "SELECT status, why, last_epoch FROM runs WHERE directory = '0.5-0'") == [
        ("diverged", "the loss is NaN", 50)
    ]
    build_db(root, a)  # in place of an old database
    assert dump(a) == dump(b)


def test_damaged_rows_documents_and_runs_are_named_and_the_rest_goes_in(root, tmp_path):
    log = root / "1.0-0" / "metrics.jsonl"
    lines = log.read_bytes().split(b"\n")
    lines[7] = lines[7].replace(b"0", b"1", 1)
    log.write_bytes(b"\n".join(lines))
    (root / "0.5-0" / "metrics.jsonl").unlink()
    (root / "0.5-0" / "metrics.jsonl").mkdir()
    simulate(root / "copy", changed(LONG, optimization={"weight_decay": 1.0}), 3)
    (root / "methods" / "sweep.json").write_text("{}")
    changes = build_db(root, tmp_path / "a.db")
    assert "line 8: its check does not match" in changes.damaged["1.0-0"]
    assert set(changes.left_out) == {"0.5-0", "copy", "methods/sweep.json"}
    assert changes.left_out["copy"] == "run=copy: has the same configuration as 1.0-0, which is used"
    assert rows(tmp_path / "a.db", "SELECT count(*) FROM runs") == [(4,)]


def test_a_run_in_training_is_written_as_it_is_and_updated_later(tmp_path):
    run = simulate(tmp_path / "run", LONG, 5)
    status = "SELECT status, why, evaluations FROM runs"
    with run.lock():
        run.write_status({"status": "running", "step": 40})
        build_db(tmp_path, tmp_path / "a.db")
        assert rows(tmp_path / "a.db", status) == [("running", None, 5)]
        with (tmp_path / "run" / "metrics.jsonl").open("ab") as file:
            file.write(sealed({"step": 50, "train_loss": 1.0, "previous_step": 40}, run.run_id)[:-9])
        assert update_db(tmp_path, tmp_path / "a.db").written == 1
        assert rows(tmp_path / "a.db", status) == [("running", None, 5)]
    update_db(tmp_path, tmp_path / "a.db")  # its process ended without a word
    assert rows(tmp_path / "a.db", status)[0][0] == "interrupted"


@pytest.mark.parametrize("moment", [0.002, 0.005, 0.01, 0.02, 0.04])
def test_a_kill_leaves_a_database_that_an_update_completes(moment, root, tmp_path):
    build_db(root, tmp_path / "whole.db")
    killed = tmp_path / "killed.db"
    build_db(root, killed)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process at once, as a kill
        signal.setitimer(signal.ITIMER_REAL, moment)
        while True:
            build_db(root, killed)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGALRM
    assert len(rows(killed, "SELECT * FROM runs")) <= 5
    update_db(root, killed)
    assert dump(killed) == dump(tmp_path / "whole.db")


def test_a_full_disk_is_one_line_and_loses_nothing(root, tmp_path):
    """At every size at which the database stops growing."""
    whole, limit = tmp_path / "whole.db", resource.getrlimit(resource.RLIMIT_FSIZE)
    build_db(root, whole)
    for size in range(0, whole.stat().st_size, 8192):
        file = tmp_path / f"{size}.db"
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
        try:
            with pytest.raises(WriteError, match=r"^cannot write .*\.db: .*; what was written before remains$"):
                build_db(root, file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        update_db(root, file)
        assert dump(file) == dump(whole)


def test_writers_take_turns_and_lose_nothing(root, tmp_path):
    build_db(root, tmp_path / "whole.db")
    threads = [threading.Thread(target=build_db, args=(root, tmp_path / "a.db")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dump(tmp_path / "a.db") == dump(tmp_path / "whole.db")


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("DELETE FROM runs", "may only read"),
        ("VACUUM INTO 'copy.db'", "may only read"),
        ("ATTACH 'copy.db' AS other", "may only read"),
        ("PRAGMA user_version = 5", "may only read"),
        ("SELECT * FROM pragma_user_version", "may only read"),
        ("SELECT unknown FROM runs", "no such column: unknown"),
        ("", "must be a SELECT"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
    ],
)
def test_a_query_only_reads(sql, why, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build_db(root, "a.db")
    before = dump(tmp_path / "a.db")
    with pytest.raises(ConfigError, match=f"^query=.*{why}"):
        open_db("a.db").query(sql)
    assert dump(tmp_path / "a.db") == before
    assert not (tmp_path / "copy.db").exists()


def test_tables_can_be_described(root, tmp_path):
    build_db(root, tmp_path / "a.db")
    named = rows(tmp_path / "a.db", "SELECT name FROM pragma_table_info('experiments')")
    assert named == [("experiment",), ("about",), ("listed",), ("fixed",), ("impossible",)]
    assert [row[1:2] for row in rows(tmp_path / "a.db", "PRAGMA table_info(experiments)")] == named
    assert ("phase_boundary", "view") in rows(tmp_path / "a.db", "SELECT name, type FROM pragma_table_list")


def test_a_signal_stops_a_long_query(root, tmp_path):
    build_db(root, tmp_path / "a.db")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            open_db(tmp_path / "a.db").query(endless)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_files_versions_and_roots_are_refused(root, tmp_path):
    file = tmp_path / "a.db"
    build_db(root, file)
    for path, why in ((root / "1.0-0" / "status.json", "is not a database of grokinterp"), (root, "not a regular")):
        with pytest.raises(ConfigError, match=f"db=.*{why}"):
            open_db(path)
    with pytest.raises(ConfigError, match=r"root=.*methods: contains none of the 5 runs in .*a\.db"):
        update_db(root / "methods", file)
    with pytest.raises(ConfigError, match=r"root=.*: does not exist"):
        build_db(root / "nowhere", file)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for use in (open_db, lambda path: update_db(root, path)):
        with pytest.raises(ConfigError, match=rf"db=.*of version 99, and this program reads version {VERSION}"):
            use(file)
    assert build_db(root, file).written == 5
    foreign = tmp_path / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE a (b)")
    with pytest.raises(ConfigError, match=r"db=.*is not a database of grokinterp"):
        build_db(root, foreign)


@pytest.fixture
def grokinterp(monkeypatch, capsys):
    """The command line in this process: code, standard output, standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["grokinterp", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_command_line()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_the_commands(root, tmp_path, monkeypatch, grokinterp):
    monkeypatch.chdir(tmp_path)
    code, out, _ = grokinterp("db", "build", str(root))
    assert (code, out) == (0, "experiments.db: 5 runs read with 125 rows of metrics\n")
    assert (
        grokinterp("db", "update", str(root))[1] == "experiments.db: 0 runs read with 0 rows of metrics, 5 unchanged\n"
    )
    sql = "SELECT weight_decay, success_rate FROM phase_boundary"
    assert grokinterp("db", "query", sql)[1] == "weight_decay  success_rate\n0.5           0\n1             1\n"
    assert grokinterp("db", "query", sql, "--csv")[1] == "weight_decay,success_rate\n0.5,0.0\n1.0,1.0\n"
    assert json.loads(grokinterp("db", "query", sql, "--json")[1])[1] == {"weight_decay": 1.0, "success_rate": 1.0}
    code, _, err = grokinterp("db", "query", "SELECT seed, run_id AS seed FROM runs", "--json")
    assert (code, err.count("\n")) == (2, 1)
    assert "has two columns named seed, of which a JSON object would lose one; rename one with AS" in err
    with pytest.raises(ConfigError, match=r"run_id=nosuch: is not the run_id of a run of experiments\.db"):
        open_db("experiments.db").metrics("nosuch")
    code, out, err = grokinterp("runs", str(root), "--json")
    listed = {run["directory"]: run for run in json.loads(out)["runs"]}
    assert (code, err, len(listed)) == (0, "", 5)
    assert listed["1.0-1"]["settings"] == {"optimization.weight_decay": 1.0, "seed": 1}
    (root / "0.5-0" / "experiment.json").write_text("{")
    code, out, err = grokinterp("runs", str(root))
    assert (code, len(out.splitlines()), err.count("\n")) == (1, 5, 1)
    assert "0.5-0: experiment.json is damaged" in err
    header, first, *_ = out.splitlines()
    assert header.split() == [
        "directory",
        "weight_decay",
        "seed",
        "status",
        "step",
        "grok_step",
        "verdict",
        "phases",
        "why",
    ]
    assert first.split()[:6] == ["1.0-0", "1.0", "0", "finished", "590/600", "300"]
