"""A model class that the package has never seen goes through every analysis: a result, or a reason why not."""

import pytest
import torch
from torch import nn

from grokinterp.analysis.engine.coordinates import Setting, coordinates
from grokinterp.analysis.engine.evaluator import declared_arguments
from grokinterp.errors import NotDefined
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.models import MLPSpec, Model, Readout
from grokinterp.models.hooked import HookPoint
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import ModularAddition
from tests.cases.analyses import ANALYSES, BRANCH_KEYS, IRREPS, KEYS

P, WIDTH = 7, 4
EXPERIMENT = Experiment(task=ModularAddition(p=P), model=MLPSpec())


class Bilinear(Model):
    """Logits of the product of two embeddings: (E_a · E_b) C."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = MLPSpec()
        self.rows, self.columns = nn.Parameter(torch.empty(P, WIDTH)), nn.Parameter(torch.empty(WIDTH, P))
        self.hook_embed, self.hook_product = HookPoint(), HookPoint()
        self.initialize(torch.Generator().manual_seed(0))
        self.setup()

    @torch.no_grad()
    def initialize(self, generator):
        for weight in self.parameters():
            weight.normal_(generator=generator)

    def forward(self, tokens):
        return (self.hook_product(self.hook_embed(self.rows[tokens]).prod(1)) @ self.columns).unsqueeze(1)

    def readout_by_hooks(self, tokens):
        logits, product = self.catch(tokens, "hook_product")
        return Readout(None, product, product, logits[:, -1])

    def is_linear_in_neurons(self, tokens):
        return True

    def part_of(self, tensor):
        return tensor

    embedding = property(lambda self: self.rows)
    W_U = W_L = property(lambda self: self.columns)
    b_U = property(lambda self: self.columns.new_zeros(P))
    n_layers = property(lambda self: 1)
    kept_per_example = property(lambda self: WIDTH)
    feature_hooks = ("hook_product",)


def checkpoint() -> Checkpoint:
    model, task = Bilinear().double().requires_grad_(False), EXPERIMENT.task
    update = {name: torch.full_like(weight, 0.01) for name, weight in model.named_parameters()}
    problem = Problem(task, task.tokens(), task.labels(), torch.arange(task.n_examples) % 2 == 0)
    return Checkpoint(1, model, problem, update, previous_update=update)


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_gives_a_result_or_a_reason(name):
    at, analysis = checkpoint(), ANALYSES[name]
    known = KEYS | IRREPS | BRANCH_KEYS | {"initial_weights": at.parameters, "final_weights": at.parameters}
    try:
        found = analysis(at, **declared_arguments(analysis, known))
    except NotDefined:
        return
    assert all(isinstance(value, torch.Tensor) for value in found)


def test_its_coordinates_are_its_own():
    setting = Setting(Problem.of(EXPERIMENT), Bilinear(), {})
    axes = {name: coordinates(analysis, setting) for name, analysis in ANALYSES.items()}
    assert axes["grafts"]["part"] == ["rows", "columns"]
    assert (axes["performance"]["neuron"], axes["performance"]["head"]) == (range(WIDTH), range(0))
    assert list(axes["logit_attribution"]["component"]) == []
    assert list(axes["activation_patching"]["patch_site"]) == ["hook_embed"]
    assert axes["singular_values"]["matrix"] == ["W_E", "W_U", "rows", "columns", "W_L"]
