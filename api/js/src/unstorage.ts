/**
 * A driver of unstorage: its keys are keys of Edgehold, with slashes for colons.
 *
 * @module
 */
import { type Client, connect, type ConnectOptions, type Entry, type PutOptions, type Value } from "./edgehold.js"

export interface DriverOptions extends ConnectOptions {
  /** The nodes, nearest first; or `client`. */
  url?: string | readonly string[]
  /** A client that there is already. */
  client?: Client
  /** The prefix of all keys, such as "app/". */
  base?: string
}

/** What `setItem` and `removeItem` take of a call's options. A condition that does not hold rejects with "precondition_failed". */
export interface Conditions {
  /** The etag that `getMeta` gave: write only if the item has it. "*": only if the item exists. */
  ifMatch?: string
  /** "*": write only if the item is absent. */
  ifNoneMatch?: "*"
  /** The item's time to live, in seconds, as other drivers have it. */
  ttl?: number
  /** The item expires when it would have. */
  keepTtl?: boolean
}

/** The driver for `createStorage({ driver: edgehold({ url }) })`. */
export default function edgehold(options: DriverOptions) {
  const db = options.client ?? connect(options.url ?? [], options)
  const base = options.base ?? ""
  const keyOf = (item: string): string => base + item.replaceAll(":", "/")
  const itemOf = (key: string): string => key.slice(base.length).replaceAll("/", ":")
  const set = async (item: string, value: Value, c: Conditions): Promise<void> => {
    await db.put(keyOf(item), value, { ...condition(c), ...(c.ttl === undefined ? {} : { ttl: c.ttl * 1000 }), keepTtl: c.keepTtl })
  }
  return {
    name: "edgehold",
    options,
    getInstance: (): Client => db,
    hasItem: async (item: string): Promise<boolean> => (await db.get(keyOf(item))).exists,
    getItem: async (item: string): Promise<string | null> => (await db.get(keyOf(item))).text(),
    getItemRaw: async (item: string): Promise<Uint8Array | null> => (await db.get(keyOf(item))).bytes,
    getItems: async (items: { key: string }[]): Promise<{ key: string; value: string | null }[]> => {
      const entries = await db.getMany(items.map((i) => keyOf(i.key)))
      return items.map((i, n) => ({ key: i.key, value: (entries[n] as Entry).text() }))
    },
    setItem: (item: string, value: string, c: Conditions = {}): Promise<void> => set(item, value, c),
    setItemRaw: (item: string, value: Value, c: Conditions = {}): Promise<void> => set(item, value, c),
    removeItem: async (item: string, c: Conditions = {}): Promise<void> => {
      await db.delete(keyOf(item), condition(c))
    },
    getMeta: async (item: string): Promise<{ etag: string; ttl?: number; size: number } | null> => {
      const e = await db.get(keyOf(item))
      if (e.bytes === null) return null
      return { etag: e.version, size: e.bytes.length, ...(e.ttl === undefined ? {} : { ttl: e.ttl / 1000 }) }
    },
    getKeys: async (prefix = ""): Promise<string[]> => {
      const keys: string[] = []
      for await (const e of db.list(keyOf(prefix), { keysOnly: true, pageSize: 1000 })) keys.push(itemOf(e.key))
      return keys
    },
    clear: async (prefix = ""): Promise<void> => {
      const keys: string[] = []
      for await (const e of db.list(keyOf(prefix), { keysOnly: true, pageSize: 1000 })) keys.push(e.key)
      for (let i = 0; i < keys.length; i += 500) await db.txn((tx) => keys.slice(i, i + 500).forEach((k) => tx.delete(k)))
    },
    watch: async (callback: (event: "update" | "remove", item: string) => void): Promise<() => void> => {
      const stop = new AbortController()
      const events = db.watch(base, { values: false, signal: stop.signal })
      await events.next() // it is ready
      void (async () => {
        for await (const e of events) {
          if (e.type === "put") callback("update", itemOf(e.key))
          if (e.type === "delete") callback("remove", itemOf(e.key))
        }
      })().catch(() => undefined) // it was stopped, or refused for good
      return () => stop.abort()
    },
  }
}

function condition(c: Conditions): PutOptions {
  if (c.ifNoneMatch === "*") return { ifAbsent: true }
  if (c.ifMatch === "*") return { ifExists: true }
  return c.ifMatch === undefined ? {} : { ifVersion: c.ifMatch.replace(/^"(.*)"$/, "$1") }
}
