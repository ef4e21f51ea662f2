"""The captured step: on a GPU, and on the CPU by a stand-in that behaves as a CUDA graph does."""

from contextlib import contextmanager

import pytest
import torch

from grokinterp.training import step, train
from grokinterp.trajectory import UPDATE, Trajectory
from tests.small_runs import TINY, written
from tests.stopped_runs import train_until


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Trajectory:
    """TINY, trained without interruption."""
    return train(TINY, tmp_path_factory.mktemp("finished") / "run", device="cpu")


class ReplayedOnCpu:
    """What a CUDA graph does, played on the CPU: results of a replay land in the tensors of the recording.

    Whoever keeps a tensor that a replay would not write to, or reads one that Python rebinds, sees old numbers.
    """

    def __init__(self, full_batch, work) -> None:
        self.full_batch, self.work = full_batch, work
        for _ in range(4):  # three to warm up, one to record
            work()
        self.recorded = self.tensors()

    def tensors(self) -> dict:
        grads = {f"grad {i}": weight.grad for i, weight in enumerate(self.full_batch.parameters)}
        names = ("loss", "gradient_norm", "logits", "learning_rate", "applied")
        return grads | {name: getattr(self.full_batch, name) for name in names}

    def replay(self) -> None:
        self.work()
        for name, value in self.tensors().items():
            if value is not None and value is not self.recorded[name]:
                self.recorded[name].detach().copy_(value.detach())
        for i, weight in enumerate(self.full_batch.parameters):
            weight.grad = self.recorded[f"grad {i}"]
        for name in ("loss", "gradient_norm", "logits"):
            setattr(self.full_batch, name, self.recorded[name])


def test_a_captured_step_trains_as_a_plain_one(finished, tmp_path, monkeypatch):
    captures = []

    def capture(work, device):
        captures.append(work.__name__)
        return ReplayedOnCpu(work.__self__, work).replay

    monkeypatch.setattr(step, "captured", capture)
    train_until(tmp_path / "run", 17)
    run = train(TINY, tmp_path / "run", device="cpu", resume=True)
    assert captures == ["_compute_gradients", "_update"] * 2
    assert written(run.path) == written(finished.path)


def test_capture_warms_up_records_once_and_replays(monkeypatch):
    events = []

    class Stream:
        def wait_stream(self, other) -> None:
            events.append("wait")

    class Graph:
        def replay(self) -> None:
            events.append("replay")

    @contextmanager
    def within(thing):
        events.append(f"enter {type(thing).__name__}")
        yield

    for name, value in {"Stream": Stream, "current_stream": Stream, "CUDAGraph": Graph}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "graph", within)
    replay = step.captured(lambda: events.append("work"), torch.device("cuda"))
    replay()
    assert events == ["wait", "enter Stream", *["work"] * 3, "wait", "enter Graph", "work", "replay"]


@pytest.mark.gpu
def test_the_gpu_learns_what_the_cpu_learns(tmp_path):
    on_cpu, on_gpu = (train(TINY, tmp_path / name, device=name).metrics for name in ("cpu", "cuda"))
    for name in ("train_loss", "test_loss", "gradient_norm", "weight_norm"):
        assert on_gpu[name].values == pytest.approx(on_cpu[name].values, rel=1e-3)


@pytest.mark.gpu
def test_the_graph_trains_as_the_plain_step_bit_by_bit(tmp_path, monkeypatch):
    by_graph = written(train(TINY, tmp_path / "graph", device="cuda").path)
    monkeypatch.setattr(step, "captured", lambda work, device: work)
    assert written(train(TINY, tmp_path / "eager", device="cuda").path) == by_graph


@pytest.mark.gpu
@pytest.mark.parametrize("at", [0, 1, 7, 20, 39])
def test_a_resumed_run_is_byte_identical_on_the_gpu(at, tmp_path):
    whole = train(TINY, tmp_path / "whole", device="cuda")
    train_until(tmp_path / "run", at, device="cuda")
    assert written(train(TINY, tmp_path / "run", device="cuda", resume=True).path) == written(whole.path)


def test_updates_have_their_own_prefix():
    assert not any(name.startswith(UPDATE) for name in TINY.build_model().state_dict())
