"""The Dockerfile without a container engine: its files, its commands with another pip, its user, and its volume."""

import os
import re
import shlex
import stat
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from grokinterp.cli.entry import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PIP = '#!/bin/sh\necho "$@" >> "$LOG"\n'


def instructions() -> list[tuple[str, str]]:
    """Name and arguments of every instruction, with continued lines joined."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined) if name]


def arguments(of: str) -> list[str]:
    return [rest for name, rest in instructions() if name == of]


def copied() -> list[Path]:
    return [Path(source) for rest in arguments("COPY") for source in shlex.split(rest)[:-1]]


def commands() -> list[list[str]]:
    """The ``docker run`` commands of the Dockerfile and of the guide, as words."""
    texts = TEXT, (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    found = [line for text in texts for line in re.findall(r"docker run .*", text)]
    return [shlex.split(line, comments=True) for line in found]


def test_every_copied_file_is_in_the_repository_and_sent_to_the_builder():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for path in copied():
        assert (ROOT / path).exists(), path
        assert not any(fnmatch(str(path), pattern) for pattern in ignored), path


def test_what_the_build_of_the_package_reads_is_copied():
    hatch = PROJECT["tool"]["hatch"]
    read = {"pyproject.toml", "README.md", *PROJECT["project"]["license-files"], hatch["version"]["path"]}
    read |= {hatch["metadata"]["hooks"]["custom"]["path"], *hatch["build"]["targets"]["wheel"]["packages"]}
    assert [name for name in sorted(read) if not any(Path(name).is_relative_to(path) for path in copied())] == []


@pytest.mark.parametrize("index", ["", "address"])
def test_pip_is_given_the_tested_versions_of_all_requirements(index, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip").write_text(PIP)
    (tmp_path / "bin" / "pip").chmod(stat.S_IRWXU)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    for path in copied():
        if (ROOT / path).is_file():
            (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    added = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "TORCH_INDEX": index}
    for run in arguments("RUN"):
        shell = re.sub(r"^--\S+ +", "", run)
        if "pip" in shell:
            subprocess.run(["sh", "-c", shell], cwd=tmp_path, env=os.environ | added, check=True, timeout=60)
    pin = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    assert (tmp_path / "log").read_text().splitlines() == [
        f"install {f'--index-url {index} ' if index else ''}{pin}",
        "install -c constraints.txt -r requirements.txt",
        "install --no-deps .",
    ]
    assert (tmp_path / "requirements.txt").read_text().split("\n")[:-1] == PROJECT["project"]["dependencies"]


def test_it_runs_as_a_user_who_owns_the_volume():
    (volume,), (user,) = arguments("VOLUME"), arguments("USER")
    assert user != "root"
    assert arguments("WORKDIR")[-1] == volume
    prepared = " ".join(arguments("RUN"))
    assert f"useradd --no-create-home {user}" in prepared
    assert f"chown {user} {volume}" in prepared
    names = [name for name, _ in instructions()]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name in ("RUN", "COPY"))
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_the_commands_of_the_guide_mount_the_volume_and_exist():
    (volume,), image = arguments("VOLUME"), "grokinterp"
    assert arguments("ENTRYPOINT") == [f'["{name}"]' for name in PROJECT["project"]["scripts"]]
    assert len(commands()) == 4
    for words in commands():
        assert words[words.index("-v") + 1].endswith(f":{volume}")
        assert words[words.index(image) + 1] in COMMANDS


def test_its_python_is_one_that_the_package_supports():
    version = re.fullmatch(r"python:(\d\.\d+)-slim", arguments("FROM")[0])
    assert version is not None
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["project"]["classifiers"]
