// @ts-check
// Keys and values are bytes. What is not plain text is shown as escapes, so that nothing hides in it or moves what stands beside it.
import { h } from './dom.js'

const utf8 = new TextDecoder('utf-8', { fatal: true })
const encoder = new TextEncoder()

/** The bytes of a member that JSON has as text or in base64. @param {any} o @param {string} name @returns {Uint8Array} */
export function bytesOf(o, name) {
  if (typeof o[name] === 'string') return encoder.encode(o[name])
  const b64 = o[name + '_base64']
  return typeof b64 === 'string' ? Uint8Array.from(atob(b64), c => c.charCodeAt(0)) : new Uint8Array()
}

/** The text that the bytes are, or null. @param {Uint8Array} b */
export function textOf(b) {
  try { return utf8.decode(b) } catch { return null }
}

/** @param {string} text */
export const toBytes = text => encoder.encode(text)

/** The bytes as they stand in a path or a query. @param {Uint8Array} b */
export function encoded(b) {
  let out = ''
  for (const c of b) {
    const ch = String.fromCharCode(c)
    out += /[A-Za-z0-9._~-]/.test(ch) ? ch : '%' + c.toString(16).toUpperCase().padStart(2, '0')
  }
  return out
}

/** @param {Uint8Array} b */
export const base64 = b => {
  let s = ''
  for (const c of b) s += String.fromCharCode(c)
  return btoa(s)
}

/**
 * What a person types for a key: text, in which \xNN is a byte and \\ a backslash. Throws in words.
 * @param {string} typed @returns {Uint8Array}
 */
export function typedKey(typed) {
  /** @type {number[]} */
  const out = []
  for (let rest = typed; rest !== '';) {
    const byte = /^\\x([0-9a-fA-F]{2})/.exec(rest)
    if (byte) { out.push(parseInt(byte[1], 16)); rest = rest.slice(4) }
    else if (rest.startsWith('\\\\')) { out.push(0x5c); rest = rest.slice(2) }
    else if (rest[0] === '\\') throw new Error('In a key, write \\\\ for a backslash and \\xNN for a byte.')
    else {
      const c = String.fromCodePoint(/** @type {number} */ (rest.codePointAt(0)))
      out.push(...encoder.encode(c))
      rest = rest.slice(c.length)
    }
  }
  return Uint8Array.from(out)
}

/** The bytes as typedKey takes them. @param {Uint8Array} b */
export function asTyped(b) {
  const text = textOf(b)
  if (text !== null) return text.replaceAll('\\', '\\\\').replace(hidden, escape)
  let out = ''
  for (const c of b) out += c === 0x5c ? '\\\\' : c > 0x1f && c < 0x7f ? String.fromCharCode(c) : hex(c)
  return out
}

// Control characters, and those that turn the direction of text or are not seen.
const hidden = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g
/** @param {number} c */
const hex = c => '\\x' + c.toString(16).padStart(2, '0')
/** @param {string} ch */
const escape = ch => Array.from(encoder.encode(ch), hex).join('')

/**
 * Shows bytes within one line: text as it is, isolated from what stands beside it, and the rest as marked escapes.
 * @param {Uint8Array} b @param {number} [most] the most characters
 * @returns {HTMLElement}
 */
export function shown(b, most = 200) {
  const text = textOf(b)
  const e = h('bdi', { class: 'key', dir: 'auto' })
  if (text === null) {
    let plain = ''
    const flush = () => { if (plain) { e.append(plain); plain = '' } }
    for (const c of b.subarray(0, most)) {
      if (c > 0x1f && c < 0x7f) { plain += String.fromCharCode(c); continue }
      flush()
      e.append(h('span', { class: 'esc' }, hex(c)))
    }
    flush()
  } else {
    const part = Array.from(text.slice(0, 2 * most)).slice(0, most).join('')
    let at = 0
    for (const m of part.matchAll(hidden)) {
      e.append(part.slice(at, m.index), h('span', { class: 'esc' }, escape(m[0])))
      at = m.index + m[0].length
    }
    e.append(part.slice(at))
    if (part.length < text.length) e.append('…')
    return e
  }
  if (b.length > most) e.append('…')
  return e
}
