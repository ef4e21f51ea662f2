"""A sweep whose disk is filled in the middle, as a script in a mount namespace of its own.

``unshare --mount --map-root-user python -m tests.support.full_disk FOLDER`` runs the command in FOLDER/base.json's
sweep twice, on a small disk that is full from the first resume state of a run until the command ends, and copies the
runs to FOLDER/first and FOLDER/second.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

SIZE = 2**26
"""Bytes of the disk."""


def fill(root: Path) -> None:
    """Fill the disk as soon as a run has a resume state."""
    while not list(root.glob("*/resume/*.safetensors")):
        time.sleep(0.005)
    with open(root / "filler", "wb", buffering=0) as file:
        for block in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"x" * block)
            except OSError:
                pass


def main(folder: Path) -> None:
    """Print the exit codes of the two commands."""
    from grokinterp.cli.entry import code_of

    root = folder / "root"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", root], check=True)
    words = ["sweep", "--config", str(folder / "base.json"), "--seeds", "2", "--engine", "local", "--workers", "1"]
    threading.Thread(target=fill, args=(root,), daemon=True).start()
    for name in ("first", "second"):
        print(name, code_of([*words, "--out", str(root)]), file=sys.stderr)
        (root / "filler").unlink(missing_ok=True)
        shutil.copytree(root, folder / name)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(Path(sys.argv[1]))
