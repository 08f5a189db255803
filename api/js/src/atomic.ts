import { type Key, keyBytes, member } from "./bytes.js"
import type { CallOptions, Network } from "./call.js"
import { duration } from "./duration.js"
import { Entry, malformed, readEntry, type Value, valueBytes } from "./entry.js"
import { invalid } from "./errors.js"
import type { Sequence } from "./sequence.js"
import { addJson, integerBytes, type Life, lifeOf, readTxn, txnCall } from "./tx.js"

/** A condition of an `atomic`: the key is at this version, exists or not, or has this value. */
export type Condition = { key: Key; version: string } | { key: Key; exists: boolean } | { key: Key; value: Value }

/** An operation of an `atomic`. Times are milliseconds. What each means is what the method of {@link Tx} with its name says. */
export type Operation =
  | { get: Key }
  | ({ put: Key; value: Value } & Life)
  | { delete: Key }
  | { add: Key; delta: number | bigint }
  | ({ append: Key; value: Value } & Life)
  | { appendIfAbsent: Key; value: Value; ttl?: number | undefined }
  | ({ sum64: Key; value: number | bigint } & Life)
  | ({ min64: Key; value: number | bigint } & Life)
  | ({ max64: Key; value: number | bigint } & Life)
  | { touch: Key; ttl: number }
  /** The keys with a prefix, 100 if there is no limit, 1000 at most. */
  | { list: Key; limit?: number | undefined }

/** What `atomic` carries out. */
export interface Atomic {
  /** If all hold, `then` is carried out, else `else`. */
  if?: readonly Condition[] | undefined
  then?: readonly Operation[] | undefined
  else?: readonly Operation[] | undefined
}

/** What an `atomic` has come to. */
export interface AtomicResult {
  /** Whether the conditions held, so that `then` was carried out. */
  committed: boolean
  /**
   * An entry for each operation of the branch that was carried out, an array of entries for a list; null for what a node could not keep to
   * answer again after a lost answer. An entry of a put has no bytes, one of an add has the sum.
   */
  results: (Entry | Entry[] | null)[]
}

export interface AtomicOptions extends CallOptions {
  /** As in {@link WriteOptions}. */
  idempotencyKey?: string | undefined
}

/** Carries out an atomic. */
export async function runAtomic(net: Network, sequence: Sequence, a: Atomic, given: string | undefined, o: CallOptions): Promise<AtomicResult> {
  const body = { if: (a.if ?? []).map(condition), then: (a.then ?? []).map(operation), else: (a.else ?? []).map(operation) }
  const writes = [...(a.then ?? []), ...(a.else ?? [])].some((x) => !("get" in x || "list" in x))
  const numbered = given === undefined ? sequence.begin() : undefined
  try {
    const id = numbered?.key ?? ((): string => given as string)
    const { committed, results } = readTxn(await net.run({ ...txnCall("atomic", body), writes, given: given !== undefined, id }, o))
    const branch = (committed ? a.then : a.else) ?? []
    if (results.length !== branch.length) throw malformed().of("atomic", undefined)
    return { committed, results: results.map((r, i) => result(branch[i] as Operation, r)) }
  } finally {
    numbered?.end()
  }
}

function result(of: Operation, o: Record<string, unknown>): Entry | Entry[] | null {
  if (o["elided"] === true) return null
  const entries = o["entries"]
  if (Array.isArray(entries)) return entries.map(readEntry)
  return readEntry("delete" in of ? { ...o, exists: false } : o)
}

function condition(c: Condition): object {
  const k = member("key", keyBytes(c.key))
  if ("version" in c) return { ...k, version: c.version }
  if ("exists" in c) return { ...k, exists: c.exists }
  return { ...k, ...member("value", valueBytes(c.value)) }
}

function operation(o: Operation): object {
  const key = (k: Key): object => member("key", keyBytes(k))
  const value = (v: Value): object => member("value", valueBytes(v))
  const integer = (n: number | bigint): object => member("value", integerBytes(n))
  if ("get" in o) return { get: key(o.get) }
  if ("put" in o) return { put: { ...key(o.put), ...value(o.value), ...lifeOf(o) } }
  if ("delete" in o) return { delete: key(o.delete) }
  if ("add" in o) return { add: { ...key(o.add), ...addJson(o.delta) } }
  if ("append" in o) return { append: { ...key(o.append), ...value(o.value), ...lifeOf(o) } }
  if ("appendIfAbsent" in o) return { append_if_absent: { ...key(o.appendIfAbsent), ...value(o.value), ...lifeOf({ ttl: o.ttl }) } }
  if ("sum64" in o) return { sum64: { ...key(o.sum64), ...integer(o.value), ...lifeOf(o) } }
  if ("min64" in o) return { min64: { ...key(o.min64), ...integer(o.value), ...lifeOf(o) } }
  if ("max64" in o) return { max64: { ...key(o.max64), ...integer(o.value), ...lifeOf(o) } }
  if ("touch" in o) return { touch: { ...key(o.touch), ttl: duration(o.ttl, "ttl") } }
  if ("list" in o) return { list: { ...member("prefix", keyBytes(o.list)), ...(o.limit === undefined ? {} : { limit: o.limit }) } }
  throw invalid("an operation has the name of one, such as { put: key, value }").of("atomic", undefined)
}
