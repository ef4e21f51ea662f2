"""Round trips, refusals and damage of everything in a run directory."""

import errno
import hashlib
import json
import math
import os
import pickle
import random
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch

from grokinterp.errors import CheckpointError, GrokinterpError, RunDirectoryError
from grokinterp.storage import (
    RunDirectory,
    configuration_hash,
    decode_tensors,
    encode_tensors,
    remove_leftovers,
    write_atomic,
)
from grokinterp.storage.atomic import is_leftover

EXPERIMENT = {"name": "small", "seed": 0, "task": {"kind": "modular_addition", "p": 5}}


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    """Every dtype that is stored, scalars, empty and transposed tensors."""
    return {
        "W_E": torch.full((3, 4), value).T,
        "exp_avg": torch.arange(6, dtype=torch.float64).reshape(2, 3) * value,
        "is_train": torch.tensor([True, False, True]),
        "step": torch.tensor(7),
        "generator": torch.arange(9, dtype=torch.uint8),
        "empty": torch.empty(0, 4),
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
    }


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Equal names, dtypes, shapes and bits."""
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype
        and left[name].shape == right[name].shape
        and left[name].numpy().tobytes() == right[name].numpy().tobytes()
        for name in left
    )


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", EXPERIMENT, {"threads": 1})


def small_file() -> bytes:
    content = {"W": torch.arange(6.0).reshape(2, 3), "mask": torch.tensor([True, False])}
    return encode_tensors(content, step=12, run_id="abc", extra={"state": '{"loss":1e-05}'})


# --- tensors as bytes ------------------------------------------------------------------------------------------------


def test_every_dtype_round_trips():
    data = encode_tensors(tensors(), step=1200, run_id="0123456789", extra={"state": "ü"})
    stored = decode_tensors(data, name="file")
    assert same(stored.tensors, tensors())
    assert (stored.step, stored.run_id, stored.extra) == (1200, "0123456789", {"state": "ü"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16, torch.int32])
def test_dtype_survives(dtype):
    value = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    loaded = decode_tensors(encode_tensors({"x": value}, step=0, run_id="r"), name="file").tensors["x"]
    assert loaded.dtype == dtype
    assert torch.equal(loaded, value)


def test_equal_content_gives_equal_bytes_in_any_order():
    content = tensors()
    reverse = dict(reversed(content.items()))
    assert encode_tensors(content, step=3, run_id="r") == encode_tensors(reverse, step=3, run_id="r")


def test_other_safetensors_readers_read_it():
    assert same(safetensors.torch.load(encode_tensors(tensors(), step=1, run_id="r")), tensors())


def test_digest_is_the_documented_one(tmp_path):
    """An independent twin, written from docs/checkpoint_format.md on top of the safetensors library."""
    data = small_file()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.pop("__metadata__")
    loaded = safetensors.torch.load(data)
    described = ",".join(
        f'["{name}","{header[name]["dtype"]}",[{",".join(map(str, loaded[name].shape))}]]' for name in sorted(loaded)
    )
    extra = json.dumps({"state": metadata["extra.state"]}, separators=(",", ":"))
    line = f'{{"extra":{extra},"run_id":"abc","step":12,"tensors":[{described}]}}\n'
    content = b"".join(loaded[name].numpy().tobytes() for name in sorted(loaded))
    assert metadata["digest"] == hashlib.sha256(line.encode() + content).hexdigest()
    assert metadata["digest"] == decode_tensors(data, name="file").digest


@pytest.mark.parametrize("change", ["step", "run_id", "extra", "name", "shape", "dtype", "value"])
def test_digest_covers(change):
    base = {"tensors": {"W": torch.zeros(2, 3)}, "step": 1, "run_id": "r", "extra": {"a": "b"}}
    other = (
        base
        | {
            "step": {"step": 2},
            "run_id": {"run_id": "s"},
            "extra": {"extra": {"a": "c"}},
            "name": {"tensors": {"V": torch.zeros(2, 3)}},
            "shape": {"tensors": {"W": torch.zeros(3, 2)}},
            "dtype": {"tensors": {"W": torch.zeros(2, 3, dtype=torch.int32)}},
            "value": {"tensors": {"W": torch.full((2, 3), -0.0)}},
        }[change]
    )
    digests = {
        decode_tensors(encode_tensors(content.pop("tensors"), **content), name="f").digest for content in (base, other)
    }
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ({"W": torch.zeros(2, dtype=torch.complex64)}, {}, "tensor W has dtype complex64"),
        ({}, {"step": -1}, "step=-1: must be >= 0"),
        ({"__metadata__": torch.zeros(1)}, {}, "cannot be the name of a tensor"),
        ({}, {"extra": {"state": "x" * 2**23}}, "header has"),
    ],
)
def test_what_cannot_be_stored_is_refused(content, options, match):
    with pytest.raises(ValueError, match=match):
        encode_tensors(content, **({"step": 0, "run_id": "r"} | options))


# --- damage ----------------------------------------------------------------------------------------------------------


def test_every_truncation_is_caught():
    data = small_file()
    for length in range(len(data)):
        with pytest.raises(CheckpointError, match=r"truncated|empty"):
            decode_tensors(data[:length], name="file")


def test_two_thousand_bit_flips_are_caught():
    data = small_file()
    choose = random.Random(0)
    for _ in range(2000):
        bit = choose.randrange(8 * len(data))
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CheckpointError):
            decode_tensors(bytes(flipped), name="file")


def with_header(header: object, data: bytes = b"") -> bytes:
    """A safetensors file with this header (text, or an object for JSON)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def forged(**entry: object) -> bytes:
    """A file of our format whose one tensor is described by `entry`."""
    metadata = {"format": "pt", "grokinterp": "1", "digest": "0" * 64, "run_id": "r", "step": "1"}
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | entry
    return with_header({"__metadata__": metadata, "W": tensor}, b"\0" * 4)


FOREIGN = {
    "empty": (b"", "empty file"),
    "text": (b"hello, world, this is text", "not safetensors"),
    "zeros": (b"\0" * 64, "header is not JSON"),
    "pickle": (pickle.dumps({"W": [1, 2, 3]}, protocol=4), "pickle"),
    "lying header": ((2**63 - 1).to_bytes(8, "little") + b"{}", "claims a header of"),
    "header past the end": ((4096).to_bytes(8, "little") + b"{}", "truncated"),
    "header no object": (with_header([1]), "not a JSON object"),
    "deep header": (with_header(b"[" * 100_000), "header is not JSON"),
    "long number": (with_header(b'{"a":' + b"9" * 5000 + b"}"), "header is not JSON"),
    "repeated key": (with_header(b'{"a":{},"a":{}}'), "header is not JSON"),
    "NaN": (with_header(b'{"a":NaN}'), "header is not JSON"),
    "foreign safetensors": (safetensors.torch.save({"W": torch.zeros(2)}), "foreign safetensors file"),
    "foreign metadata": (safetensors.torch.save({}, {"format": "pt"}), "foreign safetensors file"),
    "another format": (small_file().replace(b'"grokinterp":"1"', b'"grokinterp":"2"'), "has format '2'"),
    "wrong dtype": (forged(dtype="F8"), "dtype 'F8'"),
    "dtype no text": (forged(dtype=[1]), "dtype"),
    "lying shape": (forged(shape=[2**40]), "shape and bytes"),
    "huge empty shape": (forged(shape=[0, 2**62, 2**62], data_offsets=[0, 0]), "shape and bytes"),
    "negative shape": (forged(shape=[-1]), "shape or offsets"),
    "many dimensions": (forged(shape=[1] * 100), "shape or offsets"),
    "lying offsets": (forged(data_offsets=[0, 2**62]), "shape and bytes"),
    "gap": (forged(data_offsets=[4, 8]), "leaves a gap"),
    "wrong digest": (forged(), "damaged: its content has digest"),
    "trailing bytes": (small_file() + b"x", "damaged"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_file_is_refused_with_its_reason(kind, run):
    data, why = FOREIGN[kind]
    run.checkpoint_path(1).write_bytes(data)
    with pytest.raises(CheckpointError, match=why) as caught:
        run.load_checkpoint(1)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("checkpoint step_00000001.safetensors: ")
    assert len(str(caught.value)) < 250


def test_what_is_no_file_is_refused_at_once(run):
    os.mkfifo(run.checkpoint_path(1))
    run.checkpoint_path(2).symlink_to("/dev/zero")
    run.checkpoint_path(3).mkdir()
    with open(run.checkpoint_path(4), "wb") as sparse:
        sparse.truncate(2**40)
    assert run.steps() == (1, 2, 3, 4)
    for step, why in {1: "regular", 2: "regular", 3: "directory|regular", 4: "bytes, more than", 5: "No such"}.items():
        with pytest.raises(CheckpointError, match=why):
            run.load_checkpoint(step)


# --- bombs -----------------------------------------------------------------------------------------------------------


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (str(self.target),))


def bombs(target: Path, folder: Path) -> dict[str, bytes]:
    """Files that do something when a careless reader opens them."""
    code = f"__import__('os').mkdir({str(target)!r})"
    plain = pickle.dumps(Bomb(target), protocol=0)
    torch.save({"W": Bomb(target)}, folder / "zip")
    torch.save({"W": Bomb(target)}, folder / "legacy", _use_new_zipfile_serialization=False)
    return {
        **{f"pickle {protocol}": pickle.dumps(Bomb(target), protocol=protocol) for protocol in range(6)},
        "torch.save": (folder / "zip").read_bytes(),
        "torch.save, legacy": (folder / "legacy").read_bytes(),
        "pickle after a header": with_header({}, plain),
        "pickle as header": with_header(plain),
        "code as JSON": json.dumps({"py/object/apply:os.mkdir": [str(target)], "__reduce__": code}).encode(),
        "code as YAML": f"!!python/object/apply:os.mkdir [{str(target)!r}]\n".encode(),
        "code as Python": code.encode() + b"\n",
        "deep JSON": b"[" * 200_000,
        "deep object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "long number": b'{"p":' + b"9" * 100_000 + b"}",
        "not UTF-8": b'{"a":"\xff\xfe"}\n',
        "template": b"{{ ''.__class__.__mro__[1].__subclasses__() }}\n",
    }


def test_bombs_do_nothing_wherever_they_lie(run, tmp_path):
    target = tmp_path / "exploded"
    good = run.path / "environment.json"
    for name, bomb in bombs(target, tmp_path).items():
        for path in (run.checkpoint_path(1), run.path / "resume/step_00000001.safetensors", run.path / "status.json"):
            path.write_bytes(bomb)
        run.metrics.path.write_bytes(bomb + b"\n")
        with pytest.raises(CheckpointError):
            run.load_checkpoint(1)
        with pytest.raises(RunDirectoryError, match="no usable resume state"):
            run.resume.load()
        if name != "code as JSON":  # which is a JSON object, and nothing but data
            with pytest.raises(RunDirectoryError, match=r"status\.json is damaged"):
                _ = run.status
            with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl line \d+ is damaged"):
                run.metrics.read()
        assert not target.exists(), name
    assert good.exists()


# --- the atomic writer -----------------------------------------------------------------------------------------------


def test_write_atomic_replaces_or_refuses(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"one", replace=False)
    with pytest.raises(FileExistsError):
        write_atomic(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    write_atomic(path, b"two", replace=True)
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_honor_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "file", b"", replace=False)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("call", ["open", "write", "fsync", "link", "close"])
def test_failed_write_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, call):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"grokinterp.storage.atomic.os.{call}", fail)
    with pytest.raises(GrokinterpError) as caught:
        write_atomic(tmp_path / "file", b"data", replace=False)
    monkeypatch.undo()
    assert str(caught.value) == f"cannot write {tmp_path}/file: No space left on device (ENOSPC, errno 28)"
    assert os.listdir(tmp_path) == []


def test_file_system_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("grokinterp.storage.atomic.os.link", refuse)
    write_atomic(tmp_path / "file", b"one", replace=False)
    with pytest.raises(FileExistsError):
        write_atomic(tmp_path / "file", b"two", replace=False)
    assert (tmp_path / "file").read_bytes() == b"one"


def test_interrupt_during_a_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("grokinterp.storage.atomic.os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"one", replace=False)
    assert os.listdir(tmp_path) == []


def test_only_leftovers_are_removed(tmp_path):
    for name in (".a.json.0123abcd.tmp", "a.json", ".hidden.tmp", "x.0123abcd.tmp"):
        (tmp_path / name).touch()
    assert remove_leftovers(tmp_path) == (".a.json.0123abcd.tmp",)
    assert sorted(os.listdir(tmp_path)) == [".hidden.tmp", "a.json", "x.0123abcd.tmp"]
    assert remove_leftovers(tmp_path / "absent") == ()


# --- the run directory -----------------------------------------------------------------------------------------------


def test_create_and_open(run):
    again = RunDirectory.open(run.path)
    assert (again.experiment, again.environment, again.status, again.steps()) == (EXPERIMENT, {"threads": 1}, {}, ())
    assert again == run
    assert again.resume.load() is None
    assert again.metrics.read() == []
    assert again.run_id == configuration_hash(EXPERIMENT)


def test_run_id_is_a_hash_of_the_configuration_but_its_name():
    text = '{"seed":0,"task":{"kind":"modular_addition","p":5}}'
    assert configuration_hash(EXPERIMENT) == hashlib.sha256(text.encode()).hexdigest()[:10]
    assert configuration_hash(EXPERIMENT | {"name": "other"}) == configuration_hash(EXPERIMENT)
    assert configuration_hash(EXPERIMENT | {"seed": 1}) != configuration_hash(EXPERIMENT)
    with pytest.raises(ValueError, match="not JSON compliant"):
        configuration_hash({"learning_rate": math.nan})


@pytest.mark.parametrize("name", ["experiment.json", "notes.txt", ".git", "checkpoints/step_00000000.safetensors"])
def test_create_refuses_a_directory_with_content(tmp_path, name):
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / name).touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RunDirectoryError, match="is not empty: it holds"):
        RunDirectory.create(tmp_path / "run", EXPERIMENT, {})
    assert sorted(tmp_path.rglob("*")) == before


def test_create_tolerates_its_own_lock_and_what_a_killed_creation_left(tmp_path):
    path = tmp_path / "deep/run"
    for name in ("lock", ".experiment.json.0123abcd.tmp"):
        path.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    (path / "checkpoints").mkdir()
    run = RunDirectory.create(path, EXPERIMENT, {})
    with run.lock():
        assert not [name for name in os.listdir(path) if is_leftover(name)]


def test_create_refuses_what_cannot_be_written_before_anything_exists(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(GrokinterpError, match="file"):
            RunDirectory.create(path, EXPERIMENT, {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        RunDirectory.create(tmp_path / "run", {"seed": math.inf}, {})
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "no experiment.json"), ("{", "damaged"), ("[1]", "not a JSON object"), ('{"p": NaN}', "NaN is not JSON")],
)
def test_open_refuses_what_is_no_run(tmp_path, content, why):
    if content:
        (tmp_path / "experiment.json").write_text(content)
    with pytest.raises(RunDirectoryError, match=why):
        RunDirectory.open(tmp_path)
    with pytest.raises(RunDirectoryError, match="does not exist"):
        RunDirectory.open(tmp_path / "absent")


def test_status_is_replaced(run):
    run.write_status({"status": "running", "step": 3})
    run.write_status({"status": "diverged", "step": 4, "why": "NaN in the gradient"})
    assert run.status == {"status": "diverged", "step": 4, "why": "NaN in the gradient"}
    with pytest.raises(ValueError, match="status='done': must be one of running"):
        run.write_status({"status": "done"})


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_checkpoints_round_trip_and_are_listed_by_name(run):
    for step in (1200, 0, 7):
        run.save_checkpoint(step, tensors(step))
    for name in ("step_7.safetensors", ".step_00000009.safetensors.0123abcd.tmp", "step_00000008.pt", "notes"):
        (run.path / "checkpoints" / name).touch()
    assert run.steps() == (0, 7, 1200)
    assert run.checkpoint_path(1200).name == "step_00001200.safetensors"
    stored = run.load_checkpoint(1200)
    assert same(stored.tensors, tensors(1200))
    assert (stored.step, stored.run_id) == (1200, run.run_id)


def test_checkpoint_is_immutable(run):
    run.save_checkpoint(5, tensors())
    before = run.checkpoint_path(5).stat()
    run.save_checkpoint(5, tensors())
    assert run.checkpoint_path(5).stat().st_ino == before.st_ino
    with pytest.raises(RunDirectoryError, match=r"step_00000005\.safetensors exists with different content"):
        run.save_checkpoint(5, tensors(2.0))
    assert same(run.load_checkpoint(5).tensors, tensors())


@pytest.mark.parametrize("position", [0, 100, -1])
def test_damaged_checkpoint_is_named_replaced_and_alone(run, position):
    run.save_checkpoint(1, tensors())
    run.save_checkpoint(2, tensors())
    data = bytearray(run.checkpoint_path(1).read_bytes())
    data[position] ^= 4
    run.checkpoint_path(1).write_bytes(data)
    with pytest.raises(CheckpointError, match="step_00000001"):
        run.load_checkpoint(1)
    assert same(run.load_checkpoint(2).tensors, tensors())
    run.save_checkpoint(1, tensors())
    assert same(run.load_checkpoint(1).tensors, tensors())


def test_checkpoint_of_another_step_or_run_is_refused(run, tmp_path):
    run.save_checkpoint(1, tensors())
    run.checkpoint_path(2).write_bytes(run.checkpoint_path(1).read_bytes())
    with pytest.raises(CheckpointError, match="holds step 1, not 2"):
        run.load_checkpoint(2)
    other = RunDirectory.create(tmp_path / "other", EXPERIMENT | {"seed": 1}, {})
    other.checkpoint_path(1).write_bytes(run.checkpoint_path(1).read_bytes())
    with pytest.raises(CheckpointError, match=f"belongs to run '{run.run_id}'"):
        other.load_checkpoint(1)


# --- resume ----------------------------------------------------------------------------------------------------------


def test_two_resume_generations_are_kept(run):
    for step in (100, 200, 300):
        run.resume.save(step, tensors(step), {"offset": step, "schedule": [1, 2.5, None]})
    assert run.resume.steps() == (200, 300)
    resume = run.resume.load()
    assert (resume.step, resume.state, resume.skipped) == (300, {"offset": 300, "schedule": [1, 2.5, None]}, ())
    assert same(resume.tensors, tensors(300))


def test_resume_falls_back_and_says_so(run):
    for step in (100, 200):
        run.resume.save(step, tensors(step), {"step": step})
    path = run.path / "resume/step_00000200.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    resume = run.resume.load()
    assert (resume.step, resume.state) == (100, {"step": 100})
    assert len(resume.skipped) == 1
    assert "step_00000200.safetensors skipped: truncated" in resume.skipped[0]
    run.resume.save(150, tensors(150), {"step": 150})
    assert run.resume.steps() == (100, 150)
    for step in (100, 150):
        (run.path / f"resume/step_{step:08d}.safetensors").write_bytes(b"")
    with pytest.raises(RunDirectoryError, match=r"no usable resume state: .*150.*empty file; .*100.*empty file"):
        run.resume.load()


def test_resume_of_another_run_or_without_state_is_refused(run):
    for data in (
        encode_tensors({}, step=1, run_id="other", extra={"state": "{}"}),
        encode_tensors({}, step=1, run_id=run.run_id),
        encode_tensors({}, step=1, run_id=run.run_id, extra={"state": "[]"}),
    ):
        (run.path / "resume/step_00000001.safetensors").write_bytes(data)
        with pytest.raises(RunDirectoryError, match=r"belongs to run|holds no resume state"):
            run.resume.load()
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.resume.save(1, {}, {"best": math.inf})


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_rows_are_lines_of_strict_json(run):
    log = run.metrics
    log.append({"step": 0, "train_loss": math.nan, "weight_norm_of": {"W_E": math.inf, "W_U": 0.1}})
    offset = log.offset
    log.append({"step": 1, "train_loss": 0.5})
    log.sync()
    assert "NaN" not in log.path.read_text()
    rows = [
        {"step": 0, "train_loss": None, "weight_norm_of": {"W_E": None, "W_U": 0.1}},
        {"step": 1, "train_loss": 0.5},
    ]
    assert log.read() == rows
    log.truncate(offset)
    assert log.read() == rows[:1]
    assert log.offset == offset == log.path.stat().st_size


def test_metrics_incomplete_and_damaged_lines(run):
    log = run.metrics
    for step in range(3):
        log.append({"step": step})
    with open(log.path, "a") as file:
        file.write('{"step": 3, "train')
    assert [row["step"] for row in log.read()] == [0, 1, 2]
    log.path.write_bytes(log.path.read_bytes().replace(b'{"step": 1}', b'{"step" 1}}'))
    with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl line 2 is damaged"):
        log.read()


def test_metrics_truncate_refuses_a_wrong_offset(run):
    run.metrics.truncate(0)
    with pytest.raises(RunDirectoryError, match="has 0 bytes, the resume state needs 5"):
        run.metrics.truncate(5)
    run.metrics.append({"step": 0})
    with pytest.raises(RunDirectoryError, match="no end of a row at byte 3"):
        run.metrics.truncate(3)
    assert run.metrics.read() == [{"step": 0}]


def test_partly_written_row_is_taken_back(run, monkeypatch):
    run.metrics.append({"step": 0})
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr("grokinterp.storage.metrics_log.os.write", lambda fd, data: write(fd, data[:5]))
        with pytest.raises(GrokinterpError, match=r"cannot write .*metrics\.jsonl: .*ENOSPC"):
            run.metrics.append({"step": 1})
    assert run.metrics.path.read_text() == '{"step": 0}\n'


# --- one writer, many readers ----------------------------------------------------------------------------------------


def test_live_reading_while_a_thread_writes(run):
    """Every read during the writing is whole: no error, no torn row, no half checkpoint."""
    reads, steps, errors = [], [], []

    def write() -> None:
        try:
            with run.lock():
                while len(steps) < 50 or (len(reads) < 20 and not errors):
                    step = len(steps)
                    run.save_checkpoint(step, tensors(step))
                    run.metrics.append({"step": step, "norms": [0.1] * 50})
                    run.write_status({"status": "running", "step": step})
                    steps.append(step)
        except Exception as error:
            errors.append(error)

    def read() -> None:
        for step in RunDirectory.open(run.path).steps()[-3:]:
            assert same(run.load_checkpoint(step).tensors, tensors(step))
        rows = run.metrics.read()
        assert [row["step"] for row in rows] == list(range(len(rows)))
        assert run.status.get("status", "running") == "running"

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while writer.is_alive():
            read()
            reads.append(len(steps))
    except BaseException as error:
        errors.append(error)
        raise
    finally:
        writer.join()
    assert errors == []
    assert run.steps() == tuple(steps)


def test_lock_overwrites_an_earlier_holder_of_any_length(run):
    (run.path / "lock").write_text(json.dumps({"pid": 1, "host": "h" * 200}))
    with run.lock():
        assert json.loads((run.path / "lock").read_text()) == {"pid": os.getpid(), "host": os.uname().nodename}


def test_second_lock_of_the_same_process_is_refused(run):
    with run.lock():
        with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()} on host"), run.lock():
            pass
        (run.path / "lock").write_text("no JSON")
        with pytest.raises(RunDirectoryError, match="in use by another process"), run.lock():
            pass
    with run.lock():
        pass
    with pytest.raises(RunDirectoryError, match="cannot be locked"), RunDirectory(run.path / "absent").lock():
        pass
