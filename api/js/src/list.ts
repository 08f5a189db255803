import type { CallOptions, Network } from "./call.js"
import { type Consistency, type Entry, malformed, parseObject, readEntry } from "./entry.js"
import { duration } from "./duration.js"
import { type Range, rangeQuery } from "./watch.js"

export interface ListOptions extends CallOptions {
  /** The most entries; all if it is left out. */
  limit?: number | undefined
  /** How many entries one request asks for: 1 to 1000, 100 if it is left out. */
  pageSize?: number | undefined
  /** From the last key to the first. */
  reverse?: boolean | undefined
  /** Leave the values out: `bytes` is null. */
  keysOnly?: boolean | undefined
  /** "linearizable" if it is left out. */
  consistency?: Consistency | undefined
  /** With "bounded": how old an answer may be, in milliseconds. */
  maxStale?: number | undefined
}

/**
 * The entries of a range, which are read page by page while the loop runs. Each page is linearizable for each group of keys, several pages
 * are no snapshot. `timeout` bounds each page.
 */
export class List implements AsyncIterable<Entry> {
  /** After the last entry: where a watch goes on that misses nothing since the list began. */
  cursor: string | undefined

  /** @internal */
  constructor(private readonly net: Network, private readonly range: Range, private readonly o: ListOptions) {}

  async *[Symbol.asyncIterator](): AsyncGenerator<Entry, void, void> {
    this.cursor = undefined
    let left = this.o.limit ?? Infinity
    let page: string | undefined
    while (left > 0) {
      const { entries, next, cursor } = await this.page(Math.min(left, this.o.pageSize ?? 100), page)
      for (const e of entries) yield e
      left -= entries.length
      if (next === undefined) {
        this.cursor = cursor
        return
      }
      page = next
    }
  }

  private async page(limit: number, page: string | undefined) {
    const { o } = this
    const query = [...rangeQuery(this.range), "limit=" + limit]
    if (o.reverse === true) query.push("reverse=true")
    if (o.keysOnly === true) query.push("keys_only=true")
    if (o.consistency !== undefined) query.push("consistency=" + o.consistency)
    if (o.maxStale !== undefined) query.push("max_stale=" + duration(o.maxStale, "maxStale"))
    if (page !== undefined) query.push("page=" + encodeURIComponent(page))
    const key = typeof this.range === "string" ? this.range : undefined
    const a = await this.net.run({ op: "list", key, method: "GET", path: "/v1/kv", query }, o)
    const body = parseObject(a.bytes) as { entries?: Record<string, unknown>[]; next?: string; cursor?: string }
    if (!Array.isArray(body.entries)) throw malformed().of("list", key)
    return { entries: body.entries.map(readEntry), next: body.next, cursor: body.cursor }
  }
}
