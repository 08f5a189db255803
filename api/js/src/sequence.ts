/** The most writes between the oldest that is under way and the newest. Nodes keep a result for each. */
const maxWindow = 16384

/** A write that has a number. */
export interface Numbered {
  /** The Idempotency-Key, which says each time which writes need no record any more. */
  readonly key: () => string
  /** The write will never be sent again. */
  readonly end: () => void
}

/**
 * Numbers the writes of a client under a random id, so that nodes can drop what they keep of those that are over. The id is drawn with the
 * first write: some runtimes have no randomness before the first request.
 */
export class Sequence {
  private client = ""
  private last = 0
  private underWay = new Set<number>() // in rising order

  begin(): Numbered {
    const oldest = this.underWay.values().next().value
    if (this.client === "" || (oldest !== undefined && this.last - oldest >= maxWindow)) {
      this.client = randomHex()
      this.last = 0
      this.underWay = new Set()
    }
    const { client, underWay } = this
    const seq = ++this.last
    underWay.add(seq)
    const below = (): number => underWay.values().next().value ?? seq
    return { key: () => `eh1-${client}-${seq}-${below()}`, end: () => void underWay.delete(seq) }
  }
}

/** 16 random bytes in hexadecimal digits. */
export function randomHex(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("")
}
