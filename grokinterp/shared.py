"""Settings of the whole process, which several threads may need at the same time."""

import os
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, final

LOCK = threading.RLock()
"""Held while settings change, and while this process is forked, so that a child process finds them consistent."""

os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


@final
class Shared:
    """A setting of the process that the first user sets and the last user restores.

    Without it, a thread would restore the setting of another thread, and the caller's own setting would be lost.

    Args:
        setting: returns a context manager that sets it and restores the earlier value.
    """

    def __init__(self, setting: Callable[[], AbstractContextManager[Any]]) -> None:
        self.setting = setting
        self.users: dict[object, int] = {}
        self.set: AbstractContextManager[Any] | None = None
        os.register_at_fork(after_in_child=self._keep_this_thread)

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep the setting while the block runs."""
        user = object()
        with LOCK:
            if self.set is None:
                setting = self.setting()
                setting.__enter__()
                self.set = setting
            self.users[user] = threading.get_ident()
        try:
            yield
        finally:
            with LOCK:
                del self.users[user]
                self._restore_unless_used()

    def _restore_unless_used(self) -> None:
        if self.set is not None and not self.users:
            setting, self.set = self.set, None
            setting.__exit__(None, None, None)

    def _keep_this_thread(self) -> None:
        """Forget, in a forked process, the users in threads that do not exist there."""
        mine = threading.get_ident()
        self.users = {user: thread for user, thread in self.users.items() if thread == mine}
        self._restore_unless_used()


WARNING_FILTERS = Shared(warnings.catch_warnings)
"""Held where a filter is set, because ``warnings.catch_warnings`` alone would restore the filters of other threads."""
