"""Transactions that are written down instead of run."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypedDict

from ._errors import invalid
from ._values import Entry, Key, Value, duration, key_bytes, member, read_entry, value_bytes

MAX64 = (1 << 64) - 1


class Condition(TypedDict, total=False):
    """A condition: the key is at this version, exists or not, or has this value. It has one of the three."""

    key: Key
    version: str
    exists: bool
    value: Value


class Operation(TypedDict, total=False):
    """An operation: one of the first eleven, with what it takes. Each means what the method of a transaction with its name says."""

    get: Key
    put: Key
    delete: Key
    add: Key
    append: Key
    append_if_absent: Key
    sum64: Key
    min64: Key
    max64: Key
    touch: Key
    list: Key
    """The keys with this prefix, 100 if there is no limit, 1000 at most."""
    value: Value
    """What to put or append; of sum64, min64 and max64 an int."""
    delta: int
    ttl: float
    keep_ttl: bool
    limit: int


Result: TypeAlias = Entry | list[Entry] | None
"""An entry, entries for a list; None for what a node could not keep to answer again after a lost answer."""


class AtomicResult(NamedTuple):
    """What an atomic has come to."""

    committed: bool
    """Whether the conditions held, so that ``then`` was carried out."""
    results: list[Result]
    """One for each operation of the branch that was carried out. An entry of a put has no value, one of an add has the sum."""


_VALUES = ("put", "append", "append_if_absent")
_INTEGERS = ("sum64", "min64", "max64")
_NAMES = ("get", "delete", "add", "touch", "list", *_VALUES, *_INTEGERS)


def integer_bytes(n: int) -> bytes:
    """An integer of 64 bits without sign as 8 bytes, little endian."""
    if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n <= MAX64:
        raise invalid(f"{n!r} is no integer from 0 to 2**64-1")
    return n.to_bytes(8, "little")


def delta_text(delta: int) -> str:
    """What add adds."""
    if isinstance(delta, bool) or not isinstance(delta, int):
        raise invalid(f"delta is {delta!r}; it is an integer")
    return str(delta)


def name_of_operation(o: Operation) -> str:
    names = [n for n in o if n in _NAMES]
    if len(names) != 1:
        raise invalid('an operation has the name of one, such as {"put": key, "value": value}').of("atomic", None)
    return names[0]


def operation_json(o: Operation) -> dict[str, Any]:
    """An operation as /v1/txn takes it."""
    given: dict[str, Any] = dict(o)
    name = name_of_operation(o)
    body: dict[str, Any] = dict(member("prefix" if name == "list" else "key", key_bytes(given.pop(name))))
    if name in _VALUES:
        body |= member("value", value_bytes(given.pop("value", None)))
    elif name in _INTEGERS:
        body |= member("value", integer_bytes(given.pop("value", None)))
    elif name == "add":
        body["delta"] = delta_text(given.pop("delta", None))
    if "ttl" in given and given["ttl"] is not None:
        body["ttl"] = duration(given["ttl"], "ttl")
    if given.get("keep_ttl"):
        body["keep_ttl"] = True
    if "limit" in given:
        body["limit"] = given["limit"]
    return {name: body}


def condition_json(c: Condition) -> dict[str, Any]:
    """A condition as /v1/txn takes it."""
    body: dict[str, Any] = dict(member("key", key_bytes(c["key"])))
    if "value" in c:
        body |= member("value", value_bytes(c["value"]))
    for name in ("version", "exists"):
        if name in c:
            body[name] = c[name]
    return body


def read_results(branch: Sequence[Operation], results: list[dict[str, Any]]) -> list[Result]:
    """What the operations of a branch have answered."""
    return [_result(o, r) for o, r in zip(branch, results, strict=True)]


def _result(o: Operation, r: dict[str, Any]) -> Result:
    if r.get("elided"):
        return None
    if "entries" in r:
        return [read_entry(e) for e in r["entries"]]
    return read_entry({**r, "exists": False} if "delete" in o else r)
