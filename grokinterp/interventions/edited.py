"""The edits of a branch, applied to the checkpoint with which it starts."""

from grokinterp.experiment.edits import AblateFrequencies, Edit, Graft, Redraw, Scale
from grokinterp.interventions.ablate import ablate_frequencies
from grokinterp.interventions.graft import graft
from grokinterp.interventions.scale import scaled
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.trajectory import Trajectory


def edited(checkpoint: Checkpoint, edit: Edit, donor: Trajectory) -> Checkpoint:
    """Return a checkpoint after an edit, without changing the network.

    Args:
        checkpoint: the network.
        edit: the edit.
        donor: the run of the donor of a graft; otherwise the run of the network, whose initial distribution is used.

    Raises:
        GrokinterpError: if the edit does not apply to the network.
    """
    match edit:
        case Graft():
            return graft(checkpoint, donor[edit.step], edit.part)
        case AblateFrequencies():
            return ablate_frequencies(checkpoint, edit.frequencies, where=edit.where, keep=edit.keep)
        case Scale():
            return scaled(checkpoint, edit.factor, edit.part)
        case Redraw():
            return graft(checkpoint, drawn(donor, edit.seed), edit.part)
        case _:
            raise TypeError(f"{type(edit).__name__} is not an edit")


def drawn(run: Trajectory, seed: int) -> Checkpoint:
    """Return a network drawn from the initial distribution of a run, in float64."""
    return Checkpoint(0, run.experiment.drawn_model(seed).double(), run.problem)
