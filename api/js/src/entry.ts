import { bytesOf, decodeText, encodeText, keyText } from "./bytes.js"
import { milliseconds } from "./duration.js"
import { EdgeholdError, invalid } from "./errors.js"

/** What JSON can hold. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json | undefined }

/**
 * A value to be written. A string is written as UTF-8 and bytes as they are. Any other value is written as JSON; for a string in JSON, write
 * `JSON.stringify(text)`.
 */
export type Value = string | Uint8Array | ArrayBuffer | Json | object

/** The bytes of a value. */
export function valueBytes(v: Value): Uint8Array {
  if (typeof v === "string") return encodeText(v)
  if (v instanceof ArrayBuffer) return new Uint8Array(v)
  if (ArrayBuffer.isView(v)) return new Uint8Array(v.buffer, v.byteOffset, v.byteLength)
  let text: string | undefined
  try {
    text = JSON.stringify(v)
  } catch (cause) {
    throw invalid("the value has no form in JSON", cause)
  }
  if (text === undefined) throw invalid(`the value is ${typeof v}, which has no form in JSON`)
  return encodeText(text)
}

/** How much a read promises. */
export type Consistency = "linearizable" | "quorum" | "bounded" | "stale"

/** What answered a read: a node under its lease, the owner of the key, or a cache that may be stale. */
export type ServedBy = "lease" | "owner" | "stale"

/** A key as it was read. */
export interface EntryFields {
  key: string
  exists: boolean
  version: string
  bytes: Uint8Array | null
  ttl?: number
  servedBy?: ServedBy
  age?: number
}

/** A key, its value and its version, as they were read. */
export class Entry {
  /** The key. Bytes that are no part of UTF-8 stand in it as U+DC80 to U+DCFF, which every method takes back. */
  readonly key: string
  /** Whether the key has a value. */
  readonly exists: boolean
  /** The version of the value or, if there is none, of its absence: opaque text. */
  readonly version: string
  /** The value; null if the key is absent, or if the value was not asked for. */
  readonly bytes: Uint8Array | null
  /** What is left of the time to live, in milliseconds; undefined if the key does not expire. */
  readonly ttl: number | undefined
  /** What answered a `get`. */
  readonly servedBy: ServedBy | undefined
  /** How old the answer to a `get` with consistency "bounded" or "stale" is at most, in milliseconds. */
  readonly age: number | undefined

  constructor(f: EntryFields) {
    this.key = f.key
    this.exists = f.exists
    this.version = f.version
    this.bytes = f.bytes
    this.ttl = f.ttl
    this.servedBy = f.servedBy
    this.age = f.age
  }

  /** The value as text; null where `bytes` is null. Throws "invalid" if the value is not UTF-8. */
  text(): string | null {
    if (this.bytes === null) return null
    const text = decodeText(this.bytes)
    if (text === undefined) throw invalid("the value is not UTF-8; use bytes").of("text", this.key)
    return text
  }

  /** The value as JSON; null where `bytes` is null. Throws "invalid" if the value is not JSON. */
  json<T = unknown>(): T | null {
    const text = this.text()
    if (text === null) return null
    try {
      return JSON.parse(text) as T
    } catch (cause) {
      throw invalid("the value is not JSON", cause).of("json", this.key)
    }
  }
}

/** An entry as the JSON of the HTTP API has it. */
export function readEntry(o: Record<string, unknown>): Entry {
  const key = bytesOf(o, "key")
  if (key === undefined || typeof o["version"] !== "string") throw malformed()
  const exists = o["exists"] !== false
  const f: EntryFields = { key: keyText(key), exists, version: o["version"], bytes: (exists && bytesOf(o, "value")) || null }
  const ttl = milliseconds(o["ttl"])
  if (ttl !== undefined) f.ttl = ttl
  return new Entry(f)
}

/** The JSON object that a node has answered with. */
export function parseObject(bytes: Uint8Array): Record<string, unknown> {
  let o: unknown
  try {
    o = JSON.parse(decodeText(bytes) ?? "")
  } catch {
    // it is refused below
  }
  if (typeof o !== "object" || o === null || Array.isArray(o)) throw malformed()
  return o as Record<string, unknown>
}

/** The error of an answer that is not what the HTTP API says. */
export function malformed(): EdgeholdError {
  return new EdgeholdError("internal", "the answer is not the JSON that it should be: is the URL that of an Edgehold node?", { applied: "no" })
}
