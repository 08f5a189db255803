// A runtime without AbortController and DOMException, as Fastly Compute is. The file runs in a process of its own: what it takes away would
// be missing elsewhere.
import assert from "node:assert/strict"
import { test } from "node:test"
import { connect, EdgeholdError } from "edgehold"

delete globalThis.AbortController
delete globalThis.DOMException

const coded = (code) => (e) => {
  assert.ok(e instanceof EdgeholdError, String(e))
  assert.equal(e.code, code)
  return true
}

test("calls work", async () => {
  const db = connect("http://a", {
    fetch: async (_, init) => {
      assert.ok(!("signal" in init))
      return new Response("v", { headers: { "Edgehold-Version": "1.7" } })
    },
  })
  const entry = await db.get("k")
  assert.equal(entry.text(), "v")
})

test("a call ends in time", async () => {
  const db = connect("http://a", { fetch: () => new Promise(() => undefined), timeout: 50 })
  await assert.rejects(db.get("k"), coded("unavailable"))
  await assert.rejects(db.put("k", "v"), coded("ambiguous"))
})

test("a body that never ends ends in time", async () => {
  const db = connect("http://a", { fetch: async () => new Response(new ReadableStream({}), { headers: { "Edgehold-Version": "1.7" } }), timeout: 50 })
  await assert.rejects(db.get("k"), coded("unavailable"))
})

test("a lock is refused before it is asked for", async () => {
  const db = connect("http://a", { fetch: () => assert.fail("asked") })
  await assert.rejects(db.lock("l", 1000), coded("invalid"))
})
