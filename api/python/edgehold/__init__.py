"""The client of Edgehold, a globally consistent key-value store: :func:`connect`, and :func:`connect_async` for asyncio."""

from ._async import AsyncClient, AsyncList, AsyncLock, AsyncTx, connect_async
from ._atomic import AtomicResult, Condition, Operation
from ._core import CasResult, Consistency, Range
from ._errors import Code, EdgeholdError
from ._sync import Client, List, Lock, Tx, connect
from ._values import Entry, Key, Value
from ._watch import Delete, Event, Gap, Progress, Put, Ready, Reset

__all__ = [
    "AsyncClient",
    "AsyncList",
    "AsyncLock",
    "AsyncTx",
    "AtomicResult",
    "CasResult",
    "Client",
    "Code",
    "Condition",
    "Consistency",
    "Delete",
    "EdgeholdError",
    "Entry",
    "Event",
    "Gap",
    "Key",
    "List",
    "Lock",
    "Operation",
    "Progress",
    "Put",
    "Range",
    "Ready",
    "Reset",
    "Tx",
    "Value",
    "connect",
    "connect_async",
]
