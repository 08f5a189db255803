// What every runtime must be able to do, written for all of them: Node, Deno, workerd and a page in a browser run it.
import { connect, EdgeholdError } from "edgehold"

function equal(got, want, what) {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
}

async function code(promise) {
  try {
    await promise
    return "none"
  } catch (e) {
    return e instanceof EdgeholdError ? e.code : String(e)
  }
}

/** Uses every method once at the node, below the prefix, and throws if one does something else than it should. */
export async function smoke(url, prefix, options = {}) {
  const db = connect(url, options)
  const key = (name) => prefix + name

  const first = await db.put(key("text"), "hälló")
  const e = await db.get(key("text"))
  equal([e.text(), e.version, e.exists], ["hälló", first, true], "get")
  await db.put(key("json"), { n: [1, null] })
  await db.put(key("bytes"), new Uint8Array([0, 255, 10]))
  const many = await db.getMany([key("json"), key("none"), key("bytes")])
  equal([many[0].json(), many[1].exists, many[1].bytes, [...many[2].bytes]], [{ n: [1, null] }, false, null, [0, 255, 10]], "getMany")

  equal((await db.cas(key("text"), first, "two")).ok, true, "cas")
  equal(await db.cas(key("text"), first, "three"), { ok: false, version: (await db.get(key("text"))).version }, "cas of an old version")
  equal((await db.cas(key("text"), null, "three")).ok, false, "cas of a key that exists")
  equal(await code(db.put(key("text"), "x", { ifAbsent: true })), "precondition_failed", "put of a key that exists")

  const names = []
  for await (const entry of db.list(prefix, { pageSize: 2 })) names.push(entry.key.slice(prefix.length))
  equal(names, ["bytes", "json", "text"], "list")

  const events = db.watch(prefix, { list: true })
  const seen = []
  for await (const event of events) {
    seen.push(event.type)
    if (event.type === "ready") {
      await db.delete(key("json"))
      await db.put(key("last"), "x", { ttl: 60_000 })
    }
    if (event.key === key("last")) break
  }
  equal(seen, ["reset", "put", "put", "put", "ready", "delete", "put"], "watch")

  await db.put(key("a"), "7")
  await db.put(key("b"), "1")
  const moved = await db.txn(async (tx) => {
    const [a, b] = await tx.getMany([key("a"), key("b")])
    tx.put(key("a"), String(Number(a.text()) - 3))
    tx.add(key("b"), 3)
    return [(await tx.get(key("a"))).text(), (await tx.get(key("b"))).text(), b.text()]
  })
  equal(moved, ["4", "4", "1"], "txn")
  const both = await db.view(async (tx) => (await tx.getMany([key("a"), key("b")])).map((entry) => entry.text()))
  equal(both, ["4", "4"], "view")

  const lock = await db.lock(key("lock"), 60_000, { owner: "smoke" })
  equal(lock.fence > 0n, true, "fence")
  equal(await code(db.lock(key("lock"), 60_000, { wait: 0 })), "conflict", "lock that is held")
  await db.txn((tx) => {
    tx.guard(lock)
    tx.put(key("guarded"), "x")
  })
  equal(lock.lost.aborted, false, "lock is held")
  await lock.unlock()
  equal(lock.lost.aborted, true, "lock is lost")

  const stop = new AbortController()
  const waiting = code(db.watch(prefix, { signal: stop.signal, from: undefined }).next().then(() => db.get(key("a"), { signal: AbortSignal.abort() })))
  equal(await waiting, "unavailable", "a call whose signal has ended")
  stop.abort()
  for (const name of ["text", "bytes", "last", "a", "b", "guarded"]) await db.delete(key(name))
}
