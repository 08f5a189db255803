"""Transactions and views: what they keep, and what they send."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from ._atomic import MAX64, delta_text, integer_bytes
from ._call import Effects, Until, pause
from ._core import Core, life, read_txn, txn_call
from ._errors import EdgeholdError, invalid
from ._values import Entry, Key, Value, duration, key_bytes, key_text, member, value_bytes

_CONFLICT_PAUSE = 0.004


class Guard(Protocol):
    """A lock that is held."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def version(self) -> str: ...


@dataclass(slots=True)
class _Step:
    key: str | None
    """The key whose value it writes, if any."""
    json: dict[str, Any]
    fixed: bool
    """It sets the key whatever the key held."""
    on: Callable[[bytes | None], bytes | None]


class TxBase:
    """A transaction or view that runs. It sees its own writes, and each key as it was when it first read it.

    It belongs to one thread or task.
    """

    def __init__(self, core: Core, view: bool, until: Until, cached: dict[str, Entry]) -> None:
        self._core, self._view, self._until = core, view, until
        self._read: dict[str, Entry] = {}
        self._reads = 0
        self._steps: list[_Step] = []
        self._guards: list[Guard] = []
        self._over = False
        self._fault: Exception | None = None  # why a write was refused, or why a view must run again
        self._cached = cached  # of an earlier run of a view, as of the instant of _read
        self._moved: dict[str, Entry] | None = None  # what the next run of a view begins with

    def put(self, key: Key, value: Value, *, ttl: float | None = None, keep_ttl: bool = False) -> None:
        """Sets the key when the transaction commits. ttl: its time to live from then on, in seconds. keep_ttl: it expires when it would have."""

        def step(k: dict[str, str]) -> tuple[dict[str, Any], bool, Callable[[bytes | None], bytes | None]]:
            b = value_bytes(value)
            return {"put": {**k, **member("value", b), **life(ttl, keep_ttl)}}, True, lambda _: b

        self._write(key, step)

    def append(self, key: Key, value: Value, *, ttl: float | None = None, keep_ttl: bool = False) -> None:
        """Appends the value to that of the key without reading it. An absent key gets the value."""

        def step(k: dict[str, str]) -> tuple[dict[str, Any], bool, Callable[[bytes | None], bytes | None]]:
            b = value_bytes(value)
            return {"append": {**k, **member("value", b), **life(ttl, keep_ttl)}}, False, lambda old: (old or b"") + b

        self._write(key, step)

    def delete(self, key: Key) -> None:
        """Deletes the key. An absent key is no error."""
        self._write(key, lambda k: ({"delete": k}, True, lambda _: None))

    def add(self, key: Key, delta: int) -> None:
        """Adds to the key without reading it: its value is a decimal integer of 64 bits, and an absent key counts as 0.

        Transactions that only add to a key do not conflict. If the value is no such integer, or the sum does not fit, the transaction
        fails with "precondition_failed".
        """

        def step(k: dict[str, str]) -> tuple[dict[str, Any], bool, Callable[[bytes | None], bytes | None]]:
            return {"add": {**k, "delta": delta_text(delta)}}, False, lambda old: _sum(old, delta)

        self._write(key, step)

    def append_if_absent(self, key: Key, value: Value, *, ttl: float | None = None) -> None:
        """Appends the value to that of the key without reading it, unless the key's value contains it already."""

        def step(k: dict[str, str]) -> tuple[dict[str, Any], bool, Callable[[bytes | None], bytes | None]]:
            b = value_bytes(value)
            return {"append_if_absent": {**k, **member("value", b), **life(ttl, False)}}, False, lambda old: b if old is None else old if b in old else old + b

        self._write(key, step)

    def sum64(self, key: Key, n: int, *, ttl: float | None = None, keep_ttl: bool = False) -> None:
        """Adds to the key without reading it: its value is an integer of 8 bytes, little endian, without sign, and the sum wraps.

        An absent key gets n. If the value has another length, the transaction fails with "precondition_failed".
        """
        self._fold("sum64", key, n, ttl, keep_ttl, lambda a, b: (a + b) & MAX64)

    def min64(self, key: Key, n: int, *, ttl: float | None = None, keep_ttl: bool = False) -> None:
        """Makes the key the lesser of n and what it holds, which is as in :meth:`sum64`."""
        self._fold("min64", key, n, ttl, keep_ttl, min)

    def max64(self, key: Key, n: int, *, ttl: float | None = None, keep_ttl: bool = False) -> None:
        """Makes the key the greater of n and what it holds, which is as in :meth:`sum64`."""
        self._fold("max64", key, n, ttl, keep_ttl, max)

    def _fold(self, name: str, key: Key, n: int, ttl: float | None, keep_ttl: bool, f: Callable[[int, int], int]) -> None:
        def step(k: dict[str, str]) -> tuple[dict[str, Any], bool, Callable[[bytes | None], bytes | None]]:
            b = integer_bytes(n)
            return {name: {**k, **member("value", b), **life(ttl, keep_ttl)}}, False, lambda old: b if old is None else integer_bytes(f(_integer(old), n))

        self._write(key, step)

    def touch(self, key: Key, ttl: float) -> None:
        """Lets the key live for at least so many seconds from the commit on. Its value and version stay.

        An absent key, or one that does not expire, stays as it is. A transaction with a touch writes keys of one group alone.
        """
        self._write(key, lambda k: ({"touch": {**k, "ttl": duration(ttl, "ttl")}}, False, lambda old: old))
        self._steps[-1].key = None

    def guard(self, lock: Guard) -> None:
        """Lets the transaction commit only while the lock is held: it fails with "precondition_failed" if the lock is lost."""
        self._usable()
        if self._view:
            raise invalid("a view commits nothing; guard a transaction")
        self._guards.append(lock)

    def _write(self, key: Key, make: Callable[[dict[str, str]], tuple[dict[str, Any], bool, Callable[[bytes | None], bytes | None]]]) -> None:
        self._usable()
        try:
            if self._view:
                raise invalid("a view only reads; write in a transaction")
            k = key_bytes(key)
            self._steps.append(_Step(key_text(k), *make(member("key", k))))
        except Exception as e:
            self._fault = e
            raise

    def _usable(self) -> None:
        if self._over:
            raise invalid("the function of the transaction has returned")
        if self._fault is not None:
            raise self._fault

    def _fixed(self, key: str) -> int:
        """The index of the newest step that sets the key whatever it held; -1 if there is none."""
        return max((i for i, s in enumerate(self._steps) if s.key == key and s.fixed), default=-1)

    def _sees(self, key: str) -> Entry:
        """The key as it was read, with the transaction's own steps on it."""
        own = [s for s in self._steps[max(0, self._fixed(key)) :] if s.key == key]
        read = self._read.get(key)
        if not own and read is not None:
            return read
        value = None if read is None else read.value
        for s in own:
            value = s.on(value)
        return Entry(key, value is not None, "", value)

    def _get_many(self, keys: Iterable[Key]) -> Effects[list[Entry]]:
        self._usable()
        names = [key_text(key_bytes(k)) for k in keys]
        yield from (self._fetch_view if self._view else self._fetch_each)(names)
        return [self._sees(k) for k in names]

    def _missing(self, names: list[str]) -> list[str]:
        return [k for k in dict.fromkeys(names) if k not in self._read and self._fixed(k) < 0]

    def _fetch_each(self, names: list[str]) -> Effects[None]:
        """Reads keys, each as of an instant of its own: the commit checks them."""
        if missing := self._missing(names):
            got = yield from self._ask(missing)
            self._reads += 1
            for e in got:
                self._read.setdefault(e.key, e)

    def _fetch_view(self, names: list[str]) -> Effects[None]:
        """Reads keys together with all that this run has read, as of one instant."""
        for k in self._missing(names):
            if (known := self._cached.get(k)) is not None:
                self._read[k] = known
        missing = self._missing(names)
        if not missing:
            return
        now = {e.key: e for e in (yield from self._ask([*self._read, *missing]))}
        self._cached = {}  # it is of an older instant
        if any(now[k].version != before.version for k, before in self._read.items()):
            self._moved = now
            self._fault = EdgeholdError("conflict", "what was read before has changed; the function runs again", op="view")
            raise self._fault
        for k in missing:
            self._read[k] = now[k]

    def _ask(self, names: list[str]) -> Effects[list[Entry]]:
        got = yield from self._core.get_many("get", names, max(0.001, self._until.left()))
        self._usable()
        return got


def _integer(b: bytes) -> int:
    if len(b) != 8:
        raise EdgeholdError("precondition_failed", f"the value has {len(b)} bytes; an integer has 8")
    return int.from_bytes(b, "little")


def _sum(old: bytes | None, delta: int) -> bytes:
    try:
        n = int((old or b"0").decode("ascii")) + delta
    except ValueError:
        n = 1 << 63
    if not -(1 << 63) <= n < 1 << 63:
        raise EdgeholdError("precondition_failed", "the value is no integer of 64 bits to which this can be added")
    return str(n).encode()


class Runs:
    """The runs of a transaction or a view, until one succeeds."""

    def __init__(self, core: Core, view: bool, timeout: float | None) -> None:
        self.core, self.view = core, view
        self.until = Until(core.net.timeout if timeout is None else timeout)
        self._age = time.time_ns()  # of two that conflict the older one goes first
        self._n = 0
        self._last: EdgeholdError | None = None
        self._cached: dict[str, Entry] = {}

    def begin(self, kind: type[Any]) -> Any:
        """A transaction or view for the next run."""
        if self.until.over():
            detail = "its time is over" + (f" after run {self._n}: {self._last}" if self._last else "")
            e = EdgeholdError("unavailable", detail, op="view" if self.view else "txn")
            e.__cause__ = self._last
            raise e
        return kind(self.core, self.view, self.until, self._cached)

    def moved(self, tx: TxBase) -> bool:
        """Reports whether a view is to run again, whatever its function made of it."""
        if tx._moved is None:
            return False
        self._cached, self._n = tx._moved, self._n + 1
        return True

    def end(self, tx: TxBase) -> Effects[bool]:
        """Ends a run whose function has returned, and reports whether that was the last run."""
        if tx._fault is not None:  # the function has ignored it
            raise tx._fault
        if self.view:
            return True
        try:
            if (yield from self._commit(tx)):
                return True
            self._last = EdgeholdError("conflict", "what it had read was changed by others")
        except EdgeholdError as e:
            if e.code != "unavailable" or self.until.over():
                raise
            self._last = e
        yield from pause(_CONFLICT_PAUSE, self._n, self._last.retry_after or 0.0, self.until)
        self._n += 1
        return False

    def _commit(self, tx: TxBase) -> Effects[bool]:
        """Sends what the function has written, and reports whether what it has read is still so."""
        left = max(0.001, self.until.left())
        if not tx._steps:
            if tx._reads > 1:
                now = yield from self.core.get_many("txn", list(tx._read), left)
                if any(tx._read[e.key].version != e.version for e in now):
                    return False
            yield from self._check_guards(tx)
            return True
        conditions = [{**member("key", key_bytes(k)), "version": e.version} for k, e in tx._read.items()]
        guards = [{**member("key", key_bytes(g.key)), "version": g.version} for g in tx._guards]
        call = txn_call("txn", {"if": conditions + guards, "then": [s.json for s in tx._steps], "age": str(self._age)}, None)
        call.writes = True
        call.id, end = self.core.sequence.begin()
        try:
            committed, _ = read_txn((yield from self.core.net.run(call, left)))
        finally:
            end()
        if not committed:
            yield from self._check_guards(tx)
        return committed

    def _check_guards(self, tx: TxBase) -> Effects[None]:
        now = yield from self.core.get_many("txn", [g.key for g in tx._guards], max(0.001, self.until.left()))
        for g, e in zip(tx._guards, now, strict=True):
            if not e.exists or e.version != g.version:
                raise EdgeholdError("precondition_failed", "the lock is not held any more; nothing was written", op="txn", key=g.name)
