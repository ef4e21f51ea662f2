"""The model card of a published folder: README.md with a YAML header, as the Hugging Face hub reads it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from grokinterp._version import __version__
from grokinterp.display import specification
from grokinterp.errors import GrokinterpError, one_line
from grokinterp.experiment import Experiment
from grokinterp.numbers import number, settings, whole
from grokinterp.runs.results import Results
from grokinterp.runs.summary import final_measures
from grokinterp.specification import plain
from grokinterp.tasks import Task
from grokinterp.tasks.descriptions import named

TAGS = ("grokinterp", "grokking", "mechanistic-interpretability")

METRICS = {"test_accuracy": ("accuracy", "test accuracy"), "train_accuracy": ("accuracy", "train accuracy"),
           "test_loss": ("loss", "test loss")}  # fmt: skip
"""Type and name on the hub of the measures in the header."""

MOST_MEASURES = 60
"""Largest number of measures in the table; measures.json contains all of them."""

SPECIAL = re.compile(r"[\\`*_{}\[\]<>|#~]")


def card(
    results: Results, experiment: Experiment, *, loading: str, steps: Sequence[int], files: Mapping[str, str]
) -> str:
    """Return the model card of a run.

    Args:
        results: the run.
        experiment: its configuration.
        loading: how to load the weights, as Markdown.
        steps: the exported steps.
        files: what each file of the folder contains.
    """
    measured = final_measures(results)
    parts = [
        "\n".join(header(results, experiment, measured)),
        f"# {md(results.directory.experiment.get('name', 'run'))}",
        md(sentence_of(results)),
        table(("", ""), about(results, experiment, steps)),
        *phases(results),
        "## Measures of the last step",
        table(
            ("measure", "value"), list(measure_rows(measured))[:MOST_MEASURES] or [("none", "the run has no metrics")]
        ),
        "## How to load",
        loading,
        "## Files",
        table(("file", "content"), [(f"`{name}`", md(text)) for name, text in files.items()]),
        "## Training",
        table(("setting", "value"), [(f"`{key}`", md(value)) for key, value in settings(results.directory.experiment)]),
        f"Exported by grokinterp {__version__}, run `{results.directory.run_id}`; `grokinterp cite` lists the papers.",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def header(results: Results, experiment: Experiment, measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the YAML header; every text is a JSON string, which YAML reads as the same text."""
    name, kind = str(results.directory.experiment.get("name", "run")), experiment.task.kind
    yield from ("---", "library_name: grokinterp", "tags:")
    yield from (f"- {json.dumps(tag)}" for tag in (*TAGS, kind.replace("_", "-"), experiment.model.kind))
    known = [(key, float(measured[key])) for key in METRICS if isinstance(measured.get(key), int | float)]
    if known:
        yield from ("model-index:", f"- name: {json.dumps(one_line(name))}", "  results:", "  - task:")
        yield from ("      type: other", f"      name: {json.dumps(named(plain(experiment.task))[0])}", "    dataset:")
        yield from (
            f"      type: {json.dumps(kind)}",
            f"      name: {json.dumps(specification(experiment.task, sized=True))}",
        )
        yield "    metrics:"
        for key, value in known:
            yield from (f"    - type: {METRICS[key][0]}", f"      value: {value!r}", f"      name: {METRICS[key][1]}")
    yield from ("# license: state under which license these weights may be used", "---")


def sentence_of(results: Results) -> str:
    """Return the verdict in a sentence, or why there is none."""
    try:
        return results.sentence
    except GrokinterpError as error:
        return f"No verdict: {getattr(error, 'why', error)}."


def about(results: Results, experiment: Experiment, steps: Sequence[int]) -> list[tuple[str, str]]:
    """Return the task, the model, and the exported steps."""
    saved = f"{whole(steps[0])} to {whole(steps[-1])}, {len(steps)} checkpoints" if len(steps) > 1 else whole(steps[-1])
    status = results.directory.status
    return [
        ("task", md(in_words(experiment.task))),
        ("data", f"{md(specification(experiment.task, sized=True))}: {size_of(experiment.task)}"),
        ("model", f"{md(specification(experiment.model))}: {md(experiment.model.about)}"),
        ("optimization", md(specification_of(experiment))),
        ("steps", saved),
        ("status", md(str(status.get("status", "unknown")))),
        ("seed", str(experiment.seed)),
    ]


def in_words(task: Task) -> str:
    """Return the task in words; a task from outside this package describes itself."""
    title, sentence = named(plain(task))
    return f"{title}. {sentence}" if sentence else f"{title}: {task.about}"


def size_of(task: Task) -> str:
    """Return how many examples and classes a task has; a regression has no classes."""
    classes = f", {whole(task.n_classes)} classes" if task.allowed_error is None else ""
    return f"{whole(task.n_examples)} examples{classes}"


def specification_of(experiment: Experiment) -> str:
    """Return the optimizer with the settings that matter most."""
    one = experiment.optimization
    filters = f", filters {', '.join(part.kind for part in one.filters)}" if one.filters else ""
    rates = f"learning rate {number(one.lr)}, weight decay {number(one.weight_decay)}"
    return f"{one.optimizer}, {rates}, loss {one.loss}{filters}"


def phases(results: Results) -> Iterator[str]:
    """Yield the heading and the table of the phases; nothing without them."""
    try:
        found = results.history.phases
    except GrokinterpError:
        return
    if found:
        yield "## Phases"
        yield table(("phase", "first step", "last step"), [(p.name, whole(p.start), whole(p.stop - 1)) for p in found])


def measure_rows(measured: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the plain numbers, texts and lists among the measures."""
    for name, value in measured.items():
        if isinstance(value, int | float | str):
            yield f"`{name}`", md(number(value))
        elif isinstance(value, list):
            yield f"`{name}`", md(", ".join(map(str, value)) or "none")


def table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown.

    >>> print(table(("a", "b"), [("1", "2")]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([f"| {' | '.join(names)} |", f"|{'---|' * len(names)}", *lines])


def md(text: object) -> str:
    r"""Return text that Markdown shows unchanged, in one line.

    >>> md("a|b <i>c</i>")
    'a\\|b \\<i\\>c\\</i\\>'
    """
    return SPECIAL.sub(lambda match: f"\\{match[0]}", one_line(text))
