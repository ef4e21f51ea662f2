"""Checks of zip archives and pickles before anything in them is loaded, against files that expand without bound."""

import pickletools
import zipfile
from io import BufferedIOBase
from typing import IO

LARGEST_UNPACKED = 2**31
"""Largest total size of the members of a compressed archive, in bytes."""

SMALL, RATIO = 2**26, 100
"""Bytes to which every archive may expand, and the factor by which it may; constant curves compress well."""

MOST_OPERATIONS, MOST_CONTAINERS = 2**25, 2**22
"""Largest number of operations in a pickle, about one for each number in it, and of lists and dictionaries."""

LARGEST_KEY = 4096
"""Largest number of entries of a tuple that is hashed; hashing tuples that share tuples takes exponential time."""

LEGACY_PICKLES = 5
"""Number of pickles at the start of a file that ``torch.save`` wrote before it wrote zip archives."""

Cell = list[int]
"""The number of entries of a value, with repetitions, in a list of length 1 that all references to the value share."""


def require_bounded_zip(file: BufferedIOBase, *, compressed: bool) -> None:
    """Raise ValueError if an archive expands far beyond its size; afterwards, the file is at its start.

    Args:
        file: an open zip archive.
        compressed: whether its members may be compressed.
    """
    try:
        members = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(f"is a damaged zip archive: {error}") from None
    size, total = file.seek(0, 2), sum(member.file_size for member in members)
    file.seek(0)
    names = [member.filename for member in members]
    if len({*names}) < len(names):
        raise ValueError("holds several members of the same name")
    if not compressed and any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("holds compressed members, which PyTorch does not write")
    most = min(max(SMALL, RATIO * size), LARGEST_UNPACKED) if compressed else size
    if total > most:
        raise ValueError(f"expands from {size} to {total} bytes, more than the {most} allowed")


def require_bounded_pickles(file: BufferedIOBase, *, zipped: bool) -> None:
    """Raise ValueError if the pickles of a file of ``torch.save`` would take time or memory far beyond their size.

    The operations are simulated with the sizes of the values in place of the values. Afterwards, the file is at its
    start.
    """
    if zipped:
        with zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                if member.endswith(".pkl"):
                    with archive.open(member) as pickle:
                        _follow(pickle)
    else:
        for _ in range(LEGACY_PICKLES):
            _follow(file)
    file.seek(0)


def _follow(file: BufferedIOBase | IO[bytes]) -> None:
    """Simulate the operations of one pickle. Raises ValueError."""
    stack: list[Cell | None] = []
    memo: dict[object, Cell | None] = {}
    containers = 0
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):  # ty: ignore[invalid-argument-type]
        name = operation.name
        if name == "MARK":
            stack.append(None)
            continue
        containers += name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "LIST", "DICT", "TUPLE", "TUPLE1", "REDUCE")
        if count > MOST_OPERATIONS or containers > MOST_CONTAINERS:
            raise ValueError("holds too many entries")
        if name == "GLOBAL" and str(argument).split()[-1:] == ["bytearray"]:
            raise ValueError("holds a bytearray")
        try:
            if "PUT" in name:
                memo[argument] = stack[-1]
            elif "GET" in name:
                stack.append(memo[argument])
            else:
                _apply(name, operation, stack)
        except (IndexError, KeyError, TypeError):
            raise ValueError("is a damaged pickle") from None


def _apply(name: str, operation: pickletools.OpcodeInfo, stack: list[Cell | None]) -> None:
    """Apply an operation to a stack of sizes. Raises ValueError, and IndexError or TypeError for a damaged pickle."""
    values = _popped(operation, stack)
    sizes = [value[0] for value in values]
    if name in ("SETITEM", "SETITEMS", "ADDITEMS", "DICT", "REDUCE", "NEWOBJ"):
        first = 0 if name == "DICT" else 1
        hashed = sizes[first:] if name in ("ADDITEMS", "REDUCE", "NEWOBJ") else sizes[first::2]
        if max(hashed, default=0) > LARGEST_KEY:
            raise ValueError("holds a key that is too large to hash")
    if name in ("APPEND", "APPENDS"):
        values[0][0] = max(sizes)
    if name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"):
        stack.append(values[0])
    elif "TUPLE" in name:
        stack.append([1 + sum(sizes)])
    elif name == "LIST":
        stack.append([max(sizes, default=1)])
    else:
        stack.extend([1] for _ in operation.stack_after)


def _popped(operation: pickletools.OpcodeInfo, stack: list[Cell | None]) -> list[Cell]:
    """Remove and return the values that an operation takes, without the mark. Raises IndexError."""
    before = operation.stack_before
    taken: list[Cell | None] = []
    plain = len(before)
    if pickletools.markobject in before:
        plain = before.index(pickletools.markobject)
        while (value := stack.pop()) is not None:
            taken.append(value)
    taken.extend(stack.pop() for _ in range(plain))
    if any(value is None for value in taken):
        raise IndexError
    return [value for value in reversed(taken) if value is not None]
