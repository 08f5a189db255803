import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { describe, test } from "node:test"
import { connect, EdgeholdError } from "edgehold"

const home = process.env.EDGEHOLD_HOME

/** A client whose requests to the hosts a, b, ... the function answers; requests is what was sent. */
function scripted(urls, answer, options = {}) {
  const requests = []
  const fetch = async (url, init) => {
    const { host, pathname, searchParams } = new URL(url)
    const r = { host, path: pathname, method: init.method, id: init.headers["Idempotency-Key"], headers: init.headers, at: performance.now(), searchParams, init }
    requests.push(r)
    return answer(r, requests.length)
  }
  return { db: connect(urls, { fetch, ...options }), requests }
}

const ok = (version = "1.7") => new Response(JSON.stringify({ key: "k", version }), { headers: { "Edgehold-Version": version } })
const problem = (status, code, more = {}, headers = {}) =>
  new Response(JSON.stringify({ status, code, detail: "because", ...more }), { status, headers: { "Content-Type": "application/problem+json", ...headers } })
/** An answer that asks for more time than a call has. */
const later = () => problem(503, "unavailable", { applied: "no", retry_after: 3600 })
const rejects = (promise, want) =>
  assert.rejects(promise, (e) => {
    assert.ok(e instanceof EdgeholdError, String(e))
    assert.deepEqual(Object.fromEntries(Object.keys(want).map((k) => [k, e[k]])), want)
    return true
  })

describe("what is tried again", { concurrency: true }, () => {
  test("a write goes to the next node with the same Idempotency-Key", async () => {
    const { db, requests } = scripted(["http://a", "http://b"], (r) => {
      if (r.host === "a") throw new TypeError("connection refused")
      return ok()
    })
    assert.equal(await db.put("k", "v"), "1.7")
    assert.deepEqual(requests.map((r) => r.host), ["a", "b"])
    assert.match(requests[0].id, /^eh1-[0-9a-f]{32}-1-1$/)
    assert.equal(requests[0].id, requests[1].id)
    await db.put("k", "v")
    assert.deepEqual(requests.map((r) => r.host), ["a", "b", "b"], "a node that fails rests")
    assert.match(requests[2].id, /-2-2$/)
  })

  test("writes say which ones need no record any more", async () => {
    let release
    const held = new Promise((resolve) => { release = resolve })
    const { db, requests } = scripted("http://a", async (_, n) => {
      if (n === 1) await held
      return ok()
    })
    const slow = db.put("k", "1")
    await new Promise((resolve) => setImmediate(resolve))
    await db.put("k", "2")
    release()
    await slow
    await db.put("k", "3")
    assert.deepEqual(requests.map((r) => r.id.split("-").slice(2).join("-")), ["1-1", "2-1", "3-3"])
  })

  test("Retry-After is waited for, and bounded by the timeout", async () => {
    const { db, requests } = scripted("http://a", (_, n) => (n === 1 ? problem(503, "unavailable", { applied: "no", retry_after: 0.3 }) : ok()))
    await db.put("k", "v")
    assert.ok(requests[1].at - requests[0].at >= 295, String(requests[1].at - requests[0].at))

    const long = scripted("http://a", later)
    await rejects(long.db.put("k", "v"), { code: "unavailable", applied: "no", retryAfter: 3_600_000 })
    assert.equal(long.requests.length, 1)
  })

  test("pauses grow", async () => {
    const { db, requests } = scripted("http://a", () => problem(503, "unavailable", { applied: "no" }), { timeout: 3000 })
    await rejects(db.get("k"), { code: "unavailable", applied: "no", op: "get", key: "k" })
    assert.ok(requests.length >= 2 && requests.length <= 14, String(requests.length))
  })

  test("what ends is what the node says, unless an attempt before it is unknown", async () => {
    for (const [status, code] of [[400, "invalid"], [401, "unauthenticated"], [403, "denied"], [409, "conflict"], [413, "too_large"]]) {
      const { db, requests } = scripted(["http://a", "http://b"], () => problem(status, code, { applied: "no" }))
      await rejects(db.put("k", "v"), { code, applied: "no", detail: "because" })
      assert.equal(requests.length, 1)
      const after = scripted(["http://a", "http://b"], (_, n) => {
        if (n === 1) throw new TypeError("broken")
        return problem(status, code, { applied: "no" })
      })
      await rejects(after.db.put("k", "v"), { code: "ambiguous", applied: "unknown" })
    }
    const { db } = scripted(["http://a", "http://b"], (_, n) => {
      if (n === 1) throw new TypeError("broken")
      return problem(412, "precondition_failed", { applied: "no" }, { "Edgehold-Version": "1.9" })
    })
    await rejects(db.put("k", "v", { ifVersion: "1.1" }), { code: "precondition_failed", applied: "no", version: "1.9" })
  })

  test("a write whose outcome is unknown says so, a read never does", async () => {
    const broken = (_, n) => {
      if (n === 1) throw new TypeError("broken")
      return later()
    }
    await rejects(scripted("http://a", broken).db.put("k", "v"), { code: "ambiguous", applied: "unknown" })
    await rejects(scripted("http://a", broken).db.get("k"), { code: "unavailable", applied: "no" })
    await rejects(scripted("http://a", () => problem(500, "internal", { applied: "unknown" })).db.put("k", "v"), { code: "ambiguous", applied: "unknown" })
    await rejects(scripted("http://a", () => problem(500, "internal", { applied: "unknown" })).db.get("k"), { code: "internal", applied: "no" })
  })

  test("an answer that is not Edgehold's is an error", async () => {
    const page = (status) => () => new Response("<html>", { status, headers: { "Content-Type": "text/html" } })
    await rejects(scripted("http://a", page(404)).db.get("k"), { code: "invalid" })
    await rejects(scripted("http://a", page(200)).db.get("k"), { code: "internal" })
    for (const f of [(db) => db.watch("p/").next(), (db) => db.list("p/")[Symbol.asyncIterator]().next()]) {
      await assert.rejects(f(scripted("http://a", page(200)).db), (e) => e instanceof EdgeholdError && /is the URL/.test(e.message))
    }
    await rejects(scripted("http://a", page(302)).db.put("k", "v"), { code: "invalid", applied: "no" })
    const gateway = scripted("http://a", (_, n) => (n === 1 ? page(502)() : later()))
    await rejects(gateway.db.put("k", "v"), { code: "ambiguous", applied: "unknown" })
    await rejects(scripted("http://a", page(403)).db.put("k", "v"), { code: "denied", applied: "no" })
  })

  test("a signal ends a call that a node does not answer", async () => {
    const hanging = (r) => new Promise((_, reject) => r.init.signal.addEventListener("abort", () => reject(r.init.signal.reason)))
    const { db } = scripted("http://a", hanging)
    const stop = new AbortController()
    const put = db.put("k", "v", { signal: stop.signal })
    const get = db.get("k", { signal: stop.signal })
    setTimeout(() => stop.abort("enough"), 20)
    await rejects(put, { code: "ambiguous", applied: "unknown", cause: "enough" })
    await rejects(get, { code: "unavailable", applied: "no", cause: "enough" })
    await rejects(db.get("k", { signal: AbortSignal.abort("before") }), { code: "unavailable", cause: "before" })
    const slow = scripted(["http://a", "http://b"], (r) => (r.host === "a" ? hanging(r) : ok()))
    await slow.db.put("k", "v")
    assert.deepEqual(slow.requests.map((r) => r.host), ["a", "b"], "half of the time is left to the next node")
  })

  test("the token is asked for before each request", async () => {
    let n = 0
    const { db, requests } = scripted("http://a", () => ok(), { token: async () => "t" + ++n })
    await db.put("k", "v")
    await db.put("k", "v")
    assert.deepEqual(requests.map((r) => r.headers.Authorization), ["Bearer t1", "Bearer t2"])
    const cause = new Error("no vault")
    const without = scripted("http://a", () => ok(), { token: () => { throw cause } })
    await rejects(without.db.put("k", "v"), { code: "unauthenticated", applied: "no", cause })
    await rejects(without.db.watch("p/").next(), { code: "unauthenticated", cause })
    await rejects(scripted("http://a", () => ok(), { token: "line\n" }).db.get("k"), { code: "unauthenticated", applied: "no" })
    assert.equal(without.requests.length, 0)
  })

  test("a node is told how long it may take", async () => {
    const { db, requests } = scripted("http://a", () => ok())
    await db.put("k", "v", { timeout: 4000, ttl: 1500 })
    assert.match(requests[0].searchParams.get("timeout"), /^(4000|39\d\d)ms$/)
    assert.equal(requests[0].searchParams.get("ttl"), "1500000us")
  })

  test("a transaction whose answer was lost takes effect once", async () => {
    const key = `js/${randomUUID()}/lost`
    let lost = 0
    const fetch = async (url, init) => {
      const res = await globalThis.fetch(url, init)
      if (init.method === "POST" && lost++ === 0) {
        await res.arrayBuffer()
        throw new TypeError("the answer was lost")
      }
      return res
    }
    const db = connect(home, { fetch })
    await db.txn((tx) => tx.add(key, 1))
    assert.equal(lost, 2)
    assert.equal((await db.get(key)).text(), "1")
  })

  /** A watch whose streams are scripted: each is the text of its events; then it breaks. */
  function watchOf(streams, options) {
    const { db, requests } = scripted(["http://a"], (r, n) => {
      const text = streams[n - 1]
      if (typeof text !== "string") return text ?? problem(403, "denied", { applied: "no" })
      const bytes = new TextEncoder().encode(text)
      let at = 0
      return new Response(new ReadableStream({
        pull(c) {
          if (at >= bytes.length) return c.error(new TypeError("broken"))
          c.enqueue(bytes.slice(at, (at += 7))) // which cuts lines and characters
        },
      }), { headers: { "Content-Type": "text/event-stream" } })
    })
    return { events: db.watch("p/", options), requests }
  }

  const event = (name, data, id) => `event: ${name}\ndata: ${JSON.stringify(data)}\n${id === undefined ? "" : `id: ${id}\n`}\n`
  const put = (key, version, id) => event("put", { key: "p/" + key, value: "wért", version }, id)

  async function read(events) {
    const out = []
    try {
      for await (const e of events) out.push(e.type === "put" || e.type === "delete" ? `${e.type} ${e.key.slice(2)} ${e.version}` : e.type)
    } catch (e) {
      out.push(e.code)
    }
    return out
  }

  test("a watch goes on where it was, and repeats nothing", async () => {
    const { events, requests } = watchOf([
      ": comment\nretry: 1000\n\n" + event("ready", {}, "c0") + put("a", "1.9") + put("b", "1.10", "c1") + put("a", "1.11") + put("c", "1.12"),
      event("ready", {}, "c1") + put("a", "1.11") + put("c", "1.12", "c2") + put("d", "1.13"),
      event("ready", {}, "c2") + put("d", "1.13") + put("d", "1.14", "c3") + event("end", { code: "denied", detail: "no more", applied: "no" }),
    ])
    assert.deepEqual(await read(events), [
      "ready", "put a 1.9", "put b 1.10", "put a 1.11", "put c 1.12", "ready", "put d 1.13", "ready", "put d 1.14", "denied",
    ])
    assert.deepEqual(requests.map((r) => r.searchParams.get("from")), [null, "c1", "c2"])
    assert.deepEqual(requests.map((r) => r.searchParams.has("timeout")), [false, false, false])
  })

  test("a watch with a list forgets at a reset, and a gap is said", async () => {
    const list = watchOf([
      event("reset", {}) + put("a", "1.1"),
      event("reset", {}) + put("a", "1.1") + event("ready", {}, "c1") + put("b", "1.2", "c2"),
      event("reset", {}) + put("b", "1.2") + event("ready", {}, "c3") + event("end", { code: "invalid" }),
    ], { list: true })
    assert.deepEqual(await read(list.events), [
      "reset", "put a 1.1", "reset", "put a 1.1", "ready", "put b 1.2", "reset", "put b 1.2", "ready", "invalid",
    ])
    assert.deepEqual(list.requests.map((r) => [r.searchParams.get("list"), r.searchParams.get("from")]), [["true", null], ["true", null], ["true", "c2"]])
    const gap = watchOf([event("ready", {}) + event("gap", { start: "p/", end: "p0", reason: "trimmed" }, "c9") + event("end", { code: "invalid" })])
    assert.deepEqual((await gap.events.next()).value.type, "ready")
    assert.deepEqual((await gap.events.next()).value, { type: "gap", start: "p/", end: "p0", reason: "trimmed", cursor: "c9" })
  })

  test("a lock that is not given after a broken attempt is a conflict", async () => {
    const { db } = scripted("http://a", (_, n) => {
      if (n === 1) throw new TypeError("broken")
      return problem(409, "conflict", { applied: "no" })
    })
    await rejects(db.lock("l", 3000, { wait: 0 }), { code: "conflict", applied: "no", key: "l" })
  })

  test("a lock that cannot be renewed is lost in time", async () => {
    const { db, requests } = scripted("http://a", (r) => {
      if (r.method === "POST") return new Response(JSON.stringify({ id: "00", fence: 1, version: "1.1", ttl: "3s" }))
      throw new TypeError("broken")
    })
    const begin = performance.now()
    const lock = await db.lock("l", 3000)
    assert.equal(lock.fence, (1n << 40n) + 1n)
    await new Promise((resolve) => lock.lost.addEventListener("abort", resolve))
    const passed = performance.now() - begin
    assert.ok(passed >= 2900, String(passed))
    assert.equal(lock.lost.reason.code, "precondition_failed")
    assert.ok(requests.some((r) => r.method === "PUT"), "it was to be renewed")
  })
})
