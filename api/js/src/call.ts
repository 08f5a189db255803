import { decodeText } from "./bytes.js"
import { type Endpoint, Endpoints } from "./endpoints.js"
import { EdgeholdError, invalid, isCode } from "./errors.js"

/** What every call takes. */
export interface CallOptions {
  /** Ends the call. The error that the call rejects with then has the signal's reason as its cause. */
  signal?: AbortSignal | undefined
  /** The most that the call takes, retries included, in milliseconds; 10,000 if it is left out. */
  timeout?: number | undefined
}

/** A fetch, such as the one of the runtime or of a service binding. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

/** How the nodes are reached. */
export interface NetworkOptions {
  token?: string | (() => string | Promise<string>) | undefined
  timeout?: number | undefined
  fetch?: Fetch | undefined
}

/** One request. It does not depend on the node that it is sent to. */
export interface Call {
  op: string
  key?: string | undefined
  method: string
  path: string
  query?: string[]
  headers?: Record<string, string>
  body?: Uint8Array | string
  /** The call may change something. */
  writes?: boolean
  /** The Idempotency-Key of each attempt; with it, the call takes effect once, however often it is sent. */
  id?: () => string
  /** The program chose the Idempotency-Key, so that it may have sent the write before. */
  given?: boolean
  /** Reports whether an answer that is not 200 is no error. */
  accepts?: (a: Answer) => boolean
  /** The call waits for a lock at the node, for as long as its timeout. "conflict" is then what came of it, whichever attempt found it. */
  waits?: boolean
  /** Called before each attempt. */
  attempting?: () => void
}

/** Text that can stand in a header, and between quotation marks. */
export const visible = /^[\x21\x23-\x7e]+$/

/** What a node has answered. */
export interface Answer {
  status: number
  headers: Headers
  bytes: Uint8Array
}

/** What may be done after a failure: try again, try only at other nodes, or nothing. */
export type Verdict = "again" | "elsewhere" | "final"

export interface Failure {
  error: EdgeholdError
  verdict: Verdict
}

const defaultTimeout = 10_000
/** The most that a write takes. Nodes keep what came of a write for a day; a copy that was sent later would take effect again. */
const maxWrite = 3_600_000
/** The least that an attempt gets, if the call has as much left. */
const leastAttempt = 1000
/** The longest attempt that waits at a node: runtimes give a node five minutes to answer. */
const longestAttempt = 240_000
const pauseFirst = 20
const pauseMost = 1000

/** Sends calls to the nodes, and tries again. */
export class Network {
  readonly endpoints: Endpoints
  readonly timeout: number
  private readonly fetch: Fetch
  private readonly token: NetworkOptions["token"]

  constructor(urls: string | readonly string[], o: NetworkOptions) {
    this.endpoints = new Endpoints(urls)
    this.timeout = o.timeout ?? defaultTimeout
    if (!(this.timeout > 0)) throw invalid(`timeout is ${o.timeout}; it is a number of milliseconds above 0`).of("connect", undefined)
    this.token = o.token
    this.fetch = o.fetch ?? ((url, init) => globalThis.fetch(url, init))
  }

  /** Sends the call until a node answers it, trying again is pointless, or its time is over. */
  async run(q: Call, o: CallOptions): Promise<Answer> {
    const until = new Until(o.timeout ?? this.timeout, q.writes === true ? maxWrite : Infinity, o.signal)
    const past = new History(q)
    for (let round = 0; ; round++) {
      const tried = new Set<Endpoint>()
      for (let e = this.endpoints.next(tried); e !== undefined; e = this.endpoints.next(tried)) {
        if (until.over()) throw past.gaveUp(until)
        tried.add(e)
        const result = await this.attempt(e, q, until)
        if (!("error" in result)) return result
        past.add(result, until)
        if (result.verdict === "final") throw past.settle(result.error)
      }
      const last = past.last as Failure // of at least one node
      if (last.verdict === "elsewhere") throw past.settle(last.error)
      const asked = last.error.retryAfter ?? 0
      if (asked > until.left()) throw past.gaveUp(until)
      await pause(pauseFirst, round, asked, until)
    }
  }

  /** Sends the call to the node once. */
  private async attempt(e: Endpoint, q: Call, until: Until): Promise<Answer | Failure> {
    const left = until.left()
    const share = q.waits === true || this.endpoints.all.length === 1 ? left : Math.max(left / 2, Math.min(left, leastAttempt))
    const bound = Math.min(share, longestAttempt)
    const token = await this.bearer()
    if (typeof token !== "string") return token
    const link = new Link(bound, until.signal)
    try {
      q.attempting?.()
      const res = await link.within(this.send(e, q, token, link.signal, q.waits === true ? undefined : bound))
      const answer = { status: res.status, headers: res.headers, bytes: new Uint8Array(await link.within(res.arrayBuffer())) }
      if (answer.status === 200 || q.accepts?.(answer) === true) {
        this.endpoints.answered(e)
        return answer
      }
      return this.refused(e, refusal(q, e, answer))
    } catch (cause) {
      if (until.signal?.aborted !== true) this.endpoints.failed(e, false)
      return unanswered(q, e, cause)
    } finally {
      link.end()
    }
  }

  /** The token, "" if there is none. */
  async bearer(): Promise<string | Failure> {
    try {
      const token = (typeof this.token === "function" ? await this.token() : this.token) ?? ""
      if (visible.test(token) || token === "") return token
      return { error: new EdgeholdError("unauthenticated", "the token has a character that no token has, such as a line break"), verdict: "final" }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      return { error: new EdgeholdError("unauthenticated", "the token could not be got: " + why, { cause }), verdict: "final" }
    }
  }

  /** Sends the request, without looking at the answer. bound: how long the node may take. */
  send(e: Endpoint, q: Call, token: string, signal: AbortSignal | undefined, bound?: number): Promise<Response> {
    const query = [...(q.query ?? [])]
    if (bound !== undefined) query.push("timeout=" + Math.max(1, Math.ceil(bound)) + "ms")
    const headers: Record<string, string> = { ...q.headers }
    if (q.id !== undefined) headers["Idempotency-Key"] = q.id()
    if (token !== "") headers["Authorization"] = "Bearer " + token
    const init: RequestInit = { method: q.method, headers, redirect: "manual" }
    if (signal !== undefined) init.signal = signal
    if (q.body !== undefined) init.body = q.body as BodyInit
    return this.fetch(e.base + q.path + (query.length > 0 ? "?" + query.join("&") : ""), init)
  }

  /** Notes what a refusal says of the node. */
  refused(e: Endpoint, f: Failure): Failure {
    if (f.error.code === "unavailable") this.endpoints.failed(e, true)
    else if (f.verdict !== "final") this.endpoints.failed(e, false)
    else this.endpoints.answered(e)
    return f
  }
}

/** The end of a call: its deadline, or its signal. */
export class Until {
  private readonly deadline: number

  constructor(timeout: number, most: number, readonly signal: AbortSignal | undefined) {
    if (!(timeout > 0)) throw invalid(`timeout is ${timeout}; it is a number of milliseconds above 0`)
    this.deadline = performance.now() + Math.min(timeout, most)
  }

  left(): number {
    return Math.max(0, this.deadline - performance.now())
  }

  over(): boolean {
    return this.signal?.aborted === true || this.left() === 0
  }
}

/** The longest time that a timer takes. */
const longestTimer = 0x7fffffff

/** The reason of a signal that ends because of time. Not each runtime has DOMException. */
function timedOut(ms: number): Error {
  const text = `no answer within ${Math.round(ms)} ms`
  return typeof DOMException === "function" ? new DOMException(text, "TimeoutError") : Object.assign(new Error(text), { name: "TimeoutError" })
}

/**
 * A signal that ends after ms, or with another one. A runtime without AbortController, such as Fastly Compute, has no signal; there, what
 * is awaited ends all the same, and the request is left to the runtime.
 */
export class Link {
  private readonly controller = typeof AbortController === "function" ? new AbortController() : undefined
  private readonly over: Promise<never>
  private give: (reason: unknown) => void = () => undefined
  private timer: ReturnType<typeof setTimeout> | undefined
  private readonly passOn = (): void => this.cut(this.parent?.reason)

  constructor(ms: number, private readonly parent: AbortSignal | undefined) {
    this.over = new Promise((_, reject) => (this.give = reject))
    this.over.catch(() => undefined) // it need not be awaited
    this.restart(ms)
    if (parent?.aborted === true) this.passOn()
    else parent?.addEventListener("abort", this.passOn)
  }

  get signal(): AbortSignal | undefined {
    return this.controller?.signal
  }

  /** What p resolves to. It rejects at the end of the link if the runtime cannot end p itself. */
  within<T>(p: Promise<T>): Promise<T> {
    return this.controller === undefined ? Promise.race([p, this.over]) : p
  }

  /** The time begins anew. */
  restart(ms: number): void {
    clearTimeout(this.timer)
    if (ms >= longestTimer) return
    this.timer = setTimeout(() => this.cut(timedOut(ms)), ms)
  }

  /** The time does not run. */
  stop(): void {
    clearTimeout(this.timer)
  }

  /** Lets go of the timer and of the other signal. */
  end(): void {
    this.stop()
    this.parent?.removeEventListener("abort", this.passOn)
  }

  /** Ends what the signal was given to. */
  abort(): void {
    this.end()
    this.cut()
  }

  private cut(reason?: unknown): void {
    this.controller?.abort(reason)
    this.give(reason)
  }
}

/** Waits before the next round: longer with each one, with jitter, and at least as long as the node asked for. */
export async function pause(first: number, round: number, asked: number, until: Until): Promise<void> {
  const d = Math.min(pauseMost, first * 2 ** Math.min(round, 10))
  await sleep(Math.min(until.left(), Math.max(jitter(d / 2, d), jitter(asked, 1.5 * asked))), until.signal)
}

function jitter(least: number, most: number): number {
  return least + Math.random() * (most - least)
}

/** Resolves after ms, or when the signal ends. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    if (signal?.aborted === true) done()
    else signal?.addEventListener("abort", done)
  })
}

/** What the attempts of a call have found out. */
class History {
  last: Failure | undefined
  private attempts = 0
  private unknown = false // an attempt may have taken effect, or may do so later

  constructor(private readonly q: Call) {}

  /** Notes a failure. One that is due to the end of the call says less than the one before it, which is kept. */
  add(f: Failure, until: Until): void {
    this.attempts++
    if (this.last === undefined || !until.over()) this.last = f
    this.unknown ||= f.error.applied === "unknown"
  }

  /** The error that ends the call. A condition that did not hold is what came of the write, whichever attempt found it. */
  settle(error: EdgeholdError): EdgeholdError {
    const { op, key, waits } = this.q
    const outcome = error.code === "precondition_failed" || (waits === true && error.code === "conflict")
    if (!this.unknown || outcome || error.code === "ambiguous") return error.of(op, key)
    return new EdgeholdError("ambiguous", "an attempt may have taken effect, and then: " + error.message, { cause: error }).of(op, key)
  }

  /** The error of a call whose time is over, or whose signal has ended it. */
  gaveUp(until: Until): EdgeholdError {
    const unknown = this.unknown || (this.q.given === true && this.q.writes === true)
    const why = until.signal?.aborted === true ? "the signal ended it" : "its time is over"
    const last = this.last === undefined ? "" : `; gave up after attempt ${this.attempts}: ${this.last.error.message}`
    const cause = until.signal?.aborted === true ? (until.signal.reason as unknown) : this.last?.error
    const e = new EdgeholdError(unknown ? "ambiguous" : "unavailable", why + last, {
      cause,
      ...(this.last?.error.retryAfter === undefined ? {} : { retryAfter: this.last.error.retryAfter }),
    })
    return e.of(this.q.op, this.q.key)
  }
}

/** The failure of an attempt that has no answer. A request that was sent may have been carried out. */
function unanswered(q: Call, e: Endpoint, cause: unknown): Failure {
  const detail = `${e.base} does not answer: ${cause instanceof Error ? cause.message : String(cause)}`
  if (q.writes !== true) return { error: new EdgeholdError("unavailable", detail, { cause }), verdict: "again" }
  return { error: new EdgeholdError("ambiguous", detail, { cause }), verdict: q.id === undefined ? "final" : "again" }
}

/** The failure that an answer is. */
export function refusal(q: Call, e: Endpoint, a: Answer): Failure {
  const p = problem(a)
  if (p === undefined) return foreign(q, e, a)
  return judge(q, readProblem(p, a.headers.get("Edgehold-Version")))
}

/** The error that a problem (RFC 9457) of a node says. */
export function readProblem(p: Record<string, unknown>, version: string | null): EdgeholdError {
  const code = isCode(p["code"]) ? p["code"] : "internal"
  return new EdgeholdError(code, typeof p["detail"] === "string" ? p["detail"] : "", {
    ...(p["applied"] === "unknown" || p["applied"] === "no" ? { applied: p["applied"] } : {}),
    ...(version === null ? {} : { version }),
    ...(typeof p["retry_after"] === "number" ? { retryAfter: p["retry_after"] * 1000 } : {}),
  })
}

/** The failure for an error that a node has answered with. */
export function judge(q: Pick<Call, "writes" | "id">, error: EdgeholdError): Failure {
  const repeatable = q.writes !== true || q.id !== undefined
  switch (error.code) {
    case "unavailable":
    case "limited":
      return { error, verdict: "again" }
    case "ambiguous":
      if (q.writes !== true) error = new EdgeholdError("unavailable", error.detail, { cause: error })
      return { error, verdict: repeatable ? "again" : "final" }
    case "internal":
      if (q.writes === true) error = new EdgeholdError("ambiguous", "the node failed while it carried this out", { cause: error })
      else error = new EdgeholdError("internal", error.detail, { applied: "no", cause: error })
      return { error, verdict: repeatable ? "elsewhere" : "final" }
    default:
      return { error, verdict: "final" }
  }
}

function problem(a: Answer): Record<string, unknown> | undefined {
  if (!/^application\/problem\+json\b/i.test(a.headers.get("Content-Type") ?? "")) return undefined
  try {
    const p = JSON.parse(decodeText(a.bytes) ?? "") as Record<string, unknown>
    return isCode(p["code"]) ? p : undefined
  } catch {
    return undefined
  }
}

/** The failure for an answer of a proxy or of another server. Whether a gateway that fails has passed a write on is not known. */
function foreign(q: Call, e: Endpoint, a: Answer): Failure {
  const detail = `${e.base} answered ${a.status}, not as Edgehold does: is the URL right?`
  const writes = q.writes === true
  if (a.status === 401) return { error: new EdgeholdError("unauthenticated", detail), verdict: "final" }
  if (a.status === 403) return { error: new EdgeholdError("denied", detail), verdict: "final" }
  if (a.status === 429) return { error: new EdgeholdError("unavailable", detail), verdict: "again" }
  if (a.status < 500) return { error: new EdgeholdError("invalid", detail), verdict: "final" }
  return { error: new EdgeholdError(writes ? "ambiguous" : "unavailable", detail), verdict: writes && q.id === undefined ? "final" : "again" }
}
