"""Every method of the asynchronous client, once."""

import asyncio

import pytest

from edgehold import AsyncClient, Delete, EdgeholdError, Put, Ready, connect_async


async def code(awaitable):
    with pytest.raises(EdgeholdError) as e:
        await awaitable
    return e.value.code


async def every_method(db: AsyncClient, p: str) -> None:
    v = await db.put(p + "a", {"n": 1})
    e = await db.get(p + "a")
    assert (e.json(), e.version) == ({"n": 1}, v)
    assert (await db.cas(p + "a", v, "2")).ok and not (await db.cas(p + "a", v, "3")).ok
    await asyncio.gather(*(db.put(p + k, k) for k in "bcd"))
    assert [e.key[len(p) :] async for e in db.list(p, page_size=3)] == ["a", "b", "c", "d"]
    assert [e.text() for e in await db.get_many([p + "b", p + "none"])] == ["b", None]

    seen = []
    events = db.watch(p, list=True)
    async for event in events:
        seen.append(type(event).__name__)
        if isinstance(event, Ready):
            await db.delete(p + "b")
        if isinstance(event, Delete):
            break
    await events.aclose()
    assert seen == ["Reset", "Put", "Put", "Put", "Put", "Ready", "Delete"]

    async def f(tx):
        n = int((await tx.get(p + "a")).text())
        tx.put(p + "c", str(n + 1))
        return (await tx.get(p + "c")).text()

    assert await db.txn(f) == "3"

    async def both(tx):
        return [e.text() for e in await tx.get_many([p + "a", p + "c"])]

    assert await db.view(both) == ["2", "3"]
    assert (await db.atomic([{"add": p + "a", "delta": 1}, {"list": p}])).results[0].text() == "3"
    assert (await db.touch(p + "a", 60)).ttl is None  # it does not expire

    async with await db.lock(p + "lock", 60) as lock:
        assert lock.fence > 0 and not lock.lost
        assert await code(db.lock(p + "lock", 60, wait=0)) == "conflict"

        async def guarded(tx):
            tx.guard(lock)
            tx.put(p + "d", "guarded")

        await db.txn(guarded)
    assert lock.lost and await lock.wait_lost(1)
    assert await code(db.txn(guarded)) == "precondition_failed"


def test_every_method(home, prefix):
    async def main():
        async with connect_async(home) as db:
            await every_method(db, prefix + "async/")

    asyncio.run(main())


def test_a_task_that_is_cancelled_ends(home, prefix):
    async def main():
        async with connect_async(home) as db:
            first = await db.lock(prefix + "cancelled", 60)
            waiting = asyncio.create_task(db.lock(prefix + "cancelled", 60))
            events = db.watch(prefix + "silent/")
            assert isinstance(await anext(events), Ready)
            watching = asyncio.create_task(anext(events))
            await asyncio.sleep(0.1)
            for task in (waiting, watching):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await first.unlock()
            await (await db.lock(prefix + "cancelled", 60)).unlock()

    asyncio.run(main())


def test_a_token_may_be_awaited(home):
    async def main():
        asked = []

        async def token():
            asked.append(1)
            return "line\nbreak"

        async with connect_async(home, token=token) as db:
            assert await code(db.get("k")) == "unauthenticated"
        assert asked

    asyncio.run(main())
