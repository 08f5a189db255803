// The types of the package, as a program in TypeScript sees them. It is compiled, not run.
import { type Client, connect, EdgeholdError, type Entry, type Lock, type WatchEvent } from "edgehold"
import driver from "edgehold/unstorage"

export async function all(): Promise<void> {
  const db: Client = connect(["http://a", "http://b"], { token: async () => "t", timeout: 1000 })
  const e: Entry = await db.get("k", { consistency: "bounded", maxStale: 5 })
  const n: number = e.json<{ n: number }>()?.n ?? 0
  const v: string = await db.put("k", { n }, { ttl: 5, ifVersion: e.version, signal: AbortSignal.timeout(5) })
  const result = await db.cas("k", null, new Uint8Array())
  const versions: string[] = [v, result.version, await db.delete("k")]
  for await (const x of db.list({ start: "a" }, { keysOnly: true })) versions.push(x.version)
  const got: Entry[] = await db.view((tx) => tx.getMany(["k"]))
  const doubled: number = await db.txn(async (tx) => {
    tx.add("n", 2n)
    return Number((await tx.get("k")).text()) * 2
  })
  const { committed, results } = await db.atomic({ if: [{ key: "k", exists: true }], then: [{ sum64: "n", value: 1n }, { list: "p/" }] })
  const listed: Entry | Entry[] | null = committed ? (results[1] ?? null) : null
  // @ts-expect-error: a touch has a time
  await db.atomic({ then: [{ touch: "k" }] })
  for await (const ev of db.watch("p/", { list: true })) handle(ev)
  const l: Lock = await db.lock("l", 1000, { wait: 5 })
  const fence: bigint = l.fence
  l.lost.throwIfAborted()
  await l.unlock()
  const d = driver({ client: db, base: "x/" })
  await d.setItem("a", "b", { ifMatch: v })
  // @ts-expect-error: a version is no number
  await db.cas("k", 5, "v")
  console.log(listed, got, doubled, fence, versions)
}

function handle(ev: WatchEvent): string {
  switch (ev.type) {
    case "put":
      return ev.entry.text() ?? ""
    case "delete":
      return ev.expired ? ev.key : ""
    case "gap":
      return ev.start + ev.end
    case "progress":
      return String(ev.age)
    case "ready":
    case "reset":
      return ev.cursor ?? ""
  }
}

export function codeOf(e: unknown): string {
  return e instanceof EdgeholdError ? e.code + e.applied : ""
}
