"""BibTeX of what a run used: this package, and the papers of its task, model, training, and analyses."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from grokinterp._version import __version__
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.page import asset
from grokinterp.report.glossary import CITATION, REFERENCES
from grokinterp.runs.results import Results

SOURCE = re.compile(r"Source: (.+?)(?:\n\n|\Z)", re.DOTALL)
"""The section of a docstring that cites papers."""

ENTRY = re.compile(r"\* (?P<who>[^,(]+?) (?P<year>(?:19|20)\d\d)(?: \((?P<all>[^)]*)\))?, (?P<works>.+)")
"""A line of the references: authors, year, all authors if they are listed, and one or several works."""

ARXIV = re.compile(r",? arXiv (\d{4}\.\d{4,5})")

SETTINGS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("model.attention_rate", lambda value: value < 1, "Zhong et al. 2023"),
    ("model.attention_fn", lambda value: value == "stablemax", "Prieto et al. 2025"),
    ("model.initialization", lambda value: value == "mup", "Yang et al. 2022"),
    ("model.dropout", lambda value: value > 0, "Srivastava et al. 2014"),
    ("model.normalization", lambda value: value in ("LN", "LNPre"), "Ba et al. 2016"),
    ("model.normalization", lambda value: value == "BN", "Ioffe and Szegedy 2015"),
    ("model.output_scale", lambda value: value != 1, "Kumar et al. 2023"),
    ("model.kind", lambda value: value == "transformer", "Vaswani et al. 2017"),
    ("model.kind", lambda value: value == "recursive", "Jolicoeur-Martineau 2025"),
    ("model.act_fn", lambda value: value == "quadratic", "Gromov 2023"),
    ("optimization.optimizer", lambda value: value == "adamw", "Loshchilov and Hutter 2017"),
    ("optimization.optimizer", lambda value: value == "muon", "Jordan et al. 2024"),
    ("optimization.loss", lambda value: value == "stablemax", "Prieto et al. 2025"),
    ("optimization.init_scale", lambda value: value != 1, "Liu et al. 2022"),
    ("optimization.constrain_norm", bool, "Liu et al. 2022"),
    ("optimization.average", lambda value: value is not None, "Polyak and Juditsky 1992"),
    ("optimization.clip_norm", lambda value: value is not None, "Pascanu et al. 2013"),
    ("optimization.precision", lambda value: value in ("float16", "bfloat16"), "Micikevicius et al. 2018"),
    ("split.label_noise", lambda value: value > 0, "Zhang et al. 2017"),
)
"""The paper behind a value of a setting: the setting, the test of its value, and the citation."""

ALWAYS = {"grokking": "Power et al. 2022", "phases of training": "Nanda et al. 2023"}
"""The papers on which every run rests."""

MOST_USES = 6
"""Largest number of uses that are named for one paper."""


class Work(NamedTuple):
    """A work in the references.

    Attributes:
        who: its authors as cited: "Nanda et al.", "Gromov", "Loshchilov and Hutter".
        year: its year.
        authors: its authors as BibTeX lists them.
        title: its title.
        arxiv: its number on arXiv; "" if it is not stated.
    """

    who: str
    year: str
    authors: str
    title: str
    arxiv: str

    @property
    def cited_as(self) -> tuple[str, str]:
        """The first author and the year, by which a citation finds the work."""
        return re.split(r"[ ,]", self.who)[0], self.year


def bibtex(results: Results) -> str:
    """Return the entries of everything that a run used; above each, a comment says for what.

    Raises:
        RunDirectoryError: the configuration of the run cannot be read.
    """
    found = used(results)
    works = [work for work in listed_works() if work.cited_as in found]
    parts = [own_entry()]
    for work, key in zip(works, keys(works), strict=True):
        uses = list(dict.fromkeys(found[work.cited_as]))
        more = [f"and {len(uses) - MOST_USES} more"] if len(uses) > MOST_USES else []
        parts.append(f"% {', '.join([*uses[:MOST_USES], *more])}\n{entry(work, key)}")
    return "\n\n".join(parts) + "\n"


def used(results: Results) -> dict[tuple[str, str], list[str]]:
    """Return for what each cited work, by first author and year, was used."""
    found: dict[tuple[str, str], list[str]] = {}
    for use, text in citations(results):
        for match in CITATION.finditer(text):
            found.setdefault((match[1], match[2]), []).append(use)
    return found


def citations(results: Results) -> Iterator[tuple[str, str]]:
    """Yield every use with the text that cites its source."""
    yield from ALWAYS.items()
    configuration = results.directory.experiment
    try:
        experiment = Experiment.from_dict(configuration)
    except ConfigError:  # a configuration of another version: its analyses still have their sources
        experiment = None
    if experiment is not None:
        yield f"task {experiment.task.kind}", source_of(type(experiment.task))
        for one in experiment.optimization.filters:
            yield f"filter {one.kind}", source_of(type(one))
        settings = experiment.every_setting
        for key, holds, citation in SETTINGS:
            if key in settings and settings[key] is not None and holds(settings[key]):
                yield f"{key}={settings[key]}", citation
        yield from schedules(experiment)
    for name, dataset in results.analyses.items():
        yield f"analysis {name}", str(dataset.attrs.get("source", ""))


def schedules(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the schedules of a run that are not constant, and its curriculum, with their sources."""
    parts = experiment.optimization.schedules
    for name in ("lr", "weight_decay", "batch_size"):
        one = getattr(parts, name, None)
        if one is not None and one.kind != "constant":
            yield f"schedule of {name}: {one.kind}", source_of(type(one))
    curriculum = experiment.optimization.curriculum
    if curriculum != type(curriculum)():
        yield "curriculum", source_of(type(curriculum))


def source_of(kind: type) -> str:
    """Return the Source of the docstring of a class; "" without one."""
    found = SOURCE.search(inspect.getdoc(kind) or "")
    return " ".join(found[1].split()) if found else ""


def listed_works() -> list[Work]:
    """Return the works in the references, in their order."""
    lines = re.sub(r"\n  +", " ", asset(REFERENCES)).splitlines()
    return [work for line in lines if (match := ENTRY.fullmatch(line)) for work in works_of(match.groupdict())]


def works_of(parts: Mapping[str, str | None]) -> Iterator[Work]:
    """Yield the works of one line of the references, which are separated by semicolons if each has an arXiv number.

    >>> line = {"who": "Liu et al.", "year": "2022", "all": None, "works": "A, arXiv 2205.10343; B, arXiv 2210.01117"}
    >>> [(work.title, work.arxiv) for work in works_of(line)]
    [('A', '2205.10343'), ('B', '2210.01117')]
    """
    text = parts["works"] or ""
    works = text.split("; ") if len(ARXIV.findall(text)) > 1 else [text]
    for one in works:
        number = ARXIV.search(one)
        title = ARXIV.sub("", one).strip()
        who = parts["who"] or ""
        yield Work(who, parts["year"] or "", authors_of(who, parts["all"]), title, number[1] if number else "")


def authors_of(who: str, every: str | None) -> str:
    """Return the authors as BibTeX lists them.

    >>> authors_of("Nanda et al.", None), authors_of("Levi et al.", "Levi, Beck")
    ('Nanda and others', 'Levi and Beck')
    """
    return " and ".join(re.split(r", ", every)) if every else who.replace(" et al.", " and others")


def keys(works: Iterable[Work]) -> list[str]:
    """Return distinct keys: the first author, the year, and the first long word of the title.

    >>> keys([Work("Liu et al.", "2022", "", title, "") for title in ("Towards a theory", "Towards all")])
    ['liu2022towards', 'liu2022towards-2']
    """
    found: list[str] = []
    for work in works:
        words = [word.lower() for word in re.findall(r"[A-Za-z]+", work.title) if len(word) > 3]
        name = re.sub(r"[^a-z]", "", work.cited_as[0].lower())
        key = f"{name}{work.year}{words[0] if words else ''}"
        count = sum(one == key or one.startswith(f"{key}-") for one in found)
        found.append(key if not count else f"{key}-{count + 1}")
    return found


def entry(work: Work, key: str) -> str:
    """Return the BibTeX entry of a work."""
    fields = {"title": f"{{{work.title}}}", "author": work.authors, "year": work.year}
    if work.arxiv:
        fields |= {"eprint": work.arxiv, "archivePrefix": "arXiv"}
    lines = [f"  {name} = {{{latex(text)}}}" for name, text in fields.items()]
    return f"@{'article' if work.arxiv else 'misc'}{{{key},\n" + ",\n".join(lines) + "\n}"


def own_entry() -> str:
    """Return the entry of this package."""
    fields = {
        "title": "{grokinterp: mechanistic interpretability of grokking}",
        "author": "{The grokinterp developers}",
        "version": __version__,
        "note": "Software, MIT license",
    }
    lines = [f"  {name} = {{{text}}}" for name, text in fields.items()]
    return "% this package\n@software{grokinterp,\n" + ",\n".join(lines) + "\n}"


def latex(text: str) -> str:
    r"""Return text with the special characters of LaTeX escaped, except braces.

    >>> latex("A & B: 50 %")
    'A \\& B: 50 \\%'
    """
    return re.sub(r"([&%$#_])", r"\\\1", text)
