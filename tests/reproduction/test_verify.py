"""verify: published numbers read from releases, measured again, compared, printed."""

import json
import math

import pytest

from grokinterp.errors import RunDirectoryError
from grokinterp.interop import RELEASES
from grokinterp.maths.groups import group
from grokinterp.models import TransformerSpec
from grokinterp.reproduction.claims import Claim
from grokinterp.reproduction.comparison import Comparison, compared, networks, table, verify
from grokinterp.reproduction.releases import claims_of, our_irrep
from grokinterp.tasks import ModularAddition
from tests.support.released import cfg, drawn, lookup, pizza_config, save, transposed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two releases with correct and wrong published numbers, deep below a directory, and an unrelated file."""
    top = tmp_path_factory.mktemp("released")
    (top / "deep" / "er").mkdir(parents=True)
    save(top / "deep" / "er" / "S3", lookup(group("S3")), cfg("SymmetricGroup", 3))
    numbers = {"train_acc": 1.0, "test_acc": 0.5, "percent_logits_explained": 1.0, "sum_of_squared_weights": 0.0}
    numbers |= {"logit_standard_rep_trace_similarity": 0.8944, "logit_sign_rep_trace_similarity": 7, "note": "text"}
    (top / "deep" / "er" / "S3" / "summary_metrics.json").write_text(json.dumps(numbers))
    (top / "deep" / "er" / "S3" / "key_reps.txt").write_text("standard\nsign\n")
    spec = TransformerSpec(d_model=8, n_heads=2, d_mlp=12, biases="mlp", attention="bidirectional", read_at="last")
    save(top, transposed(drawn(ModularAddition(p=5), spec)), pizza_config(5), ("model_a.pt", "config_a.json"))
    (top / "broken.pth").write_bytes(b"no network")
    (top / "bare.pt").write_bytes(b"no network")
    (top / "bare.result.json").write_text("{}")
    (top / "alone.pt").write_bytes(b"nobody says what this is")
    return top


def test_every_release_below_a_directory_is_found(folder):
    found = [(kind, path.relative_to(folder).as_posix()) for kind, path in networks(folder)]
    assert found == [
        ("nanda", "bare.pt"),
        ("nanda", "broken.pth"),
        ("chughtai", "deep/er/S3"),
        ("pizza", "model_a.pt"),
    ]


def test_published_numbers_are_measured_again(folder):
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    lines = verify(folder)
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    by_name = {line.quantity: line for line in lines if line.network == "chughtai/S3"}
    assert by_name["train_acc"].agrees
    assert (by_name["test_acc"].ours, by_name["test_acc"].verdict) == (1.0, "differs")
    assert "sum_of_squared_weights" not in by_name  # 0: nobody measured it
    similarity = by_name["logit_standard_rep_trace_similarity"]
    assert similarity.difference == pytest.approx(abs(similarity.ours - 0.8944))
    assert by_name["logit_sign_rep_trace_similarity"].verdict == "differs"
    (broken,) = [line for line in lines if line.network == "nanda/broken"]
    assert broken.quantity.startswith("not read: ")
    assert broken.verdict == "not measured"


def test_without_a_release_it_says_so(tmp_path):
    with pytest.raises(RunDirectoryError, match="contains no release that can be verified"):
        verify(tmp_path)
    with pytest.raises(RunDirectoryError, match="is not a directory"):
        verify(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("claim", "ours", "agrees"),
    [
        (Claim("a", "a", 0.5), 0.50009, True),
        (Claim("a", "a", 0.5), 0.50011, False),
        (Claim("a", "a", 0.5, digits=2), 0.5049, True),
        (Claim("a", "a", 0.5, digits=2), 0.506, False),
        (Claim("a", "a", 0.5, error=0.01), 0.519, True),
        (Claim("a", "a", 0.5, error=0.01), 0.521, False),
        (Claim("a", "a", 2e-8, is_loss=True), 2.019e-8, True),
        (Claim("a", "a", 2e-8, is_loss=True), 2.021e-8, False),
        (Claim("a", "a", 0.5), math.nan, False),
        (Claim("a", "a", 0.5), None, False),
        (Claim("a", "a", ("36", "52")), [52, 36], True),
        (Claim("a", "a", ("36", "52")), [52], False),
        (Claim("a", "a", "pizza"), "pizza", True),
        (Claim("a", "a", "pizza"), "clock", False),
    ],
)
def test_a_claim_agrees_within_its_tolerance(claim, ours, agrees):
    assert compared("network", claim, ours).agrees is agrees


def test_the_table_counts_and_names_networks_once():
    lines = [
        Comparison("a", "x", 0.5, 0.5, 0.0, agrees=True),
        Comparison("a", "y", ("1", "2"), ("1",), None, agrees=False),
        Comparison("b", "z", 1e-7, None, None, agrees=False),
    ]
    text = table(lines)
    assert [line for line in text.splitlines() if line in ("a", "b")] == ["a", "b"]
    assert text.endswith("1 of 3 agree")
    assert [line.split()[-1] for line in text.splitlines() if line[:1] in "xyz" and line] == [
        "agrees",
        "differs",
        "measured",
    ]


@pytest.mark.parametrize(
    ("family", "n", "ours"),
    [("Symmetric", 4, "sign"), ("Dihedral", 4, "sign"), ("Dihedral", 5, "sign"), ("Alternating", 4, None)],
)
def test_the_sign_has_our_name_in_every_group_that_has_one(tmp_path, family, n, ours):
    g = group(f"{family[0]}{n}")
    release = RELEASES["chughtai"](save(tmp_path, lookup(g), cfg(f"{family}Group", n)))
    assert our_irrep("sign", release) == ours


@pytest.mark.parametrize(("n", "ours"), [(6, "freq_3"), (8, "freq_4"), (5, None)])
def test_the_sign_of_a_cyclic_group_is_its_highest_frequency(tmp_path, n, ours):
    release = RELEASES["chughtai"](save(tmp_path, lookup(group(f"C{n}")), cfg("CyclicGroup", n)))
    assert our_irrep("sign", release) == ours


def test_numbers_of_the_sign_are_compared_where_it_is_no_key(tmp_path):
    path = save(tmp_path, lookup(group("D5")), cfg("DihedralGroup", 5))
    (tmp_path / "summary_metrics.json").write_text('{"percent_x_embed_sign_rep": 0.0}')
    (tmp_path / "key_reps.txt").write_text("freq_1\n")
    names = {(claim.measure, claim.label) for claim in claims_of("chughtai", RELEASES["chughtai"](path))}
    assert ("embedding_fve_left", "sign") in names


def test_representations_have_one_name_each(folder):
    release = RELEASES["chughtai"](folder / "deep" / "er" / "S3")
    assert [our_irrep(name, release) for name in ("standard", "sign", "s3_2d", "s3_7d", "odd")] == [
        "standard",
        "sign",
        "standard",
        None,
        None,
    ]
    assert {claim.measure for claim in claims_of("chughtai", release)} >= {"key_irreps", "irreps_explained"}
