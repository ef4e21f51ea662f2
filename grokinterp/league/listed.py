"""The runs of a league as sweeps in the ``sweep.json`` of its folder, as other commands read them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grokinterp.experiment import Experiment
from grokinterp.numbers import flat
from grokinterp.storage import configuration_hash
from grokinterp.storage.atomic import is_writable
from grokinterp.sweeps.contents import Listed, Member, put_sweep, sweeps_in
from grokinterp.sweeps.entry import Entry


def list_runs(
    top: Path,
    entries: Sequence[Entry],
    trials: Sequence[Entry],
    refused: Mapping[str, str],
    tuned: Sequence[Entry] = (),
) -> None:
    """List the runs, with the reasons of those that failed, in the ``sweep.json`` of a folder whose lock is held.

    A folder that is read-only is kept as it is.
    """
    impossible = [{"settings": {"method": name}, "why": why} for name, why in refused.items()]
    sweeps = {
        "league": ("methods × seeds", entries, impossible),
        "league_tuning": ("trials of learning rate and weight decay of every method", trials, []),
        "league_tuned": ("methods × seeds with the settings of the best trial", tuned, []),
    }
    if is_writable(top):
        for name, (about, runs, reasons) in sweeps.items():
            if runs:
                here, there = listed_of(top, about, runs, reasons), sweeps_in(top).get(name)
                put_sweep(top, name, here if there is None else here._replace(runs={**there.runs, **here.runs}))


def listed_of(top: Path, about: str, entries: Sequence[Entry], impossible: list[dict[str, Any]]) -> Listed:
    """Return what the document of the folder says of some runs."""
    runs = {}
    for entry in entries:
        stored = Experiment.from_dict(entry.experiment.to_dict()).to_dict()  # with numbers as they are stored
        place = entry.directory.relative_to(top).as_posix()
        runs[configuration_hash(stored)] = Member(place, flat(stored), entry.failure)
    return Listed(about, runs, impossible)
