"""Branches of a run: the experiment that starts at one of its steps, and the identity of the parent."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from grokinterp.errors import ConfigError, RunDirectoryError, require, short
from grokinterp.experiment import Experiment, Origin
from grokinterp.experiment.edits import Edit, Graft
from grokinterp.runs.stored import stored_experiment
from grokinterp.specification import require_type
from grokinterp.storage import RunDirectory
from grokinterp.storage.continuations import may_change
from grokinterp.storage.files import path_of


def branched(
    run: str | Path,
    step: int,
    changes: Iterable[str] = (),
    *,
    edits: Iterable[Edit] = (),
    optimizer_state: bool = False,
) -> Experiment:
    """Return the experiment that starts with the weights of a step of a run, with the run's settings except changes.

    Args:
        run: the directory of the parent.
        step: a saved step of the parent, which is step 0 of the branch.
        changes: settings as dotted ``key=value``, as for ``Experiment.override``.
        edits: changes of the weights, in order; ``changes`` may give them as well: ``origin.edits=[{kind=scale,…}]``.
        optimizer_state: start with the moments of the parent's optimizer, its filters' memory, and its averaged
            weights, for which the parent must have a resume state at the step.

    Raises:
        GrokinterpError: if the parent cannot be used, the step was not saved, or a setting is invalid.
    """
    require_type("step", step, int)
    parent = stored_experiment(directory_of("run", str(path_of("run", run))))
    origin = Origin(run=str(run), step=step, optimizer_state=optimizer_state, edits=tuple(edits))
    branch = replace(parent, origin=origin).override(changes)
    for name, given in (("run", str(run)), ("step", step)):
        changed = getattr(branch.origin, name, None)
        require(changed == given, f"origin.{name}", short(changed), f"must be that of the branch, {short(given)}")
    return resolved(branch)


def resolved(experiment: Experiment) -> Experiment:
    """Return a branch with the identities of its parent and donors, and with absolute paths to them.

    Raises:
        ConfigError: if one of them is missing, has changed since it was identified, or was recorded from another
            training loop; or if the parent diverged and the branch would again.
    """
    origin = experiment.origin
    assert origin is not None
    parent = directory_of("origin.run", origin.run)
    require_another_course(experiment, parent, origin)
    edits = list(origin.edits)
    for i, edit in enumerate(edits):
        if isinstance(edit, Graft):
            key = f"origin.edits.{i}"
            donor = parent if edit.run is None else directory_of(f"{key}.run", edit.run)
            edits[i] = replace(edit, **identified(key, donor, edit))
    identity = identified("origin", parent, origin)
    return replace(experiment, origin=replace(origin, edits=tuple(edits), **identity).located)


def directory_of(key: str, path: str) -> RunDirectory:
    """Open the directory of a parent or donor.

    Raises:
        ConfigError: if it is not a run, or the run was recorded from another training loop.
    """
    try:
        run = RunDirectory.open(path)
    except RunDirectoryError as error:
        raise ConfigError(key, short(path), error.why) from None
    recorded = stored_experiment(run).model.is_recorded
    require(not recorded, key, short(path), "was recorded from another training loop, which alone can train its module")
    return run


def require_another_course(experiment: Experiment, parent: RunDirectory, origin: Origin) -> None:
    """Raise ConfigError if the parent diverged and the branch changes nothing on which this depends."""
    status = parent.status
    if status.get("status") != "diverged" or origin.edits:
        return
    differing = Experiment.from_dict(parent.experiment).differences(experiment)
    changed = [key for key in differing if not may_change(key) and key.partition(".")[0] not in ("name", "origin")]
    rule = f"diverged at step {status.get('step')}, and would again: change a setting, such as optimization.lr"
    require(bool(changed), "origin.run", short(origin.run), rule)


def identified(key: str, run: RunDirectory, at: Origin | Graft) -> dict[str, str]:
    """Return the run id and the digest of a checkpoint.

    Raises:
        ConfigError: if the step was not saved, or the run or the checkpoint is not the one that was identified before.
        CheckpointError: if the checkpoint is damaged.
    """
    if not run.has_checkpoint(at.step):
        raise ConfigError(f"{key}.step", at.step, f"was not saved; {run.path} has {listed(run.steps())}")
    found = {"run_id": run.run_id, "digest": run.digest(at.step)}
    for name, given in (("run_id", at.run_id), ("digest", at.digest)):
        rule = f"is no longer that of step {at.step} of {run.path}, which has changed"
        require(given in (None, found[name]), f"{key}.{name}", short(given, 12), rule)
    return found


def listed(steps: tuple[int, ...]) -> str:
    """Return steps as text, shortened in the middle.

    >>> listed((0, 10, 20)), listed(())
    ('0, 10, 20', 'none')
    """
    shown = [*steps[:3], "...", *steps[-2:]] if len(steps) > 6 else steps
    return ", ".join(map(str, shown)) or "none"
