"""Naming the parts of a module: every accepted form, and one-line errors."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.analysis import analyze
from grokinterp.analysis.circuit.isolated_circles import isolated_circles
from grokinterp.analysis.circuit.symmetricity import symmetricity
from grokinterp.analysis.structure.fourier import embedding_spectrum, logit_spectrum
from grokinterp.analysis.structure.progress import progress_measures
from grokinterp.custom.recorder import Recorder
from grokinterp.errors import ConfigError, NotDefined, RunDirectoryError
from grokinterp.experiment import Experiment, Split
from grokinterp.models import TransformerSpec
from grokinterp.report import write_report
from grokinterp.report.vocabulary import vocabulary_of
from grokinterp.runs.trajectory import Trajectory
from grokinterp.tasks import ModularAddition, ModularSubtraction
from tests.support.own_modules import PAIRS, SUMS, TASK, WIDTH, WITH_EQUALS, Net, P, net, record
from tests.support.plain_twins import plain_transformer
from tests.support.small_runs import draw_checkpoints

# --- tables ----------------------------------------------------------------------------------------------------------


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


ONE_HOT = functional.one_hot(PAIRS, P).float()
torch.manual_seed(0)  # the layers below draw their weights here
TABLES: dict[str, tuple[Any, dict[str, Any], Any, Any]] = {
    "a parameter": (lambda m, x: (m.W[x].sum(1)).relu() @ m.V, {"W": drawn(P, 9), "V": drawn(9, P)}, PAIRS, "W"),
    "transposed": (lambda m, x: (m.W.T[x].sum(1)).relu() @ m.V, {"W": drawn(9, P), "V": drawn(9, P)}, PAIRS, "W"),
    "square, with its axes": (
        lambda m, x: (m.W.T[x].sum(1)).relu() @ m.V,
        {"W": drawn(P, P), "V": drawn(P, P)},
        PAIRS,
        "W[feature, token]",
    ),
    "linear on one-hot vectors": (
        lambda m, x: m.W(x).sum(1).relu() @ m.V,
        {"W": nn.Linear(P, 9, bias=False), "V": drawn(9, P)},
        ONE_HOT,
        "W",
    ),
    "one-hot vectors side by side": (
        lambda m, x: m.W(x).relu() @ m.V,
        {"W": nn.Linear(2 * P, 9), "V": drawn(9, P)},
        ONE_HOT.flatten(1),
        "W",
    ),
    "two tables": (
        lambda m, a, b: (m.A(a) + m.B(b)).relu() @ m.V,
        {"A": nn.Embedding(P, 9), "B": nn.Embedding(P, 9), "V": drawn(9, P)},
        tuple(PAIRS.T),
        ["A", "B"],
    ),
    "a table of each position": (
        lambda m, x: (m.W[0, x[:, 0]] + m.W[1, x[:, 1]]).relu() @ m.V,
        {"W": drawn(2, P, 9), "V": drawn(9, P)},
        PAIRS,
        "W",
    ),
}


@pytest.mark.parametrize("name", [*TABLES])
def test_a_table_is_what_a_token_is_turned_into(name, tmp_path):
    """The logits from the rows of ``embedding`` are those of the module, however it holds them."""
    forward, parts, inputs, named = TABLES[name]
    unembedding = "V[feature, class]" if name.startswith("square") else "V"
    module = Net(forward, **parts)
    checkpoint = record(tmp_path, module, inputs, parts={"embedding": named, "unembedding": unembedding})[0]
    model = checkpoint.model
    first, second = model.embedding.chunk(2, 1) if model.n_tables == 2 else (model.embedding, model.embedding)
    bias = (
        parts["W"].bias.detach()
        if name == "one-hot vectors side by side"
        else torch.zeros(9 - 2 * name.startswith("sq"))
    )
    h = (first[PAIRS[:, 0]] + second[PAIRS[:, 1]] + bias).relu()
    torch.testing.assert_close((h @ model.W_U).detach(), checkpoint.logits, rtol=1e-6, atol=1e-6)
    assert embedding_spectrum(checkpoint).embedding_power.shape == (P // 2,)
    assert isolated_circles(checkpoint).circle_accuracy.shape == (6,)
    if model.n_tables == 1:
        assert symmetricity(checkpoint).gradient_symmetricity > 0.999  # the sum alone counts
    else:
        with pytest.raises(NotDefined, match="a table of its own"):
            symmetricity(checkpoint)


def test_tied_tables_are_as_in_our_network(tmp_path):
    spec = TransformerSpec(d_model=WIDTH, n_heads=2, d_mlp=16, tied_embeddings=True)
    own = draw_checkpoints(tmp_path / "own", Experiment(task=TASK, model=spec, split=Split(fraction=0.5)), (20,))
    plain = Tied(plain_transformer(own.model(step=20)))
    problem = own.problem
    split = [(problem.tokens[of], problem.label[of]) for of in (problem.is_train, problem.is_test)]
    options = {"train": split[0], "test": split[1], "logits": first_classes}
    run = record(tmp_path / "run", plain, parts={"embedding": "of.emb", "unembedding": "of.emb"}, **options)
    assert run.experiment.model.reads == ("of",)
    for analysis in (symmetricity, isolated_circles, logit_spectrum):
        for one, other in zip(analysis(own[20]), analysis(run[0]), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9, equal_nan=True)


class Tied(nn.Module):
    """A plain transformer that unembeds by its embedding."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of
        of.out = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.linear(self.of(tokens), self.of.emb.weight)


def first_classes(output: Tensor) -> Tensor:
    """The logits at the last position, without that of "="."""
    return output[:, -1, :P]


# --- refusals --------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a part of another name": ({"parts": {"embed": "emb"}}, "parts=embed: must be among embedding, unembedding"),
    "no such submodule": (
        {"parts": {"embedding": "em"}},
        r"parts\['embedding'\]=em: must be a submodule or a parameter",
    ),
    "too few rows": (
        {"parts": {"embedding": "out"}, "module": net(emb=nn.Embedding(P, 6), out=nn.Linear(6, P))},
        r"out.weight \[7, 6\]: must have a row or a column for each of the 7 tokens",
    ),
    "a matrix that is no embedding": (
        {
            "inputs": WITH_EQUALS,
            "parts": {"embedding": "mid"},
            "module": Net(
                lambda m, x: m.out(m.mid(m.emb(x).sum(1))),
                emb=nn.Embedding(P + 1, P + 1),
                mid=nn.Linear(P + 1, P + 1),
                out=nn.Linear(P + 1, P),
            ),
        },
        r"mid.weight of Net: must be read only at an example's tokens: the first, \[0, 7\], depends on row 1",
    ),
    "a matrix that is not used": (
        {"parts": {"embedding": "spare"}, "module": net(spare=nn.Embedding(P, 3))},
        "the logits do not depend on it",
    ),
    "ambiguous orientation": (
        {
            "parts": {"embedding": "W"},
            "module": Net(lambda m, x: m.out(m.W[x].sum(1)), W=drawn(P, P), out=nn.Linear(P, P)),
        },
        r'has an ambiguous orientation: write "W\[token, feature\]" or "W\[feature, token\]"',
    ),
    "not what is read": (
        {"parts": {"unembedding": "spare"}, "module": net(spare=nn.Linear(3, P))},
        "must have 7 classes by the 8 features that the last linear layer reads",
    ),
    "a submodule of several matrices": (
        {"parts": {"embedding": "both"}, "module": net(both=nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))},
        "must contain one matrix; name one of these: both.0.weight, both.1.weight",
    ),
    "no attention": (
        {"parts": {"attention": "out"}},
        "must be a submodule that outputs or computes an attention pattern",
    ),
    "neurons that are no tensor of examples": ({"parts": {"neurons": "act"}}, "must be a submodule that runs once"),
    "parts without a task": ({"task": None, "parts": {"embedding": "emb"}}, "parts=embedding: needs task="),
    "words without need": ({"data": "sums"}, "data=sums: cannot be used with task=modular_addition"),
    "labels of another task": (
        {"task": ModularSubtraction(p=P)},
        r"train=example 1, tokens \[0, 3\], label 3: must have the label",
    ),
    "another modulus": ({"task": ModularAddition(p=5)}, r"must be an example of modular_addition, with tokens below 5"),
    "some of the examples": (
        {"inputs": PAIRS[:-2], "labels": SUMS[:-2]},
        r"must cover all 49 of modular_addition .* 2 are missing, the first .* \[6, 5\]",
    ),
    "an example twice": (
        {"inputs": torch.cat([PAIRS, PAIRS[:1]]), "labels": torch.cat([SUMS, SUMS[:1]])},
        "must be given only once",
    ),
    "inputs without tokens": (
        {"inputs": drawn(P * P, 2), "module": nn.Linear(2, P)},
        "must hold the 2 tokens of modular_addition",
    ),
    "a logit for =": (
        {"module": net(out=nn.Linear(WIDTH, P + 1))},
        "model=8 logits: must be the 7 classes .* pass logits=",
    ),
}


@pytest.mark.parametrize("name", [*REFUSED])
def test_what_does_not_fit_is_one_line_and_no_directory(name, tmp_path):
    options, line = REFUSED[name]
    with pytest.raises(ConfigError, match=line) as caught:
        record(tmp_path / "run", **({"module": net()} | options))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_what_was_not_named_is_said_with_the_argument_that_names_it(tmp_path):
    results = analyze(record(tmp_path, net()), only=["embedding_spectrum", "neuron_frequencies", "attention_pattern", "logit_spectrum"])  # fmt: skip  # noqa: E501
    assert set(results.analyses) == {"logit_spectrum"}
    for analysis, key in (("embedding_spectrum", "embedding"), ("neuron_frequencies", "neurons"), ("attention_pattern", "attention")):  # fmt: skip  # noqa: E501
        assert f'Recorder(task=…, parts={{"{key}": …}}) names it' in results.not_defined[analysis]


def test_a_run_is_continued_and_reopened(tmp_path):
    parts = {"embedding": "emb", "unembedding": "out"}
    module = net()
    run = record(tmp_path / "run", module, parts=parts)
    assert run.experiment.task == TASK
    saved = json.loads((tmp_path / "run" / "experiment.json").read_text())
    assert saved["task"] == {"kind": "modular_addition", "p": P}
    assert saved["model"]["parts"]["embedding"]["names"] == ["emb.weight"]
    third = torch.arange(P * P) % 3 == 0
    split = {"train": (PAIRS[third], SUMS[third]), "test": (PAIRS[~third], SUMS[~third]), "task": TASK}
    with Recorder(tmp_path / "run", module, **split, parts=parts, resume=True) as recorder:
        recorder.record(5)
    with pytest.raises(RunDirectoryError, match="a different module"):
        Recorder(tmp_path / "run", module, **split, resume=True)
    without = Trajectory.open(tmp_path / "run")
    assert without.steps == (0, 5)
    assert embedding_spectrum(without[5]).embedding_power.shape == (3,)  # the weights suffice
    with pytest.raises(NotDefined, match="needs the module"):
        logit_spectrum(without[5])


def test_the_report_of_a_known_task_speaks_of_it(tmp_path, quick):
    run = record(tmp_path / "run", net(), parts={"embedding": "emb", "unembedding": "out"})
    results = analyze(run, only=["performance", "logit_spectrum", "embedding_spectrum", "circuit_verdict"])
    words = vocabulary_of(results)
    assert words.heading == ("task modular_addition: p 7", "module Net: 119 weights")
    assert words.has_frequencies
    assert words.examples == "pairs"
    page = write_report(tmp_path / "run", tmp_path / "run.html").read_text(encoding="utf-8")
    assert "model.parts.embedding.names" in page
    assert "key frequencies" in page


def test_the_order_of_the_examples_does_not_matter(tmp_path):
    module, order = net(), torch.randperm(P * P, generator=torch.Generator().manual_seed(1))
    third = torch.arange(P * P) % 3 == 0
    runs = [record(tmp_path / "a", module)]
    split = [(PAIRS[order][of], SUMS[order][of]) for of in (third[order], ~third[order])]
    runs.append(record(tmp_path / "b", module, train=split[0], test=split[1]))
    keys = torch.tensor([2])
    for one, other in zip(*(progress_measures(run[0], key_frequencies=keys) for run in runs), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(*(run.problem.is_train for run in runs))
