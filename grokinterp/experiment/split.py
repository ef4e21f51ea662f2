"""The split into training, validation and test examples, and label noise."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxtyping import Bool, Int

from grokinterp.errors import ConfigError, require, short
from grokinterp.experiment.random_streams import NOISE, stream
from grokinterp.lazy import Tensor, torch
from grokinterp.specification import Specification
from grokinterp.tasks import Task
from grokinterp.tasks.task import Labels

ORDERS_TRIED = 100

UNKNOWN = "unknown"
"""The value of ``Split.trained_on`` if the training examples are unknown."""


class Parts(NamedTuple):
    """Masks of the training and the validation examples; the other examples are the test set."""

    is_train: Bool[Tensor, "example"]
    is_validation: Bool[Tensor, "example"]


class Sizes(NamedTuple):
    """The number of examples of each part."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Split(Specification):
    """A split with an exact fraction of training examples, drawn by a separate generator.

    ``validation`` is a fraction of all examples, drawn from the remaining examples and held out from training and
    testing. ``pairs="unordered"`` assigns examples that determine each other's answer, (a, b) and (b, a), to the same
    part; ``"ordered"`` draws every example independently. ``stratified`` draws every class in proportion, by largest
    remainders; with whole pairs, a class may be off by one or two examples. Examples given by the task (``Task.given``)
    are always in the training set, examples withheld by it (``Task.withheld``) are neither in the training nor in the
    validation set, and the fraction refers to the other examples.

    ``label_noise`` is the fraction of training labels that are permuted, in one cycle through a random subset, which
    preserves the frequency of every class.

    ``seed`` determines all of these draws and the order of mini-batches; None uses the seed of the experiment.

    ``trained_on`` describes a split drawn elsewhere. It encodes the training examples, as many as the fraction states,
    with a hexadecimal digit for every four examples; the first example has the value 8 in the first digit, and so on.
    "unknown" means that the training examples are unknown: no example counts as a training or test example, and all are
    held out from both.

    Source: Zhang et al. 2017, Understanding deep learning requires rethinking generalization, and
    Doshi et al. 2023 for label noise.
    """

    fraction: float = 0.3
    validation: float = 0.0
    pairs: Literal["ordered", "unordered"] = "ordered"
    stratified: bool = False
    label_noise: float = 0.0
    seed: int | None = None
    trained_on: str | None = None

    def __post_init__(self) -> None:
        require(0 < self.fraction < 1, "fraction", self.fraction, "must lie strictly between 0 and 1")
        require(0 <= self.validation < 1, "validation", self.validation, "must be from 0 to below 1")
        rule = f"and fraction={self.fraction} must add up to less than 1"
        require(self.validation == 0 or self.fraction + self.validation < 1, "validation", self.validation, rule)
        require(0 <= self.label_noise <= 1, "label_noise", self.label_noise, "must be from 0 to 1")
        require(self.seed is None or 0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")
        if self.trained_on is not None:
            self._require_drawn_elsewhere(self.trained_on)

    def data_seed(self, seed: int) -> int:
        """Return the seed of all draws of data: the seed of the split if given, otherwise that of the experiment."""
        return seed if self.seed is None else self.seed

    def sizes(self, task: Task) -> Sizes:
        """Return the numbers of training, validation and test examples.

        They are given + ⌊fraction · (examples - given - withheld)⌋, ⌊validation · examples⌋, and the rest. These
        numbers, and the ⌊label_noise · train⌋ permuted labels, are rounded down as in the code released with the
        papers.

        Raises:
            ConfigError: a part, or the set of labels to permute, is empty.
        """
        examples, given = task.n_examples, task.n_given and int(self._given(task).sum())
        withheld = int(self._withheld(task).sum()) if task.withholds else 0
        train = given + _floor(self.fraction, examples - given - withheld)
        validation, held_out = _floor(self.validation, examples), examples - train
        rule = f"leaves no example to train or to test on ({examples} examples)"
        require(0 < train < examples, "split.fraction", self.fraction, rule)
        rule = f"leaves no example to validate with or to test on ({held_out} examples are outside training)"
        require(self.validation == 0 or 0 < validation < held_out, "split.validation", self.validation, rule)
        rule = f"leaves fewer than two labels to permute ({train} training examples)"
        enough = self.label_noise == 0 or _floor(self.label_noise, train) > 1
        require(enough, "split.label_noise", self.label_noise, rule)
        if self.trained_on not in (None, UNKNOWN):
            self._require_written(str(self.trained_on), examples, train)
        return Sizes(train, validation, held_out - validation)

    def draw(self, task: Task, *, seed: int) -> Parts:
        """Draw training and validation examples, exactly as many as ``sizes`` states.

        Groups of mirrored examples are taken in random order, class by class if stratified, each if it fits. An order
        that does not reach the exact number (one place left, and only pairs to fill it) is drawn again.

        Raises:
            ConfigError: whole groups do not add up to this number or, in a stratified split, have several classes.
        """
        (train, validation, _), given = self.sizes(task), self._given(task)
        if self.trained_on is not None:
            return self._drawn_elsewhere(task.n_examples)
        group, label = self._groups(task)
        available = ~self._withheld(task)
        generator = torch.Generator().manual_seed(self.data_seed(seed))
        for attempt in range(ORDERS_TRIED):
            shift = attempt % 2
            is_train = given | _drawn(~given & available, group, label, train - int(given.sum()), shift, generator)
            is_validation = _drawn(~is_train & available, group, label, validation, shift, generator)
            if int(is_train.sum()) == train and int(is_validation.sum()) == validation:
                return Parts(is_train, is_validation)
        another = f", and another {validation}" if validation else ""
        rule = f"found no set of whole pairs with exactly {train} examples{another}"
        raise ConfigError("split.fraction", self.fraction, rule)

    def require_one_answer(self, task: Task) -> None:
        """Raise ConfigError if a stratified split has no single class of each example to draw from."""
        fits = not self.stratified or task.n_answers == 1
        require(fits, "split.stratified", self.stratified, "needs a task with a single answer per example")

    def is_train(self, task: Task, *, seed: int) -> Bool[Tensor, "example"]:
        """Return the mask of the training examples."""
        return self.draw(task, seed=seed).is_train

    def trained_labels(self, task: Task, is_train: Bool[Tensor, "example"], *, seed: int) -> Labels:
        """Return the labels with label noise in the training set; some permuted labels may remain correct."""
        labels, among = task.labels(), is_train.nonzero().flatten()
        order = torch.randperm(len(among), generator=stream(self.data_seed(seed), NOISE))
        permuted = among[order[: _floor(self.label_noise, len(among))]]
        return labels.index_put((permuted,), labels[permuted.roll(1)])

    def _require_drawn_elsewhere(self, trained_on: str) -> None:
        """Raise ConfigError unless ``trained_on`` encodes a split and no other setting requires a draw."""
        written = trained_on == UNKNOWN or re.fullmatch("[0-9a-f]+", trained_on) is not None
        require(written, "trained_on", short(trained_on), f'must be digits from 0 to f, or "{UNKNOWN}"')
        plain = {"validation": 0.0, "pairs": "ordered", "stratified": False}
        for key, value in (plain | ({"label_noise": 0.0} if trained_on == UNKNOWN else {})).items():
            rule = f"must be {value} if trained_on defines the split"
            require(getattr(self, key) == value, key, getattr(self, key), rule)

    def _require_written(self, digits: str, examples: int, train: int) -> None:
        """Raise ConfigError unless the digits encode the given number of training examples."""
        wanted, ones = -(-examples // 4), int(digits, 16).bit_count()
        fits = len(digits) == wanted and int(digits[-1], 16) % 2 ** (4 * wanted - examples) == 0
        rule = f"must have {wanted} digits for {examples} examples (there are {len(digits)}), the last ones within them"
        require(fits, "split.trained_on", short(digits), rule)
        rule = f"contains {ones} examples, but fraction={self.fraction} requires {train}"
        require(ones == train, "split.trained_on", short(digits), rule)

    def _drawn_elsewhere(self, examples: int) -> Parts:
        """Return the parts encoded in ``trained_on``; if they are unknown, all examples are held out."""
        none = torch.zeros(examples, dtype=torch.bool)
        if self.trained_on == UNKNOWN:
            return Parts(none, ~none)
        digits = torch.tensor([int(digit, 16) for digit in str(self.trained_on)])
        return Parts((digits[:, None] >> torch.tensor([3, 2, 1, 0]) & 1).flatten()[:examples].bool(), none)

    def _given(self, task: Task) -> Bool[Tensor, "example"]:
        """Return the examples that are not drawn, including mirror images, whose answers they determine."""
        given = task.given()
        if self.pairs == "ordered" or not given.any():
            return given
        mirror = task.mirror()
        return torch.isin(mirror, mirror[given])

    def _withheld(self, task: Task) -> Bool[Tensor, "example"]:
        """Return the examples that are never trained on, including mirror images, which would reveal their answers."""
        withheld = task.withheld()
        if self.pairs == "ordered" or not withheld.any():
            return withheld
        mirror = task.mirror()
        return torch.isin(mirror, mirror[withheld])

    def _groups(self, task: Task) -> tuple[Int[Tensor, "example"], Int[Tensor, "example"]]:
        """Return the groups to keep together, and the classes to draw in proportion: a single one unless stratified."""
        group = task.mirror() if self.pairs == "unordered" else torch.arange(task.n_examples)
        if not self.stratified:
            return group, torch.zeros_like(group)
        self.require_one_answer(task)
        labels, (distinct, index) = task.label(), group.unique(return_inverse=True)
        one_of = torch.zeros_like(distinct).scatter(0, index, labels)
        rule = "mirrored examples of different classes cannot be split by class and in whole pairs"
        require(torch.equal(one_of[index], labels), "split.stratified", self.stratified, rule)
        return group, labels


def written_out(is_train: Bool[Tensor, "example"]) -> str:
    """Return the training examples in the encoding of ``Split.trained_on``.

    >>> written_out(torch.tensor([True, False, True, False, True, True]))
    'ac'
    """
    padded = torch.nn.functional.pad(is_train.long(), (0, -len(is_train) % 4)).unflatten(0, (-1, 4))
    return "".join(f"{digit:x}" for digit in (padded @ torch.tensor([8, 4, 2, 1])).tolist())


def _floor(fraction: float, examples: int) -> int:
    """Return ⌊fraction · examples⌋ without the rounding error of the product: ⌊0.29 · 100⌋ is 29."""
    return int(fraction * examples + 1e-9)


def _drawn(
    among: Bool[Tensor, "example"],
    group: Int[Tensor, "example"],
    label: Int[Tensor, "example"],
    wanted: int,
    shift: int,
    generator: "torch.Generator",
) -> Bool[Tensor, "example"]:
    """Draw at most ``wanted`` of the given examples, in whole groups."""
    drawn = torch.zeros_like(among)
    if not wanted:
        return drawn
    _, index, sizes = group[among].unique(return_inverse=True, return_counts=True)
    class_of = torch.zeros_like(sizes).scatter(0, index, label[among])
    taken = _take(sizes, class_of, wanted, shift, torch.randperm(len(sizes), generator=generator))
    return drawn.masked_scatter(among, taken[index])


def _take(
    sizes: Int[Tensor, "group"], class_of: Int[Tensor, "group"], wanted: int, shift: int, order: Int[Tensor, "group"]
) -> Bool[Tensor, "group"]:
    """Take groups class by class in this order, each if it fits; unused places are passed on to the next class.

    If all classes have an odd number of places, every class takes a single example and leaves only pairs; to ``shift``
    an example from the last class to the first avoids this.
    """
    taken, room = [False] * len(sizes), 0
    groups: dict[int, list[tuple[int, int]]] = {}
    for index, size, label in zip(order.tolist(), sizes[order].tolist(), class_of[order].tolist(), strict=True):
        groups.setdefault(label, []).append((index, size))
    shares = _shares({label: sum(size for _, size in members) for label, members in groups.items()}, wanted)
    shares[next(iter(groups))] += shift
    shares[next(reversed(groups))] -= shift
    for label, members in groups.items():
        room += shares[label]
        for index, size in members:
            if size <= room:
                taken[index], room = True, room - size
    return torch.tensor(taken)


def _shares(examples: dict[int, int], wanted: int) -> dict[int, int]:
    """Return the number of wanted examples per class, by largest remainders, with ties to the first class.

    >>> _shares({7: 2, 8: 3, 9: 3}, 4)
    {7: 1, 8: 2, 9: 1}
    """
    total = sum(examples.values())
    shares = {label: wanted * n // total for label, n in examples.items()}
    by_remainder = sorted(examples, key=lambda label: wanted * examples[label] % total, reverse=True)
    for label in by_remainder[: wanted - sum(shares.values())]:
        shares[label] += 1
    return shares


def leaked_share(task: Task, is_train: Bool[Tensor, "example"]) -> float:
    """Return the share of held-out examples whose mirror image is a training example, answerable by memorization."""
    mirror = task.mirror()
    return float(torch.isin(mirror[~is_train], mirror[is_train]).double().mean())
