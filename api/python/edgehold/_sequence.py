"""The numbers of a client's writes."""

import os
import secrets
import threading
from collections.abc import Callable

MAX_WINDOW = 16384
"""The most writes between the oldest that is under way and the newest. Nodes keep a result for each."""


class _Numbers:
    """The writes of one client id."""

    def __init__(self) -> None:
        self.client = secrets.token_hex(16)
        self.pid = os.getpid()
        self.last = 0
        self.under_way: dict[int, None] = {}  # in rising order


class Sequence:
    """Numbers the writes of a client under a random id, so that nodes can drop what they keep of those that are over.

    A process that was forked draws an id of its own. It is safe for concurrent use.
    """

    def __init__(self) -> None:
        self._mu = threading.Lock()
        self._now = _Numbers()

    def begin(self) -> tuple[Callable[[], str], Callable[[], None]]:
        """A new write: its Idempotency-Key, which says each time which writes need no record any more, and what ends the write."""
        with self._mu:
            n = self._now
            oldest = next(iter(n.under_way), None)
            if n.pid != os.getpid() or oldest is not None and n.last - oldest >= MAX_WINDOW:
                n = self._now = _Numbers()
            n.last += 1
            seq = n.last
            n.under_way[seq] = None

        def key() -> str:
            with self._mu:
                return f"eh1-{n.client}-{seq}-{next(iter(n.under_way), seq)}"

        def end() -> None:
            with self._mu:
                n.under_way.pop(seq, None)

        return key, end
