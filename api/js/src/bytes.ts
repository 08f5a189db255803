import { invalid } from "./errors.js"

const encoder = new TextEncoder()
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Half a surrogate pair: no text has one. */
const half = /\p{Surrogate}/u
const halves = /\p{Surrogate}/gu

/** The bytes of text. Half a surrogate pair is refused: it would become another character. */
export function encodeText(text: string): Uint8Array {
  if (half.test(text)) throw invalid("the string has half a surrogate pair, which is no text; write bytes")
  return encoder.encode(text)
}

/** The text of bytes; undefined if they are not UTF-8. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

/** A key: text, or any bytes. */
export type Key = string | Uint8Array

/**
 * The bytes of a key. In a string, U+DC80 to U+DCFF stand for the bytes 80 to FF that are no part of UTF-8, as {@link keyText} writes them.
 */
export function keyBytes(key: Key): Uint8Array {
  if (typeof key !== "string") {
    if (key instanceof Uint8Array) return key
    throw invalid("a key is a string or a Uint8Array")
  }
  if (!half.test(key)) return encoder.encode(key)
  const out: number[] = []
  let from = 0
  for (const m of key.matchAll(halves)) {
    const byte = m[0].charCodeAt(0) - 0xdc00
    if (byte < 0x80 || byte > 0xff) throw invalid("the key has half a surrogate pair, which is no text; use a Uint8Array")
    out.push(...encoder.encode(key.slice(from, m.index)), byte)
    from = m.index + 1
  }
  out.push(...encoder.encode(key.slice(from)))
  return Uint8Array.from(out)
}

/** A key as a string, without loss: bytes that are no part of UTF-8 are U+DC80 to U+DCFF. */
export function keyText(bytes: Uint8Array): string {
  const text = decodeText(bytes)
  if (text !== undefined) return text
  let out = ""
  for (let i = 0; i < bytes.length; ) {
    let n = 1
    let char: string | undefined
    for (; n <= 4 && i + n <= bytes.length; n++) {
      char = decodeText(bytes.subarray(i, i + n))
      if (char !== undefined) break
    }
    out += char ?? String.fromCharCode(0xdc00 + (bytes[i] as number))
    i += char === undefined ? 1 : n
  }
  return out
}

const unreserved = /[A-Za-z0-9._~-]/
const plain = Array.from({ length: 256 }, (_, b) => {
  const c = String.fromCharCode(b)
  return b < 128 && unreserved.test(c) ? c : "%" + b.toString(16).toUpperCase().padStart(2, "0")
})

/** Bytes as they stand in a query. */
export function percent(bytes: Uint8Array): string {
  let out = ""
  for (const b of bytes) out += plain[b]
  return out
}

/**
 * A key as it stands in a path. URLs lose segments that are dots, so that the slashes of a key with such segments are encoded. undefined:
 * the key is a segment of dots alone, which no path can have.
 */
export function pathOf(bytes: Uint8Array): string | undefined {
  const encoded = percent(bytes)
  const segments = encoded.split("%2F")
  const dots = segments.some((s) => s === "." || s === "..")
  if (dots && segments.length === 1) return undefined
  return dots ? encoded : segments.join("/")
}

/** The member of a JSON object that holds bytes: as text if they are UTF-8, else in base64. */
export function member(name: string, bytes: Uint8Array): Record<string, string> {
  const text = decodeText(bytes)
  return text === undefined ? { [name + "_base64"]: base64(bytes) } : { [name]: text }
}

/** The bytes of a member that {@link member} or a node has written; undefined if there is none. */
export function bytesOf(o: Record<string, unknown>, name: string): Uint8Array | undefined {
  const text = o[name]
  if (typeof text === "string") return encoder.encode(text)
  const b64 = o[name + "_base64"]
  return typeof b64 === "string" ? Uint8Array.from(atob(b64), (c) => c.charCodeAt(0)) : undefined
}

function base64(bytes: Uint8Array): string {
  let binary = ""
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192))
  return btoa(binary)
}
