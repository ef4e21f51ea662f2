"""Leagues with damaged or failing runs, or started twice at once: a message names the run, and other runs continue."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.reliability.commands import settings_of
from benchmarks.reliability.processes import Ended, run, start
from benchmarks.reliability.specimen import TINY, Lab, flipped
from benchmarks.reliability.trial import End, Row, Trial, row
from grokinterp.league.run import read_league

METHODS = ("adamw", "grokfast_ema")


def faults(lab: Lab) -> Iterator[Row]:
    """Train a league once, then damage copies of it."""
    top = lab.folder / "top"
    top.mkdir()
    made = run(top, *words())
    assert made.code == 0, made.text
    yield row("a league with a damaged run", damaged(lab, top))
    yield row("a league with damaged files of its own", records(lab, top))
    if not lab.small:
        yield row("two leagues in one directory at once", twice(lab))
        yield row("a league with a run that fails", failing(lab))


def words() -> list[str]:
    """Return the command line of a league."""
    plain = [word for word in settings_of(TINY) if not word.startswith(("save.", "optimization.filters"))]
    return [
        "league",
        *plain,
        "--methods",
        ",".join(METHODS),
        "--seeds",
        "1",
        "--out",
        "league",
        "--jobs",
        "2",
        "--patience",
        "2",
    ]


def again(lab: Lab, top: Path, fault: str, file: Path, content: bytes | None) -> tuple[Ended, Path]:
    """Run the league again on a copy in which one file has another content, or is missing."""
    folder = lab.folder / "again"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(top, folder)
    path = folder / "league" / file
    path.unlink() if content is None else path.write_bytes(content)
    return run(folder, *words()), folder / "league"


def damaged(lab: Lab, top: Path) -> Iterator[Trial]:
    """Damage each kind of file of one run: the other run stays in the league; the damaged run stays or is named."""
    place = Path("adamw/seed-0")
    files = sorted((top / "league" / place).rglob("*"))
    names = [file.relative_to(top / "league") for file in files if file.is_file() and file.name != "lock"]
    kinds = {(name.parent.name, name.suffix): name for name in names if name.suffix != ".json"}
    chosen = [*kinds.values(), *(name for name in names if name.suffix == ".json")]
    before = read_league(top / "league")
    for name in lab.some(chosen, 99, 1):
        whole = (top / "league" / name).read_bytes()
        contents: dict[str, bytes | None] = {
            "empty": b"",
            "a list": b"[]",
            "a flipped bit": flipped(whole, 4 * len(whole)),
            "removed": None,
        }
        for fault in lab.some(contents, 2, 1):
            done, league = again(lab, top, fault, name, contents[fault])
            yield verdict(f"{name.name}: {fault}", done, league, before, place)


def verdict(fault: str, done: Ended, league: Path, before: dict, place: Path) -> Trial:
    """Return the trial: the league must be as before, or name and omit the damaged run and exit with an error code."""
    if "Traceback" in done.text:
        return Trial(fault, End.TRACEBACK, done.text.strip().splitlines()[-1])
    if done.code is None:
        return Trial(fault, End.SILENT, "hangs")
    found = read_league(league)
    runs, known = ({one["directory"]: outcome(one) for one in each.get("runs", [])} for each in (found, before))
    if any(runs.get(name) != known[name] for name in known if name != str(place)):
        return Trial(fault, End.SILENT, f"another run differs: {done.text[-200:]}")
    if runs == known:
        return Trial(fault, End.EQUAL)
    lines = [line for line in done.text.splitlines() if str(place) in line or ("adamw" in line and "seed" in line)]
    if str(place) in runs and runs[str(place)] != known[str(place)] and not lines:
        return Trial(fault, End.SILENT, "the numbers of the damaged run changed")
    named = bool(lines) and done.code != 0
    return Trial(
        fault, End.NAMED if named else End.SILENT, lines[0] if lines else f"exit code {done.code}: {done.text[-200:]}"
    )


def outcome(one: dict) -> dict:
    """Return the part of an outcome that does not depend on time and memory."""
    return {key: value for key, value in one.items() if not any(word in key for word in ("seconds", "bytes"))}


def records(lab: Lab, top: Path) -> Iterator[Trial]:
    """Damage league.json and clock.json."""
    before = read_league(top / "league")
    for name in lab.some(("league.json", "adamw/seed-0/clock.json"), 2, 1):
        contents = {
            "empty": b"",
            "a list": b"[]",
            "null": b"null",
            "other keys": b'{"base": 1, "refused": []}',
            "text": b"text",
            "digits": b'{"sessions": [{"steps": [' + b"9" * 400 + b"]}]}",
            "depth": b'{"a":' * 100_000,
            "shapes": b'{"base": {}, "refused": {}, "runs": [1], "sessions": [1, {"steps": "x"}]}',
        }
        for fault in lab.some(contents, 4, 1):
            done, league = again(lab, top, fault, Path(name), contents[fault])
            trial = verdict(f"{name}: {fault}", done, league, before, Path(name).parent)
            line = next((line for line in done.text.splitlines() if Path(name).name in line), "")
            refused = trial.end is End.SILENT and line and done.code == 2
            yield Trial(trial.fault, End.NAMED, line) if refused else trial


def twice(lab: Lab) -> Iterator[Trial]:
    """Start a league twice at once: one waits or is refused, and the result is that of a single league."""
    for number in range(2):
        folder = lab.folder / f"twice-{number}"
        folder.mkdir()
        other = lab.folder / f"twice-{number}-other"
        other.mkdir()
        line = words()
        first = start(folder, *line)
        line[line.index("league", 1)] = str(folder / "league")
        second = start(other, *line)
        ends = [first.wait(120), second.wait(120)]
        found = read_league(folder / "league")
        whole = [one["status"] for one in found.get("runs", [])] == ["finished"] * len(METHODS) and not found["failed"]
        said = next((end.err.strip().splitlines()[-1] for end in ends if end.code and end.err.strip()), "")
        if any("Traceback" in end.text for end in ends):
            yield Trial("twice", End.TRACEBACK, said)
            continue
        good = whole and all(end.code == 0 or (end.code == 2 and "in use" in end.text) for end in ends)
        yield Trial(
            "twice", (End.NAMED if said else End.EQUAL) if good else End.SILENT, said or str([end.code for end in ends])
        )


def failing(lab: Lab) -> Iterator[Trial]:
    """Let one run fail: the other runs continue, a message names the failed run, and the exit code is not 0."""
    folder = lab.folder / "failing"
    place = folder / "league/adamw/seed-0"
    place.mkdir(parents=True)
    (place / "somebody's").touch()
    done = run(folder, *words())
    if "Traceback" in done.text:
        yield Trial("failing", End.TRACEBACK, done.text[-200:])
        return
    lines = [line for line in done.text.splitlines() if "somebody" in line]
    good = bool(lines) and done.code not in (0, None)
    yield Trial(
        "failing", End.NAMED if good else End.SILENT, lines[0] if good else f"exit code {done.code}: {done.text[-200:]}"
    )
