"""Hostile contents of files: code in pickles, bombs, loops, depth, huge numbers."""

import io
import itertools
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch


class Touch:
    """An object that makes a directory when it is unpickled."""

    def __init__(self, path: Path, work: Callable[..., Any] = os.mkdir) -> None:
        self.path, self.work = path, work

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return self.work, (str(self.path),)


def pickles(mark: Path) -> Iterator[tuple[str, bytes]]:
    """Yield twenty files that run code if they are unpickled without restrictions."""
    path = mark
    works = {"mkdir": os.mkdir, "makedirs": os.makedirs, "mkfifo": os.mkfifo, "mknod": os.mknod}
    bombs: dict[str, Any] = {name: Touch(path, work) for name, work in works.items()}
    inside = {
        "alone": lambda bomb: bomb,
        "as weights": lambda bomb: {"model": bomb},
        "as a name": lambda bomb: {"model": {"W": torch.zeros(2), "more": [bomb]}},
    }
    for (name, bomb), (where, put) in itertools.product(bombs.items(), inside.items()):
        data = io.BytesIO()
        torch.save(put(bomb), data)
        yield f"{name} {where}", data.getvalue()
    for protocol in range(6):
        yield f"mkdir by pickle protocol {protocol}", pickle.dumps(Touch(path), protocol)
    evaluated = f"c__builtin__\neval\n(V__import__('os').mkdir({str(path)!r})\ntR.".encode()
    yield "eval", evaluated
    yield "exec", evaluated.replace(b"eval", b"exec")


def bombs() -> dict[str, bytes]:
    """Return archives of weights that unpack to three gigabytes."""
    plain, bomb = io.BytesIO(), io.BytesIO()
    torch.save({"W": torch.zeros(2**16)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for member in source.infolist():
            body = source.read(member)
            with target.open(member.filename, "w", force_zip64=True) as file:
                file.write(body)
                if "/data/" in member.filename:
                    inflate(file)
    return {"a zip bomb": bomb.getvalue()}


def inflate(file: IO[bytes]) -> None:
    """Write three gigabytes of zeros."""
    for _ in range(3 * 2**6):
        file.write(bytes(2**24))


def archives() -> dict[str, bytes]:
    """Return files of weights that contain themselves, or hold values other than plain tensors."""
    found = {"a zip archive": b"PK\x03\x04" + bytes(100)}
    itself: list[Any] = []
    itself.append(itself)
    deep: Any = torch.zeros(1)
    for _ in range(300):
        deep = {"x": deep}
    many: Any = [1]
    for _ in range(40):
        many = [many, many]
    shared: dict[str, Any] = {"x": 1}
    for _ in range(24):
        shared = {"a": shared, "b": shared}
    contents = {
        "a list in itself": itself,
        "300 levels": deep,
        "2^40 lists": many,
        "2^24 dicts": shared,
        "10^12 numbers in a view": {"W": torch.zeros(1).expand(10**6, 10**6)},
        "a meta tensor": {"W": torch.zeros(3, device="meta")},
        "a sparse tensor": {"W": torch.eye(3).to_sparse()},
        "a complex tensor": {"W": torch.zeros(3, dtype=torch.complex64)},
        "a nested list": {"W": [[1.0]]},
        "a 400-digit integer": {"epoch": 10**400, "model": {"W": torch.zeros(2)}},
        "an empty dict": {},
        "control characters": {"\x1b[31mW": torch.zeros(2)},
    }
    for name, content in contents.items():
        data = io.BytesIO()
        torch.save(content, data)
        found[name] = data.getvalue()
    return found


def tensor_files() -> dict[str, bytes]:
    """Return safetensors files with hostile headers."""
    texts = {
        "offsets of 400 digits": b'{"W":{"dtype":"F32","shape":[1],"data_offsets":[0,' + b"9" * 400 + b"]}}",
        "a shape of 400 digits": b'{"W":{"dtype":"F32","shape":[' + b"9" * 400 + b'],"data_offsets":[0,4]}}',
        "a header nested 100,000 deep": b'{"a":' * 100_000,
        "a huge tensor": b'{"W":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}',
    }
    return {f"safetensors: {name}": len(text).to_bytes(8, "little") + text for name, text in texts.items()}


def logs() -> dict[str, bytes]:
    """Return training logs with hostile content, by file name."""
    big = b"9" * 400
    return {
        "digits.jsonl": b'{"step": ' + big + b', "train_acc": 0.5, "test_acc": 0.1}\n' * 3,
        "values.jsonl": b'{"step": 1, "train_acc": ' + big + b', "test_acc": 0.1}\n',
        "deep.json": b"[" * 100_000,
        "deep.jsonl": b'{"a":' * 100_000 + b"\n",
        "many.json": b'{"step": ' + b"9" * 5_000 + b"}",
        "nan.json": b'{"step": [1, 2], "train_acc": [NaN, Infinity], "test_acc": [0, 1]}',
        "infinite.csv": b"step,train_loss,test_loss\n0,1,1\n1,-inf,1\n2,-inf,1\n",
        "above.csv": b"step,train_accuracy,test_accuracy\n" + b"".join(b"%d,1.5,1.7\n" % step for step in range(9)),
        "text.csv": b"step,train_acc,test_acc\none,two,three\n",
        "empty.csv": b"",
        "zeros.csv": bytes(1000),
        "digits.csv": b"step,train_acc,test_acc\n" + big + b",0.1,0.2\n",
        "wide.csv": b",".join(b"c%d" % column for column in range(20_000)) + b"\n" + b"1," * 19_999 + b"1\n",
        "not.npz": b"PK\x03\x04" + bytes(50),
        "object.npy": objects(),
        "events.out.tfevents.1": bytes(100),
        "list.pth": saved([[1]]),
        "nested.json": json.dumps({"a": {"b": [[[]]]}}).encode(),
        "repeated.json": b'{"step": [1], "step": [2], "train_acc": [1], "test_acc": [1]}',
        "escape.csv": b"step,\x1b[31mtrain_acc,test_acc\n0,0.1,\x1b[2J\n",
    }


def objects() -> bytes:
    """Return a NumPy file that contains a pickled object."""
    data = io.BytesIO()
    np.save(data, np.array([{"step": 1}], dtype=object), allow_pickle=True)
    return data.getvalue()


def compressed() -> bytes:
    """Return a NumPy archive that unpacks to three gigabytes."""
    data = io.BytesIO()
    with (
        zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("step.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (3 * 2**27,)})
        inflate(file)
    return data.getvalue()


def saved(content: Any) -> bytes:
    """Return the bytes that ``torch.save`` writes for a value."""
    data = io.BytesIO()
    torch.save(content, data)
    return data.getvalue()
