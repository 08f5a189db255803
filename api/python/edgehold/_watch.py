"""Watches: what they read from a node, and how they go on after a break."""

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any, TypeAlias

from ._call import Answer, Call, Effects, Endpoint, Failure, Network, Send, Until, judge, pause, read_problem, refusal
from ._core import Keys, name_of, range_query
from ._errors import EdgeholdError, malformed
from ._values import Entry, bytes_of, key_text, percent, read_entry

_MAX_SILENCE = 35.0
"""How long a node may be silent on a watch: it says that it is there every 10 s."""


@dataclass(frozen=True, slots=True)
class Put:
    """A key was written. A value that is elided is large and has been replaced since."""

    entry: Entry
    elided: bool
    txn: str | None
    """The same for all changes of one transaction over several groups."""
    cursor: str | None

    @property
    def key(self) -> str:
        return self.entry.key


@dataclass(frozen=True, slots=True)
class Delete:
    """A key was deleted, or has expired."""

    key: str
    version: str
    expired: bool
    txn: str | None
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Ready:
    """The watch has begun or, with a list, the list is complete."""

    cursor: str | None


@dataclass(frozen=True, slots=True)
class Reset:
    """A list begins: forget what was seen before."""

    cursor: None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes of the keys from start to end are missing. List them now."""

    start: str
    end: str
    reason: str
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Every change that was acknowledged longer than age seconds ago was yielded."""

    age: float
    cursor: str | None


Event: TypeAlias = Put | Delete | Ready | Reset | Gap | Progress
"""What a watch yields. ``cursor``, if not None, is where a later watch goes on, at any node: it misses nothing that comes after the
event, and may repeat some of what came since the cursor moved last."""


@dataclass(slots=True)
class Open:
    """The effect of opening a stream. Its result is an Answer, without a body if the status is 200, or an exception."""

    send: Send


@dataclass(slots=True)
class Chunk:
    """The effect of reading a piece of the open stream. Its result is bytes, None at its end, or an exception."""

    timeout: float


@dataclass(slots=True)
class Close:
    """The effect of closing the stream. Its result is None."""


@dataclass(slots=True)
class Emit:
    """The effect of yielding an event to the program. Its result is None."""

    event: Event


class Watch:
    """One watch, as a generator of effects."""

    def __init__(self, net: Network, keys: Keys, *, cursor: str | None, list: bool, values: bool, collapse: bool, timeout: float | None) -> None:
        self._net, self._list, self._cursor = net, list, cursor
        self._timeout = net.timeout if timeout is None else timeout
        self._begun = False
        self._fresh = False  # a Reset was the last event
        self._told = 0
        self._stream = 0
        self._seen: dict[str, tuple[str, int]] = {}  # version and stream of what came since the cursor moved last
        query = range_query(keys)
        for name, on in (("list=true", list), ("values=false", not values), ("collapse=true", collapse)):
            if on:
                query.append(name)
        self._call = Call("watch", name_of(keys), "GET", "/v1/watch", query, {"Accept": "text/event-stream"})

    def run(self) -> Effects[None]:
        """Emits events until it is closed. It raises when a node refuses the watch for good."""
        last: EdgeholdError | None = None
        round = 0
        while True:
            endpoint = yield from self._connect(last)
            told = self._told
            try:
                last = yield from self._drain()
            except EdgeholdError as e:
                last = e
            yield Close()
            if judge(self._call, last).verdict == "final":
                raise last.of("watch", self._call.key)
            if self._told != told:
                round = 0
            self._net.endpoints.failed(endpoint)  # others come first for a while
            yield from pause(0.02, round, 0.0, Until(60))
            round += 1

    def _connect(self, last: EdgeholdError | None) -> Effects[Endpoint]:
        """Begins the watch, or goes on with it, at the nearest node that takes it. last: why the stream before has ended."""
        begin = Until(self._timeout)  # for a watch that has not begun
        round = 0
        while True:
            tried: list[Endpoint] = []
            failure: Failure | None = None
            while (e := self._net.endpoints.next(tried)) is not None:
                if not self._begun and begin.over():
                    error = EdgeholdError("unavailable", "it could not begin in time" + (f"; the last error: {last}" if last else ""))
                    raise error.of("watch", self._call.key) from last
                tried.append(e)
                failure = yield from self._open(e, self._net.timeout if self._begun else begin.left())
                if failure is None:
                    return e
                last = failure.error
                if failure.verdict == "final":
                    raise last.of("watch", self._call.key)
            assert last is not None  # at least one node was tried
            if not self._begun and failure is not None and failure.verdict == "elsewhere":
                raise last.of("watch", self._call.key)
            yield from pause(0.02, round, last.retry_after or 0.0, Until(60) if self._begun else begin)
            round += 1

    def _open(self, e: Endpoint, budget: float) -> Effects[Failure | None]:
        share = budget if len(self._net.endpoints.all) == 1 else max(budget / 2, min(budget, 1.0))
        c = self._call
        query = c.query if self._cursor is None else [*c.query, "from=" + percent(self._cursor.encode())]
        send = yield from self._net.request(e, Call(c.op, c.key, c.method, c.path, query, c.headers), share, told=False)
        if isinstance(send, Failure):
            return send
        answer = yield Open(send)
        if isinstance(answer, Exception):
            self._net.endpoints.failed(e)
            return Failure(_broken(answer), "again")
        assert isinstance(answer, Answer)
        if answer.status != 200 or not answer.headers.get("Content-Type", "").lower().startswith("text/event-stream"):
            yield Close()
            return self._net.refused(e, refusal(c, e, answer))
        self._net.endpoints.answered(e)
        self._begun = True
        self._stream += 1
        return None

    def _drain(self) -> Effects[EdgeholdError]:
        """Emits the events of a stream, and returns why it has ended."""
        parser = Parser()
        while True:
            piece = yield Chunk(_MAX_SILENCE)
            if piece is None:
                return EdgeholdError("unavailable", "the node has ended the watch")
            if isinstance(piece, Exception):
                return _broken(piece)
            for name, data, id in parser.push(piece):
                for event in self._read(name, data, id):
                    yield Emit(event)

    def _read(self, name: str, data: str, id: str | None) -> list[Event]:
        """What an event of the node is to the program."""
        try:
            d = json.loads(data)
        except ValueError as e:
            raise malformed() from e
        if name in ("put", "delete"):
            entry = read_entry(d)
            repeated = self._repeated(entry.key, entry.version)
            self._move_on(id)
            if repeated:
                return []
            txn: str | None = d.get("txn")
            if name == "put":
                return self._give(Put(entry, d.get("elided") is True, txn, self._cursor))
            return self._give(Delete(entry.key, entry.version, d.get("expired") is True, txn, self._cursor))
        if name == "ready":
            self._move_on(id)
            self._fresh = False
            return [Ready(self._cursor)]
        if name == "progress":
            self._move_on(id)
            return self._give(Progress(float(d.get("age", "inf")), self._cursor))
        if name == "reset":
            if self._fresh:
                return []
            self._cursor, self._fresh = None, True
            self._seen.clear()
            return [Reset()]
        if name == "gap":
            self._seen.clear()
            self._move_on(id)
            return self._give(Gap(_text(d, "start"), _text(d, "end"), str(d.get("reason", "")), self._cursor))
        if name == "end":
            raise read_problem(d, None)
        return []

    def _give(self, e: Event) -> list[Event]:
        self._fresh = False
        self._told += 1
        return [e]

    def _move_on(self, to: str | None) -> None:
        """Takes a cursor. It covers what this stream has delivered; what an earlier one delivered behind it is still to come again."""
        if to:
            self._cursor = to
            self._seen = {k: s for k, s in self._seen.items() if s[1] != self._stream}

    def _repeated(self, key: str, version: str) -> bool:
        """Reports whether the change was yielded before. What a list delivers is not noted: a list that is cut off begins anew."""
        if self._cursor is None and self._list:
            return False
        before = self._seen.get(key)
        if before is not None and _order(version) <= _order(before[0]):
            if version == before[0]:
                self._seen[key] = (version, self._stream)
            return True
        self._seen[key] = (version, self._stream)
        return False


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))


def _text(d: dict[str, Any], name: str) -> str:
    return key_text(bytes_of(d, name) or b"")


def _broken(cause: Exception) -> EdgeholdError:
    e = EdgeholdError("unavailable", f"the connection of the watch broke: {cause or type(cause).__name__}")
    e.__cause__ = cause
    return e


_LINE_END = re.compile("\r\n|\n|\r")


class Parser:
    """Parses Server-Sent Events from pieces of a stream."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pieces: list[str] = []  # of a line that has not ended
        self._after_return = False  # the last piece ended with a carriage return
        self._name = ""
        self._id: str | None = None
        self._data: list[str] = []

    def push(self, piece: bytes) -> list[tuple[str, str, str | None]]:
        """The name, data and id of each event that the piece ends, if the event has data."""
        text = self._decoder.decode(piece)
        if not text:
            return []
        lines = _LINE_END.split(text[1:] if self._after_return and text[0] == "\n" else text)
        self._after_return = text[-1] == "\r"
        events = []
        for line in lines[:-1]:
            whole = "".join(self._pieces) + line
            self._pieces.clear()
            if (e := self._line(whole)) is not None:
                events.append(e)
        if lines[-1]:
            self._pieces.append(lines[-1])
        return events

    def _line(self, line: str) -> tuple[str, str, str | None] | None:
        if not line:
            e = (self._name, "\n".join(self._data), self._id) if self._data else None
            self._name, self._id, self._data = "", None, []
            return e
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value
        return None
