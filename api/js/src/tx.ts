import { decodeText, type Key, keyBytes, keyText, member } from "./bytes.js"
import { type Answer, type Call, type CallOptions, type Network, pause, Until } from "./call.js"
import { duration } from "./duration.js"
import { Entry, malformed, parseObject, readEntry, type Value, valueBytes } from "./entry.js"
import { EdgeholdError, invalid } from "./errors.js"
import type { Lock } from "./lock.js"
import type { Sequence } from "./sequence.js"

/** An operation as /v1/txn takes it, the key whose value it writes, if any, and what it makes of the value. */
interface Step {
  key: string | undefined
  json: object
  /** Sets the value, whatever it was. */
  fixed: boolean
  on: (old: Uint8Array | null) => Uint8Array | null
}

/** How long a key lives after a write. */
export interface Life {
  /** Its time to live, in milliseconds. Without it, and without keepTtl, the key does not expire. */
  ttl?: number | undefined
  /** The key expires when it would have. */
  keepTtl?: boolean | undefined
}

/** How long a key lives, as the members of a step. */
export function lifeOf(o: Life): { ttl?: string; keep_ttl?: true } {
  return { ...(o.ttl === undefined ? {} : { ttl: duration(o.ttl, "ttl") }), ...(o.keepTtl === true ? { keep_ttl: true } : {}) }
}

/** What /v1/txn answers. */
export interface TxnAnswer {
  committed: boolean
  results: Record<string, unknown>[]
}

/** The call of a transaction. */
export function txnCall(op: string, body: object, key?: string): Call {
  return { op, key, method: "POST", path: "/v1/txn", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }
}

/** What a transaction has come to. */
export function readTxn(a: Answer): TxnAnswer {
  const o = parseObject(a.bytes) as Partial<TxnAnswer>
  if (typeof o.committed !== "boolean" || !Array.isArray(o.results)) throw malformed()
  return o as TxnAnswer
}

/** Reads the keys as of one instant. */
export async function readKeys(net: Network, op: string, keys: readonly Uint8Array[], o: CallOptions): Promise<Entry[]> {
  if (keys.length === 0) return []
  const call = txnCall(op, { then: keys.map((k) => ({ get: member("key", k) })) }, keyText(keys[0] as Uint8Array))
  const { results } = readTxn(await net.run(call, o))
  if (results.length !== keys.length) throw malformed().of(op, call.key)
  return results.map(readEntry)
}


/** Thrown out of a view whose earlier reads have changed; it runs again. */
class Moved extends EdgeholdError {}

/** A transaction or a view that runs. It sees its own writes, and each key as it was when it first read it. */
export class Tx {
  /** @internal */ readonly read = new Map<string, Entry>()
  /** @internal */ readonly steps: Step[] = []
  /** @internal */ readonly guards: Lock[] = []
  /** @internal How many reads filled `read`. */ reads = 0
  /** @internal */ over = false
  /** @internal Why a write was refused. The transaction fails, even if the function ignores it. */ fault: unknown
  /** @internal What a view that has moved begins with when it runs again. */ moved: Map<string, Entry> | undefined
  /** @internal What an earlier run of a view has read, as of the same instant as `read`. */ cached: Map<string, Entry> = new Map()
  private turn: Promise<unknown> = Promise.resolve() // of a view: its reads are one snapshot, and run one at a time

  /** @internal */
  constructor(private readonly net: Network, private readonly view: boolean, private readonly until: Until) {}

  /** The key as this transaction sees it; `exists` is false if it is absent. What the transaction has written itself has version "". */
  async get(key: Key): Promise<Entry> {
    return (await this.getMany([key]))[0] as Entry
  }

  /** The keys, in their order. Those that were not read yet are read in one round trip. */
  async getMany(keys: readonly Key[]): Promise<Entry[]> {
    this.usable()
    const names = keys.map((k) => keyText(keyBytes(k)))
    if (this.view) {
      const mine = this.turn.then(() => this.fetchView(names))
      this.turn = mine.catch(() => undefined)
      await mine
    } else {
      await this.fetchEach(names)
    }
    return names.map((k) => this.sees(k))
  }

  /** Sets the key when the transaction commits. */
  put(key: Key, value: Value, o: Life = {}): void {
    this.write(key, () => {
      const bytes = valueBytes(value).slice()
      return { json: (k) => ({ put: { ...k, ...member("value", bytes), ...lifeOf(o) } }), fixed: true, on: () => bytes }
    })
  }

  /** Appends the value to that of the key without reading it. An absent key gets the value. */
  append(key: Key, value: Value, o: Life = {}): void {
    this.write(key, () => {
      const bytes = valueBytes(value).slice()
      return { json: (k) => ({ append: { ...k, ...member("value", bytes), ...lifeOf(o) } }), fixed: false, on: (old) => join(old, bytes) }
    })
  }

  /** Deletes the key. An absent key is no error. */
  delete(key: Key): void {
    this.write(key, () => ({ json: (k) => ({ delete: k }), fixed: true, on: () => null }))
  }

  /**
   * Adds to the key without reading it: its value is a decimal integer of 64 bits, and an absent key counts as 0. Transactions that only add
   * to a key do not conflict. If the value is no such integer, or the sum does not fit, the transaction fails with "precondition_failed".
   */
  add(key: Key, delta: number | bigint): void {
    this.write(key, () => {
      const json = addJson(delta)
      return { json: (k) => ({ add: { ...k, ...json } }), fixed: false, on: (old) => sum(old, BigInt(delta)) }
    })
  }

  /** Appends the value to that of the key without reading it, unless the key's value contains it already. */
  appendIfAbsent(key: Key, value: Value, o: { ttl?: number | undefined } = {}): void {
    this.write(key, () => {
      const bytes = valueBytes(value).slice()
      const life = lifeOf({ ttl: o.ttl })
      return { json: (k) => ({ append_if_absent: { ...k, ...member("value", bytes), ...life } }), fixed: false, on: (old) => append(old, bytes) }
    })
  }

  /**
   * Adds to the key without reading it: its value is an integer of 8 bytes, little endian, without sign, and the sum wraps. An absent key
   * gets n. If the value has another length, the transaction fails with "precondition_failed".
   */
  sum64(key: Key, n: number | bigint, o: Life = {}): void {
    this.fold("sum64", key, n, o, (a, b) => a + b)
  }

  /** Makes the key the lesser of n and what it holds, which is as in {@link sum64}. */
  min64(key: Key, n: number | bigint, o: Life = {}): void {
    this.fold("min64", key, n, o, (a, b) => (a < b ? a : b))
  }

  /** Makes the key the greater of n and what it holds, which is as in {@link sum64}. */
  max64(key: Key, n: number | bigint, o: Life = {}): void {
    this.fold("max64", key, n, o, (a, b) => (a > b ? a : b))
  }

  private fold(name: string, key: Key, n: number | bigint, o: Life, f: (a: bigint, b: bigint) => bigint): void {
    this.write(key, () => {
      const bytes = integerBytes(n)
      const life = lifeOf(o)
      return {
        json: (k) => ({ [name]: { ...k, ...member("value", bytes), ...life } }),
        fixed: false,
        on: (old) => (old === null ? bytes : integerBytes(BigInt.asUintN(64, f(integerOf(old), BigInt(n))))),
      }
    })
  }

  /**
   * Lets the key live for at least so many milliseconds from the commit on. Its value and version stay. An absent key, or one that does not
   * expire, stays as it is. A transaction with a touch writes keys of one group alone.
   */
  touch(key: Key, ttl: number): void {
    this.write(key, () => {
      const life = { ttl: duration(ttl, "ttl") }
      return { json: (k) => ({ touch: { ...k, ...life } }), fixed: false, on: undefined }
    })
  }

  /** Lets the transaction commit only while the lock is held: it fails with "precondition_failed" if the lock is lost. */
  guard(lock: Lock): void {
    this.usable()
    if (this.view) throw invalid("a view commits nothing; guard a transaction")
    this.guards.push(lock)
  }

  private write(key: Key, make: () => { json: (key: object) => object; fixed: boolean; on: Step["on"] | undefined }): void {
    this.usable()
    try {
      if (this.view) throw invalid("a view only reads; write in a transaction")
      const k = keyBytes(key)
      const made = make()
      const changed = made.on === undefined ? undefined : keyText(k)
      this.steps.push({ key: changed, json: made.json(member("key", k)), fixed: made.fixed, on: made.on ?? ((old): Uint8Array | null => old) })
    } catch (e) {
      this.fault = e
      throw e
    }
  }

  private usable(): void {
    if (this.over) throw invalid("the function of the transaction has returned")
    if (this.fault !== undefined) throw this.fault
  }

  /** The index of the newest step that sets the key whatever it held; -1 if there is none. */
  private fixed(key: string): number {
    return this.steps.findLastIndex((s) => s.key === key && s.fixed)
  }

  /** The key as it was read, with the transaction's own steps on it. */
  private sees(key: string): Entry {
    const read = this.read.get(key)
    const from = this.fixed(key)
    const own = this.steps.slice(Math.max(0, from)).filter((s) => s.key === key)
    if (own.length === 0) return read as Entry
    const bytes = own.reduce<Uint8Array | null>((old, s) => s.on(old), read?.bytes ?? null)
    return new Entry({ key, exists: bytes !== null, version: "", bytes })
  }

  private missing(names: readonly string[]): string[] {
    return [...new Set(names)].filter((k) => !this.read.has(k) && this.fixed(k) < 0)
  }

  /** Reads keys, each as of an instant of its own: the commit checks them. */
  private async fetchEach(names: readonly string[]): Promise<void> {
    const missing = this.missing(names)
    if (missing.length === 0) return
    const got = await this.ask(missing)
    this.usable()
    this.reads++
    // Another read may have been faster. Its result is kept.
    missing.forEach((k, i) => this.read.has(k) || this.read.set(k, got[i] as Entry))
  }

  /** Reads keys together with all that this run has read, as of one instant. */
  private async fetchView(names: readonly string[]): Promise<void> {
    this.usable()
    for (const k of this.missing(names)) {
      const known = this.cached.get(k)
      if (known !== undefined) this.read.set(k, known)
    }
    const missing = this.missing(names)
    if (missing.length === 0) return
    const all = [...this.read.keys(), ...missing]
    const got = await this.ask(all)
    this.usable()
    this.cached = new Map() // it is of an older instant
    const now = new Map(all.map((k, i) => [k, got[i] as Entry]))
    for (const [k, before] of this.read) {
      if (now.get(k)?.version === before.version) continue
      this.moved = now
      this.fault = new Moved("conflict", "what was read before has changed; the function runs again", { op: "view" })
      throw this.fault
    }
    for (const k of missing) this.read.set(k, now.get(k) as Entry)
  }

  private ask(names: readonly string[]): Promise<Entry[]> {
    const o: CallOptions = { signal: this.until.signal, timeout: Math.max(1, this.until.left()) }
    return readKeys(this.net, "get", names.map(keyBytes), o)
  }
}

/** What add adds, as the member of a step. */
export function addJson(delta: number | bigint): { delta: string } {
  if (typeof delta !== "bigint" && !Number.isSafeInteger(delta)) throw invalid(`delta is ${delta}; it is an integer`)
  return { delta: String(delta) }
}

/** An integer of 64 bits without sign as 8 bytes, little endian. */
export function integerBytes(n: number | bigint): Uint8Array {
  if ((typeof n !== "bigint" && !Number.isSafeInteger(n)) || n < 0 || n > 0xffff_ffff_ffff_ffffn) throw invalid(`${n} is no integer from 0 to 2^64-1`)
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(n), true)
  return bytes
}

/** The integer that 8 bytes are. */
function integerOf(bytes: Uint8Array): bigint {
  if (bytes.length !== 8) throw new EdgeholdError("precondition_failed", `the value has ${bytes.length} bytes; an integer has 8`)
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
}

function sum(old: Uint8Array | null, delta: bigint): Uint8Array {
  const text = old === null ? "0" : (decodeText(old) ?? "")
  const result = /^-?[0-9]+$/.test(text) ? BigInt.asIntN(64, BigInt(text) + delta) : undefined
  if (result === undefined || result !== BigInt(text) + delta) {
    throw new EdgeholdError("precondition_failed", "the value is no integer of 64 bits to which this can be added")
  }
  return valueBytes(String(result))
}

function append(old: Uint8Array | null, value: Uint8Array): Uint8Array {
  return old !== null && contains(old, value) ? old : join(old, value)
}

function join(old: Uint8Array | null, value: Uint8Array): Uint8Array {
  if (old === null) return value
  const out = new Uint8Array(old.length + value.length)
  out.set(old)
  out.set(value, old.length)
  return out
}

function contains(all: Uint8Array, part: Uint8Array): boolean {
  for (let i = 0; i + part.length <= all.length; i++) if (part.every((b, j) => all[i + j] === b)) return true
  return false
}

/** The first pause after a conflict with other transactions. */
const conflictPause = 4

/** Runs transactions and views. */
export class Transactions {
  constructor(private readonly net: Network, private readonly sequence: Sequence) {}

  async txn<T>(f: (tx: Tx) => T | Promise<T>, o: CallOptions): Promise<T> {
    const until = new Until(o.timeout ?? this.net.timeout, Infinity, o.signal)
    const age = BigInt(Date.now()) * 1_000_000n // of two that conflict the older one goes first
    let last: EdgeholdError | undefined
    for (let n = 0; ; n++) {
      if (until.over()) throw gaveUp("txn", n, until, last)
      const tx = new Tx(this.net, false, until)
      const result = await run(tx, f)
      if (tx.fault !== undefined) throw tx.fault // f has ignored it
      try {
        if (await this.commit(tx, age, until)) return result
        last = new EdgeholdError("conflict", "what it had read was changed by others")
      } catch (e) {
        if (!(e instanceof EdgeholdError) || e.code !== "unavailable" || until.over()) throw e
        last = e
      }
      await pause(conflictPause, n, last.retryAfter ?? 0, until)
    }
  }

  /** Sends what the function has written, and reports whether what it has read is still so. */
  private async commit(tx: Tx, age: bigint, until: Until): Promise<boolean> {
    const o: CallOptions = { signal: until.signal, timeout: Math.max(1, until.left()) }
    if (tx.steps.length === 0) {
      const same = tx.reads <= 1 || (await this.unchanged(tx, o))
      if (same) await this.checkGuards(tx, o)
      return same
    }
    const conditions = [...tx.read].map(([k, e]) => ({ ...member("key", keyBytes(k)), version: e.version }))
    const guards = tx.guards.map((l) => ({ ...member("key", keyBytes(l.key)), version: l.version }))
    const body = { if: [...conditions, ...guards], then: tx.steps.map((s) => s.json), age: String(age) }
    const write = this.sequence.begin()
    try {
      const { committed } = readTxn(await this.net.run({ ...txnCall("txn", body), writes: true, id: write.key }, o))
      if (!committed) await this.checkGuards(tx, o)
      return committed
    } finally {
      write.end()
    }
  }

  /** Ends a transaction that has written nothing: all that it read must have been so at one instant. */
  private async unchanged(tx: Tx, o: CallOptions): Promise<boolean> {
    const now = await readKeys(this.net, "txn", [...tx.read.keys()].map(keyBytes), o)
    return now.every((e) => tx.read.get(e.key)?.version === e.version)
  }

  private async checkGuards(tx: Tx, o: CallOptions): Promise<void> {
    const now = await readKeys(this.net, "txn", tx.guards.map((l) => keyBytes(l.key)), o)
    tx.guards.forEach((l, i) => {
      if (now[i]?.exists !== true || now[i].version !== l.version) {
        throw new EdgeholdError("precondition_failed", "the lock is not held any more; nothing was written", { op: "txn", key: l.name })
      }
    })
  }

  async view<T>(f: (tx: Tx) => T | Promise<T>, o: CallOptions): Promise<T> {
    const until = new Until(o.timeout ?? this.net.timeout, Infinity, o.signal)
    let cached = new Map<string, Entry>()
    let last: EdgeholdError | undefined
    for (let n = 0; ; n++) {
      if (until.over()) throw gaveUp("view", n, until, last)
      const tx = new Tx(this.net, true, until)
      tx.cached = cached
      try {
        const result = await run(tx, f)
        if (tx.fault === undefined) return result
        if (tx.moved === undefined) throw tx.fault
      } catch (e) {
        if (tx.moved === undefined) throw e
      }
      cached = tx.moved as Map<string, Entry> // whatever f made of it
      last = tx.fault as EdgeholdError
    }
  }
}

async function run<T>(tx: Tx, f: (tx: Tx) => T | Promise<T>): Promise<T> {
  try {
    return await f(tx)
  } finally {
    tx.over = true
  }
}

/** The error of a transaction whose time is over, and which has written nothing. */
function gaveUp(op: string, runs: number, until: Until, last: EdgeholdError | undefined): EdgeholdError {
  const why = until.signal?.aborted === true ? "the signal ended it" : "its time is over"
  const cause = until.signal?.aborted === true ? (until.signal.reason as unknown) : last
  return new EdgeholdError("unavailable", why + (last === undefined ? "" : ` after run ${runs}: ${last.message}`), { op, cause })
}
