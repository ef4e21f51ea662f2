"""Import of the checkpoints of a training run, in a folder or in a single file, as described by a spec."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from grokinterp.errors import short
from grokinterp.experiment import Experiment, Split
from grokinterp.interop.files import ForeignFileError, sha256
from grokinterp.interop.fitting import fitted, own_shapes, plain
from grokinterp.interop.layout import Shapes, State
from grokinterp.interop.logs import read_log
from grokinterp.interop.release import Release, loaded, split_of
from grokinterp.interop.scores import score
from grokinterp.interop.spec import LOGITS, LOSSES, OURS, Spec, read_spec
from grokinterp.interop.splits import DRAWS, TOLERANCE, Stored, drawn, split_of_losses
from grokinterp.interop.weights import SUFFIXES, read_content, require_not_hugging_face, value_at, weights_in
from grokinterp.storage.steps import LARGEST_STEP


class Place(NamedTuple):
    """A file, and the index of a state dict in it; None if it holds only one."""

    path: Path
    number: int | None


class Checkpoints(Mapping[int, State]):
    """States by step, each read on access.

    Args:
        read: maps the content of a file, and the place in it, to a state.
        places: the place of the state of each step.
    """

    def __init__(self, read: Callable[[Mapping[str, Any], Place], State], places: Mapping[int, Place]) -> None:
        self._read, self._places = read, dict(sorted(places.items()))
        self._open: tuple[Path, Mapping[str, Any]] | None = None

    def __getitem__(self, step: int) -> State:
        place = self._places[step]
        if self._open is None or self._open[0] != place.path:
            self._open = place.path, read_content(place.path)
        return self._read(self._open[1], place)

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def read_series(path: Path, spec_path: Path) -> Release:
    """Read the checkpoints in a folder, or in a single file.

    Raises:
        ForeignFileError: if the spec or a file is not as expected.
    """
    spec = read_spec(spec_path)
    files = listed_files(path, spec)
    experiment = Experiment(task=spec.task, model=spec.model)
    own = own_shapes(experiment, spec.path)
    places = placed(files, path, spec)
    states = Checkpoints(lambda content, place: read_state(content, place, spec, own, experiment), places)
    last = max(places)
    expected = dict(expectations(spec, places[last].path))
    split, how = split_by(spec, states[last], expected)
    return Release(
        name=spec.name or f"imported-{path.resolve().stem}",
        source=path,
        task=spec.task,
        model=spec.model,
        optimization=spec.optimization,
        split=split,
        steps=max(1, last),
        seed=spec.seed,
        states=states,
        curves=read_log((path if path.is_dir() else path.parent) / spec.log) if spec.log else {},
        notes={
            "release": f"as stated in {spec.path.name}",
            "spec": sha256(spec.path),
            "split": how,
            "steps": origin_of_steps(spec),
        },
        stored=expected,
        logits=expected_logits(spec, places[last].path),
        files=tuple(files),
    )


def listed_files(path: Path, spec: Spec) -> list[Path]:
    """Return the files of weights. Raises ForeignFileError if there are none."""
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.glob(spec.files) if file.is_file() and file.suffix in SUFFIXES)
    if not files:
        require_not_hugging_face(path)
        endings = ", ".join(SUFFIXES)
        raise ForeignFileError(path, f"has no file {short(spec.files)} with one of the endings {endings}")
    return files


def placed(files: list[Path], path: Path, spec: Spec) -> dict[int, Place]:
    """Return the place of the weights of each step. Raises ForeignFileError if a step is missing or duplicated."""
    places: dict[int, Place] = {}
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        for step, place in steps_of(file, name, spec, alone=len(files) == 1):
            if not 0 <= step <= LARGEST_STEP:
                raise ForeignFileError(file, f"step {short(step)}: must be from 0 to {LARGEST_STEP}")
            if step in places:
                raise ForeignFileError(file, f"has step {step}, the same as {places[step].path.name}")
            places[step] = place
    return places


def steps_of(file: Path, name: str, spec: Spec, *, alone: bool) -> Iterator[tuple[int, Place]]:
    """Return the steps in a file with the given name in its folder. Raises ForeignFileError."""
    rule = spec.steps
    if rule.name is not None:
        found = rule.name.search(name)
        yield whole(found[1] if found else None, file, "its name") + rule.offset, Place(file, None)
    elif rule.key is not None or rule.every is not None:
        for number, step in steps_inside(file, spec):
            yield step + rule.offset, Place(file, number)
    elif not alone:
        raise ForeignFileError(spec.path, "steps=none: must have name or key if there are several files")
    else:
        yield (1 if rule.at is None else rule.at) + rule.offset, Place(file, None)


def steps_inside(file: Path, spec: Spec) -> Iterator[tuple[int | None, int]]:
    """Return the step under a key, or one step for each of several state dicts. Raises ForeignFileError."""
    content, key = read_content(file), spec.steps.key
    found = None if key is None else value_at(content, key, file)
    several = content if spec.at is None else value_at(content, spec.at, file)
    if not isinstance(several, list | tuple):
        yield None, whole(found, file, key or "steps.every")
        return
    if key is None:
        every = spec.steps.every or 1
        found = range(0, len(several) * every, every)
    steps = found.flatten().tolist() if isinstance(found, Tensor) else found
    if not isinstance(steps, list | tuple | range) or len(steps) != len(several):
        raise ForeignFileError(file, f"{key} does not have a step for each of {len(several)} state dicts")
    yield from ((number, whole(step, file, str(key))) for number, step in enumerate(steps))


def whole(value: Any, file: Path, where: str) -> int:
    """Return a value as a step. Raises ForeignFileError."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ForeignFileError(file, f"{where} is not a step: {short(value, 40)}")
    return int(value)


def read_state(content: Mapping[str, Any], place: Place, spec: Spec, own: Shapes, experiment: Experiment) -> State:
    """Return the weights in a file under this package's names. Raises ForeignFileError."""
    path, inner, at = place.path, content, spec.at
    if place.number is not None:
        inner, at = {"state_dict": value_at(content, str(spec.at), path)[place.number]}, None
    mapped = spec.layout.read(plain(weights_in(inner, path, at), path), path, own)
    return fitted(mapped.state, experiment, path)


def expectations(spec: Spec, last: Path) -> Iterator[tuple[str, Stored]]:
    """Return the values that the spec, or the last file, states for the last checkpoint. Raises ForeignFileError."""
    content: Mapping[str, Any] = {}
    if any(isinstance(value, str) for value in spec.expect.values()):
        content = read_content(last)
    for name, value in spec.expect.items():
        if name == LOGITS:
            continue
        found = value_at(content, value, last) if isinstance(value, str) else value
        values = found.flatten().tolist() if isinstance(found, Tensor) else found
        values = list(values) if isinstance(values, list | tuple) else [values]
        values = [value.item() if isinstance(value, Tensor) and value.numel() == 1 else value for value in values[-2:]]
        if not values or not all(isinstance(value, int | float) for value in values):
            raise ForeignFileError(last, f"{value} is not a number or a list of numbers")
        if name.endswith("accuracy"):
            yield name, Stored(values[-1], values[-1] - TOLERANCE, values[-1] + TOLERANCE)
        elif (stored := Stored.after(values)) is not None:
            yield name, stored


def expected_logits(spec: Spec, last: Path) -> Tensor | None:
    """Return the logits of all examples in the last file, if the spec declares them. Raises ForeignFileError."""
    if LOGITS not in spec.expect:
        return None
    found = value_at(read_content(last), str(spec.expect[LOGITS]), last)
    examples, classes = spec.task.n_examples, spec.task.n_classes
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != examples or found.shape[1] < classes:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ForeignFileError(last, f"{spec.expect[LOGITS]} must be a tensor ({examples}, {classes}), not {shape}")
    return found[:, :classes].detach().double()


def split_by(spec: Spec, state: State, expected: Mapping[str, Stored]) -> tuple[Split, str]:
    """Return the split and its source. Raises ForeignFileError."""
    by, split = spec.split
    n_examples, seed = spec.task.n_examples, split.seed or 0
    if by in DRAWS:
        is_train = drawn(by, n_examples, fraction=split.fraction, seed=seed)
        return split_of(spec.task, is_train, fraction=split.fraction, seed=seed), f"drawn by {by} with seed {seed}"
    if by != LOSSES:
        return split, "drawn by grokinterp" if by == OURS else "unknown"
    if not {"train_loss", "test_loss"} <= expected.keys():
        raise ForeignFileError(spec.path, f"split.by={LOSSES}: must have expect.train_loss and expect.test_loss")
    experiment = Experiment(task=spec.task, model=spec.model)
    losses = score(loaded(experiment, state), experiment.tokens(), spec.task.label()).losses
    found = split_of_losses(losses, expected["train_loss"], expected["test_loss"])
    if found is None:
        return split, "unknown: the expected losses match no draw, or several"
    is_train = drawn(found.by, n_examples, fraction=found.percent / 100, seed=found.seed)
    how = (
        f"inferred as the only draw by {' or '.join(DRAWS)} with the expected losses: {found.by} with seed {found.seed}"
    )
    return split_of(spec.task, is_train, fraction=found.percent / 100, seed=found.seed), how


def origin_of_steps(spec: Spec) -> str:
    """Return the source of the steps, as text."""
    rule = spec.steps
    if rule.name is not None:
        return "the names of the files"
    if rule.key is not None:
        return f"{rule.key} in the files"
    return "the spec" if rule.at is not None or rule.every is not None else "unknown: counted as 1"
