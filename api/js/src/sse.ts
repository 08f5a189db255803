import type { Link } from "./call.js"

/** One event of a stream of Server-Sent Events. */
export interface ServerEvent {
  name: string
  data: string
  id: string | undefined
}

/**
 * Yields the events of a stream that have data. link ends the request if the stream is silent for longer than silence milliseconds while the
 * program waits for the next event.
 */
export async function* eventsOf(body: ReadableStream<Uint8Array>, link: Link, silence: number): AsyncGenerator<ServerEvent, void, void> {
  const reader = body.getReader()
  const parser = new Parser()
  try {
    for (;;) {
      link.restart(silence)
      const { done, value } = await link.within(reader.read())
      link.stop() // between two reads it is the program that takes its time
      if (done) return
      yield* parser.push(value)
    }
  } finally {
    void reader.cancel().catch(() => undefined) // the stream has ended, or is not wanted any more
  }
}

/** Parses Server-Sent Events from pieces of a stream. */
export class Parser {
  private readonly decoder = new TextDecoder("utf-8")
  private pieces: string[] = [] // of a line that has not ended
  private afterReturn = false // the last piece ended with a carriage return
  private name = ""
  private id: string | undefined
  private data: string[] = [];

  *push(bytes: Uint8Array): Generator<ServerEvent, void, void> {
    const text = this.decoder.decode(bytes, { stream: true })
    if (text === "") return
    const lines = (this.afterReturn && text.startsWith("\n") ? text.slice(1) : text).split(/\r\n|\n|\r/)
    this.afterReturn = text.endsWith("\r")
    for (let i = 0; i < lines.length - 1; i++) {
      const line = this.pieces.join("") + (lines[i] as string)
      this.pieces = []
      const e = this.line(line)
      if (e !== undefined) yield e
    }
    const rest = lines[lines.length - 1] as string
    if (rest !== "") this.pieces.push(rest)
  }

  /** Takes a line, and returns the event that it ends. */
  private line(line: string): ServerEvent | undefined {
    if (line === "") {
      const e = this.data.length === 0 ? undefined : { name: this.name || "message", data: this.data.join("\n"), id: this.id }
      this.name = ""
      this.id = undefined
      this.data = []
      return e
    }
    const colon = line.indexOf(":")
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    if (field === "event") this.name = value
    else if (field === "data") this.data.push(value)
    else if (field === "id") this.id = value
    return undefined
  }
}
