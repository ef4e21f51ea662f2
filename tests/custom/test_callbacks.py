"""Callbacks of Lightning's and Hugging Face's Trainers, with the real packages: a trajectory, a detection, a stop."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainingArguments

from grokinterp.custom import Recorder
from grokinterp.custom.hugging_face import GrokkingTrainerCallback
from grokinterp.custom.lightning import GrokkingCallback
from grokinterp.custom.observer import Observer
from grokinterp.errors import ConfigError
from grokinterp.phases import GrokkingDetector, SustainedRule
from grokinterp.runs.trajectory import UPDATE, Trajectory
from grokinterp.storage import RunDirectory
from tests.support.anyones_training import equal, weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning"),  # Lightning and this torch
    pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers"),
]

STEPS = 60


def examples() -> dict[str, tuple[Tensor, Tensor]]:
    """A small training set, which a network memorizes before it learns the rule."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 6, generator=generator)
    y = (x[:, 0] > 0).long()
    return {"train": (x[:16], y[:16]), "test": (x[16:], y[16:])}


class Network(nn.Module):
    """A network with the conventions of Hugging Face: keywords in, a dict with loss and logits out.

    With ``groks_at``, it knows the training examples, and all others from that many steps on.
    """

    def __init__(self, groks_at: int | None = None) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 32), nn.Linear(32, 2)
        self.groks_at, self.steps = groks_at, 0

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        self.steps += self.training
        logits = self.head(self.body(x).relu())
        if self.groks_at is not None:
            is_train = (x[:, None] == examples()["train"][0]).all(-1).any(-1)
            knows = is_train | (self.steps >= self.groks_at)
            logits = 0 * logits + 9 * nn.functional.one_hot((x[:, 0] > 0).long() ^ ~knows, 2)
        return {"logits": logits} if labels is None else {"loss": cross_entropy(logits, labels), "logits": logits}


class Module(lightning.LightningModule):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)["logits"]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Optimizer:
        return AdamW(self.parameters(), lr=1e-2)


def made(path: Path, *, resume: bool = False) -> Callable[[nn.Module, Optimizer], Recorder]:
    def make(module: nn.Module, optimizer: Optimizer) -> Recorder:
        return Recorder(path, module, **examples(), loss="float32", optimizer=optimizer, resume=resume)

    return make


def train_with_lightning(path: Path, callbacks: list[Any], groks_at: int | None = None, logger: Any = False) -> Module:
    torch.manual_seed(0)
    module = Module(Network(groks_at))
    trainer = lightning.Trainer(
        max_steps=STEPS, callbacks=callbacks, accelerator="cpu", logger=logger, default_root_dir=path,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    loader = DataLoader(TensorDataset(*examples()["train"]), batch_size=8, shuffle=True)
    trainer.fit(module, loader)
    return module


def train_with_hugging_face(path: Path, callbacks: list[Any], groks_at: int | None = None) -> Network:
    torch.manual_seed(0)
    model = Network(groks_at)
    x, labels = examples()["train"]
    rows = [{"x": one, "labels": label} for one, label in zip(x, labels, strict=True)]
    arguments = TrainingArguments(
        output_dir=str(path / "hugging_face"), max_steps=STEPS, per_device_train_batch_size=8, learning_rate=1e-2,
        use_cpu=True, report_to=[], save_strategy="no", disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=rows, callbacks=callbacks).train()
    return model


FRAMEWORKS: dict[str, tuple[type[Any], Callable[..., nn.Module]]] = {
    "Lightning": (GrokkingCallback, train_with_lightning),
    "Hugging Face": (GrokkingTrainerCallback, train_with_hugging_face),
}


@pytest.fixture(params=list(FRAMEWORKS))
def framework(request: pytest.FixtureRequest) -> tuple[type[Any], Callable[..., nn.Module]]:
    return FRAMEWORKS[request.param]


def test_a_trajectory_is_recorded(framework: Any, tmp_path: Path) -> None:
    callback, train = framework
    watching = callback(made(tmp_path / "run"), every=10, save_every=20)
    module = train(tmp_path, [watching])
    run = RunDirectory.open(tmp_path / "run")
    table, _ = run.read_metrics()
    assert list(table.steps) == watching.detector.step_history == list(range(0, STEPS + 1, 10))
    assert list(table.columns["test_accuracy"]) == watching.detector.eval_acc_history
    assert list(table.columns["train_accuracy"]) == watching.detector.train_acc_history
    assert run.steps() == (0, 20, 40, 60)
    assert run.status["status"] == "finished"
    assert table.columns["train_loss"][-1] < 0.5 * table.columns["train_loss"][0]
    assert equal(Trajectory.open(run.path, module).model().state_dict(), module.state_dict())
    assert any(name.startswith(UPDATE) for name in run.load_checkpoint(20).tensors)
    assert 0 < table.columns["learning_rate"][1] <= 1e-2


def test_the_callback_changes_nothing(framework: Any, tmp_path: Path) -> None:
    callback, train = framework
    plain = weights(train(tmp_path, []))
    assert equal(weights(train(tmp_path, [callback(made(tmp_path / "run"), every=7)])), plain)


def test_it_stops_at_detection_and_patience(framework: Any, tmp_path: Path) -> None:
    """By a rule and a patience that the curve of this network satisfies at known steps."""
    callback, train = framework
    detector = GrokkingDetector(patience=12, rule=SustainedRule(window=3))
    watching = callback(made(tmp_path / "run"), every=5, detector=detector)
    train(tmp_path, [watching], groks_at=20)
    assert watching.detector is detector
    assert (detector.memorized_step, detector.grokking_step, detector.detected_step) == (0, 20, 30)
    assert detector.step_history == list(range(0, 46, 5))  # 30 + 12, rounded up to an evaluation
    assert RunDirectory.open(tmp_path / "run").status["status"] == "finished"


def test_without_patience_it_never_stops(framework: Any, tmp_path: Path) -> None:
    callback, train = framework
    detector = GrokkingDetector(patience=None, rule=SustainedRule(window=3))
    train(tmp_path, [callback(made(tmp_path / "run"), every=5, detector=detector)], groks_at=20)
    assert detector.step_history[-1] == STEPS


def test_lightnings_loggers_receive_the_numbers(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, name="log", version=0, flush_logs_every_n_steps=1)
    train_with_lightning(tmp_path, [GrokkingCallback(made(tmp_path / "run"), every=20)], logger=logger)
    header, *rows = (tmp_path / "log" / "version_0" / "metrics.csv").read_text().splitlines()
    names = {"grokking/train", "grokking/eval", "grokking/gap", "grokking/current_gap", "grokking/detected"}
    assert names <= set(header.split(","))
    steps = [row.split(",")[header.split(",").index("step")] for row in rows]
    assert steps == ["0", "20", "40", "60"]


class Failing(lightning.Callback):
    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 15:
            raise RuntimeError("stop")


def test_an_exception_leaves_an_interrupted_recording(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        train_with_lightning(tmp_path, [GrokkingCallback(made(tmp_path / "run"), every=10), Failing()])
    run = RunDirectory.open(tmp_path / "run")
    assert (run.status["status"], run.steps()) == ("interrupted", (0, 10))


@pytest.mark.parametrize(("name", "of"), [("Lightning", lightning.Trainer), ("Hugging Face", TrainingArguments)])
def test_several_processes_are_refused(
    name: str, of: type[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of, "world_size", 2)
    callback, train = FRAMEWORKS[name]
    with pytest.raises(ConfigError, match="=2: must be 1: several processes cannot be recorded"):
        train(tmp_path, [callback(made(tmp_path / "run"))])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("lightning", "lightning.pytorch", "lightning"), ("hugging_face", "transformers.trainer_callback", "huggingface")],
)
def test_a_missing_package_names_the_extra(
    module: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"grokinterp.custom.{module}")
    with pytest.raises(ImportError, match=rf'^needs the extra "{extra}": pip install "grokinterp\[{extra}\]"$'):
        importlib.import_module(f"grokinterp.custom.{module}")


# --- the observer alone -----------------------------------------------------------------------------------------------


def observed(path: Path, steps: range, *, resume: bool = False) -> Observer:
    """A network that groks at step 20, observed from ``steps.start`` on, as by any trainer."""
    network = Network(groks_at=20)
    network.steps = steps.start
    detector = GrokkingDetector(rule=SustainedRule(window=3))
    observer = Observer(made(path, resume=resume), every=5, save_every=10, detector=detector)
    observer.begin(network, AdamW(network.parameters()), steps.start)
    for step in steps[1:]:
        network.steps += 1
        observer.observe(step, is_last=step == steps[-1])
    observer.finish()
    return observer


def test_a_resumed_recording_continues_its_detector(tmp_path: Path) -> None:
    whole = observed(tmp_path / "whole", range(51))
    observed(tmp_path / "parts", range(28))
    rest = observed(tmp_path / "parts", range(20, 51), resume=True)  # as from the last checkpoint of a trainer
    assert whole.detector.step_history == list(range(0, 51, 5))
    assert rest.detector.step_history == sorted({*whole.detector.step_history, 27})
    assert (rest.detector.grokking_step, rest.detector.detected_step) == (20, 27)
    assert whole.detector.detected_step == 30
    assert RunDirectory.open(tmp_path / "whole").steps() == (0, 10, 20, 30, 40, 50)


@pytest.mark.parametrize("name", ["every", "save_every"])
def test_intervals_are_positive(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name}=0: must be an integer from 1"):
        Observer(made(tmp_path), **{name: 0})
