"""Keys, values and entries, and how they stand in URLs and in JSON."""

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from ._errors import invalid, malformed

Key: TypeAlias = str | bytes
"""A key: text, or any bytes. In a str, U+DC80 to U+DCFF stand for the bytes 80 to FF that are no part of UTF-8 ("surrogateescape")."""

Value: TypeAlias = Any
"""A value to be written: a str as UTF-8, bytes as they are, anything else as JSON. For a string in JSON write json.dumps(text)."""

ServedBy = Literal["lease", "owner", "stale"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key, its value and its version, as they were read."""

    key: str
    """The key. Every method takes it back, also if it is no UTF-8."""
    exists: bool
    """Whether the key has a value."""
    version: str
    """The version of the value or, if there is none, of its absence: opaque text."""
    value: bytes | None = None
    """The value; None if the key is absent, or if the value was not asked for."""
    ttl: float | None = None
    """What is left of the time to live, in seconds; None if the key does not expire."""
    served_by: ServedBy | None = None
    """What answered a get: a node under its lease, the owner of the key, or a cache that may be stale."""
    age: float | None = None
    """How old a "bounded" or "stale" answer is at most, in seconds."""

    def text(self) -> str | None:
        """The value as text; None if there is none. Raises "invalid" if it is not UTF-8."""
        if self.value is None:
            return None
        try:
            return self.value.decode()
        except UnicodeDecodeError as e:
            raise invalid("the value is not UTF-8; use value").of("text", self.key) from e

    def json(self) -> Any:
        """The value as JSON; None if there is none. Raises "invalid" if it is not JSON."""
        text = self.text()
        if text is None:
            return None
        try:
            return json.loads(text)
        except ValueError as e:
            raise invalid("the value is not JSON").of("json", self.key) from e


def key_bytes(key: Key) -> bytes:
    """The bytes of a key."""
    if isinstance(key, bytes):
        return key
    if not isinstance(key, str):
        raise invalid("a key is a str or bytes")
    try:
        return key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as e:
        raise invalid("the key has half a surrogate pair, which is no text; use bytes") from e


def key_text(key: bytes) -> str:
    """A key as a str, without loss."""
    return key.decode("utf-8", "surrogateescape")


def value_bytes(value: Value) -> bytes:
    """The bytes of a value."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as e:
        raise invalid(f"the value is neither text nor bytes, and has no form in JSON: {e}") from e


def path_of(key: bytes) -> str:
    """A key as it stands in a path. Dots that are a segment are encoded too: URLs lose such segments."""
    segments = quote(key, safe="/").split("/")
    return "/".join(s.replace(".", "%2E") if s in (".", "..") else s for s in segments)


def percent(key: bytes) -> str:
    """A key as it stands in a query."""
    return quote(key, safe="")


def member(name: str, b: bytes) -> dict[str, str]:
    """The member of a JSON object that holds bytes: as text if they are UTF-8, else in base64."""
    try:
        return {name: b.decode()}
    except UnicodeDecodeError:
        return {name + "_base64": base64.b64encode(b).decode()}


def bytes_of(o: dict[str, Any], name: str) -> bytes | None:
    """The bytes of a member that :func:`member` or a node has written; None if there is none."""
    if isinstance(text := o.get(name), str):
        return text.encode()
    if isinstance(text := o.get(name + "_base64"), str):
        return base64.b64decode(text)
    return None


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object that a node has answered with."""
    try:
        o = json.loads(body)
    except ValueError as e:
        raise malformed() from e
    if not isinstance(o, dict):
        raise malformed()
    return o


def read_entry(o: dict[str, Any]) -> Entry:
    """An entry as the JSON of the HTTP API has it."""
    key, version = bytes_of(o, "key"), o.get("version")
    if key is None or not isinstance(version, str):
        raise malformed()
    exists = o.get("exists") is not False
    return Entry(key_text(key), exists, version, bytes_of(o, "value") if exists else None, seconds(o.get("ttl")))


def duration(s: float, name: str) -> str:
    """A time in seconds as the HTTP API takes it."""
    if isinstance(s, bool) or not isinstance(s, (int, float)) or not 0 <= s < float("inf"):
        raise invalid(f"{name} is {s!r}; it is a number of seconds")
    return f"{round(s * 1_000_000)}us"


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PARTS = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")


def seconds(text: Any) -> float | None:
    """The seconds of a time such as 1h30m0.5s; None if it is none."""
    if not isinstance(text, str):
        return None
    return sum(float(n) * _UNITS[unit] for n, unit in _PARTS.findall(text)) or None
