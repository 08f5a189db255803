import { type Atomic, type AtomicOptions, type AtomicResult, runAtomic } from "./atomic.js"
import { type Key, keyBytes, keyText, member, pathOf } from "./bytes.js"
import { type Answer, type Call, type CallOptions, Network, type NetworkOptions, visible } from "./call.js"
import { duration } from "./duration.js"
import { type Consistency, Entry, type EntryFields, malformed, type ServedBy, type Value, valueBytes } from "./entry.js"
import { EdgeholdError, invalid } from "./errors.js"
import { List, type ListOptions } from "./list.js"
import { acquire, type Lock, type LockOptions } from "./lock.js"
import { Sequence } from "./sequence.js"
import { type Life, lifeOf, readKeys, readTxn, Transactions, type Tx, txnCall } from "./tx.js"
import { type Range, Watch, type WatchEvent, type WatchOptions } from "./watch.js"

export interface ReadOptions extends CallOptions {
  /** "linearizable" if it is left out: the newest value, from a lease if the node holds one. */
  consistency?: Consistency | undefined
  /** With "bounded": how old the value may be, in milliseconds. */
  maxStale?: number | undefined
}

export interface WriteOptions extends CallOptions {
  /** Write only if the key is at this version. */
  ifVersion?: string | undefined
  /** Write only if the key is absent. */
  ifAbsent?: boolean | undefined
  /** Write only if the key exists. */
  ifExists?: boolean | undefined
  /** Makes the write safe to be sent again by another call or process: it takes effect once. Each call draws one if it is left out. */
  idempotencyKey?: string | undefined
}

export interface PutOptions extends WriteOptions, Life {}

/** What a `cas` has come to: the version that it wrote, or the present version if it wrote nothing. */
export type CasResult = { ok: true; version: string } | { ok: false; version: string }

export interface ConnectOptions extends NetworkOptions {
  /** The access token, or a function that is asked for it before each request. */
  token?: string | (() => string | Promise<string>) | undefined
  /** The most that a call takes if it does not say, in milliseconds: 10,000 if it is left out. */
  timeout?: number | undefined
  /** What sends the requests, such as `(url, init) => env.STORE.fetch(url, init)` of a service binding; the runtime's own if left out. */
  fetch?: NetworkOptions["fetch"]
}

/**
 * A client of the nodes at these URLs, nearest first. It sends nothing before its first call, and needs not be closed.
 *
 * @throws {EdgeholdError} "invalid" if a URL is none.
 */
export function connect(urls: string | readonly string[], options: ConnectOptions = {}): Client {
  return new Client(new Network(urls, options))
}

/**
 * Reads and writes the keys of a cluster through its nearest node. If a node does not answer, the next one is asked; a write keeps its
 * Idempotency-Key meanwhile, so that it takes effect once. Every method rejects with an {@link EdgeholdError}. Calls may run at once.
 */
export class Client {
  private readonly sequence = new Sequence()
  private readonly transactions: Transactions

  /** @internal */
  constructor(private readonly net: Network) {
    this.transactions = new Transactions(net, this.sequence)
  }

  /** The key. If it is absent, `exists` is false, and the version is that of its absence. */
  async get(key: Key, o: ReadOptions = {}): Promise<Entry> {
    const path = this.pathOf("get", key)
    const query = readQuery(o)
    if (path === undefined) {
      if (query.length > 0) throw invalid("the keys . and .. are read as linearizable alone").of("get", keyText(keyBytes(key)))
      return (await readKeys(this.net, "get", [keyBytes(key)], o))[0] as Entry
    }
    const name = keyText(keyBytes(key))
    const accepts = (a: Answer): boolean => a.status === 404 && a.headers.has("Edgehold-Version") // the key is absent
    const a = await this.net.run({ op: "get", key: name, method: "GET", path, query, accepts }, o)
    return entryOf(name, a)
  }

  /** The keys, in their order, as of one instant. */
  async getMany(keys: readonly Key[], o: CallOptions = {}): Promise<Entry[]> {
    return readKeys(this.net, "getMany", keys.map(keyBytes), o)
  }

  /** Sets the key, and resolves to the new version. Rejects with "precondition_failed" if a condition does not hold. */
  async put(key: Key, value: Value, o: PutOptions = {}): Promise<string> {
    const query = Object.entries(lifeOf(o)).map(([name, text]) => `${name}=${text}`)
    return this.write("put", key, { method: "PUT", query, body: valueBytes(value) }, o)
  }

  /** Deletes the key, and resolves to the version of its absence. An absent key is no error. */
  async delete(key: Key, o: WriteOptions = {}): Promise<string> {
    return this.write("delete", key, { method: "DELETE" }, o)
  }

  /** Sets the key if it is at the version, or absent if `expected` is null. That it is not is no error: `ok` says so. */
  async cas(key: Key, expected: string | null, value: Value, o: Omit<PutOptions, "ifVersion" | "ifAbsent" | "ifExists"> = {}): Promise<CasResult> {
    try {
      const condition = expected === null ? { ifAbsent: true } : { ifVersion: expected }
      return { ok: true, version: await this.put(key, value, { ...o, ...condition }) }
    } catch (e) {
      if (e instanceof EdgeholdError && e.code === "precondition_failed" && e.version !== undefined) return { ok: false, version: e.version }
      throw e
    }
  }

  /**
   * Lets the key live for at least so many milliseconds from now, and resolves to it: its value, which is not in the entry, and its version
   * stay. An absent key, or one that does not expire, stays as it is.
   */
  async touch(key: Key, ttl: number, o: AtomicOptions = {}): Promise<Entry> {
    return (await this.atomic({ then: [{ touch: key, ttl }] }, o)).results[0] as Entry
  }

  /**
   * Carries out operations as a whole, without running a function: `then` if all conditions hold, else `else`. That they do not hold is no
   * error. All operations are of one instant; a transaction with a touch or a list has keys of one group alone.
   */
  async atomic(a: Atomic, o: AtomicOptions = {}): Promise<AtomicResult> {
    checkId("atomic", undefined, o.idempotencyKey)
    return runAtomic(this.net, this.sequence, a, o.idempotencyKey, o)
  }

  /** The entries of the keys with a prefix, or of a range, in the order of their bytes: `for await (const e of db.list("users/"))`. */
  list(range: Range = "", o: ListOptions = {}): List {
    return new List(this.net, range, o)
  }

  /** What changes among the keys with a prefix, or of a range: `for await (const e of db.watch("users/"))`. See {@link WatchEvent}. */
  watch(range: Range = "", o: WatchOptions = {}): AsyncGenerator<WatchEvent, never, void> {
    return new Watch(this.net, range, o).run()
  }

  /**
   * Runs f, then commits all that f has written, as a whole or not at all, if nothing that f has read has changed meanwhile. If it has, f
   * runs again, until its time is over: f must have no effects that cannot be repeated. It resolves to what f has returned. If f throws,
   * nothing is written.
   */
  txn<T>(f: (tx: Tx) => T | Promise<T>, o: CallOptions = {}): Promise<T> {
    return this.transactions.txn(f, o)
  }

  /** Runs f, which only reads. All that it reads is one snapshot. If that has moved between two of its reads, f runs again. */
  view<T>(f: (tx: Tx) => T | Promise<T>, o: CallOptions = {}): Promise<T> {
    return this.transactions.view(f, o)
  }

  /**
   * Takes the lock, waits for it if it is held, and renews it until `unlock`. ttl, in milliseconds: how long the lock stays held if this
   * process ends. Rejects with "conflict" if it is not given in time.
   */
  lock(name: string, ttl: number, o: LockOptions = {}): Promise<Lock> {
    return acquire(this.net, name, ttl, o)
  }

  private pathOf(op: string, key: Key): string | undefined {
    const bytes = keyBytes(key)
    if (bytes.length === 0) throw invalid("the key is empty").of(op, "")
    const path = pathOf(bytes)
    return path === undefined ? undefined : "/v1/kv/" + path
  }

  private async write(op: "put" | "delete", key: Key, q: Pick<Call, "method" | "query" | "body">, o: PutOptions): Promise<string> {
    const name = keyText(keyBytes(key))
    const path = this.pathOf(op, key)
    const head = conditions(o)
    checkId(op, name, o.idempotencyKey)
    const numbered = o.idempotencyKey === undefined ? this.sequence.begin() : undefined
    const once = { op, key: name, writes: true, given: numbered === undefined, id: numbered?.key ?? ((): string => o.idempotencyKey as string) }
    try {
      if (path === undefined) return await this.writeByTxn(once, key, q, o)
      const a = await this.net.run({ ...q, ...once, path, headers: head }, o)
      return versionOf(a)
    } finally {
      numbered?.end()
    }
  }

  /** Writes one of the keys that no path can have. */
  private async writeByTxn(once: Pick<Call, "op" | "key" | "writes" | "given" | "id">, key: Key, q: Pick<Call, "method" | "body">, o: PutOptions): Promise<string> {
    const k = member("key", keyBytes(key))
    const step = q.method === "PUT" ? { put: { ...k, ...member("value", q.body as Uint8Array), ...lifeOf(o) } } : { delete: k }
    const body = {
      if: [
        ...(o.ifVersion === undefined ? [] : [{ ...k, version: o.ifVersion }]),
        ...(o.ifAbsent === true ? [{ ...k, exists: false }] : []),
        ...(o.ifExists === true ? [{ ...k, exists: true }] : []),
      ],
      then: [step],
      else: [{ get: k }],
    }
    const { committed, results } = readTxn(await this.net.run({ ...txnCall(once.op, body), ...once }, o))
    const version = results[0]?.["version"]
    if (typeof version !== "string") throw malformed().of(once.op, once.key)
    if (committed) return version
    throw new EdgeholdError("precondition_failed", "the key is at version " + version, { version }).of(once.op, once.key)
  }
}

function checkId(op: string, key: string | undefined, id: string | undefined): void {
  if (id === undefined || visible.test(id)) return
  throw invalid("an Idempotency-Key has visible characters of ASCII, and no quotation mark").of(op, key)
}

function readQuery(o: ReadOptions): string[] {
  const query = o.consistency === undefined ? [] : ["consistency=" + o.consistency]
  if (o.maxStale !== undefined) query.push("max_stale=" + duration(o.maxStale, "maxStale"))
  return query
}

function conditions(o: WriteOptions): Record<string, string> {
  if (o.ifVersion !== undefined && !visible.test(o.ifVersion)) throw invalid(JSON.stringify(o.ifVersion) + " is no version")
  const match = o.ifVersion !== undefined ? { "If-Match": `"${o.ifVersion}"` } : o.ifExists === true ? { "If-Match": "*" } : {}
  return { ...match, ...(o.ifAbsent === true ? { "If-None-Match": "*" } : {}) }
}

function entryOf(key: string, a: Answer): Entry {
  const version = a.headers.get("Edgehold-Version")
  if (version === null) throw malformed().of("get", key)
  const exists = a.status === 200
  const f: EntryFields = { key, exists, version, bytes: exists ? a.bytes : null }
  const ttl = seconds(a, "Edgehold-TTL")
  const age = seconds(a, "Edgehold-Age")
  const by = a.headers.get("Edgehold-Served-By")
  if (ttl !== undefined) f.ttl = ttl
  if (age !== undefined) f.age = age
  if (by === "lease" || by === "owner" || by === "stale") f.servedBy = by satisfies ServedBy
  return new Entry(f)
}

function seconds(a: Answer, name: string): number | undefined {
  const text = a.headers.get(name)
  return text === null ? undefined : Number(text) * 1000
}

function versionOf(a: Answer): string {
  const version = a.headers.get("Edgehold-Version")
  if (version === null) throw malformed()
  return version
}
