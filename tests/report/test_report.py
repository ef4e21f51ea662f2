"""The report as a file: one page, its own script only, every text escaped, explicit about missing parts."""

import base64
import hashlib
import itertools
import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple, get_args, get_type_hints

import numpy as np
import pytest

from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.models import TransformerSpec
from grokinterp.page import for_script
from grokinterp.page.html import shown
from grokinterp.phases import Phase
from grokinterp.report import render, write_report
from grokinterp.report.content import content, view_of
from grokinterp.report.explorer import explorer
from grokinterp.report.phase_table import MEASURES, Row, checkpoints_of, rows
from grokinterp.report.plate import View
from grokinterp.report.vocabulary import READ_AT, TWO_OPERANDS
from grokinterp.runs.datasets import read_analysis, write_analysis, write_not_defined
from grokinterp.runs.results import Results
from tests.support.blank_figures import blank_figures
from tests.support.report_data import (
    KEYS,
    KINDS,
    NOT_A_GROUP,
    NOT_CYCLIC,
    analyses,
    write_kind,
    write_run,
)
from tests.support.report_page import PAYLOADS, UNDRAWN, Page, chapters_of


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "planted", deep=True)


@pytest.fixture(scope="module")
def html(planted) -> str:
    results = Results.open(planted)
    with blank_figures():
        return render(results, chapters_of(results.analyses))


class Shown(NamedTuple):
    """A run and the text of its page."""

    view: View
    text: str


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, Shown]:
    """Every kind of run, its page rendered once."""
    folder, shown = tmp_path_factory.mktemp("kinds"), {}
    with blank_figures():
        for i, kind in enumerate(KINDS):
            results = Results.open(write_kind(folder / f"{i}", kind))
            shown[kind] = Shown(view_of(results), Page(render(results)).text)
    return shown


SHOWN = {"performance", "embedding_circles", "logit_spectrum", "gradient_weight_alignment"}
UNSHOWN = tuple(analyses(np.array([0, 1]), 13).keys() - SHOWN)


def test_a_report_with_its_figures_is_written_where_asked_and_is_the_same_every_time(tmp_path):
    path = write_run(tmp_path / "run", without=UNSHOWN)
    out = write_report(path, tmp_path / "new" / "report.html")
    assert out == tmp_path / "new" / "report.html"
    assert out.read_bytes() == render(Results.open(path)).encode("utf-8")
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_the_default_is_the_reports_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_report(write_run(tmp_path / "mine", steps=0, evaluations=0)) == Path("reports/mine.html")
    assert (tmp_path / "reports" / "mine.html").is_file()


def test_no_run_directory_no_report(tmp_path):
    with pytest.raises(RunDirectoryError, match="does not exist"):
        write_report(tmp_path / "nothing", tmp_path / "out.html")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_one_line(tmp_path):
    (tmp_path / "out.html").mkdir()
    run = write_run(tmp_path / "run", steps=0, evaluations=0)
    with pytest.raises(GrokinterpError, match=r"out\.html: is a directory"):
        write_report(run, tmp_path / "out.html")


def test_the_page_tells_the_whole_run(html):
    text = Page(html).text
    assert "Addition modulo 13: grokked" in text
    for heading in (
        "What it learned", "When", "How we know", "What is doubtful", "All curves", "Checkpoints", "Memorization",
        "Circuit formation", "Cleanup", "Generalization", "Structure", "Order of learning", "Groups", "Circuit",
        "Inside the network", "Loss landscape", "Numerical health", "Provenance", "Glossary", "References",
    ):  # fmt: skip
        assert heading in text, heading
    assert "Not shown" not in text
    assert f"Its key frequencies: {' and '.join(map(str, KEYS))}." in text
    assert "optimization.weight_decay" in text
    assert "47 %" in text


def test_every_plate_is_on_the_page_with_its_caption(html, planted):
    view, page = view_of(Results.open(planted)), Page(html)
    for plate in (plate for chapter in chapters_of(view.results.analyses) for plate in chapter.plates):
        data = plate.data(view)
        if plate.draw(data, view) is not None:
            assert plate.title in page.figures
            assert plate.text(data, view) in page.text


def test_the_glossary_has_every_analysis_and_the_papers_it_cites(planted, quick):
    path = planted.parent / "described"
    shutil.copytree(planted, path)
    grafts = read_analysis(path, "grafts").assign_attrs(
        title="Grafts", about="Return the loss with ``parts`` exchanged.\n\nz_c is the logit of class c.",
        source="Meng et al. 2022; Lau et al. 2023, §4.",
    )  # fmt: skip
    grafts["graft_loss"].attrs |= {"long_name": "loss of the checkpoint with a final part", "units": "nats"}
    write_analysis(path, "grafts", grafts)
    undrawn = grafts[["graft_loss"]].rename(graft_loss="share").assign_attrs(title="Group power", chapter="groups")
    write_analysis(path, "group_power", undrawn)
    shown = content(view_of(Results.open(path)), UNDRAWN)
    groups = {group.title: {entry.title: entry for entry in group.entries} for group in shown["glossary"]}
    names = {title for entries in groups.values() for title in entries}
    assert {name.replace("_", " ").capitalize() for name in Results.open(path).analyses} <= names
    assert "Group power" in groups["Groups"]
    entry = groups["Inside the network"]["Grafts"]
    assert entry.about == ["The loss with parts exchanged.", "z_c is the logit of class c."]
    assert entry.source == "Meng et al. 2022; Lau et al. 2023, §4"
    assert ("loss of the checkpoint with a final part", "nats") in entry.measures
    cited = [reference.split(",")[0] for reference in shown["references"]]
    assert {"Meng et al. 2022", "Lau et al. 2023", "Power et al. 2022"} <= set(cited)
    assert "Gross et al. 2024" not in cited


def test_nothing_comes_from_outside_and_only_our_script_runs(html):
    page = Page(html)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    code = [text for tag, text in page.inside if tag == "script"]
    style = "".join(text for tag, text in page.inside if tag == "style")
    for kind, text in (("script-src", code[-1]), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "*" not in policy
    urls = [attributes[name] for _, attributes in page.elements for name in ("src", "href") if name in attributes]
    assert all(url.startswith(("data:", "#")) for url in urls)
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.elements for name in attributes)
    assert set(re.findall(r"https?://[^\s\"]+", html)) == {"http://www.w3.org/2000/svg"}  # the name of a namespace


def test_the_page_can_be_read_without_seeing_it(html):
    page = Page(html)
    assert page.all("html") == [{"lang": "en"}]
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    assert all(svg.get("role") == "img" for svg in page.all("svg") if svg.get("aria-label"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [link["href"][1:] for link in page.all("a")]
    assert set(anchors) <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_the_figures_do_not_need_the_script(html):
    for section in html.split("<section")[1:]:
        assert "<figure" not in section or "<svg " in section
    titles = {str(title).partition(" at the steps")[0] for title in Page(html).figures}
    assert {"Spectra and logits", "Attention patterns", "Embedding circles"} <= titles
    assert {"Linear probes for the class", "Sharpness", "Logit margin"} <= titles
    assert '<div id="explorer" class="needs-script" hidden>' in html
    assert "<noscript>" in html


def test_no_date_no_path_of_this_machine(html, planted):
    assert str(planted) not in html
    assert str(Path(__file__).parents[2]) not in html


def poisoned(path: Path) -> Path:
    """A run whose files hold every payload, wherever they hold text."""
    texts, clean = dict(zip(PAYLOADS, PAYLOADS, strict=True)), [text for text in PAYLOADS if "\x00" not in text]
    write_run(path, steps=2, name="".join(PAYLOADS), changes={"task": texts} | texts)
    (path / "environment.json").write_text(json.dumps(texts))
    (path / "status.json").write_text(json.dumps(texts | {"status": "".join(PAYLOADS)}))
    data = read_analysis(path, "performance")
    about = {"title": " ".join(clean), "about": "\n\n".join(clean), "source": " ".join(clean)}
    skipped = json.dumps({str(step): payload for step, payload in enumerate(clean)})
    for variable in data.data_vars.values():
        variable.attrs |= {"long_name": " ".join(clean), "units": " ".join(clean)}
    write_analysis(path, "performance", data.assign_attrs(about, skipped=skipped, thinned=" ".join(clean)))
    write_not_defined(path, {f"name_{i}": payload for i, payload in enumerate(PAYLOADS)})
    return path


@pytest.mark.usefixtures("quick")
def test_payloads_are_shown_and_not_run(tmp_path):
    clean = Page(render(Results.open(write_run(tmp_path / "clean", steps=2)), UNDRAWN))
    page = Page(render(Results.open(poisoned(tmp_path / "poisoned")), UNDRAWN))
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in clean.elements}
    assert page.all("script") == clean.all("script")
    assert [payload for payload in PAYLOADS if shown(payload) not in page.text] == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_cannot_leave_the_data_of_the_script(payload):
    text = for_script({payload: [payload]})
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == {payload: [payload]}


def test_a_parameter_name_cannot_leave_its_figure(tmp_path):
    path = write_run(tmp_path / "run", without=UNSHOWN)
    clean = Page(render(Results.open(path)))
    data = read_analysis(path, "gradient_weight_alignment")
    names = ["</svg><script>alert(1)</script>", "$\\frac{", "a\"b'c", "%3Cscript%3E"]
    write_analysis(path, "gradient_weight_alignment", data.assign_coords(parameter=names))
    page = Page(render(Results.open(path)))
    assert page.all("script") == clean.all("script")


@pytest.mark.usefixtures("quick")
def test_missing_analyses_are_named(tmp_path):
    without = (
        "attention_map", "logit_map", "embedding_circles", "progress_measures", "softmax_collapse",
        "gradient_weight_alignment", "logit_spectrum",
    )  # fmt: skip
    path = write_run(tmp_path / "run", without=without)
    text, seen = Page(render(Results.open(path), UNDRAWN)).text, explorer(view_of(Results.open(path)), budget=10**6)
    assert seen.missing == "Not shown: logit map, embedding circles and attention map (not analyzed)."
    assert "Not shown: softmax collapse and gradient weight alignment (not analyzed)." in text
    assert "No causal evidence" in text


MENTIONED = {
    "group by MLP": (
        "task group_composition: group S5, convention left_first · "
        "model mlp: d_embed 256, embedding separate, combine sum, hidden 128",
        f"Not shown: embedding spectrum, neuron frequencies and embedding circles ({NOT_CYCLIC}); "
        "attention map and attention pattern (the model mlp has no attention).",
        "learns the training pairs", "cosine within a class", "Given two elements of the group S5",
        "Not defined for this run",
    ),
    "division": (
        "task modular_division: p 13 · model transformer: n_layers 1, d_model 16, n_heads 2, read_at equals",
        "Attention from “=” to a, for every pair (a, b), in the last layer, with each head's best frequency and the "
        "variance that it explains. Residues are in the order of their exponents of 2; 0 is omitted.",
        "colored by exponent of 2, from 0 (dark) to 11 (bright)", "key frequencies", "discrete logarithms",
    ),
    "three operands": (
        "task composition: outer modular_addition (p 13), inner modular_addition (p 13) · model transformer",
        f"embedding circles ({NOT_A_GROUP}); attention map (composition does not have two operands).",
        "learns the training examples", "leaked share of the test examples",
        "Attention from “=” to every position, averaged over the examples.",
    ),
    "pooled": ("Attention from all positions, pooled, to a, for every pair (a, b)", "colored by token from 0"),
    "squared error": ("The test loss has left its plateau"),
    "StableMax": ("Progress measures are cross-entropies of the softmax, which", "-log StableMax"),
    "label noise": ("Mislabeled examples",),
}  # fmt: skip
OMITTED = {
    "group by MLP": ("key frequenc", "(a + b)", "“=”", "Fourier", "learns the training e"),
    "division": ("(a + b) mod p", "Not defined", "Mislabeled"),
    "three operands": ("learns the training pairs", "test pairs", "key frequenc", "Chughtai"),
    "pooled": ("from “=”", "from the last token"),
    "squared error": ("nats", "Weight decay removes"),
    "StableMax": ("mean centered logit [nats]", "squared error,"),
    "label noise": ("Not defined",),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_has_the_words_of_its_run(kind, kinds):
    text = kinds[kind].text
    assert [words for words in MENTIONED[kind] if words not in text] == []
    assert [words for words in OMITTED[kind] if words in text] == []


@pytest.mark.parametrize("kind", ["division", "pooled", "label noise"])
def test_nothing_is_missing_where_everything_is_defined(kind, kinds):
    assert explorer(kinds[kind].view, budget=10**6).missing == ""


@pytest.mark.usefixtures("quick")
def test_a_reason_is_given_once_a_section(kinds):
    view = kinds["group by MLP"].view
    shown = content(view)
    assert len(shown["borders"].gallery.pictures) == 1
    seen = explorer(view, budget=10**6)
    assert seen.missing.count(NOT_CYCLIC) == 1
    assert [panel.name for panel in seen.panels] == ["logit_by_label"]
    assert shown["not_defined"] == dict(sorted(KINDS["group by MLP"].not_defined.items()))


def first_rows(view: View) -> list[Row]:
    """The measures at the first and at the last checkpoint."""
    steps = view.results.dataset["step"].values
    return rows(view.results.dataset, view.vocabulary, [int(steps[0]), int(steps[-1])])


def test_squared_errors_are_not_nats(kinds):
    units = {row.label: row.unit for row in first_rows(kinds["squared error"].view)}
    assert set(units.values()) == {"1"}
    ours = [measure for measure in MEASURES if measure.unit in ("{unit}", "{logit_unit}")]
    nats = {measure.label.format(examples="pairs") for measure in ours}
    assert {"train loss", "restricted loss, all pairs", "logit margin, train pairs"} <= nats <= units.keys()


def test_logits_of_stablemax_are_not_nats(kinds):
    units = {row.label: row.unit for row in first_rows(kinds["StableMax"].view)}
    assert (units["train loss"], units["logit margin, train pairs"]) == ("nats", "1")


def test_only_tasks_with_two_operands_have_pairs():
    from grokinterp.tasks import TASKS, BinaryTask

    assert all(issubclass(TASKS[kind], BinaryTask) for kind in TWO_OPERANDS & TASKS.keys())


def test_every_place_where_an_answer_is_read_has_a_name():
    places = get_args(get_type_hints(TransformerSpec)["read_at"])
    assert set(READ_AT) == set(places)


def test_phases_are_shown_at_their_nearest_checkpoints():
    steps = np.array([0, 100, 200])
    assert checkpoints_of(Phase("memorization", 0, 90), steps) == [0, 100]
    assert checkpoints_of(Phase("cleanup", 90, 110), steps) == [100]
    assert checkpoints_of(Phase("cleanup", 0, 5), np.array([], dtype=int)) == []
