import { bytesOf, type Key, keyBytes, keyText, percent } from "./bytes.js"
import { type Call, type CallOptions, type Failure, judge, Link, type Network, pause, readProblem, refusal, Until } from "./call.js"
import type { Endpoint } from "./endpoints.js"
import { type Entry, malformed, readEntry } from "./entry.js"
import { EdgeholdError } from "./errors.js"
import { eventsOf, type ServerEvent } from "./sse.js"

/** Keys that begin with a prefix, or those from start on that are before end. */
export type Range = Key | { readonly start?: Key; readonly end?: Key }

/** The parameters of a range in a query. */
export function rangeQuery(r: Range): string[] {
  if (typeof r === "string" || r instanceof Uint8Array) return ["prefix=" + percent(keyBytes(r))]
  return (["start", "end"] as const).flatMap((name) => (r[name] === undefined ? [] : [name + "=" + percent(keyBytes(r[name]))]))
}

export interface WatchOptions extends CallOptions {
  /** Go on behind this cursor, which an event or a list gave. Without it the watch begins now. */
  from?: string | undefined
  /** Begin with what there is: "reset", then "put" for each key, then "ready". After a gap this comes again, and there is no "gap". */
  list?: boolean | undefined
  /** false leaves the values out: `entry.bytes` is null. */
  values?: boolean | undefined
  /** Only the newest change of each key, if the watch is behind. */
  collapse?: boolean | undefined
  /** How long the watch may take to begin, in milliseconds. */
  timeout?: number | undefined
}

/**
 * What a watch yields. `cursor`, if it is there, is where a later watch goes on, at any node: it misses nothing that comes after this event,
 * and may repeat some of what came since the cursor moved last.
 *
 * - "put", "delete": a change. `txn` is the same for all changes of one transaction over several groups. A value that is `elided` is large
 *   and has been replaced since.
 * - "ready": the watch has begun or, with `list`, the list is complete.
 * - "reset": with `list`, a list begins. Forget what was seen before.
 * - "gap": changes of the keys from `start` to `end` are missing. List them now.
 * - "progress": every change that was acknowledged longer than `age` milliseconds ago was yielded.
 */
export type WatchEvent =
  | { type: "put"; key: string; version: string; entry: Entry; elided: boolean; txn: string | undefined; cursor: string | undefined }
  | { type: "delete"; key: string; version: string; expired: boolean; txn: string | undefined; cursor: string | undefined }
  | { type: "ready"; cursor: string | undefined }
  | { type: "reset"; cursor: undefined }
  | { type: "gap"; start: string; end: string; reason: string; cursor: string | undefined }
  | { type: "progress"; age: number; cursor: string | undefined }

/** A change that was yielded: its version, and the stream that delivered it. */
interface Seen {
  version: string
  stream: number
}

/** How long a node may be silent on a watch: it says that it is there every 10 s. */
const maxSilence = 35_000

/** One watch. */
export class Watch {
  private begun = false
  private fresh = false // a reset was the last event
  private told = 0
  private stream = 0
  private cursor: string | undefined
  private readonly seen = new Map<string, Seen>() // since the cursor moved last; they come again after a break

  constructor(private readonly net: Network, private readonly range: Range, private readonly o: WatchOptions) {
    this.cursor = o.from
  }

  /** Yields events until the loop is left. It throws when the signal ends, or when a node refuses the watch for good. */
  async *run(): AsyncGenerator<WatchEvent, never, void> {
    const call = this.call()
    let last: EdgeholdError | undefined
    for (let round = 0; ; round++) {
      const { endpoint, link, body } = await this.connect(call, last)
      const told = this.told
      try {
        for await (const e of eventsOf(body, link, maxSilence)) yield* this.read(e)
        last = new EdgeholdError("unavailable", "the node has ended the watch")
      } catch (cause) {
        last = asError(cause)
        const f = judge(call, last)
        if (f.verdict === "final") throw last.of("watch", call.key)
      } finally {
        link.abort()
      }
      if (this.told !== told) round = 0
      if (this.o.signal?.aborted !== true) this.net.endpoints.failed(endpoint, false) // others come first for a while
      await pause(20, round, 0, new Until(60_000, Infinity, this.o.signal))
    }
  }

  private call(): Call {
    const query = rangeQuery(this.range)
    if (this.o.list === true) query.push("list=true")
    if (this.o.values === false) query.push("values=false")
    if (this.o.collapse === true) query.push("collapse=true")
    const key = typeof this.range === "string" ? this.range : undefined
    return { op: "watch", key, method: "GET", path: "/v1/watch", query, headers: { Accept: "text/event-stream" } }
  }

  /** Begins the watch, or goes on with it, at the nearest node that takes it. last: why the stream before has ended. */
  private async connect(call: Call, last: EdgeholdError | undefined) {
    const begin = new Until(this.o.timeout ?? this.net.timeout, Infinity, this.o.signal) // for a watch that has not begun
    for (let round = 0; ; round++) {
      const tried = new Set<Endpoint>()
      let failure: Failure | undefined
      for (let e = this.net.endpoints.next(tried); e !== undefined; e = this.net.endpoints.next(tried)) {
        if (this.o.signal?.aborted === true || (!this.begun && begin.over())) throw this.gaveUp(call, last)
        tried.add(e)
        const got = await this.open(e, call, this.begun ? this.net.timeout : begin.left())
        if (!("error" in got)) return got
        if (got.verdict === "final") throw got.error.of("watch", call.key)
        failure = got
        last = got.error
      }
      if (!this.begun && failure?.verdict === "elsewhere") throw failure.error.of("watch", call.key)
      await pause(20, round, last?.retryAfter ?? 0, this.begun ? new Until(60_000, Infinity, this.o.signal) : begin)
    }
  }

  private async open(endpoint: Endpoint, call: Call, budget: number) {
    const share = this.net.endpoints.all.length === 1 ? budget : Math.max(budget / 2, Math.min(budget, 1000))
    const token = await this.net.bearer()
    if (typeof token !== "string") return token
    const link = new Link(share, this.o.signal)
    try {
      const query = [...(call.query ?? [])]
      if (this.cursor !== undefined) query.push("from=" + encodeURIComponent(this.cursor))
      const res = await link.within(this.net.send(endpoint, { ...call, query }, token, link.signal))
      const events = /^text\/event-stream\b/i.test(res.headers.get("Content-Type") ?? "")
      if (res.status === 200 && events && res.body !== null) {
        this.net.endpoints.answered(endpoint)
        this.begun = true
        this.stream++
        return { endpoint, link, body: res.body }
      }
      const answer = { status: res.status, headers: res.headers, bytes: new Uint8Array(await res.arrayBuffer()) }
      link.end()
      return this.net.refused(endpoint, refusal(call, endpoint, answer))
    } catch (cause) {
      link.end()
      if (this.o.signal?.aborted !== true) this.net.endpoints.failed(endpoint, false)
      return { error: asError(cause), verdict: "again" } satisfies Failure as Failure
    }
  }

  private gaveUp(call: Call, last: EdgeholdError | undefined): EdgeholdError {
    const { signal } = this.o
    const why = signal?.aborted === true ? "the signal ended it" : "it could not begin in time"
    const cause = signal?.aborted === true ? (signal.reason as unknown) : last
    return new EdgeholdError("unavailable", why + (last === undefined ? "" : "; the last error: " + last.message), { cause }).of("watch", call.key)
  }

  /** What an event of the node is to the program. */
  private *read(e: ServerEvent): Generator<WatchEvent, void, void> {
    let d: Record<string, unknown>
    try {
      d = JSON.parse(e.data) as Record<string, unknown>
    } catch {
      throw malformed()
    }
    switch (e.name) {
      case "put":
      case "delete": {
        const change = changeOf(e.name, d)
        const repeated = this.repeated(change.key, change.version)
        this.moveOn(e.id)
        if (!repeated) yield this.give({ ...change, cursor: this.cursor })
        break
      }
      case "ready":
        this.moveOn(e.id)
        this.fresh = false
        yield { type: "ready", cursor: this.cursor }
        break
      case "progress":
        this.moveOn(e.id)
        yield this.give({ type: "progress", age: typeof d["age"] === "number" ? d["age"] * 1000 : Infinity, cursor: this.cursor })
        break
      case "reset":
        if (this.fresh) break
        this.cursor = undefined
        this.seen.clear()
        this.fresh = true
        yield { type: "reset", cursor: undefined }
        break
      case "gap":
        this.seen.clear()
        this.moveOn(e.id)
        yield this.give({
          type: "gap", start: text(d, "start"), end: text(d, "end"), reason: typeof d["reason"] === "string" ? d["reason"] : "", cursor: this.cursor,
        })
        break
      case "end":
        throw readProblem(d, null)
    }
  }

  private give<T extends WatchEvent>(e: T): T {
    this.fresh = false
    this.told++
    return e
  }

  /** Takes a cursor. It covers what this stream has delivered; what an earlier one delivered behind the cursor is still to come again. */
  private moveOn(to: string | undefined): void {
    if (to === undefined || to === "") return
    this.cursor = to
    for (const [key, s] of this.seen) if (s.stream === this.stream) this.seen.delete(key)
  }

  /** Reports whether the change was yielded before. What a list delivers is not noted: a list that is cut off begins anew. */
  private repeated(key: string, version: string): boolean {
    if (this.cursor === undefined && this.o.list === true) return false
    const s = this.seen.get(key)
    const order = s === undefined ? 1 : compare(version, s.version)
    if (order >= 0) this.seen.set(key, { version, stream: this.stream })
    return order <= 0
  }
}

function changeOf(name: "put" | "delete", d: Record<string, unknown>) {
  const txn = typeof d["txn"] === "string" ? d["txn"] : undefined
  const entry = readEntry(d)
  const { key, version } = entry
  if (name === "put") return { type: "put" as const, key, version, entry, elided: d["elided"] === true, txn }
  return { type: "delete" as const, key, version, expired: d["expired"] === true, txn }
}

function text(d: Record<string, unknown>, name: string): string {
  const b = bytesOf(d, name)
  return b === undefined ? "" : keyText(b)
}

function asError(cause: unknown): EdgeholdError {
  if (cause instanceof EdgeholdError) return cause
  return new EdgeholdError("unavailable", "the connection of the watch broke: " + (cause instanceof Error ? cause.message : String(cause)), { cause })
}

/** Compares two versions of a key: below 0 if a is older. */
function compare(a: string, b: string): number {
  const [ae = "", ai = ""] = a.split(".")
  const [be = "", bi = ""] = b.split(".")
  return order(ae, be) || order(ai, bi)
}

/** Compares decimal numbers without leading zeros. */
function order(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0)
}
