"""What both clients do, as generators of effects."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from ._atomic import AtomicResult, Condition, Operation, condition_json, name_of_operation, operation_json, read_results
from ._call import Answer, Call, Effects, Network
from ._errors import EdgeholdError, invalid, malformed
from ._sequence import Sequence
from ._values import Entry, Key, Value, duration, key_bytes, key_text, member, parse, path_of, percent, read_entry, value_bytes

_VISIBLE = re.compile(r"[\x21\x23-\x7e]+")

Consistency = Literal["linearizable", "quorum", "bounded", "stale"]
"""How much a read promises."""


class CasResult(NamedTuple):
    """What a cas has come to: whether it wrote, and the version that it wrote or, if it did not, the present one."""

    ok: bool
    version: str


@dataclass(frozen=True, slots=True)
class Range:
    """The keys from start on that are before end; an end that is left out is none."""

    start: Key = ""
    end: Key | None = None


Keys: TypeAlias = Key | Range
"""Keys that begin with a prefix, or a :class:`Range`."""


def range_query(keys: Keys) -> list[str]:
    """The parameters of keys in a query."""
    if isinstance(keys, Range):
        end = [] if keys.end is None else ["end=" + percent(key_bytes(keys.end))]
        return ["start=" + percent(key_bytes(keys.start)), *end]
    return ["prefix=" + percent(key_bytes(keys))]


def read_query(consistency: Consistency | None, max_stale: float | None) -> list[str]:
    query = [] if consistency is None else ["consistency=" + consistency]
    if max_stale is not None:
        query.append("max_stale=" + duration(max_stale, "max_stale"))
    return query


def name_of(keys: Keys) -> str | None:
    """How errors name the keys."""
    return None if isinstance(keys, Range) else key_text(key_bytes(keys))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold for a write."""

    version: str | None = None
    absent: bool = False
    exists: bool = False

    def headers(self) -> dict[str, str]:
        h = {}
        if self.version is not None:
            if not _VISIBLE.fullmatch(self.version):
                raise invalid(f"{self.version!r} is no version")
            h["If-Match"] = f'"{self.version}"'
        elif self.exists:
            h["If-Match"] = "*"
        if self.absent:
            h["If-None-Match"] = "*"
        return h


def life(ttl: float | None, keep: bool) -> dict[str, Any]:
    """How long a key lives after a write, as the members of a step."""
    return {**({} if ttl is None else {"ttl": duration(ttl, "ttl")}), **({"keep_ttl": True} if keep else {})}


def txn_call(op: str, body: dict[str, Any], key: str | None) -> Call:
    """The call of a transaction."""
    headers = {"Content-Type": "application/json"}
    return Call(op, key, "POST", "/v1/txn", headers=headers, body=json.dumps(body).encode())


def read_txn(a: Answer) -> tuple[bool, list[dict[str, Any]]]:
    """Whether a transaction has committed, and its results."""
    o = parse(a.body)
    committed, results = o.get("committed"), o.get("results")
    if not isinstance(committed, bool) or not isinstance(results, list):
        raise malformed()
    return committed, results


class Core:
    """The calls of a client."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.sequence = Sequence()

    def get(self, key: Key, consistency: Consistency | None, max_stale: float | None, timeout: float | None) -> Effects[Entry]:
        name = key_text(key_bytes(key))
        query = read_query(consistency, max_stale)
        call = Call("get", name, "GET", _path("get", key), query, accepts=lambda a: a.status == 404 and "Edgehold-Version" in a.headers)
        a = yield from self.net.run(call, timeout)
        return _entry_of(name, a)

    def get_many(self, op: str, keys: Iterable[Key], timeout: float | None) -> Effects[list[Entry]]:
        """Reads the keys as of one instant."""
        names = [key_bytes(k) for k in keys]
        if not names:
            return []
        call = txn_call(op, {"then": [{"get": member("key", k)} for k in names]}, key_text(names[0]))
        _, results = read_txn((yield from self.net.run(call, timeout)))
        if len(results) != len(names):
            raise malformed().of(op, call.key)
        return [read_entry(r) for r in results]

    def put(self, key: Key, value: Value, lives: dict[str, Any], cond: Conditions, id: str | None, timeout: float | None) -> Effects[str]:
        query = [f"{name}={'true' if v is True else v}" for name, v in lives.items()]
        call = Call("put", key_text(key_bytes(key)), "PUT", _path("put", key), query, cond.headers(), value_bytes(value))
        return (yield from self._write(call, id, timeout))

    def delete(self, key: Key, cond: Conditions, id: str | None, timeout: float | None) -> Effects[str]:
        call = Call("delete", key_text(key_bytes(key)), "DELETE", _path("delete", key), headers=cond.headers())
        return (yield from self._write(call, id, timeout))

    def cas(self, key: Key, expected: str | None, value: Value, lives: dict[str, Any], id: str | None, timeout: float | None) -> Effects[CasResult]:
        cond = Conditions(absent=True) if expected is None else Conditions(version=expected)
        try:
            return CasResult(True, (yield from self.put(key, value, lives, cond, id, timeout)))
        except EdgeholdError as e:
            if e.code != "precondition_failed" or e.version is None:
                raise
            return CasResult(False, e.version)

    def atomic(
        self, then: Iterable[Operation], when: Iterable[Condition], otherwise: Iterable[Operation], id: str | None, timeout: float | None
    ) -> Effects[AtomicResult]:
        """Carries out operations as a whole."""
        branches = list(then), list(otherwise)
        body = {"if": [condition_json(c) for c in when], "then": [operation_json(o) for o in branches[0]], "else": [operation_json(o) for o in branches[1]]}
        call = txn_call("atomic", body, None)
        end = self._identify(call, id)
        call.writes = any(name_of_operation(o) not in ("get", "list") for b in branches for o in b)
        try:
            committed, results = read_txn((yield from self.net.run(call, timeout)))
        finally:
            end()
        branch = branches[0] if committed else branches[1]
        if len(results) != len(branch):
            raise malformed().of("atomic", None)
        return AtomicResult(committed, read_results(branch, results))

    def touch(self, key: Key, ttl: float, id: str | None, timeout: float | None) -> Effects[Entry]:
        got = yield from self.atomic([{"touch": key, "ttl": ttl}], [], [], id, timeout)
        entry = got.results[0]
        if not isinstance(entry, Entry):
            raise malformed().of("touch", key_text(key_bytes(key)))
        return entry

    def _identify(self, call: Call, id: str | None) -> Callable[[], None]:
        """Gives a write its Idempotency-Key, and returns what ends it."""
        call.writes, call.given = True, id is not None
        if id is None:
            call.id, end = self.sequence.begin()
            return end
        if not _VISIBLE.fullmatch(id):
            raise invalid("an Idempotency-Key has visible characters of ASCII, and no quotation mark").of(call.op, call.key)
        call.id = lambda: id
        return lambda: None

    def _write(self, call: Call, id: str | None, timeout: float | None) -> Effects[str]:
        end = self._identify(call, id)
        try:
            a = yield from self.net.run(call, timeout)
        finally:
            end()
        version = a.headers.get("Edgehold-Version")
        if version is None:
            raise malformed().of(call.op, call.key)
        return version

    def page(self, keys: Keys, query: list[str], limit: int, page: str | None, timeout: float | None) -> Effects[tuple[list[Entry], str | None, str | None]]:
        """A page of a list: the entries, what the next page is asked for by, and the cursor of the last one."""
        asked = [*range_query(keys), f"limit={limit}", *query, *([] if page is None else ["page=" + percent(page.encode())])]
        a = yield from self.net.run(Call("list", name_of(keys), "GET", "/v1/kv", asked), timeout)
        o = parse(a.body)
        if not isinstance(o.get("entries"), list):
            raise malformed().of("list", name_of(keys))
        return [read_entry(e) for e in o["entries"]], o.get("next"), o.get("cursor")


def _path(op: str, key: Key) -> str:
    b = key_bytes(key)
    if not b:
        raise invalid("the key is empty").of(op, "")
    return "/v1/kv/" + path_of(b)


def _entry_of(key: str, a: Answer) -> Entry:
    version = a.headers.get("Edgehold-Version")
    if version is None:
        raise malformed().of("get", key)
    exists = a.status == 200
    by: Any = a.headers.get("Edgehold-Served-By")
    ttl, age = a.headers.get("Edgehold-TTL"), a.headers.get("Edgehold-Age")
    return Entry(key, exists, version, a.body if exists else None, None if ttl is None else float(ttl), by, None if age is None else float(age))
