"""Generated curves of runs, and the laws that every history keeps."""

import numpy as np

from grokinterp.phases import (
    EVENT_KINDS,
    NAMES,
    VERDICTS,
    Curves,
    History,
    find_phases,
)

MEMORIZED, CLEANUP, GROKKED, LAST = 120, 1500, 2000, 3000


def run(every=10, last=LAST, memorized=MEMORIZED, cleanup=CLEANUP, grokked=GROKKED, noise=0.0, seed=0):
    """Columns of a run that memorizes, stays on a plateau, cleans up and groks at the given steps."""
    steps = np.arange(0, last + 1, every)
    rng = np.random.default_rng(seed)
    jitter = np.exp(noise * rng.standard_normal((2, len(steps))))
    fitted = np.clip(steps / memorized, 0, 1)
    fallen = np.clip((steps - cleanup) / (grokked - cleanup), 0, 2)
    return {
        "steps": steps,
        "train_loss": (4 * np.exp(-4 * fitted - 5 * (steps > memorized)) + 1e-7) * jitter[0],
        "test_loss": 20 * fitted**2 * np.exp(-5 * fallen) * jitter[1] + 1e-3,
        "train_accuracy": np.where(steps >= memorized, 1.0, 0.98 * fitted),
        "test_accuracy": np.where(steps >= grokked, 0.99, 0.9 * np.clip(fallen, 0, 1) ** 2),
        "weight_norm": 1000 + 500 * fitted - 300 * fallen,
    }


def dated(columns, measures=None, **kwargs):
    return find_phases(Curves(**columns), measures, **kwargs)


def check_laws(history: History, steps):
    """Contiguous, covering, in order, of known words, events inside."""
    phases = history.phases
    assert history.verdict == "no history" or len(set(steps)) >= 3
    if history.verdict == "no history":
        assert (phases, history.events, history.transitions) == ((), (), ())
        return
    assert phases[0].start == min(steps)
    assert phases[-1].stop == max(steps) + 1
    assert [phase.start for phase in phases[1:]] == [phase.stop for phase in phases[:-1]]
    positions = [NAMES.index(phase.name) for phase in phases]
    assert positions == sorted(set(positions))
    assert history.verdict in VERDICTS
    assert {event.kind for event in history.events} <= set(EVENT_KINDS)
    assert all(sum(event.step in phase for phase in phases) == 1 for event in history.events)
    assert [event.step for event in history.events] == sorted(event.step for event in history.events)
    assert history.describe().lower().startswith(history.verdict)
    assert history.describe().endswith(".")
    assert "\n" not in history.describe()


def starts(history: History) -> dict[str, int]:
    return {phase.name: phase.start for phase in history.phases}
