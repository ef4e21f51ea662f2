"""Clock or pizza: gradients, distances and circles against brute force; the verdict, rule by rule."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmarks.calibration.circuits import PlantedCircuit, at
from grokinterp.analysis import circuit_verdict, irrep_spectrum, logit_spectrum
from grokinterp.analysis.circuit.rule import KINDS, OBLIQUE, PARALLEL, PREFERENCE, judge
from grokinterp.analysis.circuit.symmetricity import FEWEST, MOST, drawn_cosines, symmetricity
from grokinterp.analysis.circuit.verdict import CIRCUITS, circularity, distance_irrelevance, settling_triples
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.experiment import Experiment
from grokinterp.experiment.problem import Problem
from grokinterp.interop import import_run
from grokinterp.models import MLPSpec, ModelSpec, RecursiveSpec, TransformerSpec, solved_addition
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import TASKS, ModularAddition, Task
from tests.support.constructed import close
from tests.support.logit_shapes import clock, drawn, triples

NONE = torch.empty(0, dtype=torch.int64)
SPEC = TransformerSpec(d_model=8, n_heads=2, d_mlp=12)


# --- evidence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [5, 6])
def test_distance_irrelevance_is_the_spread_at_equal_difference(n):
    values, (a, b) = drawn(n * n), [x[:, 0] for x in triples(n)[:2]]
    spread = [values[(a - b) % n == d].std(correction=0) for d in range(n)]
    close(distance_irrelevance(values), torch.stack(spread).mean() / values.std(correction=0))
    close(distance_irrelevance(drawn(n)[(a - b) % n]), 0)
    close(distance_irrelevance(torch.full((n * n,), 1 / 3).double()), 1)
    if n % 2:
        close(distance_irrelevance(drawn(n)[(a + b) % n]), 1)


@pytest.mark.parametrize("n", [5, 6, 11])
def test_circularity_is_the_largest_share_of_a_frequency_in_four_components(n):
    angle = 2 * math.pi / n * torch.arange(n).double()
    circles = torch.stack([f(k * angle) * size for k, size in ((1, 3), (2, 1)) for f in (torch.cos, torch.sin)], 1)
    close(circularity(circles + 5), 1)
    for features in (3, n + 2):
        embedding = drawn(n, features)
        centered = embedding - embedding.mean(0)
        scores = torch.linalg.svd(centered).U[:, : min(4, n - 1, features)]
        shares = []
        for v in scores.T:
            power = [
                2 * ((v * (k * angle).cos()).sum() ** 2 + (v * (k * angle).sin()).sum() ** 2) / n
                for k in range(1, n // 2 + 1)
            ]
            shares.append(min(1.0, float(max(power))))
        close(circularity(embedding), sum(shares) / len(shares))


MODELS: dict[str, ModelSpec] = {
    "transformer": SPEC,
    "two layers, LN": replace(SPEC, n_layers=2, normalization="LN", biases=True),
    "no equals": replace(SPEC, read_at="last", attention="bidirectional", attention_rate=0.3),
    "pooled": replace(SPEC, read_at="mean"),
    "tied": replace(SPEC, tied_embeddings=True),
    "one table": MLPSpec(d_embed=6, hidden=(9,), act_fn="gelu"),
}


def checkpoint_of(
    spec: ModelSpec, task: Task, logits: Tensor | None = None, is_train: Tensor | None = None
) -> Checkpoint:
    """A drawn network, if need be with other outputs."""
    experiment = Experiment(task=task, model=spec)
    half = torch.rand(task.n_examples, generator=torch.Generator().manual_seed(0)) < 0.5
    problem = Problem(task, experiment.tokens(), task.labels(), half if is_train is None else is_train)
    found = Checkpoint(0, experiment.build_model().double().requires_grad_(False), problem)
    if logits is not None:
        found.__dict__["readout"] = found.readout._replace(logits=logits)
    return found


def gradients(checkpoint: Checkpoint) -> Tensor:
    """cos(∂L_abc/∂E_a, ∂L_abc/∂E_b), one triple after the other, through the plain forward pass."""
    model, found = checkpoint.model, []
    for tokens in checkpoint.problem.tokens:
        embedded = model.embed(tokens[None]).requires_grad_(True)
        with model.hooks(fwd_hooks=[("hook_embed", lambda _, hook, e=embedded: e)]):
            logits = model(tokens[None])[0, -1]
        for logit in logits:
            a, b = torch.autograd.grad(logit, embedded, retain_graph=True)[0][0, :2]
            found.append(a @ b / (a.norm() * b.norm()))
    return torch.stack(found)


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_gradients_are_those_of_the_plain_forward_pass(spec):
    checkpoint = checkpoint_of(spec, ModularAddition(p=5))
    expected = gradients(checkpoint)
    found = symmetricity(checkpoint)
    close(found.gradient_symmetricity, expected.mean())
    assert float(found.gradient_symmetricity_error) == 0
    some = drawn_cosines(checkpoint, "test", 40)
    close(some, drawn_cosines(checkpoint, "test", 40))
    assert all(bool(((expected - value).abs() < 1e-9).any()) for value in some)
    few = symmetricity(checkpoint, triples=40)
    close(few.gradient_symmetricity, some.mean())
    close(few.gradient_symmetricity_error, some.std() * math.sqrt((1 - 40 / 125) / 40))


@pytest.mark.parametrize("spec", [MLPSpec(combine="sum"), MLPSpec(d_embed=4, combine="sum", act_fn="relu")])
def test_who_sees_the_sum_of_both_embeddings_alone_is_symmetric(spec):
    close(symmetricity(checkpoint_of(spec, ModularAddition(p=5))).gradient_symmetricity, 1)


def test_symmetricity_needs_two_operands_in_one_space():
    with pytest.raises(NotDefined, match="symmetricity is not defined here: each operand has a table of its own"):
        symmetricity(checkpoint_of(MLPSpec(d_embed=4, embedding="separate"), ModularAddition(p=5)))
    three = TASKS["composition"](outer=ModularAddition(p=3), inner=ModularAddition(p=3))
    with pytest.raises(NotDefined, match="composition does not have two operands"):
        symmetricity(checkpoint_of(SPEC, three))


# --- the rule ---------------------------------------------------------------------------------------------------------


def judged(
    g: float, error: float = 0.0, preferred: float = 0.0, *, adds: bool | None = False
) -> tuple[str | None, str | None]:
    """The kind, and the kind to which it is close."""
    values = (torch.tensor(x, dtype=torch.float64) for x in (g, error, preferred))
    found = judge(*values, adds_operands=adds)
    assert not (found.is_kind & found.is_close_to).any()
    return tuple(next((KINDS[i] for i in part.nonzero().flatten()), None) for part in found)


@pytest.mark.parametrize(
    ("g", "expected"),
    [
        (-0.2, ("clock", None)),
        (OBLIQUE - 0.02, ("clock", None)),
        (OBLIQUE, ("clock", "mixed")),
        (OBLIQUE + 1e-6, ("mixed", "clock")),
        (0.77, ("mixed", None)),
        (PARALLEL - 0.02, ("mixed", None)),
        (PARALLEL - 0.001, ("mixed", "pizza")),
        (PARALLEL, ("pizza", "mixed")),
        (0.9938, ("pizza", None)),
        (1.0, ("pizza", None)),
        (math.nan, (None, None)),
    ],
)
def test_gradients_decide_with_a_margin(g, expected):
    assert judged(g) == expected


def test_templates_decide_where_the_sample_does_not():
    assert judged(0.975, 0.003, 0.2) == ("pizza", "mixed")
    assert judged(0.985, 0.003, -0.1) == ("mixed", "pizza")
    assert judged(0.985, 0.001, -0.1) == ("pizza", "mixed")
    assert judged(0.75, 0.02) == ("mixed", "clock")


@pytest.mark.parametrize("g", [0.1, 0.99, math.nan])
def test_a_model_that_adds_its_operands_is_no_clock_whatever_its_gradients_are(g):
    assert judged(g, 0.0, 0.2, adds=True) == ("pizza", None)
    assert judged(g, 0.0, -0.1, adds=True) == ("additive", None)
    assert judged(g, 0.0, PREFERENCE - 0.01, adds=True) == ("additive", "pizza")
    assert judged(g, 0.0, PREFERENCE + 0.01, adds=True) == ("pizza", "additive")


def test_of_a_form_that_nobody_knows_only_the_sum_type_is_named():
    assert judged(0.3, adds=None) == judged(0.975, adds=None) == (None, None)
    assert judged(0.995, adds=None) == ("pizza", None)


# --- the verdict -----------------------------------------------------------------------------------------------------


def verdict(checkpoint: Checkpoint, keys: Tensor = NONE, irreps: Tensor = NONE, triples: int = FEWEST) -> str:
    found = circuit_verdict(checkpoint, key_frequencies=keys, key_irreps=irreps, triples=triples)
    assert int(found.is_circuit.sum()) == 1
    return CIRCUITS[int(found.is_circuit.nonzero())]


P = 23
KEYS = torch.tensor([3, 5])
SEPARATE = MLPSpec(d_embed=4, embedding="separate", hidden=(4,))


def answering(shape, spec: ModelSpec = SEPARATE) -> Checkpoint:
    """The logits of both keys in one form, plus a trace of one-hot answers: correct everywhere."""
    right = torch.nn.functional.one_hot(ModularAddition(p=P).label(), P)
    return checkpoint_of(spec, ModularAddition(p=P), sum(shape(int(k), P) for k in KEYS) + 3.0 * right)


@pytest.mark.parametrize("rotations", [{}, {3: 0.26, 5: 1.62}], ids=["one circle", "rotated circles"])
@pytest.mark.parametrize(("product", "expected"), [(0.0, "pizza"), (0.35, "mixed"), (1.0, "clock")])
def test_planted_circuits(product, expected, rotations):
    """Exact cosines of both gradients at every difference; the verdict follows the share of the product."""
    planted = PlantedCircuit(P, {3: 6.0, 5: 5.0}, product, rotations)
    checkpoint = planted.checkpoint()
    close(checkpoint.logits.argmax(1), checkpoint.problem.label)
    cosines = drawn_cosines(checkpoint, "test", P**3)
    close(cosines.mean(), planted.symmetricity(), atol=1e-6)
    assert verdict(checkpoint, KEYS) == expected


def test_the_symmetricity_of_one_frequency_is_what_is_not_multiplied():
    for product in (0.25, 0.5, 0.75):
        close(PlantedCircuit(211, {3: 1.0}, product).symmetricity(), 1 - product, atol=1e-3)


@pytest.mark.parametrize("product", [0.0, 1.0])
def test_what_all_logits_share_moves_the_irrelevance_and_not_the_verdict(product):
    planted = [PlantedCircuit(P, {3: 6.0, 5: 5.0, 9: 5.0}, product, common=size) for size in (0.0, 10.0)]
    found = [
        circuit_verdict(one.checkpoint(), key_frequencies=torch.tensor([3, 5, 9]), key_irreps=NONE) for one in planted
    ]
    assert torch.equal(found[0].is_circuit, found[1].is_circuit)
    close(found[1].circuit_fve, found[0].circuit_fve, atol=1e-6)
    assert float(found[1].clock_fve) < float(found[0].clock_fve)
    assert float((found[0].distance_irrelevance - found[1].distance_irrelevance).abs()) > 0.05


def test_triples_are_drawn_until_the_verdict_is_settled():
    assert settling_triples(at(P, 0.85).checkpoint()) == FEWEST
    assert settling_triples(at(P, OBLIQUE + 0.002).checkpoint()) == MOST
    assert settling_triples(answering(clock)) == FEWEST


def test_the_sum_type_of_subtraction_adds_a_reflected_circle():
    """A network that reads E_a + E_b R, R the reflection, has g = 1 once the gradient is turned; none without."""
    task, w = TASKS["modular_subtraction"](p=11), 2 * math.pi / 11 * torch.arange(11).double()
    checkpoint = checkpoint_of(MLPSpec(d_embed=6, hidden=(12,), act_fn="relu"), task)
    for i, k in enumerate((1, 3)):
        checkpoint.model.embed.W_E[:, 2 * i], checkpoint.model.embed.W_E[:, 2 * i + 1] = (k * w).cos(), (k * w).sin()
    checkpoint.model.embed.W_E[:, 4:] = 0
    W_in = checkpoint.model.layers[0].W_in
    reflected = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 1.0]).double()
    W_in[6:] = reflected[:, None] * W_in[:6]
    W_in[[4, 5, 10, 11]] = 0
    close(symmetricity(checkpoint).gradient_symmetricity, 1)
    W_in[6:] = W_in[:6]
    assert float(symmetricity(checkpoint).gradient_symmetricity) < 0.5


MLPS = {
    "summed": MLPSpec(d_embed=8, combine="sum", hidden=(64,), act_fn="relu"),
    "two tables": MLPSpec(d_embed=8, embedding="separate", hidden=(16,)),
    "recursive": RecursiveSpec(d_model=8, d_mlp=12, n_latent=1, n_supervision=2),
    "attention of rate 0": replace(SPEC, attention_rate=0.0),
    "two layers, rate 0": replace(SPEC, attention_rate=0.0, n_layers=2, normalization="LN"),
}


@pytest.mark.parametrize("spec", MLPS.values(), ids=MLPS)
def test_what_adds_its_operands_is_no_clock(spec):
    """Its logits are planted as a clock's, although the form of the network multiplies nothing."""
    checkpoint = answering(clock, spec)
    assert checkpoint.model.adds_operands
    expected = {"additive", "pizza"} if checkpoint.model.pattern_hooks else {"additive"}
    assert verdict(checkpoint, KEYS) in expected
    assert not checkpoint_of(replace(SPEC, attention_rate=0.01), ModularAddition(p=5)).model.adds_operands


def test_a_sum_of_circles_through_rectifiers_answers_as_a_pizza():
    """ReLU(cos(wa - φ) + cos(wb - φ)), φ all round: the answers of a pizza, by an MLP, which is its own class."""
    spec, n = MLPSpec(d_embed=6, combine="sum", hidden=(3 * 64,), act_fn="relu"), 64
    checkpoint = checkpoint_of(spec, ModularAddition(p=P))
    model, phase, residue = checkpoint.model, 2 * math.pi / n * torch.arange(n), torch.arange(P)
    model.layers[0].W_in.zero_()
    for i, k in enumerate((3, 5, 9)):
        w, neurons = 2 * math.pi * k / P, slice(i * n, (i + 1) * n)
        for axis, f in enumerate((torch.cos, torch.sin)):
            model.embed.W_E[:, 2 * i + axis] = f(w * residue)
            model.layers[0].W_in[2 * i + axis, neurons] = f(phase)
        model.unembed.W_U[neurons] = torch.cos(w * residue - 2 * phase[:, None]).double()
    keys = torch.tensor([3, 5, 9])
    found = circuit_verdict(checkpoint, key_frequencies=keys, key_irreps=NONE)
    assert verdict(checkpoint, keys) == "additive"
    assert float(found.pizza_preference) > 1.8 * PREFERENCE
    close(found.gradient_symmetricity, 1)


def test_without_a_key_frequency_nothing_is_known():
    assert verdict(answering(clock)) == "none"
    found = circuit_verdict(answering(clock), key_frequencies=NONE, key_irreps=NONE)
    assert float(found.clock_fve) == float(found.pizza_fve) == 0
    with pytest.raises(GrokinterpError, match="key_frequencies=12: must be integers from 1 to 11"):
        verdict(answering(clock), torch.tensor([12]))


@pytest.mark.parametrize(("others", "expected"), [(0, "memorizer"), (40, "memorizer"), (60, "none"), (98, "none")])
def test_memory_and_unclean_generalization(others, expected):
    """``others`` per cent of the examples not trained on are right."""
    task, n = ModularAddition(p=20), 400
    right = torch.arange(n) % 200 < others * 2
    is_train = torch.arange(n) < 200
    answers = torch.where(right | is_train, task.label(), (task.label() + 1) % 20)
    logits = 9.0 * torch.nn.functional.one_hot(answers, 20).double() + clock(3, 20)
    assert verdict(checkpoint_of(SEPARATE, task, logits, is_train), KEYS) == expected
    if others < 50:
        assert verdict(checkpoint_of(SEPARATE, task, logits, torch.zeros(n, dtype=torch.bool)), KEYS) == "none"


def test_groups_and_tasks_without_one():
    groups = TASKS["group_composition"](group="S3")
    logits = torch.nn.functional.one_hot(groups.label(), 6).double()
    unknown = torch.zeros(36, dtype=torch.bool)
    checkpoint = checkpoint_of(SPEC, groups, logits, unknown)
    assert verdict(checkpoint, irreps=torch.tensor([0, 1])) == "irrep-based"
    assert verdict(checkpoint) == "none"
    assert verdict(checkpoint_of(SPEC, groups, -logits, unknown), irreps=torch.tensor([0, 1])) == "none"
    found = circuit_verdict(checkpoint, key_frequencies=NONE, key_irreps=NONE)
    assert all(field.isnan() for field in found[:-3])
    for task in (
        TASKS["polynomial"](p=5, expression="x^2+xy+y^2"),
        TASKS["composition"](outer=ModularAddition(p=3), inner=ModularAddition(p=3)),
    ):
        logits = torch.nn.functional.one_hot(task.label(), task.n_classes).double()
        assert verdict(checkpoint_of(SPEC, task, logits)) == "none"


def test_the_solution_by_squares_adds_its_operands():
    model = solved_addition(P, width=4000, generator=torch.Generator().manual_seed(0)).double().requires_grad_(False)
    task = ModularAddition(p=P)
    unknown = torch.zeros(P * P, dtype=torch.bool)
    checkpoint = Checkpoint(0, model, Problem(task, task.tokens(), task.labels(), unknown))
    keys = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
    assert verdict(checkpoint, keys) == "additive"


PUBLISHED = {
    ("pizza", "pizza/model_p99zdpze5l.pt"): "pizza",
    ("pizza", "pizza/model_18c9ev5v5p.pt"): "pizza",
    ("pizza", "pizza/model_2k4ohj6bhd.pt"): "mixed",
    ("nanda", "nanda/mod_addition_no_wd.pth"): "clock",
    ("chughtai", "chughtai/C113_T_seed2"): "clock",
    ("chughtai", "chughtai/A5_MLP_seed1"): "irrep-based",
    ("chughtai", "chughtai/A5_T_seed3"): "none",
    ("chughtai", "chughtai/S5_MLP_seed1"): "irrep-based",
    ("chughtai", "chughtai/D59_MLP_seed1"): "irrep-based",
}


EVIDENCE = {
    "pizza/model_p99zdpze5l.pt": (0.99376, 0.223, 0.1717, 0.2218, 0.9978),
    "pizza/model_18c9ev5v5p.pt": (0.9973, 0.218),
    "pizza/model_2k4ohj6bhd.pt": (0.7731, 0.036, 0.7201, 0.8196, 0.7342),
    "nanda/mod_addition_no_wd.pth": (0.181, 0.043),
    "chughtai/C113_T_seed2": (0.303, -0.088),
}
"""Gradient symmetricity, preference of the pizza, and as published: both distance irrelevances, circularity."""


@pytest.mark.parametrize(("file", "expected"), PUBLISHED.items(), ids=lambda x: x if isinstance(x, str) else x[1])
def test_published_networks(file, expected, published, tmp_path):
    run = import_run(file[0], published / file[1], tmp_path / "run")
    checkpoint, keys, irreps = run[run.steps[-1]], NONE, irrep_spectrum(run[run.steps[-1]]).is_key_irrep
    if expected not in ("irrep-based", "none"):
        keys = logit_spectrum(checkpoint).is_key.nonzero().flatten() + 1
    assert verdict(checkpoint, keys, irreps.nonzero().flatten()) == expected
    if file[1] in EVIDENCE:
        found, known = circuit_verdict(checkpoint, key_frequencies=keys, key_irreps=NONE), EVIDENCE[file[1]]
        assert abs(float(found.gradient_symmetricity) - known[0]) < 3 * float(found.gradient_symmetricity_error) + 1e-4
        close(found.pizza_preference, known[1], rtol=0, atol=2e-3)
        close(torch.stack(found[2:5])[: len(known) - 2], torch.tensor(known[2:]), rtol=0, atol=6e-5)


def test_the_symmetricity_of_a_published_pizza(published, tmp_path):
    """The mean over all triples is .99376; the published .9937 is a mean over some triples."""
    run = import_run("pizza", published / "pizza" / "model_p99zdpze5l.pt", tmp_path / "run")
    found = symmetricity(run[run.steps[-1]], triples=2048)
    close(found.gradient_symmetricity, 0.99376, rtol=0, atol=6e-5)
    assert 1e-6 < float(found.gradient_symmetricity_error) < 3e-5
