/// <reference lib="esnext.disposable" preserve="true" />
import { keyBytes, pathOf } from "./bytes.js"
import { type Call, type CallOptions, type Network, sleep } from "./call.js"
import { duration } from "./duration.js"
import { malformed, parseObject } from "./entry.js"
import { EdgeholdError, invalid } from "./errors.js"
import { randomHex } from "./sequence.js"

export interface LockOptions {
  /** The most to wait for the lock, in milliseconds; 0 tries once. Without it, `lock` waits until its signal ends. */
  wait?: number | undefined
  /** Text that names the holder to other clients. */
  owner?: string | undefined
  /** Ends the wait. It has no say about the lock once it is held. */
  signal?: AbortSignal | undefined
}

/** How long one request waits for the lock. */
const longestWait = 3_600_000
/** How often a lock looks at its clocks at least. */
const look = 250

/** An instant by two clocks. The one may stop while the machine sleeps, the other may be set. */
interface Moment {
  mono: number
  wall: number
}

const now = (): Moment => ({ mono: performance.now(), wall: Date.now() })

/** The time since m, by the clock that has gone further. */
function since(m: Moment): number {
  const n = now()
  return Math.max(n.mono - m.mono, n.wall - m.wall)
}

/** A tenure, as a node answers. */
interface Held {
  id: string
  fence: bigint
  version: string
}

/** A lock that is held. It is renewed until `unlock`, or until it is lost. */
export class Lock implements AsyncDisposable {
  /** Greater than that of every earlier tenure of the lock. What the lock protects can refuse a lower one than it has seen. */
  readonly fence: bigint
  readonly id: string
  readonly version: string
  private readonly controller = new AbortController()
  private readonly stop = new AbortController()
  private readonly kept: Promise<void>
  private ended: Promise<void> | undefined

  /** @internal */
  constructor(private readonly net: Network, readonly name: string, private readonly ttl: number, h: Held, private sent: Moment) {
    this.fence = h.fence
    this.id = h.id
    this.version = h.version
    this.kept = this.keep()
  }

  /** The key that exists at `version` while the lock is held. */
  get key(): string {
    return `${this.name}/.lock/${this.id}`
  }

  /**
   * Ends when the lock is not held any more: it was unlocked, or no renewal was answered for so long that it may be gone. Stop what the lock
   * protects then.
   */
  get lost(): AbortSignal {
    return this.controller.signal
  }

  /** Gives the lock back. It rejects with "precondition_failed" if the lock was lost before. Further calls do nothing more. */
  unlock(o: CallOptions = {}): Promise<void> {
    this.ended ??= this.release(o)
    return this.ended
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unlock()
  }

  private async release(o: CallOptions): Promise<void> {
    this.stop.abort()
    await this.kept
    let attempts = 0
    const more = { attempting: (): void => void attempts++ }
    const { released } = (await send(this.net, "unlock", "DELETE", this.name, { id: this.id, fence: String(this.fence) }, o, more)) as { released?: boolean }
    // An attempt before the one that was answered may have given it back.
    if (released !== true && attempts === 1) throw new EdgeholdError("precondition_failed", "the lock was lost before it was given back", { op: "unlock", key: this.name })
  }

  /** How long the lock counts as held after the last request that was answered was sent: the clock here may be slower than the node's. */
  private get life(): number {
    return this.ttl * 0.98
  }

  /** Renews the lock each third of its ttl until it is unlocked or lost. */
  private async keep(): Promise<void> {
    let next = this.ttl / 3
    let asking = false
    let over = false
    const wake = { call: (): void => undefined }
    while (!over && !this.stop.signal.aborted) {
      const passed = since(this.sent)
      const left = this.life - passed
      if (left <= 0) break
      if (passed >= next && !asking) {
        asking = true
        const sent = now()
        void renew(this.net, this.name, this.ttl, this, { timeout: left, signal: this.stop.signal }).then(
          () => {
            this.sent = sent
            next = this.ttl / 3
          },
          (e: unknown) => {
            over = e instanceof EdgeholdError && e.code === "precondition_failed"
            next = since(this.sent) + this.ttl / 10
          },
        ).finally(() => {
          asking = false
          wake.call()
        })
      }
      await this.rest(Math.min(left, look, Math.max(next - passed, look / 10)), wake)
    }
    this.controller.abort(new EdgeholdError("precondition_failed", "the lock is not held any more", { op: "lock", key: this.name }))
  }

  /** Waits for ms, or until it is woken. */
  private rest(ms: number, wake: { call: () => void }): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.stop.signal.removeEventListener("abort", done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      wake.call = done
      this.stop.signal.addEventListener("abort", done)
      if (this.stop.signal.aborted) done()
    })
  }
}

/** Takes the lock, and waits for it as long as the options say. */
export async function acquire(net: Network, name: string, ttl: number, o: LockOptions): Promise<Lock> {
  duration(ttl, "ttl")
  if (o.wait !== undefined) duration(o.wait, "wait")
  if (typeof AbortController !== "function") throw invalid("this runtime has no AbortController, which says that a lock is lost").of("lock", name)
  const key = randomHex()
  const began = performance.now()
  const left = (): number => (o.wait === undefined ? longestWait : Math.max(0, o.wait - (performance.now() - began)))
  for (;;) {
    const wait = Math.min(left(), longestWait)
    try {
      const lock = await once(net, name, ttl, wait, key, o)
      if (lock !== undefined) return lock
    } catch (e) {
      const again = e instanceof EdgeholdError && e.code === "conflict" && left() > 0 && o.signal?.aborted !== true
      if (!again) throw e // else the request has waited for as long as one does
      await sleep(10, o.signal)
    }
  }
}

/** Asks for the lock once. undefined: it was given, and lost again before the answer came. */
async function once(net: Network, name: string, ttl: number, wait: number, key: string, o: LockOptions): Promise<Lock | undefined> {
  let sent = now() // of the last attempt
  const attempting = (): void => {
    sent = now()
  }
  const more = { writes: true, id: (): string => key, waits: true, attempting }
  const body = { ttl: duration(ttl, "ttl"), wait: duration(wait, "wait"), ...(o.owner === undefined ? {} : { owner: o.owner }) }
  const h = held(await send(net, "lock", "POST", name, body, { signal: o.signal, timeout: wait + net.timeout }, more))
  if (since(sent) <= ttl / 2) return new Lock(net, name, ttl, h, sent)
  sent = now()
  try {
    await renew(net, name, ttl, h, { signal: o.signal })
  } catch (e) {
    if (e instanceof EdgeholdError && e.code === "precondition_failed") return undefined
    throw e
  }
  return since(sent) < ttl * 0.98 ? new Lock(net, name, ttl, h, sent) : undefined
}

function renew(net: Network, name: string, ttl: number, h: { id: string; fence: bigint }, o: CallOptions): Promise<unknown> {
  return send(net, "renew", "PUT", name, { ttl: duration(ttl, "ttl"), id: h.id, fence: String(h.fence) }, o)
}

async function send(net: Network, op: string, method: string, name: string, body: object, o: CallOptions, more: Partial<Call> = {}): Promise<unknown> {
  const path = pathOf(keyBytes(name))
  if (path === undefined || name === "") throw invalid("it is no name of a lock").of(op, name)
  // To renew and to give back may be repeated as they are.
  const call: Call = { op, key: name, method, path: "/v1/locks/" + path, body: JSON.stringify(body), headers: { "Content-Type": "application/json" }, ...more }
  return parseObject((await net.run(call, o)).bytes)
}

function held(answer: unknown): Held {
  const o = answer as { id?: unknown; version?: unknown }
  if (typeof o.id !== "string" || typeof o.version !== "string") throw malformed()
  const m = /^([0-9]+)\.([0-9]+)$/.exec(o.version)
  if (m === null) throw malformed()
  // The fence is the version as one integer, which a number of JSON may be too small for.
  return { id: o.id, version: o.version, fence: (BigInt(m[1] as string) << 40n) + BigInt(m[2] as string) }
}
