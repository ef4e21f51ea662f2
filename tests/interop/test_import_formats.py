"""Round trips of every layout: our networks, written in the format of each release, give the same logits."""

import json

import pytest
import torch
from safetensors.torch import save_file

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Split
from grokinterp.experiment.split import written_out
from grokinterp.interop import import_run
from grokinterp.interop.elements import published_orders, recovered
from grokinterp.interop.splits import drawn as drawn_elsewhere
from grokinterp.maths.groups import group
from grokinterp.models import MLPSpec, TransformerSpec
from grokinterp.tasks import GroupComposition, ModularAddition, ModularSubtraction, Polynomial, Table
from tests.support.constructed import Constructed
from tests.support.released import cfg, drawn, logits_of, lookup, pizza_config, save, transposed

SMALL = {"d_model": 8, "n_heads": 2, "d_mlp": 12, "biases": "mlp"}
ALL_BIASES = {"biases": True}


def shuffled(p: int, seed: int, fraction: float) -> torch.Tensor:
    """The training examples of Nanda et al."""
    return drawn_elsewhere("random.shuffle", p * p, fraction=fraction, seed=seed)


def same(run, step: int, expected: torch.Tensor) -> bool:
    return bool((run[step].logits - expected).abs().max() < 1e-12)


# --- Nanda et al. ----------------------------------------------------------------------------------------------------


def nanda_file(model, path, *, optimizer_step: int = 7, **more):
    state = {"state": {0: {"step": optimizer_step}}, "param_groups": [{"lr": 0.002, "weight_decay": 0.5}]}
    torch.save({"model": transposed(model), "optimizer": state, **more}, path)
    return path


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("add", ModularAddition(p=5)),
        ("subtract", ModularSubtraction(p=5)),
        ("x2xyy2", Polynomial(p=5, expression="x^2+xy+y^2")),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"n_layers": 2}, {"d_head": 3, "act_fn": "gelu"}])
def test_nanda_there_and_back(tmp_path, name, task, changes):
    model = drawn(task, TransformerSpec(**(SMALL | changes)))
    config = {"p": 5, "fn_name": name, "frac_train": 0.3, "seed": 3, "lr": 0.01, "weight_decay": 1.0, "num_epochs": 9}
    config["act_type"] = "GeLU" if "act_fn" in changes else "ReLU"
    run = import_run("nanda", nanda_file(model, tmp_path / "x.pth", config=config, epoch=8), tmp_path / "run")
    experiment = run.experiment
    assert (run.steps, experiment.task, experiment.steps) == ((7,), task, 9)
    assert same(run, 7, logits_of(model, task))
    assert (experiment.optimization.lr, experiment.optimization.weight_decay) == (0.01, 1.0)
    assert torch.equal(run.problem.is_train, shuffled(5, 3, 0.3))
    assert run.directory.environment["release"] == "Nanda et al. 2023"


def test_nanda_with_weights_along_the_training(tmp_path):
    task = ModularAddition(p=5)
    models = [drawn(task, TransformerSpec(**SMALL), seed=seed) for seed in range(3)]
    content = {"state_dicts": [transposed(model) for model in models], "epochs": [0, 10, 20]}
    content |= {"config": {"p": 5, "fn_name": "add", "frac_train": 0.4}}
    content |= {"train_losses": [float(x) for x in range(20)], "test_losses": torch.arange(20.0)}
    torch.save(content, tmp_path / "x.pth")
    run = import_run("nanda", tmp_path / "x.pth", tmp_path / "run")
    assert run.steps == (0, 10, 20)
    assert all(same(run, step, logits_of(model, task)) for step, model in zip(run.steps, models, strict=True))
    metrics = run.metrics
    assert metrics["step"].values.tolist() == list(range(21))
    losses = run[20].losses
    assert float(metrics["train_loss"][-1]) == pytest.approx(float(losses[run.problem.is_train].mean()))
    assert metrics["test_loss"].values[:20].tolist() == list(range(20))


def test_nanda_without_a_configuration_is_what_it_answers(tmp_path):
    constructed = Constructed(p=7, amplitudes={1: 8.0, 2: 6.0}, circles={1: 1.0})
    model = constructed.model()
    path = nanda_file(model, tmp_path / "x.pth", optimizer_step=3)
    run = import_run("nanda", path, tmp_path / "run")
    assert run.experiment.task == ModularAddition(p=7)
    assert run.experiment.optimization.weight_decay == 0.5
    assert run.experiment.split.trained_on == "unknown"


def test_nanda_without_a_configuration_has_the_split_of_its_losses(tmp_path):
    """A network that has memorized its training examples, stored one step after the last losses."""
    task, is_train = ModularAddition(p=13), shuffled(13, 4, 0.7)
    experiment = Experiment(task=task, model=TransformerSpec(**(SMALL | {"d_model": 16, "d_mlp": 64})))
    model, tokens, labels = experiment.build_model(), experiment.tokens(), task.label()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    curves: dict[str, list[float]] = {"train_losses": [], "test_losses": []}
    for _ in range(120):
        losses = torch.nn.functional.cross_entropy(model(tokens)[:, -1], labels, reduction="none")
        curves["train_losses"].append(float(losses[is_train].mean().detach()))
        curves["test_losses"].append(float(losses[~is_train].mean().detach()))
        optimizer.zero_grad()
        losses[is_train].mean().backward()
        optimizer.step()
    curves["test_losses"] = curves["test_losses"][::4]
    torch.save({"model": transposed(model.requires_grad_(False))} | curves, tmp_path / "x.pth")
    run = import_run("nanda", tmp_path / "x.pth", tmp_path / "run")
    assert run.steps == (120,)
    assert torch.equal(run.problem.is_train, is_train)
    assert run.directory.environment["warnings"] == []


# --- Zhong et al. ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("equals", [False, True])
@pytest.mark.parametrize(
    "changes", [{}, {"attention_rate": 0.0}, {"attention_rate": 0.3, "act_fn": "gelu"}, {"n_layers": 2}]
)
def test_pizza_there_and_back(tmp_path, equals, changes):
    task = ModularAddition(p=5)
    read_at = "equals" if equals else "last"
    spec = TransformerSpec(**(SMALL | {"attention": "bidirectional", "read_at": read_at} | changes))
    model = drawn(task, spec)
    config = pizza_config(5, eqn_sign=equals, attn_coeff=changes.get("attention_rate", 1))
    config["n_layers"] = spec.n_layers
    config["act_fn"] = "GeLU" if "act_fn" in changes else "ReLU"
    path = save(tmp_path, transposed(model), config, ("model_ab.pt", "config_ab.json"))
    run = import_run("pizza", path, tmp_path / "run")
    assert run.experiment.model == spec
    assert run.experiment.name == "pizza-ab"
    assert same(run, 50, logits_of(model, task))


@pytest.mark.parametrize("equals", [False, True])
def test_pizza_with_embeddings_of_its_own_for_the_second_operand(tmp_path, equals):
    """The second operand b is token p + b."""
    table = [[None] * 5 + [(a + b) % 5 for b in range(5)] for a in range(5)]
    task = Table(rows=tuple(",".join("" if c is None else str(c) for c in row) for row in table))
    spec = TransformerSpec(**SMALL, attention="bidirectional", read_at="equals" if equals else "last")
    model = drawn(task, spec)
    config = pizza_config(5, diff_vocab=True, eqn_sign=equals)
    path = save(tmp_path, transposed(model), config, ("model_ab.pt", "config_ab.json"))
    run = import_run("pizza", path, tmp_path / "run")
    tokens = torch.tensor([[a, 5 + b, *([10] if equals else [])] for a in range(5) for b in range(5)])
    assert same(run, 50, model(tokens)[:, -1])
    assert run.problem.label.tolist() == [(a + b) % 5 for a in range(5) for b in range(5)]


# --- Chughtai et al. -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 2])
def test_chughtai_transformer_there_and_back(tmp_path, n_layers):
    task = ModularAddition(p=6)
    spec = TransformerSpec(**(SMALL | ALL_BIASES | {"n_layers": n_layers}))
    model = drawn(task, spec)
    state = model.state_dict() | {
        "blocks.0.attn.mask": torch.ones(3, 3) > 0,
        "blocks.0.attn.IGNORE": torch.tensor(-1e5),
    }
    state |= {"x_embed": model.W_E, "y_embed": model.W_E}
    save(tmp_path / "C6", state, cfg("CyclicGroup", 6, "Transformer"))
    run = import_run("chughtai", tmp_path / "C6", tmp_path / "run")
    assert (run.experiment.model, run.experiment.task) == (spec, task)
    assert run.experiment.split == Split(fraction=0.4, seed=1)
    assert same(run, 100, logits_of(model, task))


def test_chughtai_mlp_there_and_back(tmp_path):
    task = ModularAddition(p=6)
    spec = MLPSpec(d_embed=4, embedding="separate", hidden=(5,), act_fn="relu", initialization="normal")
    model = drawn(task, spec)
    W_E = model.embed.W_E
    weights = {"W_x": W_E[0], "W_y": W_E[1], "W": model.layers[0].W_in, "W_U": model.W_U}
    save(tmp_path / "C6", {name: value.detach().clone() for name, value in weights.items()}, cfg("CyclicGroup", 6))
    run = import_run("chughtai", tmp_path / "C6" / "model.pt", tmp_path / "run")
    assert run.experiment.model == spec
    assert same(run, 100, logits_of(model, task))


@pytest.mark.parametrize(("family", "n"), [("Dihedral", 4), ("Symmetric", 4), ("Alternating", 4), ("Alternating", 5)])
@pytest.mark.parametrize("shuffled_elements", [False, True])
def test_chughtai_elements_come_into_our_order(tmp_path, family, n, shuffled_elements):
    """The last of the released orders, and an unknown order, which is inferred from the table."""
    g = group(f"{family[0]}{n}")
    order = torch.randperm(g.order, generator=torch.Generator().manual_seed(3))
    if not shuffled_elements:
        *_, (order, _) = published_orders(g)
    save(tmp_path / "x", lookup(g, order), cfg(f"{family}Group", n))
    run = import_run("chughtai", tmp_path / "x", tmp_path / "run")
    checkpoint = run[100]
    assert run.experiment.task == GroupComposition(group=g.name)
    assert (checkpoint.logits.argmax(1) == checkpoint.problem.label).all()
    assert ("automorphism" in run.directory.environment["elements"]) is shuffled_elements
    if not shuffled_elements:
        pairs = torch.randperm(g.order**2, generator=torch.Generator().manual_seed(1))[: int(0.4 * g.order**2)]
        ours = order[pairs // g.order] * g.order + order[pairs % g.order]
        assert set(run.problem.is_train.nonzero().flatten().tolist()) == set(ours.tolist())


@pytest.mark.parametrize("name", ["C12", "D7", "S4", "S5", "A5", "D59"])
def test_an_isomorphism_is_found_among_wrong_products(name):
    """One product in fifty is wrong."""
    g = group(name)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(g.order, generator=generator)
    table = order.argsort()[g.table[order[:, None], order]]
    wrong = torch.rand(table.shape, generator=generator) < 0.02
    noisy = torch.where(wrong, torch.randint(g.order, table.shape, generator=generator), table)
    found = recovered(noisy, g)
    assert found is not None
    assert torch.equal(found[table], g.table[found[:, None], found])


# --- TransformerLens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({}, {}),
        ({"biases": "mlp"}, {}),
        ({"biases": False}, {}),
        ({"n_layers": 2, "d_head": 3, "act_fn": "gelu"}, {"act_fn": "gelu", "n_layers": 2}),
        ({"attention": "bidirectional"}, {"attention_dir": "bidirectional"}),
        ({"normalization": "LN"}, {"normalization_type": "LN"}),
        ({"normalization": "LNPre", "act_fn": "silu"}, {"normalization_type": "LNPre", "act_fn": "silu", "eps": 1e-5}),
        ({"read_at": "last"}, {"n_ctx": 2}),
    ],
)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_transformer_lens_there_and_back(tmp_path, changes, config, suffix):
    task = Polynomial(p=5, expression="x^2+y")
    spec = TransformerSpec(**(SMALL | ALL_BIASES | changes))
    model = drawn(task, spec)
    state = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    path = tmp_path / f"net.{suffix}"
    if suffix == "pt":
        torch.save(state | {"blocks.0.attn.IGNORE": torch.tensor(-torch.inf)}, path)
    else:
        save_file(state, path)
    stated = {"task": {"kind": "polynomial", "p": 5, "expression": "x^2+y"}, "act_fn": "relu", "seed": None, "steps": 4}
    (tmp_path / "net.json").write_text(json.dumps(stated | config))
    run = import_run("transformer-lens", path, tmp_path / "run")
    assert (run.experiment.model, run.experiment.task) == (spec, task)
    assert same(run, 4, logits_of(model, task))
    assert run.experiment.split.trained_on == "unknown"


def test_transformer_lens_learns_the_task_from_the_network(tmp_path):
    """More positions than are used, and an output for "=", as TransformerLens's users have them."""
    constructed = Constructed(p=7, amplitudes={1: 8.0, 2: 6.0}, circles={1: 1.0})
    state = {name: value.clone() for name, value in constructed.model().state_dict().items()}
    state["pos_embed.W_pos"] = torch.cat([state["pos_embed.W_pos"], torch.ones(2, state["pos_embed.W_pos"].shape[1])])
    state["unembed.W_U"] = torch.nn.functional.pad(state["unembed.W_U"], (0, 1))
    state["unembed.b_U"] = torch.nn.functional.pad(state["unembed.b_U"], (0, 1))
    path = save(tmp_path, state, {"d_vocab": 8, "act_fn": "relu"}, ("net.pt", "config.json"))
    run = import_run("transformer-lens", path, tmp_path / "run")
    assert run.experiment.task == ModularAddition(p=7)
    assert same(run, 1, constructed.checkpoint().logits)


def test_the_default_directory_is_named_after_the_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "S3", lookup(group("S3")), cfg("SymmetricGroup", 3))
    run = import_run("chughtai", tmp_path / "S3")
    assert run.path.parent.name == "checkpoints"
    assert run.path.name == f"chughtai-S3-{run.directory.run_id}"
    assert Experiment.from_dict(run.directory.experiment) == run.experiment


# --- splits that were drawn elsewhere --------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [3, 4, 5, 7])
def test_a_split_that_is_written_out_is_read_back(p):
    """Bit i, from the left, is example i, for any number of examples."""
    task, is_train = ModularAddition(p=p), shuffled(p, 1, 0.4)
    digits = written_out(is_train)
    bits = bin(int(digits, 16))[2:].zfill(4 * len(digits))
    assert [i for i, bit in enumerate(bits) if bit == "1"] == is_train.nonzero().flatten().tolist()
    split = Split(fraction=int(is_train.sum()) / p**2, trained_on=digits)
    assert torch.equal(split.is_train(task, seed=9), is_train)
    experiment = Experiment(task=task, split=split)
    assert Experiment.from_dict(experiment.to_dict()) == experiment


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"trained_on": "xyz"}, 'trained_on=xyz: must be digits from 0 to f, or "unknown"'),
        ({"trained_on": ""}, 'trained_on=: must be digits from 0 to f, or "unknown"'),
        ({"trained_on": "unknown", "stratified": True}, "stratified=True: must be False"),
        ({"trained_on": "ff", "pairs": "unordered"}, "pairs=unordered: must be ordered"),
        ({"trained_on": "unknown", "label_noise": 0.1}, "label_noise=0.1: must be 0.0"),
        ({"trained_on": "ff"}, "split.trained_on=ff: must have 3 digits for 9 examples (there are 2)"),
        ({"trained_on": "001", "fraction": 0.2}, "split.trained_on=001: must have 3 digits for 9 examples"),
        ({"trained_on": "fff", "fraction": 0.5}, "split.trained_on=fff: must have 3 digits"),
        ({"trained_on": "ff0", "fraction": 0.5}, "split.trained_on=ff0: contains 8 examples, but fraction=0.5"),
    ],
)
def test_a_split_that_cannot_be_is_refused(changes, line):
    with pytest.raises(ConfigError) as refused:
        Experiment(task=ModularAddition(p=3), split=Split(**changes))
    assert str(refused.value).startswith(line)
