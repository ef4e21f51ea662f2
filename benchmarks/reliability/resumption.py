"""Resume states that lack one component: continuing is refused, and the message names the component."""

import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.reliability.specimen import TINY, Lab, train_until, written
from benchmarks.reliability.trial import End, Row, Trial, passed, row
from grokinterp.errors import GrokinterpError
from grokinterp.experiment import Experiment, Split
from grokinterp.optim import GrokfastEMA
from grokinterp.storage import Resume, RunDirectory
from grokinterp.training import train

AT = 18
VARIANTS = {
    "full batch": TINY,
    "mini-batches, filter, average, validation": replace(
        TINY,
        optimization=replace(TINY.optimization, batch_size=4, filters=(GrokfastEMA(),), average=0.9),
        split=Split(fraction=0.6, validation=0.2, label_noise=0.2),
    ),
}


def faults(lab: Lab) -> Iterator[Row]:
    """Remove every component of a resume state in turn; intact states must continue to the same bytes."""
    for name, experiment in VARIANTS.items():
        trials = [*dropped(lab.folder / name.replace(" ", "-"), experiment, lab)]
        yield row(f"a component of the resume state is missing ({name})", trials)


def dropped(folder: Path, experiment: Experiment, lab: Lab) -> Iterator[Trial]:
    """Continue a run from its intact state, and from the state without each component."""
    whole = written(train(experiment, folder / "whole", device="cpu").path)
    train_until(folder / "start", AT, experiment)
    saved = RunDirectory.open(folder / "start").resume.load()
    assert saved is not None
    yield continued(folder, experiment, saved, whole, "")
    for name in lab.some([*saved.tensors, *saved.state], 999, 4):
        yield continued(folder, experiment, saved, whole, name)


def continued(folder: Path, experiment: Experiment, saved: Resume, whole: dict[str, bytes], name: str) -> Trial:
    """Continue without the component ``name``, which must be refused; with "", the bytes must be equal."""
    path = folder / "continued"
    shutil.copytree(folder / "start", path)
    tensors = {key: value for key, value in saved.tensors.items() if key != name}
    state = {key: value for key, value in saved.state.items() if key != name}
    RunDirectory.open(path).resume.save(AT, tensors, state)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = written(train(experiment, path, device="cpu", resume=True).path)
    except GrokinterpError as error:
        return Trial(name, End.NAMED if name and name in str(error) else End.SILENT, str(error))
    except Exception as error:
        return Trial(name, End.TRACEBACK, f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(path)
    if name:
        return Trial(name, End.SILENT, f"continued without {name}")
    return passed("whole", found == whole, "the continued run differs")
