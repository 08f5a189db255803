// The driver in the real unstorage: run by its own test, since it needs that package.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { describe, test } from "node:test"
import { connect } from "edgehold"
import edgehold from "edgehold/unstorage"
import { createStorage, prefixStorage } from "unstorage"

const url = process.env.EDGEHOLD_HOME
const base = `unstorage/${randomUUID()}/`
const client = connect(url)
const storageOf = (name) => createStorage({ driver: edgehold({ client, base: `${base}${name}/` }) })
const code = (c) => (e) => e.code === c

describe("unstorage", { concurrency: true }, () => {
  test("items are JSON, text and bytes, and are keys of Edgehold", async () => {
    const storage = createStorage({ driver: edgehold({ url, base: base + "items/" }) })
    await storage.setItem("users:ada", { name: "Ada" })
    await storage.setItem("text", "plain")
    await storage.setItemRaw("bytes", new Uint8Array([0, 255]))
    assert.deepEqual(await storage.getItem("users:ada"), { name: "Ada" })
    assert.equal(await storage.getItem("text"), "plain")
    assert.deepEqual([...(await storage.getItemRaw("bytes"))], [0, 255])
    assert.deepEqual((await client.get(base + "items/users/ada")).json(), { name: "Ada" })
    assert.equal(await storage.getItem("none"), null)
    assert.deepEqual([await storage.hasItem("text"), await storage.hasItem("none")], [true, false])
    assert.deepEqual(await storage.getItems(["text", "none"]), [{ key: "text", value: "plain" }, { key: "none", value: null }])
    await storage.removeItem("text")
    assert.equal(await storage.hasItem("text"), false)
  })

  test("keys are listed below a prefix, and cleared", async () => {
    const storage = storageOf("keys")
    for (const k of ["a", "a:b", "a:c", "d"]) await storage.setItem(k, k)
    assert.deepEqual((await storage.getKeys()).sort(), ["a", "a:b", "a:c", "d"])
    assert.deepEqual((await storage.getKeys("a")).sort(), ["a:b", "a:c"])
    assert.deepEqual(await prefixStorage(storage, "a").getItem("b"), "a:b")
    await storage.clear()
    assert.deepEqual(await storage.getKeys(), [])
  })

  test("an etag is a condition of a write", async () => {
    const storage = storageOf("etags")
    await storage.setItem("k", 1, { ifNoneMatch: "*" })
    await assert.rejects(storage.setItem("k", 2, { ifNoneMatch: "*" }), code("precondition_failed"))
    const { etag, size } = await storage.getMeta("k")
    assert.equal(size, 1)
    await storage.setItem("k", 2, { ifMatch: etag })
    await assert.rejects(storage.setItem("k", 3, { ifMatch: etag }), code("precondition_failed"))
    await assert.rejects(storage.setItem("none", 3, { ifMatch: "*" }), code("precondition_failed"))
    await assert.rejects(storage.removeItem("k", { ifMatch: etag }), code("precondition_failed"))
    assert.equal(await storage.getItem("k"), 2)
    await storage.removeItem("k", { ifMatch: `"${(await storage.getMeta("k")).etag}"` })
    assert.equal(await storage.hasItem("k"), false)
  })

  test("of writers that read, change and write under the etag none is lost", async () => {
    const storage = storageOf("counter")
    await storage.setItem("n", 0)
    const add = async () => {
      for (;;) {
        const { etag } = await storage.getMeta("n")
        const n = await storage.getItem("n")
        try {
          return await storage.setItem("n", n + 1, { ifMatch: etag })
        } catch (e) {
          if (e.code !== "precondition_failed") throw e
        }
      }
    }
    await Promise.all([add(), add(), add(), add()])
    assert.equal(await storage.getItem("n"), 4)
  })

  test("an item has a time to live", async () => {
    const storage = storageOf("ttl")
    await storage.setItem("k", "x", { ttl: 3600 })
    const { ttl } = await storage.getMeta("k")
    assert.ok(ttl > 3500 && ttl <= 3600, String(ttl))
  })

  test("a watch tells of updates and removals", async () => {
    const storage = storageOf("watch")
    const seen = []
    let done
    const both = new Promise((resolve) => (done = resolve))
    const unwatch = await storage.watch((event, key) => seen.push(`${event} ${key}`) === 2 && done())
    await storage.setItem("a:b", 1)
    await storage.removeItem("a:b")
    await both
    assert.deepEqual(seen, ["update a:b", "remove a:b"])
    await unwatch()
  })
})
