"""Calls to nodes: what is sent, when it is tried again, and what its failure means.

The logic is in generators that yield effects (:class:`Send`, :class:`Sleep`) and get their results, so that the synchronous and the
asynchronous client share it.
"""

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar
from urllib.parse import urlsplit

from ._errors import CODES, Code, EdgeholdError, invalid
from ._values import parse

DEFAULT_TIMEOUT = 10.0
MAX_WRITE = 3600.0
"""The most that a write takes. Nodes keep what came of a write for a day; a copy that was sent later would take effect again."""
_LEAST_ATTEMPT = 1.0
_LONGEST_ATTEMPT = 240.0
_PAUSE_FIRST = 0.02
_PAUSE_MOST = 1.0
_REST_FIRST = 0.5
_REST_MOST = 15.0
_SOFT_FAILURES = 3

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Endpoint:
    """A node, and what is known of its health."""

    base: str
    failures: int = 0
    rest_until: float = 0.0


class Endpoints:
    """The nodes, nearest first."""

    def __init__(self, urls: str | Sequence[str]) -> None:
        given = [urls] if isinstance(urls, str) else list(urls)
        if not given:
            raise invalid("name at least one URL, such as http://127.0.0.1:7400").of("connect", None)
        self.all = [Endpoint(_base_of(u)) for u in given]

    def next(self, tried: list[Endpoint]) -> Endpoint | None:
        """The nearest node that was not tried and does not rest; if all rest, the one due first; None if the round is over."""
        now = time.monotonic()
        waiting = [e for e in self.all if e not in tried]
        for e in waiting:
            if e.rest_until <= now:
                if e.failures > 0:  # this call tries it, the others when its outcome is known
                    e.rest_until = now + _REST_FIRST
                return e
        return None if tried else min(waiting, key=lambda e: e.rest_until)

    def answered(self, e: Endpoint) -> None:
        """The node works."""
        e.failures, e.rest_until = 0, 0.0

    def failed(self, e: Endpoint, *, soft: bool = False) -> None:
        """The node did not answer or, if soft, answered "unavailable", which may be due to the owner of one key."""
        e.failures += 1
        n = e.failures - (_SOFT_FAILURES - 1 if soft else 0)
        if n > 0:
            e.rest_until = time.monotonic() + min(_REST_MOST, _REST_FIRST * 2 ** min(n - 1, 10))


def _base_of(text: str) -> str:
    full = text if "://" in text else "http://" + text
    try:
        u = urlsplit(full)
        right = u.scheme in ("http", "https") and bool(u.hostname) and u.username is None and u.port is not False
    except ValueError:
        right = False
    if not right or u.query or u.fragment:
        raise invalid(f"{text!r} is not a URL such as http://127.0.0.1:7400").of("connect", None)
    return full.rstrip("/")


@dataclass(slots=True)
class Call:
    """One request. It does not depend on the node that it is sent to."""

    op: str
    key: str | None
    method: str
    path: str
    query: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    writes: bool = False
    """The call may change something."""
    id: Callable[[], str] | None = None
    """The Idempotency-Key of each attempt; with it, the call takes effect once."""
    given: bool = False
    """The program chose the Idempotency-Key, so that it may have sent the write before."""
    accepts: Callable[["Answer"], bool] | None = None
    """Reports whether an answer that is not 200 is no error."""
    waits: bool = False
    """The call waits for a lock at the node, for as long as its timeout. "conflict" is then what came of it, whichever attempt found it."""
    attempting: Callable[[], None] | None = None
    """Called before each attempt."""


@dataclass(slots=True)
class Answer:
    """What a node has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Send:
    """The effect of a request. Its result is an Answer, or the exception that kept the answer from coming."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    timeout: float


@dataclass(slots=True)
class Sleep:
    """The effect of a pause, in seconds. Its result is None."""

    seconds: float


@dataclass(slots=True)
class Token:
    """The effect of asking for the token. Its result is the token, None, or the exception of the program's function."""


Effects: TypeAlias = Generator[Any, Any, T]
"""A generator that yields effects, is sent their results, and returns a T."""

Verdict = Literal["again", "elsewhere", "final"]


@dataclass(slots=True)
class Failure:
    """A failed attempt: its error, and whether to try again, only at other nodes, or not."""

    error: EdgeholdError
    verdict: Verdict


class Until:
    """The deadline of a call."""

    def __init__(self, timeout: float, most: float = float("inf")) -> None:
        if not timeout > 0:
            raise invalid(f"timeout is {timeout!r}; it is a number of seconds above 0")
        self._deadline = time.monotonic() + min(timeout, most)

    def left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def over(self) -> bool:
        return self.left() == 0


class Network:
    """Sends calls to the nodes, and tries again."""

    def __init__(self, urls: str | Sequence[str], timeout: float) -> None:
        self.endpoints = Endpoints(urls)
        Until(timeout)
        self.timeout = timeout

    def run(self, q: Call, timeout: float | None = None) -> Effects[Answer]:
        """Sends the call until a node answers it, trying again is pointless, or its time is over."""
        until = Until(self.timeout if timeout is None else timeout, MAX_WRITE if q.writes else float("inf"))
        past = _History(q)
        round = 0
        while True:
            tried: list[Endpoint] = []
            while (e := self.endpoints.next(tried)) is not None:
                if until.over():
                    raise past.gave_up()
                tried.append(e)
                result = yield from self._attempt(e, q, until)
                if isinstance(result, Answer):
                    return result
                past.add(result, until)
                if result.verdict == "final":
                    raise past.settle(result.error)
            assert past.last is not None  # at least one node was tried
            if past.last.verdict == "elsewhere":
                raise past.settle(past.last.error)
            asked = past.last.error.retry_after or 0.0
            if asked > until.left():
                raise past.gave_up()
            yield from pause(_PAUSE_FIRST, round, asked, until)
            round += 1

    def _attempt(self, e: Endpoint, q: Call, until: Until) -> Effects[Answer | Failure]:
        left = until.left()
        share = left if q.waits or len(self.endpoints.all) == 1 else max(left / 2, min(left, _LEAST_ATTEMPT))
        bound = min(share, _LONGEST_ATTEMPT)
        if q.attempting is not None:
            q.attempting()
        send = yield from self.request(e, q, bound, told=not q.waits)
        if isinstance(send, Failure):
            return send
        answer = yield send
        if isinstance(answer, Exception):
            self.endpoints.failed(e)
            return _unanswered(q, e, answer)
        if answer.status == 200 or q.accepts is not None and q.accepts(answer):
            self.endpoints.answered(e)
            return answer  # type: ignore[no-any-return]
        return self.refused(e, refusal(q, e, answer))

    def request(self, e: Endpoint, q: Call, bound: float, *, told: bool) -> Effects[Send | Failure]:
        """The request of an attempt that takes at most bound; told: the request carries the bound."""
        query = [*q.query, f"timeout={max(1, round(bound * 1000))}ms"] if told else q.query
        headers = dict(q.headers)
        if q.id is not None:
            headers["Idempotency-Key"] = q.id()
        token = yield Token()
        if isinstance(token, Exception):
            error = EdgeholdError("unauthenticated", f"the token could not be got: {token}")
            error.__cause__ = token
            return Failure(error, "final")
        if token and not token.isprintable():
            return Failure(EdgeholdError("unauthenticated", "the token has a character that no token has, such as a line break"), "final")
        if token:
            headers["Authorization"] = "Bearer " + token
        return Send(q.method, e.base + q.path + ("?" + "&".join(query) if query else ""), headers, q.body, bound)

    def refused(self, e: Endpoint, f: Failure) -> Failure:
        """Notes what a refusal says of the node."""
        if f.error.code == "unavailable":
            self.endpoints.failed(e, soft=True)
        elif f.verdict != "final":
            self.endpoints.failed(e)
        else:
            self.endpoints.answered(e)
        return f


def pause(first: float, round: int, asked: float, until: Until) -> Effects[None]:
    """Waits before the next round: longer with each one, with jitter, and at least as long as the node asked for."""
    d = min(_PAUSE_MOST, first * 2 ** min(round, 10))
    yield Sleep(min(until.left(), max(random.uniform(d / 2, d), random.uniform(asked, 1.5 * asked))))


class _History:
    """What the attempts of a call have found out."""

    def __init__(self, q: Call) -> None:
        self._q = q
        self.last: Failure | None = None
        self._attempts = 0
        self._unknown = False  # an attempt may have taken effect, or may do so later

    def add(self, f: Failure, until: Until) -> None:
        """Notes a failure. One that is due to the end of the call says less than the one before it, which is kept."""
        self._attempts += 1
        if self.last is None or not until.over():
            self.last = f
        self._unknown = self._unknown or f.error.applied == "unknown"

    def settle(self, error: EdgeholdError) -> EdgeholdError:
        """The error that ends the call. A condition that did not hold is what came of the write, whichever attempt found it."""
        outcome = error.code == "precondition_failed" or self._q.waits and error.code == "conflict"
        if self._unknown and not outcome and error.code != "ambiguous":
            cause = error
            error = EdgeholdError("ambiguous", f"an attempt may have taken effect, and then: {cause}")
            error.__cause__ = cause
        return error.of(self._q.op, self._q.key)

    def gave_up(self) -> EdgeholdError:
        """The error of a call whose time is over."""
        unknown = self._unknown or self._q.given and self._q.writes
        detail = "its time is over"
        if self.last is not None:
            detail += f"; gave up after attempt {self._attempts}: {self.last.error}"
        e = EdgeholdError("ambiguous" if unknown else "unavailable", detail)
        if self.last is not None:
            e.retry_after, e.__cause__ = self.last.error.retry_after, self.last.error
        return e.of(self._q.op, self._q.key)


def _unanswered(q: Call, e: Endpoint, cause: Exception) -> Failure:
    """The failure of an attempt that has no answer. A request that was sent may have been carried out."""
    error = EdgeholdError("ambiguous" if q.writes else "unavailable", f"{e.base} does not answer: {cause or type(cause).__name__}")
    error.__cause__ = cause
    return Failure(error, "final" if q.writes and q.id is None else "again")


def refusal(q: Call, e: Endpoint, a: Answer) -> Failure:
    """The failure that an answer is."""
    p: dict[str, Any] = {}
    if a.headers.get("Content-Type", "").split(";")[0].strip().lower() == "application/problem+json":
        try:
            p = parse(a.body)
        except EdgeholdError:
            pass  # it is another server's
    if p.get("code") not in CODES:
        return _foreign(q, e, a)
    return judge(q, read_problem(p, a.headers.get("Edgehold-Version")))


def read_problem(p: dict[str, Any], version: str | None) -> EdgeholdError:
    """The error that a problem (RFC 9457) of a node says."""
    code: Code = p["code"] if p.get("code") in CODES else "internal"
    applied: Any = p.get("applied")
    wait = p.get("retry_after")
    return EdgeholdError(
        code,
        str(p.get("detail", "")),
        applied=applied if applied in ("no", "unknown") else None,
        version=version,
        retry_after=float(wait) if isinstance(wait, (int, float)) else None,
    )


def judge(q: Call, error: EdgeholdError) -> Failure:
    """The failure for an error that a node has answered with."""
    repeatable = not q.writes or q.id is not None
    if error.code in ("unavailable", "limited"):
        return Failure(error, "again")
    if error.code == "ambiguous":
        if not q.writes:
            error = _because("unavailable", error.detail, error)
        return Failure(error, "again" if repeatable else "final")
    if error.code == "internal":
        if q.writes:
            error = _because("ambiguous", "the node failed while it carried this out", error)
        else:
            error.applied = "no"
        return Failure(error, "elsewhere" if repeatable else "final")
    return Failure(error, "final")


def _because(code: Code, detail: str, cause: EdgeholdError) -> EdgeholdError:
    error = EdgeholdError(code, detail)
    error.__cause__ = cause
    return error


def _foreign(q: Call, e: Endpoint, a: Answer) -> Failure:
    """The failure for an answer of a proxy or of another server. Whether a gateway has passed a write on is not known."""
    detail = f"{e.base} answered {a.status}, not as Edgehold does: is the URL right?"
    if a.status == 401:
        return Failure(EdgeholdError("unauthenticated", detail), "final")
    if a.status == 403:
        return Failure(EdgeholdError("denied", detail), "final")
    if a.status == 429:
        return Failure(EdgeholdError("unavailable", detail), "again")
    if a.status < 500:
        return Failure(EdgeholdError("invalid", detail), "final")
    return Failure(EdgeholdError("ambiguous" if q.writes else "unavailable", detail), "final" if q.writes and q.id is None else "again")
