import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { before, describe, test } from "node:test"
import { connect, EdgeholdError } from "edgehold"
import { smoke } from "./smoke.mjs"

const far = process.env.EDGEHOLD_FAR // an edge 200 ms from the owner
const home = process.env.EDGEHOLD_HOME
const prefix = `js/${randomUUID()}/`
const db = connect(far)
const near = connect(home)

const rejects = (promise, code) => assert.rejects(promise, (e) => e instanceof EdgeholdError && e.code === code)
const all = async (items) => {
  const out = []
  for await (const i of items) out.push(i)
  return out
}

before(() => assert.ok(far && home, "EDGEHOLD_FAR and EDGEHOLD_HOME name the nodes"))

describe("the edge that is far from home", { concurrency: true }, () => {
  test("every method does what it says", () => smoke(far, prefix + "smoke/"))

  test("a value that was read before is served under a lease", async () => {
    const key = prefix + "leased"
    await db.put(key, "x")
    for (;;) {
      const begin = performance.now()
      const e = await db.get(key)
      if (e.servedBy !== "lease") continue
      assert.equal(e.text(), "x")
      return performance.now() - begin
    }
  })

  test("a write at one node is what the other node reads at once", async () => {
    const key = prefix + "fresh"
    for (let i = 0; i < 5; i++) {
      await near.put(key, String(i))
      assert.equal((await db.get(key)).text(), String(i))
    }
  })

  test("keys of any bytes are themselves, in every method", async () => {
    const p = prefix + "keys/"
    const names = ["a//b", "a/../b", "a/./b", "a%2Fb", "a b?c#d", "\n", "ü", "%", "..%2F", "a/", "+", "\u{1F600}"]
    await Promise.all(names.map((n) => near.put(p + n, n)))
    for (const n of names) assert.equal((await near.get(p + n)).text(), n)
    const bytes = new Uint8Array([...new TextEncoder().encode(p), 0xff, 0x61, 0xc3, 0x28, 0xe2, 0x82])
    await near.put(bytes, "bytes")
    const listed = await all(near.list(p))
    assert.deepEqual(listed.filter((e) => e.text() !== "bytes").map((e) => e.key.slice(p.length)).sort(), [...names].sort())
    const [odd] = listed.filter((e) => e.text() === "bytes")
    assert.equal(odd.key, p + "\udcffa\udcc3(\udce2\udc82")
    assert.equal((await near.get(odd.key)).text(), "bytes")
    assert.equal((await near.get(bytes)).key, odd.key)
    await near.delete(odd.key)
    assert.equal((await near.get(bytes)).exists, false)
    await rejects(near.put("\ud83d", "x"), "invalid")
    await rejects(near.put("", "x"), "invalid")
  })

  test("the keys . and .. have conditions and times to live too", async () => {
    for (const key of [".", ".."]) {
      await near.delete(key)
      assert.equal((await near.get(key)).exists, false)
      const v = await near.put(key, new Uint8Array([255]), { ttl: 60_000, ifAbsent: true })
      const e = await near.get(key)
      assert.deepEqual([[...e.bytes], e.version], [[255], v])
      assert.ok(e.ttl > 0 && e.ttl <= 60_000)
      assert.deepEqual(await near.cas(key, "9.9", "x"), { ok: false, version: v })
      await rejects(near.put(key, "x", { ifAbsent: true }), "precondition_failed")
      await near.delete(key, { ifVersion: v })
    }
  })

  test("an absent key has a version, which conditions take", async () => {
    const key = prefix + "absent"
    const never = await near.get(key)
    assert.deepEqual([never.exists, never.bytes, never.text(), never.json(), never.version], [false, null, null, null, "0.0"])
    await near.put(key, "x")
    const gone = await near.delete(key)
    assert.equal((await near.get(key)).version, gone)
    await rejects(near.put(key, "x", { ifExists: true }), "precondition_failed")
    assert.equal((await near.cas(key, gone, "y")).ok, true)
  })

  test("values are text, bytes or JSON", async () => {
    const key = prefix + "values"
    for (const v of [{ a: [1, "x", null] }, [], 5, true, null]) {
      await near.put(key, v)
      assert.deepEqual((await near.get(key)).json(), v)
    }
    await near.put(key, new Uint8Array([0xfe]).buffer)
    const e = await near.get(key)
    assert.throws(() => e.text(), { code: "invalid" })
    await near.put(key, "\ufeffmark")
    assert.equal((await near.get(key)).text(), "\ufeffmark")
    await near.put(key, "")
    assert.equal((await near.get(key)).text(), "")
    await rejects(near.put(key, undefined), "invalid")
    await rejects(near.put(key, 1n), "invalid")
    await rejects(near.put(key, "\ud800"), "invalid")
    await rejects(near.put(key, new Uint8Array((1 << 20) + 1)), "too_large")
    assert.equal((await near.get(key)).text(), "")
  })

  test("a key has what is left of its time to live, and ends", async () => {
    const key = prefix + "ttl"
    await near.put(key, "x", { ttl: 3_600_000 })
    const { ttl } = await near.get(key)
    assert.ok(ttl > 3_500_000 && ttl <= 3_600_000, String(ttl))
    assert.ok((await near.getMany([key]))[0].ttl > 3_500_000)
    await near.put(key, "y", { keepTtl: true })
    assert.ok((await near.get(key)).ttl > 3_500_000)
    await rejects(near.put(key, "y", { keepTtl: true, ttl: 1000 }), "invalid")
    const events = near.watch(key)
    await events.next()
    await near.put(key, "x", { ttl: 100 })
    const types = []
    for await (const e of events) {
      types.push([e.type, e.expired])
      if (e.type === "delete") break
    }
    assert.deepEqual(types, [["put", undefined], ["delete", true]])
    assert.equal((await near.get(key)).exists, false)
  })

  test("a read may be stale if it says so", async () => {
    const key = prefix + "stale"
    await near.put(key, "x")
    const e = await near.get(key, { consistency: "bounded", maxStale: 60_000 })
    assert.equal(e.text(), "x")
    assert.ok(e.age === undefined || e.age <= 60_000)
    assert.equal((await near.get(key, { consistency: "quorum" })).servedBy, "owner")
    await rejects(near.get(key, { consistency: "bounded" }), "invalid")
  })

  test("a list has ranges, limits, both directions and a cursor", async () => {
    const p = prefix + "list/"
    for (const k of ["a", "b", "c", "d"]) await near.put(p + k, k)
    const keys = async (range, o) => (await all(near.list(range, o))).map((e) => e.key.slice(p.length)).join("")
    assert.equal(await keys(p, { pageSize: 1 }), "abcd")
    assert.equal(await keys(p, { limit: 3, pageSize: 2 }), "abc")
    assert.equal(await keys(p, { reverse: true }), "dcba")
    assert.equal(await keys({ start: p + "b", end: p + "d" }), "bc")
    const list = near.list(p, { keysOnly: true })
    assert.ok((await all(list)).every((e) => e.bytes === null && e.exists))
    await near.put(p + "e", "e")
    for await (const e of near.watch(p, { from: list.cursor })) {
      if (e.type === "ready") continue
      assert.deepEqual([e.type, e.key], ["put", p + "e"])
      break
    }
    await rejects(all(near.list(p, { pageSize: 5000 })), "too_large")
  })

  test("a watch goes on from a cursor, and its values may be left out", async () => {
    const p = prefix + "watch/"
    const first = near.watch(p)
    assert.equal((await first.next()).value.type, "ready")
    await near.put(p + "a", { n: 1 })
    const { value: put } = await first.next()
    assert.deepEqual([put.type, put.key, put.entry.json()], ["put", p + "a", { n: 1 }])
    await first.return()
    await near.delete(p + "a")
    const second = near.watch(p, { from: put.cursor, values: false })
    const types = []
    for await (const e of second) {
      if (e.type === "put") assert.equal(e.entry.bytes, null)
      types.push(e.type)
      if (e.type === "delete") break
    }
    assert.deepEqual(types.filter((t) => t !== "put" && t !== "ready"), ["delete"])
    await rejects(near.watch(p, { from: "no cursor" }).next(), "invalid")
  })

  test("a signal ends a watch, with its reason", async () => {
    const stop = new AbortController()
    const events = near.watch(prefix + "silent/", { signal: stop.signal })
    await events.next()
    const next = events.next()
    const reason = new Error("enough")
    stop.abort(reason)
    await assert.rejects(next, (e) => e instanceof EdgeholdError && e.code === "unavailable" && e.cause === reason)
  })

  test("transactions that add are all counted, and those that read and write too", async () => {
    const key = prefix + "counter"
    await Promise.all(Array.from({ length: 10 }, () => near.txn((tx) => tx.add(key, 1n))))
    await Promise.all(
      Array.from({ length: 5 }, () => near.txn(async (tx) => tx.put(key, String(Number((await tx.get(key)).text()) + 1)), { timeout: 60_000 })),
    )
    assert.equal((await near.get(key)).text(), "15")
  })

  test("a transaction sees what it has written, and what throws writes nothing", async () => {
    const [a, b] = [prefix + "tx/a", prefix + "tx/b"]
    await near.put(a, "5")
    await near.txn(async (tx) => {
      tx.add(a, 2)
      tx.appendIfAbsent(b, "x")
      tx.appendIfAbsent(b, "yz")
      tx.appendIfAbsent(b, "y")
      assert.deepEqual([(await tx.get(a)).text(), (await tx.get(b)).text()], ["7", "xyz"])
      tx.delete(b)
      assert.equal((await tx.get(b)).exists, false)
      tx.put(b, { n: 1 }, { ttl: 60_000 })
      tx.put(b, { n: 1 }, { keepTtl: true })
      tx.append(b, " ", { keepTtl: true })
      assert.equal((await tx.get(b)).text(), '{"n":1} ')
    })
    assert.equal((await near.get(a)).text(), "7")
    assert.deepEqual((await near.get(b)).json(), { n: 1 })
    assert.ok((await near.get(b)).ttl > 0)
    const own = new Error("own")
    await assert.rejects(near.txn((tx) => { tx.put(a, "9"); throw own }), own)
    await rejects(near.txn((tx) => { try { tx.put(a, undefined) } catch { /* ignored */ } }), "invalid")
    await rejects(near.txn((tx) => tx.add(b, 1)), "precondition_failed")
    assert.equal((await near.get(a)).text(), "7")
    let leaked
    await near.txn((tx) => { leaked = tx })
    assert.throws(() => leaked.put(a, "9"), { code: "invalid" })
  })

  test("functions of 8 bytes, touch and times to live need no read", async () => {
    const p = prefix + "atomic/"
    const [n, t, s] = [p + "n", p + "t", p + "s"]
    const integer = (e) => new DataView(e.bytes.buffer, e.bytes.byteOffset).getBigUint64(0, true)
    await near.put(t, "x", { ttl: 60_000 })
    await near.txn(async (tx) => {
      tx.sum64(n, 5)
      tx.sum64(n, 2n ** 64n - 2n, { ttl: 60_000 }) // it wraps
      tx.max64(n, 7n, { keepTtl: true })
      tx.min64(n, 6, { keepTtl: true })
      assert.equal(integer(await tx.get(n)), 6n)
      tx.touch(t, 3_600_000)
      assert.equal((await tx.get(t)).text(), "x")
      tx.appendIfAbsent(s, "a", { ttl: 60_000 })
    })
    const [a, b, c] = await near.getMany([n, t, s])
    assert.deepEqual([integer(a), b.text(), c.text()], [6n, "x", "a"])
    assert.ok(a.ttl <= 60_000 && b.ttl > 3_000_000 && c.ttl <= 60_000, `${a.ttl} ${b.ttl} ${c.ttl}`)
    const touched = await near.touch(s, 3_600_000)
    assert.equal(touched.version, c.version)
    assert.ok(touched.ttl > 3_000_000)
    assert.equal((await near.touch(p + "none", 1000)).exists, false)
    await rejects(near.txn((tx) => tx.sum64(t, 1)), "precondition_failed")
    await rejects(near.txn((tx) => tx.sum64(n, -1)), "invalid")
    await rejects(near.txn((tx) => tx.max64(n, 2n ** 64n)), "invalid")
    await rejects(near.txn((tx) => tx.touch(n, NaN)), "invalid")
  })

  test("an atomic has conditions, two branches and every operation", async () => {
    const p = prefix + "steps/"
    const [a, b, c, n] = ["a", "b", "c", "n"].map((k) => p + k)
    const first = await near.put(a, "1")
    const one = await near.atomic({
      if: [{ key: a, version: first }, { key: b, exists: false }, { key: a, value: "1" }],
      then: [
        { add: a, delta: 4 }, { put: b, value: { x: 1 }, ttl: 60_000 }, { append: c, value: "y" }, { appendIfAbsent: c, value: "y" },
        { sum64: n, value: 7 }, { min64: n, value: 5n }, { max64: n, value: 6 }, { touch: b, ttl: 3_600_000 }, { put: b, value: "z", keepTtl: true },
        { get: b }, { list: p, limit: 2 }, { delete: c }, { list: p },
      ],
    })
    assert.equal(one.committed, true)
    const [sum, put, length, , , , , touched, , got, two, gone, all] = one.results
    assert.deepEqual([sum.text(), put.bytes, length.text(), touched.exists, got.text(), gone.exists], ["5", null, "1", true, "z", false])
    assert.ok(got.ttl > 3_000_000)
    assert.deepEqual([two, all].map((l) => l.map((e) => e.key.slice(p.length)).join("")), ["ab", "abn"])
    assert.equal((await near.get(a)).version, sum.version)
    const other = await near.atomic({ if: [{ key: a, exists: false }], then: [{ delete: a }], else: [{ get: a }, { get: c }] })
    assert.deepEqual([other.committed, other.results.map((e) => e.text())], [false, ["5", null]])
    const again = { idempotencyKey: randomUUID() }
    for (let i = 0; i < 2; i++) await near.atomic({ then: [{ add: a, delta: 1n }] }, again)
    assert.equal((await near.get(a)).text(), "6")
    await rejects(near.atomic({ then: [{ sum64: a, value: 1 }] }), "precondition_failed")
    await rejects(near.atomic({ then: [{ nothing: a }] }), "invalid")
    await rejects(near.atomic({}), "invalid")
    await rejects(near.atomic({ then: [{ get: a }] }, { idempotencyKey: "a b" }), "invalid")
  })

  test("a view never sees half of a transaction", async () => {
    const [a, b] = [prefix + "view/a", prefix + "view/b"]
    const write = (n) => near.txn((tx) => { tx.put(a, n); tx.put(b, n) })
    await write(0)
    let done = false
    const writer = (async () => { for (let n = 1; n <= 10; n++) await write(n); done = true })()
    while (!done) {
      const [x, y] = await near.view(async (tx) => [(await tx.get(a)).json(), (await tx.get(b)).json()], { timeout: 60_000 })
      assert.equal(x, y)
    }
    await writer
    await rejects(near.view((tx) => tx.put(a, "x")), "invalid")
  })

  test("locks are given in turn, fences rise, and a guard fails when the lock is gone", async () => {
    const name = prefix + "lock"
    const first = await near.lock(name, 60_000, { owner: "first" })
    const second = near.lock(name, 60_000)
    await assert.rejects(near.lock(name, 60_000, { wait: 0 }), (e) => e.code === "conflict" && /held by first/.test(e.message))
    await first.unlock()
    const held = await second
    assert.ok(held.fence > first.fence)
    await rejects(near.txn((tx) => { tx.guard(first); tx.put(prefix + "guarded", "x") }), "precondition_failed")
    await near.txn((tx) => { tx.guard(held); tx.put(prefix + "guarded", "y") })
    assert.equal((await near.get(prefix + "guarded")).text(), "y")
    const waiting = new AbortController()
    const third = near.lock(name, 60_000, { signal: waiting.signal })
    waiting.abort()
    await assert.rejects(third, (e) => e instanceof EdgeholdError)
    await held.unlock()
    await held.unlock()
    await rejects(near.lock("a/.lock/b", 60_000), "invalid")
  })

  test("a lock is renewed while it is held", async () => {
    const lock = await near.lock(prefix + "renewed", 3000)
    await new Promise((resolve) => setTimeout(resolve, 4000))
    const other = await near.lock(prefix + "renewed", 3000, { wait: 0 }).then((l) => l.unlock(), (e) => e.code)
    if (lock.lost.aborted) return // the machine stood still for longer than the lock lives
    assert.equal(other, "conflict")
    await lock[Symbol.asyncDispose]() // what `await using` does
  })

  test("an error says what, of which key, and what to do", async () => {
    const key = prefix + "error"
    const v = await near.put(key, "x")
    await assert.rejects(near.put(key, "y", { ifVersion: "1.1" }), (e) => {
      assert.deepEqual([e.name, e.code, e.applied, e.op, e.key, e.version], ["EdgeholdError", "precondition_failed", "no", "put", key, v])
      return e.message.includes("the key is at version " + v)
    })
    assert.throws(() => connect("ftp://x"), { code: "invalid" })
    assert.throws(() => connect([]), { code: "invalid" })
    await rejects(connect(far + "/elsewhere").get("k"), "not_found")
  })

  test("an Idempotency-Key that the program chose is honoured", async () => {
    const key = prefix + "once"
    const idempotencyKey = randomUUID()
    const v = await near.put(key, "x", { idempotencyKey })
    await near.put(key, "y")
    assert.equal(await db.put(key, "x", { idempotencyKey }), v)
    assert.equal((await near.get(key)).text(), "y")
    await rejects(near.put(key, "z", { idempotencyKey }), "conflict")
    for (const wrong of ["", "a b", "line\n", "ü"]) await rejects(near.put(key, "z", { idempotencyKey: wrong }), "invalid")
    await rejects(near.put(key, "z", { ifVersion: 'a"b' }), "invalid")
  })
})
