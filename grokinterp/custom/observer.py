"""Record a training run of another trainer, and detect grokking in the recorded accuracies."""

from collections.abc import Callable
from typing import final

from torch import nn
from torch.optim import Optimizer

from grokinterp.custom.recorder import Recorder
from grokinterp.phases import GrokkingDetector, GrokkingStatus
from grokinterp.specification import require_integer

MakeRecorder = Callable[[nn.Module, Optimizer], Recorder]
"""Makes the recorder of the module that is trained and its optimizer, when training begins."""


@final
class Observer:
    """Records a module every ``every`` steps, and follows its accuracies with a detector.

    A recorder with ``resume=True`` continues a recording; the detector then begins with the evaluations recorded
    earlier, and steps up to the last of them are not recorded again.

    Args:
        recorder: makes the recorder.
        every: number of training steps between evaluations; the start and the end are evaluated as well.
        save_every: number of training steps between checkpoints (default: every evaluation).
        detector: follows the accuracies on the recorder's examples (default: ``GrokkingDetector()``).

    Raises:
        ConfigError: an interval is not a positive integer.
    """

    def __init__(
        self,
        recorder: MakeRecorder,
        *,
        every: int = 100,
        save_every: int | None = None,
        detector: GrokkingDetector | None = None,
    ) -> None:
        require_integer("every", every, 1)
        if save_every is not None:
            require_integer("save_every", save_every, 1)
        self.make, self.every, self.save_every = recorder, every, save_every or every
        self.detector = GrokkingDetector() if detector is None else detector
        self.recorder: Recorder | None = None
        self.saved = -1

    def begin(self, module: nn.Module, optimizer: Optimizer, step: int) -> GrokkingStatus | None:
        """Open the recording before training, and evaluate the module after ``step`` training steps."""
        self.recorder, self.saved = self.make(module, optimizer), -1
        rows = list(self.recorder.run.read_metrics(nested=False)[0].rows())
        names = {"step_history": "step", "train_acc_history": "train_accuracy", "eval_acc_history": "test_accuracy"}
        earlier = {history: [row[name] for row in rows] for history, name in names.items()}
        self.detector.load_state(self.detector.state | earlier)
        return self.observe(step)

    def observe(self, step: int, *, is_last: bool = False) -> GrokkingStatus | None:
        """Evaluate the module after ``step`` training steps if this is due, and return what is known then.

        Returns:
            None if no evaluation is due, the step is already recorded, or a value is not finite, in which case the
                recording is marked as diverged.
        """
        recorder = self.recorder
        is_due = is_last or step % self.every == 0
        if recorder is None or not recorder.is_open or not is_due or step <= recorder.last_step:
            return None
        saves = is_last or step // self.save_every > self.saved
        if not recorder.record(step, save=saves):
            return None
        self.saved = step // self.save_every if saves else self.saved
        row = recorder.last_row
        return self.detector.update(step, row["train_accuracy"], row["test_accuracy"])

    def finish(self, status: str = "finished") -> None:
        """Close the recording with a status, if it is open."""
        if self.recorder is not None:
            self.recorder.finish(status)
