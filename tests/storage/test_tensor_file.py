"""Tensors as bytes that prove their content: round trips, damage, foreign files and bombs."""

import hashlib
import json
import os
import pickle
import random
from pathlib import Path

import pytest
import safetensors.torch
import torch

from grokinterp.errors import CheckpointError, RunDirectoryError
from grokinterp.storage import (
    RunDirectory,
    decode_tensors,
    encode_tensors,
)
from tests.support.stored import EXPERIMENT, same, small_file, tensors


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", EXPERIMENT, {"threads": 1})


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
    "wrong digest": (forged(), "damaged: content digest"),
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
    for step, why in {1: "regular", 2: "regular", 3: "directory|regular", 4: "bytes; at most", 5: "No such"}.items():
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
            with pytest.warns(UserWarning, match=r"status\.json is left out: damaged"):
                assert run.status == {}
        table, check = run.metrics.read()
        assert (len(table.steps), check.n_skipped) == (0, bomb.count(b"\n") + 1)
        assert not target.exists(), name
    assert good.exists()
