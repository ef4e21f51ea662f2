"""Training that is stopped at a chosen step."""

import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from grokinterp.experiment import Experiment
from grokinterp.interrupt import Interrupt, Stopped
from grokinterp.storage import RunDirectory
from grokinterp.training import loop, step, train
from tests.support.small_runs import TINY


def stop_at(monkeypatch: pytest.MonkeyPatch, wanted: int, program: type = step.Step) -> None:
    """Let a SIGTERM arrive while the update to step ``wanted`` is computed (0: before anything)."""
    asked = Interrupt()
    apply = program.apply

    def apply_and_ask(self, at: int) -> None:
        apply(self, at)
        if at + 1 == wanted:
            asked.signal = signal.SIGTERM

    @contextmanager
    def ask():
        asked.signal = signal.SIGTERM if wanted == 0 else None
        yield asked

    monkeypatch.setattr(program, "apply", apply_and_ask)
    monkeypatch.setattr(loop, "deferred_signals", ask)


def train_until(
    directory: Path, wanted: int, experiment: Experiment = TINY, *, resume: bool = False, device: str = "cpu"
) -> None:
    """Train until a SIGTERM at step ``wanted``."""
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, wanted)
        with pytest.raises(Stopped) as stopped:
            train(experiment, directory, device=device, resume=resume)
    assert stopped.value.signal == signal.SIGTERM
    assert RunDirectory.open(directory).status == {"status": "interrupted", "step": wanted}
