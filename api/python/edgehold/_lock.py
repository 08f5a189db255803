"""Locks: what is sent, and how long one counts as held."""

import json
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from ._call import Call, Effects, Network, Sleep
from ._errors import EdgeholdError, invalid, malformed
from ._values import duration, key_bytes, parse, path_of

_LONGEST_WAIT = 3600.0
LOOK = 0.25
"""How often a lock looks at its clocks at least, in seconds."""


class Moment:
    """An instant by two clocks. The one may stop while the machine sleeps, the other may be set."""

    def __init__(self) -> None:
        self._mono, self._wall = time.monotonic(), time.time()

    def since(self) -> float:
        """The time since then, by the clock that has gone further."""
        return max(time.monotonic() - self._mono, time.time() - self._wall)


class Tenure:
    """A lock as it was given."""

    def __init__(self, name: str, ttl: float, answer: dict[str, Any], sent: Moment) -> None:
        self.name, self.ttl, self.sent = name, ttl, sent
        m = re.fullmatch(r"([0-9]+)\.([0-9]+)", str(answer.get("version")))
        if m is None or not isinstance(answer.get("id"), str):
            raise malformed().of("lock", name)
        self.id: str = answer["id"]
        self.version: str = m[0]
        self.fence = (int(m[1]) << 40) + int(m[2])  # the version as one integer
        self.ended = False

    @property
    def left(self) -> float:
        """How long it counts as held. The clock here may be slower than the node's, so that is less than the ttl."""
        return 0.0 if self.ended else self.ttl * 0.98 - self.sent.since()

    def renew(self, net: Network, timeout: float) -> Effects[None]:
        """Renews it. If it is gone, it has ended."""
        sent = Moment()
        try:
            yield from _send(net, "renew", "PUT", self.name, {"ttl": duration(self.ttl, "ttl"), "id": self.id, "fence": str(self.fence)}, timeout)
        except EdgeholdError as e:
            self.ended = self.ended or e.code == "precondition_failed"
            raise
        self.sent = sent

    def release(self, net: Network, timeout: float | None) -> Effects[None]:
        """Gives it back."""
        attempts = 0

        def attempting() -> None:
            nonlocal attempts
            attempts += 1

        a = yield from _send(net, "unlock", "DELETE", self.name, {"id": self.id, "fence": str(self.fence)}, timeout, attempting)
        # An attempt before the one that was answered may have given it back.
        if a.get("released") is not True and attempts == 1:
            raise EdgeholdError("precondition_failed", "the lock was lost before it was given back", op="unlock", key=self.name)


def next_look(t: Tenure, failed: bool) -> tuple[bool, float]:
    """Whether it is time to renew the tenure, and how long to wait before the next look."""
    due = t.sent.since() - t.ttl / 3
    if due >= 0 and not failed:
        return True, 0.0
    return False, max(0.0, min(t.left, LOOK, t.ttl / 10 if failed else -due))


def acquire(net: Network, name: str, ttl: float, wait: float | None, owner: str | None) -> Effects[Tenure]:
    """Takes the lock, and waits for it for at most wait seconds; None is for ever."""
    duration(ttl, "ttl")
    if wait is not None:
        duration(wait, "wait")
    key, began = secrets.token_hex(16), time.monotonic()
    while True:
        left = _LONGEST_WAIT if wait is None else max(0.0, wait - (time.monotonic() - began))
        try:
            t = yield from _once(net, name, ttl, min(left, _LONGEST_WAIT), owner, key)
            if t is not None:
                return t
        except EdgeholdError as e:
            if e.code != "conflict" or wait is not None and time.monotonic() - began >= wait:
                raise
            yield Sleep(0.01)  # the request has waited for as long as one does


def _once(net: Network, name: str, ttl: float, wait: float, owner: str | None, key: str) -> Effects[Tenure | None]:
    """Asks for the lock once. None: it was given, and lost again before the answer came."""
    sent = Moment()

    def attempting() -> None:
        nonlocal sent
        sent = Moment()

    body = {"ttl": duration(ttl, "ttl"), "wait": duration(wait, "wait"), **({} if owner is None else {"owner": owner})}
    answer = yield from _send(net, "lock", "POST", name, body, wait + net.timeout, attempting, key)
    t = Tenure(name, ttl, answer, sent)
    if sent.since() <= ttl / 2:
        return t
    try:
        yield from t.renew(net, net.timeout)
    except EdgeholdError:
        if t.ended:
            return None
        raise
    return t if t.left > 0 else None


def _send(
    net: Network, op: str, method: str, name: str, body: dict[str, Any], timeout: float | None,
    attempting: Callable[[], None] | None = None, id: str | None = None,
) -> Effects[dict[str, Any]]:
    if not name:
        raise invalid("it is no name of a lock").of(op, name)
    # To renew and to give back may be repeated as they are.
    call = Call(op, name, method, "/v1/locks/" + path_of(key_bytes(name)), headers={"Content-Type": "application/json"}, body=json.dumps(body).encode())
    call.attempting = attempting
    if id is not None:
        call.writes, call.waits, call.id = True, True, lambda: id
    a = yield from net.run(call, timeout)
    return parse(a.body)
