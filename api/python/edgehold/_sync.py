"""The synchronous client."""

import builtins
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from ._call import DEFAULT_TIMEOUT, Answer, Effects, Network, Send, Sleep, Token
from ._atomic import AtomicResult, Condition, Operation
from ._core import CasResult, Conditions, Consistency, Core, Keys, life, read_query
from ._lock import LOOK, Tenure, acquire, next_look
from ._tx import Runs, TxBase
from ._values import Entry, Key, Value
from ._watch import Chunk, Close, Emit, Event, Open, Watch

T = TypeVar("T")
TokenSource = str | Callable[[], str] | None


def connect(
    urls: str | Sequence[str], *, token: TokenSource = None, timeout: float = DEFAULT_TIMEOUT, http: httpx.Client | None = None
) -> "Client":
    """A client of the nodes at these URLs, nearest first. It sends nothing before its first call.

    token: the access token, or a function that is asked for it before each request. timeout: the most that a call takes if it does not
    say, in seconds. http: what sends the requests, such as ``httpx.Client(verify=context)``; the caller closes it.
    """
    return Client(Network(urls, timeout), token, http)


class Client:
    """Reads and writes the keys of a cluster through its nearest node.

    If a node does not answer, the next one is asked; a write keeps its Idempotency-Key meanwhile, so that it takes effect once. Every
    method raises :class:`EdgeholdError`. A client is safe for concurrent use by threads.
    """

    def __init__(self, net: Network, token: TokenSource, http: httpx.Client | None) -> None:
        self._net, self._token = net, token
        self._own = http is None
        self._http = http or httpx.Client(follow_redirects=False, limits=httpx.Limits(max_connections=None))
        self._core = Core(net)

    def close(self) -> None:
        """Closes the connections. Locks that are held are not renewed any more."""
        if self._own:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def get(
        self, key: Key, *, consistency: Consistency | None = None, max_stale: float | None = None, timeout: float | None = None
    ) -> Entry:
        """The key. If it is absent, ``exists`` is False, and the version is that of its absence."""
        return self._run(self._core.get(key, consistency, max_stale, timeout))

    def get_many(self, keys: Iterable[Key], *, timeout: float | None = None) -> builtins.list[Entry]:
        """The keys, in their order, as of one instant."""
        return self._run(self._core.get_many("get_many", keys, timeout))

    def put(
        self, key: Key, value: Value, *, ttl: float | None = None, keep_ttl: bool = False, if_version: str | None = None, if_absent: bool = False,
        if_exists: bool = False, idempotency_key: str | None = None, timeout: float | None = None,
    ) -> str:
        """Sets the key, and returns the new version. Raises "precondition_failed" if a condition does not hold.

        ttl: the key's time to live, in seconds. keep_ttl: the key expires when it would have. Without both it does not expire.
        """
        return self._run(self._core.put(key, value, life(ttl, keep_ttl), Conditions(if_version, if_absent, if_exists), idempotency_key, timeout))

    def cas(
        self, key: Key, expected: str | None, value: Value, *, ttl: float | None = None, keep_ttl: bool = False, idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> CasResult:
        """Sets the key if it is at the version, or absent if expected is None. That it is not is no error: ``ok`` says so."""
        return self._run(self._core.cas(key, expected, value, life(ttl, keep_ttl), idempotency_key, timeout))

    def delete(
        self, key: Key, *, if_version: str | None = None, if_exists: bool = False, idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Deletes the key, and returns the version of its absence. An absent key is no error."""
        return self._run(self._core.delete(key, Conditions(if_version, False, if_exists), idempotency_key, timeout))

    def touch(self, key: Key, ttl: float, *, idempotency_key: str | None = None, timeout: float | None = None) -> Entry:
        """Lets the key live for at least ttl seconds from now, and returns it without its value.

        Its value and version stay. An absent key, or one that does not expire, stays as it is.
        """
        return self._run(self._core.touch(key, ttl, idempotency_key, timeout))

    def atomic(
        self, then: Iterable[Operation], *, when: Iterable[Condition] = (), otherwise: Iterable[Operation] = (), idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> AtomicResult:
        """Carries out operations as a whole, without running a function: then if all conditions of when hold, else otherwise.

        That they do not hold is no error. All operations are of one instant; a transaction with a touch or a list has keys of one group
        alone.
        """
        return self._run(self._core.atomic(then, when, otherwise, idempotency_key, timeout))

    def list(
        self, keys: Keys = "", *, limit: int | None = None, page_size: int = 100, reverse: bool = False, keys_only: bool = False,
        consistency: Consistency | None = None, max_stale: float | None = None, timeout: float | None = None,
    ) -> "List":
        """The entries of the keys with a prefix, or of a range, in the order of their bytes. timeout bounds each page."""
        query = [*(["reverse=true"] if reverse else []), *(["keys_only=true"] if keys_only else []), *read_query(consistency, max_stale)]
        return List(self, keys, query, limit, page_size, timeout)

    def txn(self, f: "Callable[[Tx], T]", *, timeout: float | None = None) -> T:
        """Runs f, then commits all that f has written, as a whole or not at all, if nothing that f has read has changed meanwhile.

        If it has, f runs again, until the time is over: f must have no effects that cannot be repeated. Returns what f has returned. If
        f raises, nothing is written.
        """
        return self._runs(Runs(self._core, False, timeout), f)

    def view(self, f: "Callable[[Tx], T]", *, timeout: float | None = None) -> T:
        """Runs f, which only reads. All that it reads is one snapshot. If that has moved between two reads, f runs again."""
        return self._runs(Runs(self._core, True, timeout), f)

    def watch(
        self, keys: Keys = "", *, cursor: str | None = None, list: bool = False, values: bool = True, collapse: bool = False,
        timeout: float | None = None,
    ) -> Generator[Event, None, None]:
        """Yields what changes among the keys with a prefix, or of a range, from now or behind the cursor.

        list: begin with what there is, and again after a gap. values: whether entries have values. collapse: only the newest change of
        each key, if the watch is behind. timeout: how long it may take to begin. Leave the loop, or close the generator, to end it.
        """
        watch = Watch(self._net, keys, cursor=cursor, list=list, values=values, collapse=collapse, timeout=timeout)
        with ExitStack() as stream:
            io = _Streams(self, stream)
            effects = watch.run()
            result: Any = None
            while True:
                try:
                    effect = effects.send(result)
                except StopIteration:
                    return
                result = None
                if isinstance(effect, Emit):
                    yield effect.event
                else:
                    result = io.perform(effect)

    def lock(self, name: str, ttl: float, *, wait: float | None = None, owner: str | None = None) -> "Lock":
        """Takes the lock, waits for it if it is held, and renews it until ``unlock`` or the end of a ``with`` block.

        ttl, in seconds: how long it stays held if this process ends. wait: the most to wait; 0 tries once, None waits for ever. owner:
        text that names the holder to other clients. Raises "conflict" if the lock is not given in time.
        """
        return Lock(self, self._run(acquire(self._net, name, ttl, wait, owner)))

    def _runs(self, runs: Runs, f: "Callable[[Tx], T]") -> T:
        while True:
            tx: Tx = runs.begin(Tx)
            tx._client = self
            try:
                result = f(tx)
            except Exception:
                if runs.moved(tx):
                    continue
                raise
            finally:
                tx._over = True
            if not runs.moved(tx) and self._run(runs.end(tx)):
                return result

    def _run(self, effects: Effects[T]) -> T:
        """Carries the effects out, and returns what the generator returns."""
        result: Any = None
        while True:
            try:
                effect = effects.send(result)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            result = self._perform(effect)

    def _perform(self, effect: Any) -> Any:
        if isinstance(effect, Send):
            try:
                r = self._http.request(effect.method, effect.url, headers=effect.headers, content=effect.body, timeout=effect.timeout)
            except (httpx.HTTPError, OSError) as e:
                return e
            return Answer(r.status_code, r.headers, r.content)
        if isinstance(effect, Sleep):
            time.sleep(effect.seconds)
            return None
        assert isinstance(effect, Token)
        try:
            return self._token() if callable(self._token) else self._token
        except Exception as e:  # of the program
            return e


class _Streams:
    """Carries out the effects of a watch."""

    def __init__(self, client: Client, stream: ExitStack) -> None:
        self._client, self._stream = client, stream
        self._chunks: Iterator[bytes] = iter(())

    def perform(self, effect: Any) -> Any:
        try:
            if isinstance(effect, Open):
                return self._open(effect.send)
            if isinstance(effect, Chunk):
                return next(self._chunks, None)
        except (httpx.HTTPError, httpx.StreamError, OSError) as e:
            return e
        if isinstance(effect, Close):
            self._stream.close()
            return None
        return self._client._perform(effect)

    def _open(self, s: Send) -> Answer:
        timeout = httpx.Timeout(s.timeout, read=max(s.timeout, 35.0))
        r = self._stream.enter_context(self._client._http.stream(s.method, s.url, headers=s.headers, timeout=timeout))
        if r.status_code == 200:
            self._chunks = r.iter_bytes()
            return Answer(200, r.headers, b"")
        body = r.read()
        self._stream.close()
        return Answer(r.status_code, r.headers, body)


class List(Iterable[Entry]):
    """The entries of a range, which are read page by page while the loop runs.

    Each page is linearizable for each group of keys, several pages are no snapshot. ``cursor`` is, after the last entry, where a watch
    goes on that misses nothing since the list began.
    """

    def __init__(self, client: Client, keys: Keys, query: builtins.list[str], limit: int | None, page_size: int, timeout: float | None) -> None:
        self._client, self._keys, self._query = client, keys, query
        self._limit, self._page_size, self._timeout = limit, page_size, timeout
        self.cursor: str | None = None

    def __iter__(self) -> Iterator[Entry]:
        self.cursor, page, left = None, None, self._limit
        while left is None or left > 0:
            size = self._page_size if left is None else min(left, self._page_size)
            entries, page, cursor = self._client._run(self._client._core.page(self._keys, self._query, size, page, self._timeout))
            yield from entries
            left = None if left is None else left - len(entries)
            if page is None:
                self.cursor = cursor
                return


class Tx(TxBase):
    """A transaction or view that runs: see :meth:`Client.txn`. It belongs to one thread."""

    _client: Client

    def get(self, key: Key) -> Entry:
        """The key as this transaction sees it. What the transaction has written itself has the version ""."""
        return self.get_many([key])[0]

    def get_many(self, keys: Iterable[Key]) -> builtins.list[Entry]:
        """The keys, in their order. Those that were not read yet are read in one round trip."""
        return self._client._run(self._get_many(keys))


class Lock:
    """A lock that is held, from :meth:`Client.lock`. A thread renews it until it is unlocked or lost.

    ``fence`` is greater than that of every earlier tenure of the lock: what the lock protects can refuse a lower one than it has seen.
    The key ``key`` exists at ``version`` while the lock is held.
    """

    def __init__(self, client: Client, tenure: Tenure) -> None:
        self._client, self._tenure = client, tenure
        self._stop = threading.Event()
        self._mu = threading.Lock()
        self._released = False
        self._thread = threading.Thread(target=self._keep, name="edgehold-lock", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._tenure.name

    @property
    def fence(self) -> int:
        return self._tenure.fence

    @property
    def version(self) -> str:
        return self._tenure.version

    @property
    def key(self) -> str:
        return f"{self._tenure.name}/.lock/{self._tenure.id}"

    @property
    def lost(self) -> bool:
        """Whether the lock is not held any more: it was unlocked, or no renewal was answered for so long that it may be gone."""
        return self._tenure.left <= 0

    def wait_lost(self, timeout: float | None = None) -> bool:
        """Waits until the lock is lost, for at most timeout seconds, and reports whether it is."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while not self.lost and (left := end - time.monotonic()) > 0:
            self._stop.wait(max(0.001, min(LOOK, self._tenure.left, left)))
        return self.lost

    def unlock(self, *, timeout: float | None = None) -> None:
        """Gives the lock back. Raises "precondition_failed" if it was lost before. Further calls do nothing."""
        with self._mu:
            if self._released:
                return
            self._released = True
        self._tenure.ended = True
        self._stop.set()
        self._thread.join()
        self._client._run(self._tenure.release(self._client._net, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.unlock()

    def _keep(self) -> None:
        """Renews the lock each third of its ttl until it is unlocked or lost."""
        failed = False
        while not self._stop.is_set() and self._tenure.left > 0:
            due, pause = next_look(self._tenure, failed)
            failed = False
            if due:
                try:
                    self._client._run(self._tenure.renew(self._client._net, self._tenure.left))
                except Exception:
                    failed = True  # it is tried again while the lock is held
            else:
                self._stop.wait(pause)
