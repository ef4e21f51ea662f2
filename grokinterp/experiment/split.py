"""Which examples are trained on, and with which labels."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.experiment.rules import FORBID_UNKNOWN_KEYS, require
from grokinterp.experiment.streams import NOISE, stream
from grokinterp.tasks import Task

ORDERS_TRIED = 100


class Parts(NamedTuple):
    """The examples to train on and those to validate with; the rest is to test on."""

    is_train: Bool[Tensor, "example"]
    is_validation: Bool[Tensor, "example"]


class Sizes(NamedTuple):
    """How many examples each part has, and how many training labels are permuted."""

    train: int
    validation: int
    test: int
    permuted: int


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which examples are trained on: an exact fraction, drawn by a generator of its own.

    ``validation`` is a fraction of all examples, drawn from what is left and held out from training
    and testing. ``pairs="unordered"`` puts examples that give each other's answer away, (a, b) and
    (b, a), on the same side; ``"ordered"`` draws every example by itself. ``stratified`` draws every
    class in proportion, by largest remainders; with whole pairs a class may have one more or less.
    Examples that the task gives (``Task.given``) are always trained on; the fraction is one of the
    others.

    ``label_noise`` is the fraction of the training labels that are permuted among themselves, in one
    cycle through a random subset: every class stays as frequent as it was.

    ``seed`` draws all of this and the order of mini-batches; None uses the experiment's.

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

    def __post_init__(self) -> None:
        require(0 < self.fraction < 1, "fraction", self.fraction, "must lie strictly between 0 and 1")
        require(0 <= self.validation < 1, "validation", self.validation, "must be from 0 to below 1")
        rule = f"and fraction={self.fraction} must add up to less than 1"
        require(self.validation == 0 or self.fraction + self.validation < 1, "validation", self.validation, rule)
        require(0 <= self.label_noise <= 1, "label_noise", self.label_noise, "must be from 0 to 1")
        require(self.seed is None or 0 <= self.seed < 2**63, "seed", self.seed, "must be from 0 to 2^63 - 1")

    def data_seed(self, seed: int) -> int:
        """What all drawing of data follows from: this split's seed, or the experiment's where it has none."""
        return seed if self.seed is None else self.seed

    def sizes(self, task: Task) -> Sizes:
        """Train on given + ⌊fraction · (examples - given)⌋, validate with ⌊validation · examples⌋, test on the rest.

        Rounded down as in the code released with the papers. ⌊label_noise · train⌋ labels are permuted.

        Raises:
            ConfigError: a part, or the labels to permute, come out empty.
        """
        examples, given = task.n_examples, int(self._given(task).sum())
        train = given + _floor(self.fraction, examples - given)
        validation, permuted = _floor(self.validation, examples), _floor(self.label_noise, train)
        rule = f"leaves no example to train or to test on ({examples} examples)"
        require(0 < train < examples, "split.fraction", self.fraction, rule)
        held_out = examples - train
        rule = (
            f"leaves no example to validate with or to test on ({held_out} of {examples} examples are not trained on)"
        )
        require(self.validation == 0 or 0 < validation < held_out, "split.validation", self.validation, rule)
        rule = f"leaves fewer than two labels to permute ({train} examples are trained on)"
        require(self.label_noise == 0 or permuted > 1, "split.label_noise", self.label_noise, rule)
        return Sizes(train, validation, held_out - validation, permuted)

    def draw(self, task: Task, *, seed: int) -> Parts:
        """Training and validation examples, exactly as many as ``sizes`` says.

        Raises:
            ConfigError: whole groups of mirrored examples do not add up to that number, or, of a
                stratified split, have several classes.
        """
        sizes, given = self.sizes(task), self._given(task)
        generator = torch.Generator().manual_seed(self.data_seed(seed))
        wanted = sizes.train - int(given.sum())
        is_train = given | self._drawn("split.fraction", task, ~given, wanted, generator)
        return Parts(is_train, self._drawn("split.validation", task, ~is_train, sizes.validation, generator))

    def is_train(self, task: Task, *, seed: int) -> Bool[Tensor, "example"]:
        """The training examples alone, for those who need nothing else."""
        return self.draw(task, seed=seed).is_train

    def trained_labels(self, task: Task, is_train: Bool[Tensor, "example"], *, seed: int) -> Int[Tensor, "example"]:
        """The labels with label noise in the training set; of the permuted ones some come out as they were."""
        labels = task.labels()
        generator = stream(self.data_seed(seed), NOISE)
        among = is_train.nonzero().flatten()
        permuted = among[torch.randperm(len(among), generator=generator)[: self.sizes(task).permuted]]
        return labels.index_put((permuted,), labels[permuted.roll(1)])

    def _given(self, task: Task) -> Bool[Tensor, "example"]:
        """The examples that need not be drawn; without their mirror images they would give these away."""
        given = task.given()
        if self.pairs == "ordered" or not given.any():
            return given
        mirror = task.mirror()
        return torch.isin(mirror, mirror[given])

    def _drawn(
        self, key: str, task: Task, among: Bool[Tensor, "example"], wanted: int, generator: torch.Generator
    ) -> Bool[Tensor, "example"]:
        """Exactly ``wanted`` of some examples, in whole groups.

        Groups are taken in random order, each if it still fits. An order that does not come out even
        (one place left, and only pairs to fill it) is drawn again.
        """
        drawn = torch.zeros_like(among)
        if not wanted:
            return drawn
        mirror = task.mirror() if self.pairs == "unordered" else torch.arange(task.n_examples)
        _, group, sizes = mirror[among].unique(return_inverse=True, return_counts=True)
        classes = task.labels()[among] if self.stratified else torch.zeros_like(group)
        class_of = torch.zeros_like(sizes).scatter(0, group, classes)
        rule = "mirrored examples of different classes cannot be split by class and in whole pairs"
        require(torch.equal(class_of[group], classes), "split.stratified", self.stratified, rule)
        for _ in range(ORDERS_TRIED):
            taken = _take(sizes, class_of, wanted, torch.randperm(len(sizes), generator=generator))
            if int(sizes[taken].sum()) == wanted:
                return drawn.masked_scatter(among, taken[group])
        value = getattr(self, key.removeprefix("split."))
        raise ConfigError(key, value, f"no set of whole pairs has exactly {wanted} examples")


def _floor(fraction: float, examples: int) -> int:
    """⌊fraction · examples⌋, without the error of the product: ⌊0.29 · 100⌋ is 29."""
    return int(fraction * examples + 1e-9)


def _take(
    sizes: Int[Tensor, "group"], class_of: Int[Tensor, "group"], wanted: int, order: Int[Tensor, "group"]
) -> Bool[Tensor, "group"]:
    """Groups taken in this order, each if its class, and all classes together, have room for it.

    Room that whole groups cannot fill goes, in a second round, to classes that can.
    """
    taken = [False] * len(sizes)
    room = _quotas(sizes, class_of, wanted, order).tolist()
    groups = list(zip(order.tolist(), sizes[order].tolist(), class_of[order].tolist(), strict=True))
    for excess in (0, int(sizes.max()) - 1):
        for index, size, label in groups:
            if size <= min(wanted, room[label] + excess) and not taken[index]:
                taken[index] = True
                wanted, room[label] = wanted - size, room[label] - size
    return torch.tensor(taken)


def _quotas(
    sizes: Int[Tensor, "group"], class_of: Int[Tensor, "group"], wanted: int, order: Int[Tensor, "group"]
) -> Int[Tensor, "class"]:
    """How many of the wanted examples each class has by largest remainders, ties by whose group comes first."""
    examples = torch.zeros(int(class_of.max()) + 1, dtype=sizes.dtype).index_add(0, class_of, sizes)
    shares, remainders = wanted * examples // examples.sum(), wanted * examples % examples.sum()
    first = torch.full_like(examples, len(order)).scatter_reduce(0, class_of[order], torch.arange(len(order)), "amin")
    by_remainder = first.argsort()[remainders[first.argsort()].argsort(descending=True, stable=True)]
    shares[by_remainder[: wanted - int(shares.sum())]] += 1
    return shares


def leaked_share(task: Task, is_train: Bool[Tensor, "example"]) -> float:
    """Share of the held-out examples whose mirror image is trained on: answerable without generalizing."""
    mirror = task.mirror()
    return float(torch.isin(mirror[~is_train], mirror[is_train]).double().mean())
