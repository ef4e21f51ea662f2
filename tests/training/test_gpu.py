"""The captured step: on a GPU, and on the CPU by a stand-in that behaves as a CUDA graph does."""

from contextlib import contextmanager

import pytest
import torch
from torch.autograd.graph import get_gradient_edge

from grokinterp.experiment.problem import Problem
from grokinterp.runs.trajectory import UPDATE
from grokinterp.torch_settings import computing
from grokinterp.training import capture, step, train
from grokinterp.training.loop import member_of
from grokinterp.training.stack import Stack
from tests.support.replayed import Replayed
from tests.support.small_runs import TINY, changed, written
from tests.support.stopped_runs import train_until

OPTIONS = {"batch_size": 7, "constrain_norm": True, "loss": "mse"}
EXPERIMENTS = {
    "full batch": changed(optimization={"average": 0.9}, split={"validation": 0.1}),
    "mini-batches": changed(optimization=OPTIONS, split={"label_noise": 0.2}),
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_captured_step_trains_as_a_plain_one(name, tmp_path, monkeypatch):
    experiment, captures = EXPERIMENTS[name], []
    finished = train(experiment, tmp_path / "plain", device="cpu")

    def capture(work, device):
        captures.append(work.__name__)
        return Replayed(work).replay

    monkeypatch.setattr(step, "captured", capture)
    train_until(tmp_path / "run", 17, experiment)
    run = train(experiment, tmp_path / "run", device="cpu", resume=True)
    assert captures == ["_compute_gradients", "_compute_metrics", "_update"] * 2
    assert written(run.path) == written(finished.path)


def test_a_captured_step_leaves_the_orders_of_the_epochs_alone(monkeypatch):
    """The batch that a graph reads is overwritten at every step, and a batch is a view of the order of its epoch."""
    monkeypatch.setattr(step, "captured", lambda work, device: Replayed(work).replay)
    experiment = EXPERIMENTS["mini-batches"]
    one = step.Step(experiment.build_model(), Problem.of(experiment), experiment.optimization, steps=3)
    one.prepare()
    for at in range(3):
        one.gradients(at)
        one.apply(at)
    assert one.sampler.batches.order(0).sort().values.tolist() == list(range(len(one.labels)))


def test_no_graph_of_a_pass_is_alive_at_the_next():
    """CUDA cannot capture a pass that accumulates into gradients through nodes of another stream."""
    experiment = EXPERIMENTS["full batch"]
    one = step.Step(experiment.build_model(), Problem.of(experiment), experiment.optimization, steps=2)
    one.gradients(0)
    many = Stack([member_of(experiment, None, torch.device("cpu")) for _ in range(2)])
    many.gradients(0)
    for parameter in (*one.parameters, *many.weights.leaves.values()):
        get_gradient_edge(parameter).node.metadata["pass"] = 0
        assert "pass" not in get_gradient_edge(parameter).node.metadata


def test_the_weights_of_a_held_step_stay_and_so_does_their_average():
    experiment = changed(optimization={"average": 0.5})
    one = step.Step(experiment.build_model(), Problem.of(experiment), experiment.optimization, steps=2)
    one.averaged[0].add_(1.0)
    before = [tensor.clone() for tensor in (*one.averaged, *one.parameters)]
    one.prepare()
    assert all(map(torch.equal, (*one.averaged, *one.parameters), before))


def test_capture_warms_up_records_once_and_replays(monkeypatch):
    events = []

    class Stream:
        def wait_stream(self, other) -> None:
            events.append("wait")

    class Graph:
        def replay(self) -> None:
            events.append("replay")

    @contextmanager
    def within(thing, **options):
        events.append(f"enter {type(thing).__name__}")
        yield

    for name, value in {"Stream": Stream, "current_stream": Stream, "CUDAGraph": Graph}.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "graph", within)
    replay = capture.captured(lambda: events.append("work"), torch.device("cuda"))
    replay()
    assert events == ["wait", "enter Stream", *["work"] * 3, "enter Graph", "work", "wait", "replay"]


def test_everything_is_computed_on_the_chosen_device(monkeypatch):
    entered = []

    @contextmanager
    def device(chosen):
        entered.append(chosen)
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with computing("cuda:1"):
        assert [str(chosen) for chosen in entered] == ["cuda:1"]


@pytest.mark.gpu
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_gpu_learns_what_the_cpu_learns(name, tmp_path):
    on_cpu, on_gpu = (train(EXPERIMENTS[name], tmp_path / device, device=device).metrics for device in ("cpu", "cuda"))
    for column in ("train_loss", "test_loss", "gradient_norm", "weight_norm"):
        assert on_gpu[column].values == pytest.approx(on_cpu[column].values, rel=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_graph_trains_as_the_plain_step_bit_by_bit(name, tmp_path, monkeypatch):
    by_graph = written(train(EXPERIMENTS[name], tmp_path / "graph", device="cuda").path)
    monkeypatch.setattr(step, "captured", lambda work, device: work)
    assert written(train(EXPERIMENTS[name], tmp_path / "eager", device="cuda").path) == by_graph


@pytest.mark.gpu
@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("at", [0, 1, 7, 20, 29])
def test_a_resumed_run_is_byte_identical_on_the_gpu(at, name, tmp_path):
    whole = train(EXPERIMENTS[name], tmp_path / "whole", device="cuda")
    train_until(tmp_path / "run", at, EXPERIMENTS[name], device="cuda")
    run = train(EXPERIMENTS[name], tmp_path / "run", device="cuda", resume=True)
    assert written(run.path) == written(whole.path)


def test_updates_have_their_own_prefix():
    assert not any(name.startswith(UPDATE) for name in TINY.build_model().state_dict())
