/**
 * The client of Edgehold, a globally consistent key-value store, for every runtime that has `fetch`.
 *
 * @module
 */
export type { Atomic, AtomicOptions, AtomicResult, Condition, Operation } from "./atomic.js"
export type { Key } from "./bytes.js"
export type { CallOptions, Fetch } from "./call.js"
export { type CasResult, type Client, connect, type ConnectOptions, type PutOptions, type ReadOptions, type WriteOptions } from "./client.js"
export type { Consistency, Entry, Json, ServedBy, Value } from "./entry.js"
export { type Code, EdgeholdError } from "./errors.js"
export type { List, ListOptions } from "./list.js"
export type { Lock, LockOptions } from "./lock.js"
export type { Life, Tx } from "./tx.js"
export type { Range, WatchEvent, WatchOptions } from "./watch.js"
