import { invalid } from "./errors.js"

/** How long a node that fails is left out: at first, and at most. Each further failure doubles it. */
const restFirst = 500
const restMost = 15_000
/** How many answers of "unavailable" in a row count as a failure of the node: one or two may be due to the owner of one key. */
const softFailures = 3

/** A node, and what is known of its health. */
export interface Endpoint {
  readonly base: string
  failures: number
  restUntil: number
}

/** The nodes, nearest first. */
export class Endpoints {
  readonly all: Endpoint[]

  constructor(urls: string | readonly string[]) {
    const list = typeof urls === "string" ? [urls] : urls
    if (list.length === 0) throw invalid("name at least one URL, such as http://127.0.0.1:7400").of("connect", undefined)
    this.all = list.map((text) => ({ base: baseOf(text), failures: 0, restUntil: 0 }))
  }

  /** The nearest node that was not tried yet and does not rest; if all rest, the one that is due first; undefined if the round is over. */
  next(tried: ReadonlySet<Endpoint>): Endpoint | undefined {
    const now = Date.now()
    let soonest: Endpoint | undefined
    for (const e of this.all) {
      if (tried.has(e)) continue
      if (e.restUntil <= now) {
        if (e.failures > 0) e.restUntil = now + restFirst // this call tries it, the others when its outcome is known
        return e
      }
      if (soonest === undefined || e.restUntil < soonest.restUntil) soonest = e
    }
    return tried.size > 0 ? undefined : soonest
  }

  /** The node works. */
  answered(e: Endpoint): void {
    e.failures = 0
    e.restUntil = 0
  }

  /** The node did not answer or, if soft, answered "unavailable". */
  failed(e: Endpoint, soft: boolean): void {
    e.failures++
    const n = soft ? e.failures - (softFailures - 1) : e.failures
    if (n > 0) e.restUntil = Date.now() + Math.min(restMost, restFirst * 2 ** Math.min(n - 1, 10))
  }
}

function baseOf(text: string): string {
  let u: URL | undefined
  try {
    u = new URL(text.includes("://") ? text : "http://" + text)
  } catch {
    // it is refused below
  }
  if (u === undefined || !/^https?:$/.test(u.protocol) || u.search !== "" || u.hash !== "" || u.username !== "" || u.password !== "") {
    throw invalid(`${JSON.stringify(text)} is not a URL such as http://127.0.0.1:7400`).of("connect", undefined)
  }
  return u.origin + u.pathname.replace(/\/+$/, "")
}
