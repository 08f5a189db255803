"""The error of every method."""

from typing import Literal

Code = Literal[
    "invalid",
    "unauthenticated",
    "denied",
    "not_found",
    "conflict",
    "precondition_failed",
    "too_large",
    "limited",
    "unavailable",
    "ambiguous",
    "internal",
]

CODES: frozenset[str] = frozenset(
    "invalid unauthenticated denied not_found conflict precondition_failed too_large limited unavailable ambiguous internal".split()
)


class EdgeholdError(Exception):
    """What every method raises. ``code`` says what went wrong, ``applied`` whether a write happened.

    ``applied`` is "no" if nothing was written and nothing will be, else "unknown". ``version`` is the present version of the key if
    a condition did not hold. ``retry_after`` is how long to wait before another try, in seconds.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        op: str | None = None,
        key: str | None = None,
        applied: Literal["no", "unknown"] | None = None,
        version: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code: Code = code
        self.detail = detail
        self.op = op
        self.key = key
        self.applied: Literal["no", "unknown"] = applied or ("unknown" if code in ("ambiguous", "internal") else "no")
        self.version = version
        self.retry_after = retry_after
        super().__init__(detail)

    def __str__(self) -> str:
        about = self.op if self.key is None else f"{self.op or 'key'} {self.key!r}"
        return ": ".join(part for part in (about, self.code, self.detail) if part)

    def of(self, op: str, key: str | None) -> "EdgeholdError":
        """The same error as one of the operation on the key."""
        self.op, self.key = op, key
        return self


def invalid(detail: str) -> EdgeholdError:
    """The error of an argument that makes no sense."""
    return EdgeholdError("invalid", detail)


def malformed() -> EdgeholdError:
    """The error of an answer that is not what the HTTP API says."""
    detail = "the answer is not the JSON that it should be: is the URL that of an Edgehold node?"
    return EdgeholdError("internal", detail, applied="no")
