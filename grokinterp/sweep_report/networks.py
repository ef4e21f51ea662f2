"""The chapter on the networks: key frequencies of every seed, different circuits, and losses at a constrained norm."""

from collections.abc import Sequence

import numpy as np

from grokinterp.figures.sweeps.networks import ClassCount, KeySets, class_counts, key_sets, norm_landscape
from grokinterp.maths.equivalent_sets import first_relabeling, relabeled
from grokinterp.numbers import listed, number
from grokinterp.sweep_report.circuits import ANALYSIS, FREQUENCY, Circuits, Measured, circuits_of
from grokinterp.sweep_report.norms import Landscapes, finding, landscapes_of
from grokinterp.sweep_report.plate import Absent, Drawn, Plate, Table
from grokinterp.sweep_report.study import Study

MOST_ROWS = 120
"""Largest number of rows of the figure of keys: of networks, and of settings above them."""

MOST_SETTINGS = 40
"""Largest number of settings whose numbers of circuits are drawn."""

FEWEST = 2
"""Smallest number of networks that can have the same circuit."""

HOW = f"run `grokinterp analyze FOLDER --only {ANALYSIS} --last`"
"""The command that measures the keys of all networks of a folder."""


def draw_keys(study: Study) -> Drawn:
    """Draw the keys of the networks of the settings with most of them."""
    found = circuits_of(study)
    if not found.settings:
        return Absent(why_none(found))
    shown = shown_of(found)
    labels = tuple(dict.fromkeys(label for one in shown for label in one.labels))
    cyclic = all(one.is_cyclic for one in shown)
    return key_sets(
        [key_sets_of(one, labels) for one in shown],
        [label.removeprefix(FREQUENCY) if cyclic else label for label in labels],
        axis="frequency k" if cyclic else "irreducible representation",
        title="Key frequencies" if cyclic else "Key representations",
        relabeled="The same up to k → uk",
    )


def why_none(found: Measured) -> str:
    """Return the reason why no keys are known."""
    if not found.left_out:
        return "no network generalized"
    reasons = listed([f"{count} {why}" for why, count in found.left_out.items()])
    return f"networks that generalized: {reasons}; to measure them, {HOW}"


def shown_of(found: Measured) -> list[Circuits]:
    """Return the settings with most networks, in their order, that take at most ``MOST_ROWS`` rows together."""
    order = sorted(range(len(found.settings)), key=lambda i: -len(found.settings[i].seeds))
    total, chosen = 0, []
    for i in order:
        total += len(found.settings[i].seeds) + 1
        if chosen and total > MOST_ROWS:
            break
        chosen.append(i)
    return [found.settings[i] for i in sorted(chosen)]


def key_sets_of(of: Circuits, labels: Sequence[str]) -> KeySets:
    """Return the keys of a setting's networks in the columns of a figure; the most common class comes first."""
    classes, counts = of.classes, np.bincount(of.classes)
    order = np.lexsort((classes, -counts[classes]))
    values = np.where(of.is_key, of.similarity, np.nan)
    moved = relabeled(values, first_relabeling(of.is_key, of.symmetry), of.symmetry)
    columns = [labels.index(label) for label in of.labels]
    width = max(columns) + 1
    both = []
    for part in (values, moved):
        wide = np.full((len(part), width), np.nan)
        wide[:, columns] = part
        both.append(wide[order])
    names = {number: str(place) for place, number in enumerate(dict.fromkeys(classes[order].tolist()), 1)}
    has_moves = len(of.symmetry.relabelings) > 1
    return KeySets(
        of.name,
        [of.seeds[i] for i in order],
        both[0],
        both[1] if has_moves else None,
        [names[number] for number in classes[order].tolist()],
    )


def keys_caption(study: Study) -> str:
    """Return the caption of the keys."""
    found = circuits_of(study)
    shown = shown_of(found)
    cyclic = all(one.is_cyclic for one in shown)
    what = "frequencies" if cyclic else "irreducible representations"
    text = (
        f"The key {what} of the logits of every network that generalized, at its last checkpoint: one row a seed, "
        "colored by the cosine similarity of the logits with the character over the held-out examples."
    )
    if any(len(one.symmetry.relabelings) > 1 for one in shown):
        text += (
            " Right: the same sets after multiplication by the unit u modulo n that puts the smallest frequencies "
            "first. Rows with the same number on the right have the same set up to k → uk."
        )
    else:
        text += " Rows with the same number on the right have the same set."
    networks, drawn = (sum(len(one.seeds) for one in of) for of in (found.settings, shown))
    text += f" Drawn: {drawn} of {networks} networks." if drawn < networks else ""
    return f"{text}{not_drawn(found)}"


def not_drawn(found: Measured) -> str:
    """Return a sentence on the networks that generalized but whose keys are not known, if any."""
    if not found.left_out:
        return ""
    return f" Left out: {listed([f'{count} {why}' for why, count in found.left_out.items()])}."


def several(found: Measured) -> list[Circuits]:
    """Return the settings with at least two networks."""
    return [one for one in found.settings if len(one.seeds) >= FEWEST]


def draw_classes(study: Study) -> Drawn:
    """Draw the number of classes of every setting beside that of random sets."""
    found = circuits_of(study)
    settings = several(found)
    if not settings:
        return Absent("no setting has two networks with known keys" if found.settings else why_none(found))
    return class_counts([count_of(one) for one in with_most(settings)])


def with_most(settings: Sequence[Circuits]) -> list[Circuits]:
    """Return the settings with most networks, at most ``MOST_SETTINGS``, in their order."""
    order = sorted(range(len(settings)), key=lambda i: -len(settings[i].seeds))
    return [settings[i] for i in sorted(order[:MOST_SETTINGS])]


def classes_caption(study: Study) -> str:
    """Return the caption of the number of circuits."""
    count = len(several(circuits_of(study)))
    left = f" Drawn: {MOST_SETTINGS} of {count} settings, those with most networks." if count > MOST_SETTINGS else ""
    return f"{CLASSES}{left}"


def count_of(of: Circuits) -> ClassCount:
    """Return the number of classes of a setting and its distribution among random sets."""
    by_chance, count = of.by_chance, of.n_classes
    return ClassCount(
        f"{of.name}: {len(of.seeds)} networks",
        count,
        by_chance.expected,
        by_chance.quantile(0.025),
        by_chance.quantile(0.975),
        f"p = {probability(by_chance.at_most(count))}",
    )


def probability(value: float) -> str:
    """Return a p-value as text.

    >>> probability(1.0), probability(0.0436), probability(0.00002)
    ('1', '0.044', '<0.0001')
    """
    return "<0.0001" if value < 1e-4 else f"{value:.2g}"


CLASSES = (
    "Number of different key sets among the networks of a setting, where sets that differ only by an automorphism of "
    "the group (k → uk modulo n for cyclic and dihedral groups) count once. Random sets have as many keys as each "
    "network, drawn from all frequencies with the same greatest common divisor with n or, in other groups, from all "
    "representations. p is the probability of at most as many classes among random sets. A setting whose networks use "
    "all frequencies has one class by necessity."
)


def table(study: Study) -> Table | None:
    """Return the table of the classes; None without settings with several networks."""
    rows = []
    for one in several(circuits_of(study)):
        count = count_of(one)
        interval = f"{number(count.expected)} [{count.low}, {count.high}]"
        p = count.note.removeprefix("p = ")
        rows.append((one.name, one.group or "unknown", str(len(one.seeds)), one.sizes, str(count.classes), interval, p))
    columns = ("setting", "group", "networks", "keys", "different circuits", "by chance [95 %]", "p")
    return Table("Key sets of the networks that generalized", columns, rows) if rows else None


def draw_landscape(study: Study) -> Drawn:
    """Draw the losses and accuracies over the norm at which the weights were kept."""
    found = landscapes_of(study)
    return Absent(found) if isinstance(found, str) else norm_landscape(found.drawn, unit=found.unit)


def landscape_caption(study: Study) -> str:
    """Return the caption of the landscape."""
    found = landscapes_of(study)
    more = found.not_drawn if isinstance(found, Landscapes) else 0
    return (
        "Losses and accuracies at the end of runs whose weights were kept at a fixed norm: the reduced landscape of "
        "Liu et al. 2022 (Omnigrok), who found a training loss that falls with the norm (L) and a test loss that is "
        "lowest in a zone (U). Every point is a run; losses below 10⁻⁸ lie on the edge."
        + (f" {more} further settings are not drawn." if more else "")
    )


PLATES = (
    Plate("Key frequencies or representations of every network", draw_keys, keys_caption),
    Plate("Different circuits", draw_classes, classes_caption),
    Plate("Losses at a constrained norm", draw_landscape, landscape_caption),
)


def findings(study: Study) -> list[str]:
    """Return a sentence on the circuits, and one on the norm at which the networks generalize."""
    return [*circuit_findings(several(circuits_of(study))), *norm_findings(study)]


def circuit_findings(settings: Sequence[Circuits]) -> list[str]:
    """Return a sentence on the setting with most networks that can have the same circuit or not, if there is any."""
    open_ones = [one for one in settings if not one.by_chance.is_certain]
    if not open_ones:
        return []
    most = max(open_ones, key=lambda one: len(one.seeds))
    count = count_of(most)
    kind = "up to k → uk" if len(most.symmetry.relabelings) > 1 else "among their key representations"
    return [
        f"{most.name}: {len(most.seeds)} networks have {count.classes} different circuits {kind}; "
        f"{number(count.expected)} are expected by chance ({count.note})."
    ]


def norm_findings(study: Study) -> list[str]:
    """Return a sentence on the norm with the lowest test loss for every setting that is drawn."""
    found = landscapes_of(study)
    if isinstance(found, str):
        return []
    return [finding(one) for one in found.drawn]
