"""Recorded runs as data: analyses with and without the module, their naive twins, our own networks, damage."""

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import grokinterp
from grokinterp.analysis import Entry, analyze, evaluate
from grokinterp.analysis.engine.evaluator import declared_arguments
from grokinterp.analysis.health.alignment import gradient_weight_alignment
from grokinterp.analysis.health.collapse import logit_statistics, softmax_collapse
from grokinterp.analysis.health.filtered_alignment import filtered_alignment
from grokinterp.analysis.health.performance import Performance, performance
from grokinterp.analysis.inside.activations import activation_statistics
from grokinterp.analysis.inside.class_cosine import class_cosine
from grokinterp.analysis.inside.similarity import class_similarity
from grokinterp.analysis.landscape.curvature import hessian_eigenvalues, sharpness
from grokinterp.analysis.landscape.gradients import gradient_flow, gradient_noise
from grokinterp.analysis.landscape.learning_coefficient import local_learning_coefficient
from grokinterp.analysis.landscape.weights import singular_values, weight_norms
from grokinterp.custom.recorder import Recorder
from grokinterp.errors import CheckpointError, ConfigError, NotDefined, RunDirectoryError
from grokinterp.interventions import patch
from grokinterp.optim import GrokfastEMA
from grokinterp.report import write_report
from grokinterp.report.content import content, view_of
from grokinterp.report.vocabulary import configuration
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.training import train
from tests.cases.analyses import BRIEF
from tests.support.foreign_networks import FOREIGN, TRAIN, call, take, trained
from tests.support.small_runs import changed, without_digests


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of every foreign network, and the network at its end."""
    found = {}
    for name, foreign in FOREIGN.items():
        path = tmp_path_factory.mktemp("runs") / name
        found[name] = path, trained(foreign(), path, steps=4)[0]
    return found


def in_float64(module: nn.Module, name: str) -> tuple[nn.Module, object]:
    """A copy in evaluation mode, with all examples, both in float64."""
    inputs = FOREIGN[name]().inputs
    double = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()} if isinstance(inputs, dict) else inputs.double() if inputs.is_floating_point() else inputs  # fmt: skip  # noqa: E501
    return copy.deepcopy(module).double().eval(), double


@pytest.mark.parametrize("name", [*FOREIGN])
def test_gradients_and_logits_are_those_of_autograd(name, recorded):
    path, module = recorded[name]
    plain, inputs = in_float64(module, name)
    labels = FOREIGN[name]().labels
    checkpoint = Trajectory.open(path, module)[4]
    torch.testing.assert_close(checkpoint.logits, call(plain, inputs).detach(), rtol=1e-9, atol=1e-12)
    functional.cross_entropy(call(plain, take(inputs, TRAIN)), labels[TRAIN]).backward()
    found = gradient_weight_alignment(checkpoint)
    for i, (weight_name, weight) in enumerate(plain.named_parameters()):
        torch.testing.assert_close(checkpoint.gradients[weight_name], weight.grad, rtol=1e-7, atol=1e-12)
        cosine = functional.cosine_similarity(weight.grad.flatten(), weight.detach().flatten(), dim=0, eps=0)
        torch.testing.assert_close(found.gradient_weight_cosine[i], cosine, rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", [*FOREIGN])
def test_activations_are_those_of_forward_hooks(name, recorded):
    path, module = recorded[name]
    run = Trajectory.open(path, module)
    spec = run.experiment.model
    plain, inputs = in_float64(module, name)
    seen = {}

    def keep(hook):
        def forward_hook(part, arguments, output):
            seen[hook] = output if isinstance(output, torch.Tensor) else next(iter(output.values())) if isinstance(output, dict) else output[0]  # fmt: skip  # noqa: E501

        return forward_hook

    for hook in spec.features:
        if hook.endswith(".hook_in"):
            read = plain.get_submodule(hook.removesuffix(".hook_in"))
            read.register_forward_pre_hook(lambda part, given, hook=hook: seen.update({hook: given[0]}))
        else:
            plain.get_submodule(hook).register_forward_hook(keep(hook))
    call(plain, inputs)
    found = activation_statistics(run[4])
    for i, hook in enumerate(spec.features):
        x = seen[hook].detach()
        if name == "encoder" and x.ndim == 3:  # the encoder has positions first
            x = x.mean(0) if spec.hooks[hook][0] != -1 else x.mean(1)
        elif x.ndim == 4:
            x = x.mean((2, 3))
        elif x.ndim == 3:
            x = x[:, -1]
        torch.testing.assert_close(found.activation_mean[i], x.mean(), rtol=1e-7, atol=1e-10)
        torch.testing.assert_close(found.activation_std[i], x.std(correction=0), rtol=1e-7, atol=1e-10)


def test_a_hook_can_be_patched_and_seen(recorded):
    path, module = recorded["cnn"]
    model = Trajectory.open(path, module)[4].model
    clean, corrupted = torch.arange(4)[:, None], torch.arange(4, 8)[:, None]
    through = patch(model, clean, corrupted, hook="body")
    torch.testing.assert_close(through, model(clean)[:, -1].detach())
    assert not torch.allclose(through, model(corrupted)[:, -1])
    _, cache = model.run_with_cache(clean)
    assert cache["stem.0"].shape == (4, 4, 8, 8)


def test_tied_weights_are_one_parameter(recorded):
    path, module = recorded["gpt2"]
    run = Trajectory.open(path, module)
    names = list(run.experiment.model.parameters)
    assert "transformer.wte.weight" in names
    assert "lm_head.weight" not in names
    model = run.model(step=4).module
    assert model.lm_head.weight is model.transformer.wte.weight
    assert all(torch.equal(value, dict(model.named_parameters())[name]) for name, value in module.named_parameters())


# --- our own network, recorded, is our own run -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """One of our runs, and the same checkpoints recorded as those of an arbitrary module."""
    folder = tmp_path_factory.mktemp("twins")
    own = train(changed(steps=20, save={"every": 10}, optimization={"warmup_steps": 0}), folder / "own", device="cpu")
    module, problem = own.experiment.empty_model().train(), own.problem
    parts = [(problem.tokens[of], problem.label[of]) for of in (problem.is_train, problem.is_test)]
    with Recorder(folder / "recorded", module, train=parts[0], test=parts[1]) as recorder:
        for step in own.steps:
            module.load_state_dict(own.weights(step).state)
            recorder.record(step)
    return own, Trajectory.open(folder / "recorded", module)


SHARED = [performance, logit_statistics, softmax_collapse, weight_norms, gradient_noise, hessian_eigenvalues, sharpness,
          local_learning_coefficient]  # fmt: skip


@pytest.mark.parametrize("analysis", SHARED, ids=lambda analysis: analysis.__name__)
def test_our_network_recorded_gives_the_same_numbers(analysis, twins):
    brief = declared_arguments(analysis, BRIEF)
    own, recorded = (evaluate(analysis, run, steps=[0, 20], **brief) for run in twins)
    rtol, atol = (1e-4, 1e-4) if analysis is local_learning_coefficient else (1e-6, 1e-9)  # chains in float32
    for name in own.data_vars:
        np.testing.assert_allclose(recorded[name].values, own[name].values, rtol=rtol, atol=atol, err_msg=str(name))


def test_representations_and_gradients_are_the_same_too(twins):
    own, recorded = (run[20] for run in twins)
    hooks = [hook for hook in own.model.feature_hooks if hook in recorded.model.hook_dict]
    assert hooks
    for left, right in zip(class_similarity(own, hooks=hooks), class_similarity(recorded, hooks=hooks), strict=True):
        torch.testing.assert_close(left, right)
    for name, gradient in own.gradients.items():
        torch.testing.assert_close(recorded.gradients[name], gradient)
    metrics = [run.metrics.sel(step=20) if 20 in run.metrics["step"] else None for run in twins]
    for name in ("train_loss", "test_loss", "train_accuracy", "gradient_norm", "weight_norm", "logit_margin"):
        assert float(metrics[0][name]) == pytest.approx(float(metrics[1][name]), rel=1e-4), name


# --- with the module, without it, with a wrong one -------------------------------------------------------------------

QUICK = ["performance", "weight_norms", "singular_values", "class_cosine", "gradient_flow", "activation_statistics",
         "attention_pattern", "weight_path"]  # fmt: skip


def test_what_was_measured_with_the_module_is_kept_without(recorded, tmp_path, quick):
    foreign = FOREIGN["cnn"]()
    module, _ = trained(foreign, tmp_path / "run", steps=4)
    without = analyze(tmp_path / "run", only=QUICK)
    assert set(without.analyses) == {"weight_norms", "singular_values", "weight_path"}
    assert without.not_defined["performance"] == "needs the module: Trajectory.open(path, module=…)"
    assert without.not_defined["attention_pattern"] == (
        'the recorder was not given attention of SmallCNN: Recorder(task=…, parts={"attention": …}) names it'
    )
    whole = analyze(Trajectory.open(tmp_path / "run", module), only=QUICK)
    assert set(whole.analyses) == set(QUICK) - {"attention_pattern"}
    again = analyze(tmp_path / "run", only=QUICK)
    for name, part in whole.analyses.items():
        assert part.equals(again.analyses[name]), name
    assert set(again.not_defined) == {"attention_pattern"}
    page = write_report(tmp_path / "run", tmp_path / "run.html").read_text(encoding="utf-8")
    heading = re.sub(r"\s+", " ", " ".join(re.findall(r'<p class="kicker">(.*?)</p>', page, re.DOTALL)))
    assert f"module SmallCNN: {sum(weight.numel() for weight in module.parameters())} weights" in heading
    assert "24 training and 16 test examples of 3 classes" in heading
    assert "modular" not in re.sub(r"<section id=\"glossary\">.*", "", page, flags=re.DOTALL)


@pytest.mark.parametrize("only", [["weight_norms"], QUICK])
def test_the_report_has_no_place_for_what_has_no_meaning(only, tmp_path, quick):
    """Frequencies need a group; the lack of a group is mentioned once."""
    module, _ = trained(FOREIGN["cnn"](), tmp_path / "run", steps=4)
    results = analyze(Trajectory.open(tmp_path / "run", module), only=only)
    found = content(view_of(results))
    said = " ".join(sentence for answer in found["answers"] for sentence in answer.sentences)
    assert "of the test examples" in said
    assert "frequenc" not in said
    assert "not measured" not in said
    assert len(found["phases"]) >= 1
    page = write_report(tmp_path / "run", tmp_path / "run.html").read_text(encoding="utf-8")
    assert len(re.findall(r"Not shown: [^<]*embedding spectrum", page)) == 1


@pytest.mark.parametrize("given", [True, False])
def test_the_report_has_the_settings_of_an_optimizer_that_was_given(given, tmp_path):
    options: dict[str, Any] = {} if given else {"optimizer": None}
    trained(FOREIGN["cnn"](), tmp_path / "run", steps=2, **options)
    optimization = configuration(Results.open(tmp_path / "run"))["optimization"]
    assert optimization == {"loss": "softplus"} | ({"lr": 1e-2, "weight_decay": 0.1} if given else {})


def test_a_changed_analysis_does_not_cost_what_needs_the_module(tmp_path):
    module, _ = trained(FOREIGN["cnn"](), tmp_path / "run", steps=2)
    analyze(Trajectory.open(tmp_path / "run", module), only=["performance"])

    def changed(checkpoint: Checkpoint) -> Performance:
        return performance(checkpoint)

    changed.__name__ = "performance"
    assert "performance" in analyze(tmp_path / "run", entries=[Entry(changed)]).analyses


def test_a_module_that_does_not_fit_is_one_line(recorded):
    path, module = recorded["cnn"]
    wider = copy.deepcopy(module)
    wider.head = nn.Linear(6, 4)
    other = copy.deepcopy(module)
    other.extra = nn.Linear(2, 2)
    for wrong, line in (
        (wider, r"has head.weight \[4, 6\]; the recorded one has it as \[3, 6\]"),
        (other, r"has extra.weight \[2, 2\]; it was not recorded"),
        (nn.Linear(2, 2), r"module=Linear: has no stem.0.weight"),
    ):
        with pytest.raises(ConfigError, match=line):
            Trajectory.open(path, wrong)


def test_a_run_of_ours_takes_no_module(twins):
    with pytest.raises(ConfigError, match="applies only to recorded runs"):
        Trajectory.open(twins[0].path, nn.Linear(2, 2))


def test_the_users_module_stays_as_it_is(recorded):
    path, module = recorded["cnn"]
    before = copy.deepcopy(module.state_dict())
    run = Trajectory.open(path, module)
    evaluate([performance, class_cosine, gradient_flow], run)
    assert module.training
    assert not any(part._forward_hooks for part in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_filters_without_vmap(recorded):
    path, module = recorded["cnn"]
    run = Trajectory.open(path, module)
    assert filtered_alignment(run, GrokfastEMA()).sizes["step"] == 3
    with pytest.raises(ConfigError, match="must be off for a recorded module"):
        evaluate(performance, run, vectorize=True)
    with pytest.raises(NotDefined, match="needs the module"):
        _ = Trajectory.open(path)[4].logits


def test_matrices_are_the_modules(recorded):
    path, module = recorded["cnn"]
    dataset = evaluate(singular_values, Trajectory.open(path), steps=[4])
    kernel = module.body[0].weight.detach().double().flatten(1)
    found = dataset["singular_value"].sel(matrix="body.0.weight").values[0, :6]
    np.testing.assert_allclose(found, torch.linalg.svdvals(kernel).numpy(), rtol=1e-5)


# --- damage ----------------------------------------------------------------------------------------------------------


def damaged(path: Path, change) -> Path:
    path.write_bytes(change(bytearray(path.read_bytes())))
    return path


def test_damaged_inputs_are_named(tmp_path):
    module, _ = trained(FOREIGN["cnn"](), tmp_path / "run", steps=2)
    file = tmp_path / "run" / "examples.safetensors"
    whole = file.read_bytes()
    damaged(file, lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"examples.safetensors: damaged"):
        Trajectory.open(tmp_path / "run", module)
    assert "weight_norms" in analyze(tmp_path / "run", only=["weight_norms"]).analyses  # which needs no inputs
    trained(FOREIGN["encoder"](), tmp_path / "other", steps=2)
    file.write_bytes((tmp_path / "other" / "examples.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="has digest"):
        Trajectory.open(tmp_path / "run", module)
    file.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        Trajectory.open(tmp_path / "run", module)
    file.write_bytes(whole)
    Trajectory.open(tmp_path / "run", module)


def test_a_hostile_configuration_is_refused(tmp_path):
    trained(FOREIGN["cnn"](), tmp_path / "run", steps=2)
    file = without_digests(tmp_path / "run") / "experiment.json"
    text = file.read_text()
    for old, new, line in (
        ("head.weight", "update/x", "must have 1-200 printable characters"),
        ('"classes": 3', '"classes": 1', "classes"),
        ('"dropout"\n    ],\n    "penultimate"', '"gone"\n    ],\n    "penultimate"', "must be among the hooks"),
    ):
        assert old in text
        file.write_text(text.replace(old, new))
        with pytest.raises(RunDirectoryError, match=line):
            Trajectory.open(tmp_path / "run")


# --- the document ----------------------------------------------------------------------------------------------------


def test_the_document_runs(root, tmp_path, monkeypatch, quick):
    block, with_task = re.findall(r"```python\n(.*?)```", (root / "docs" / "recorder.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict = {}
    exec(compile(block, "recorder.md", "exec"), names)
    assert names["run"].steps == (0, 50, 100)
    assert Results.open("mine").metrics.sizes["step"] == 11
    assert set(names["results"].analyses) == {"performance", "gradient_weight_alignment", "activation_statistics"}
    assert grokinterp.Recorder is Recorder
    assert "module Sequential" in Path("mine.html").read_text()
    exec(compile(with_task, "recorder.md", "exec"), names)
    assert set(names["results"].analyses) == set(names["wanted"])


def test_the_block_of_the_readme_runs(root, tmp_path, monkeypatch, quick):
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "Recorder(" in block]
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(block, "README.md", "exec"), {})
    results = Results.open("checkpoints/mine")
    assert results.dataset["step"].values.tolist() == [0, 25, 50]
    assert {"gradient_weight_alignment", "linear_probes", "sharpness"} <= set(results.analyses)
