"""Which examples are trained on, and with which labels."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jaxtyping import Bool, Int

from grokinterp.errors import ConfigError, require, short
from grokinterp.experiment.kinds import FORBID_UNKNOWN_KEYS
from grokinterp.experiment.random_streams import NOISE, stream
from grokinterp.lazy import Tensor, torch
from grokinterp.tasks import Task

ORDERS_TRIED = 100

UNKNOWN = "unknown"
"""What ``Split.trained_on`` says where the training examples are unknown."""


class Parts(NamedTuple):
    """The examples to train on and those to validate with; the rest is to test on."""

    is_train: Bool[Tensor, "example"]
    is_validation: Bool[Tensor, "example"]


class Sizes(NamedTuple):
    """How many examples each part has."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which examples are trained on: an exact fraction, drawn by a generator of its own.

    ``validation`` is a fraction of all examples, drawn from what is left and held out from training
    and testing. ``pairs="unordered"`` puts examples that give each other's answer away, (a, b) and
    (b, a), on the same side; ``"ordered"`` draws every example by itself. ``stratified`` draws every
    class in proportion, by largest remainders; with whole pairs a class may be off by one or two.
    Examples that the task gives (``Task.given``) are always trained on; the fraction is one of the
    others.

    ``label_noise`` is the fraction of the training labels that are permuted among themselves, in one
    cycle through a random subset: every class stays as frequent as it was.

    ``seed`` draws all of this and the order of mini-batches; None uses the experiment's.

    ``trained_on`` is for a split that was drawn elsewhere. It writes out the training examples, as
    many as the fraction says, a hexadecimal digit for every four: the first has the value 8 in the
    first digit, and so on. "unknown" says that nobody can tell: no example counts as trained or
    tested on then, each is held out from both.

    Source: Zhang et al. 2017, Understanding deep learning requires rethinking generalization, and
    Doshi et al. 2023 for label noise.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

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
        """What all drawing of data follows from: this split's seed, or the experiment's where it has none."""
        return seed if self.seed is None else self.seed

    def sizes(self, task: Task) -> Sizes:
        """Train on given + ⌊fraction · (examples - given)⌋, validate with ⌊validation · examples⌋, test on the rest.

        Rounded down as in the code released with the papers. So are the ⌊label_noise · train⌋ permuted labels.

        Raises:
            ConfigError: a part, or the labels to permute, come out empty.
        """
        examples, given = task.n_examples, task.n_given and int(self._given(task).sum())
        train = given + _floor(self.fraction, examples - given)
        validation, held_out = _floor(self.validation, examples), examples - train
        rule = f"leaves no example to train or to test on ({examples} examples)"
        require(0 < train < examples, "split.fraction", self.fraction, rule)
        rule = f"leaves no example to validate with or to test on ({held_out} examples are not trained on)"
        require(self.validation == 0 or 0 < validation < held_out, "split.validation", self.validation, rule)
        rule = f"leaves fewer than two labels to permute ({train} examples are trained on)"
        enough = self.label_noise == 0 or _floor(self.label_noise, train) > 1
        require(enough, "split.label_noise", self.label_noise, rule)
        if self.trained_on not in (None, UNKNOWN):
            self._require_written(str(self.trained_on), examples, train)
        return Sizes(train, validation, held_out - validation)

    def draw(self, task: Task, *, seed: int) -> Parts:
        """Training and validation examples, exactly as many as ``sizes`` says.

        Groups of mirrored examples are taken in random order, class by class if stratified, each if
        there is room for it. An order that does not come out even (one place left, and only pairs to
        fill it) is drawn again.

        Raises:
            ConfigError: whole groups do not add up to that number, or, of a stratified split, have
                several classes.
        """
        (train, validation, _), given = self.sizes(task), self._given(task)
        if self.trained_on is not None:
            return self._drawn_elsewhere(task.n_examples)
        group, label = self._groups(task)
        generator = torch.Generator().manual_seed(self.data_seed(seed))
        for attempt in range(ORDERS_TRIED):
            shift = attempt % 2
            is_train = given | _drawn(~given, group, label, train - int(given.sum()), shift, generator)
            is_validation = _drawn(~is_train, group, label, validation, shift, generator)
            if int(is_train.sum()) == train and int(is_validation.sum()) == validation:
                return Parts(is_train, is_validation)
        another = f", and another {validation}" if validation else ""
        rule = f"found no set of whole pairs with exactly {train} examples{another}"
        raise ConfigError("split.fraction", self.fraction, rule)

    def is_train(self, task: Task, *, seed: int) -> Bool[Tensor, "example"]:
        """The training examples alone, for those who need nothing else."""
        return self.draw(task, seed=seed).is_train

    def trained_labels(self, task: Task, is_train: Bool[Tensor, "example"], *, seed: int) -> Int[Tensor, "example"]:
        """The labels with label noise in the training set; of the permuted ones some come out as they were."""
        labels, among = task.labels(), is_train.nonzero().flatten()
        order = torch.randperm(len(among), generator=stream(self.data_seed(seed), NOISE))
        permuted = among[order[: _floor(self.label_noise, len(among))]]
        return labels.index_put((permuted,), labels[permuted.roll(1)])

    def _require_drawn_elsewhere(self, trained_on: str) -> None:
        """Raise ConfigError unless that says a split, and nothing else asks for one to be drawn."""
        written = trained_on == UNKNOWN or re.fullmatch("[0-9a-f]+", trained_on) is not None
        require(written, "trained_on", short(trained_on), f'must be digits from 0 to f, or "{UNKNOWN}"')
        plain = {"validation": 0.0, "pairs": "ordered", "stratified": False}
        for key, value in (plain | ({"label_noise": 0.0} if trained_on == UNKNOWN else {})).items():
            rule = f"must be {value} where trained_on says how the examples were split"
            require(getattr(self, key) == value, key, getattr(self, key), rule)

    def _require_written(self, digits: str, examples: int, train: int) -> None:
        """Raise ConfigError unless the digits hold that many of so many examples."""
        wanted, ones = -(-examples // 4), int(digits, 16).bit_count()
        fits = len(digits) == wanted and int(digits[-1], 16) % 2 ** (4 * wanted - examples) == 0
        rule = f"must have {wanted} digits for {examples} examples (there are {len(digits)}), the last ones within them"
        require(fits, "split.trained_on", short(digits), rule)
        rule = f"holds {ones} examples; fraction={self.fraction} makes {train}"
        require(ones == train, "split.trained_on", short(digits), rule)

    def _drawn_elsewhere(self, examples: int) -> Parts:
        """The examples that are written out, or, where nobody knows them, all held out."""
        none = torch.zeros(examples, dtype=torch.bool)
        if self.trained_on == UNKNOWN:
            return Parts(none, ~none)
        digits = torch.tensor([int(digit, 16) for digit in str(self.trained_on)])
        return Parts((digits[:, None] >> torch.tensor([3, 2, 1, 0]) & 1).flatten()[:examples].bool(), none)

    def _given(self, task: Task) -> Bool[Tensor, "example"]:
        """The examples that need not be drawn; without their mirror images they would give these away."""
        given = task.given()
        if self.pairs == "ordered" or not given.any():
            return given
        mirror = task.mirror()
        return torch.isin(mirror, mirror[given])

    def _groups(self, task: Task) -> tuple[Int[Tensor, "example"], Int[Tensor, "example"]]:
        """What has to stay together, and the classes to draw in proportion: one for all unless stratified."""
        group = task.mirror() if self.pairs == "unordered" else torch.arange(task.n_examples)
        if not self.stratified:
            return group, torch.zeros_like(group)
        labels, (distinct, index) = task.labels(), group.unique(return_inverse=True)
        one_of = torch.zeros_like(distinct).scatter(0, index, labels)
        rule = "mirrored examples of different classes cannot be split by class and in whole pairs"
        require(torch.equal(one_of[index], labels), "split.stratified", self.stratified, rule)
        return group, labels


def written_out(is_train: Bool[Tensor, "example"]) -> str:
    """The training examples as ``Split.trained_on`` holds them.

    >>> written_out(torch.tensor([True, False, True, False, True, True]))
    'ac'
    """
    padded = torch.nn.functional.pad(is_train.long(), (0, -len(is_train) % 4)).unflatten(0, (-1, 4))
    return "".join(f"{digit:x}" for digit in (padded @ torch.tensor([8, 4, 2, 1])).tolist())


def _floor(fraction: float, examples: int) -> int:
    """⌊fraction · examples⌋, without the error of the product: ⌊0.29 · 100⌋ is 29."""
    return int(fraction * examples + 1e-9)


def _drawn(
    among: Bool[Tensor, "example"],
    group: Int[Tensor, "example"],
    label: Int[Tensor, "example"],
    wanted: int,
    shift: int,
    generator: "torch.Generator",
) -> Bool[Tensor, "example"]:
    """At most ``wanted`` of some examples, in whole groups."""
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
    """Class by class, groups in this order, each if there is room; room that is left goes on to the next class.

    Where all classes have room for an odd number, every one takes a single and leaves only pairs;
    to ``shift`` an example from the last class to the first avoids that.
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
    """How many of the wanted examples each class gets, by largest remainders; of equal ones, the first.

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
    """Share of the held-out examples whose mirror image is trained on: answerable without generalizing."""
    mirror = task.mirror()
    return float(torch.isin(mirror[~is_train], mirror[is_train]).double().mean())
