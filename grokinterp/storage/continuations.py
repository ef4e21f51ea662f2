"""The continuations of a run, continuations.jsonl: where and in which environment each process took over."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from grokinterp.errors import RunDirectoryError
from grokinterp.storage.atomic import write_atomic
from grokinterp.storage.files import MAX_DOCUMENT_BYTES, parse_json, read_regular
from grokinterp.storage.sealed_rows import is_intact, sealed

NEWEST, OLDER, NONE_YET, LOST, EXTERNAL = "newest", "older", "none yet", "lost", "external"
"""The resume state that a continuation used: the newest; an older one, because the newest could not be used; none,
because none was due yet or because all were lost; or that of an external loop.
"""

OPEN = ("steps", "patience", "evaluate_every")
"""Settings that a continuation may change, besides those of the save schedule: the past does not depend on them."""


def may_change(key: str) -> bool:
    """Return whether a continuation may change the setting with a dotted key.

    >>> may_change("steps"), may_change("save.every"), may_change("seed")
    (True, True, False)
    """
    return key in OPEN or (key.startswith("save.") and key.count(".") == 1)


def with_settings(configuration: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with other values of settings, by their dotted keys.

    >>> with_settings({"steps": 10, "save": {"every": 5}}, {"steps": 20, "save.every": 1})
    {'steps': 20, 'save': {'every': 1}}
    """
    values = dict(configuration)
    for key, value in settings.items():
        name, _, inner = key.partition(".")
        if not inner:
            values[name] = value
        elif isinstance(values.get(name), Mapping):
            values[name] = {**values[name], inner: value}
    return values


@final
@dataclass(frozen=True)
class Continuations:
    """The continuations of the run ``run_id``, one protected row each, numbered from 1."""

    path: Path
    run_id: str

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a record durably after the last complete line. Raises RunDirectoryError or GrokinterpError."""
        content = self._content()
        whole = content[: content.rfind(b"\n") + 1]
        line = sealed({"number": whole.count(b"\n") + 1, **record}, self.run_id)
        write_atomic(self.path, whole + line, replace=True)

    def read(self) -> list[dict[str, Any] | None]:
        """Return every record in order; None for a record that is damaged or out of place.

        Raises:
            RunDirectoryError: if the file cannot be read.
        """
        lines = self._content().split(b"\n")
        if lines == [b""] and self.path.exists():  # an empty file is never written
            return [None]
        return [self._record(number, line) for number, line in enumerate(lines, 1) if line or number < len(lines)]

    def settings(self) -> dict[str, Any]:
        """Return the settings that continuations have changed, by dotted key, as they are now.

        A record that cannot be read changes nothing.
        """
        try:
            records = self.read()
        except RunDirectoryError:
            return {}
        found: dict[str, Any] = {}
        for record in records:
            changed = (record or {}).get("settings")
            for key, both in changed.items() if isinstance(changed, dict) else ():
                if may_change(key) and isinstance(both, list) and len(both) == 2:
                    found[key] = both[1]
        return found

    def _record(self, number: int, line: bytes) -> dict[str, Any] | None:
        try:
            record = parse_json(line) if is_intact(line, self.run_id) else None
        except ValueError:
            return None
        return record if isinstance(record, dict) and record.get("number") == number else None

    def _content(self) -> bytes:
        """Return all bytes; none without a file. Raises RunDirectoryError."""
        try:
            return read_regular(self.path, limit=MAX_DOCUMENT_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise RunDirectoryError(self.path.parent, f"{self.path.name} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise RunDirectoryError(self.path.parent, f"{self.path.name} {error}") from None
