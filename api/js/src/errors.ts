/** What went wrong: the codes of the HTTP API. */
export type Code =
  | "invalid"
  | "unauthenticated"
  | "denied"
  | "not_found"
  | "conflict"
  | "precondition_failed"
  | "too_large"
  | "limited"
  | "unavailable"
  | "ambiguous"
  | "internal"

const codes = new Set<string>([
  "invalid", "unauthenticated", "denied", "not_found", "conflict", "precondition_failed", "too_large", "limited", "unavailable", "ambiguous",
  "internal",
])

/** Reports whether the text is a code of the HTTP API. */
export function isCode(text: unknown): text is Code {
  return typeof text === "string" && codes.has(text)
}

/** What an EdgeholdError says beside its code. */
export interface ErrorDetails {
  /** What failed, such as "put". */
  op?: string
  /** The key or the name of the lock concerned. */
  key?: string
  /** Overrides what follows from the code. */
  applied?: "no" | "unknown"
  /** The present version of the key, with precondition_failed. */
  version?: string
  /** How long to wait before another try, in milliseconds. */
  retryAfter?: number
  /** What caused it: another EdgeholdError, the error of fetch, or the reason of an AbortSignal. */
  cause?: unknown
}

/** The error of every method. `code` says what went wrong, `applied` whether a write happened. */
export class EdgeholdError extends Error {
  override readonly name = "EdgeholdError"
  readonly code: Code
  /** "no": nothing was written, and nothing will be. "unknown": the write may have happened, or may still happen. */
  readonly applied: "no" | "unknown"
  readonly op: string | undefined
  readonly key: string | undefined
  readonly version: string | undefined
  readonly retryAfter: number | undefined
  /** What happened, without the op and the key that `message` begins with. */
  readonly detail: string

  constructor(code: Code, detail: string, d: ErrorDetails = {}) {
    const about = d.key === undefined ? d.op : `${d.op ?? "key"} ${JSON.stringify(d.key)}`
    super((about === undefined ? "" : about + ": ") + code + (detail === "" ? "" : ": " + detail), "cause" in d ? { cause: d.cause } : undefined)
    this.code = code
    this.detail = detail
    this.applied = d.applied ?? (code === "ambiguous" || code === "internal" ? "unknown" : "no")
    this.op = d.op
    this.key = d.key
    this.version = d.version
    this.retryAfter = d.retryAfter
  }

  /** The same error as one of the operation on the key. */
  of(op: string, key: string | undefined): EdgeholdError {
    const d: ErrorDetails = { op, applied: this.applied }
    if (key !== undefined) d.key = key
    if (this.version !== undefined) d.version = this.version
    if (this.retryAfter !== undefined) d.retryAfter = this.retryAfter
    if (this.cause !== undefined) d.cause = this.cause
    return new EdgeholdError(this.code, this.detail, d)
  }
}

/** The error of an argument that makes no sense. */
export function invalid(detail: string, cause?: unknown): EdgeholdError {
  return new EdgeholdError("invalid", detail, cause === undefined ? {} : { cause })
}
