// @ts-check
// The node's HTTP API with the token that was typed in, which stays in this module: not in storage, not in a URL.

let token = ''
/** @type {Set<() => void>} */
const listeners = new Set()

/** @param {string} t */
export function setToken(t) {
  token = t
  for (const f of listeners) f()
}
export const hasToken = () => token !== ''
/** Calls f when the token changes. @param {() => void} f */
export const onToken = f => { listeners.add(f) }

/** An answer that is an error, in words. */
export class Problem extends Error {
  /** @param {string} text @param {number} status @param {any} [body] */
  constructor(text, status, body) {
    super(text)
    this.status = status
    this.body = body
  }
}

/** @param {any} p @param {number} status */
function words(p, status) {
  const detail = p && (p.detail || p.title) || 'The node answered with status ' + status
  const text = detail.charAt(0).toUpperCase() + detail.slice(1) + (/[.!?]$/.test(detail) ? '' : '.')
  if (status === 401) return text + ' Type in a valid token.'
  if (status === 403) return text + ' This token may not do that.'
  return p && p.applied === 'unknown' ? text + ' It may have been done: read before you repeat it.' : text
}

/**
 * Asks the node. Returns the answer, whose body is still to be read, or throws a Problem.
 * @param {string} path @param {RequestInit & {headers?: Record<string, string>}} [init]
 */
export async function ask(path, init = {}) {
  const headers = { ...init.headers }
  if (token) headers.Authorization = 'Bearer ' + token
  let r
  try {
    r = await fetch(path, { ...init, headers, cache: 'no-store', credentials: 'omit', redirect: 'error' })
  } catch (e) {
    if (/** @type {any} */ (e).name === 'AbortError') throw e
    throw new Problem('The node does not answer. Is it running, and can this browser reach it?', 0)
  }
  if (r.ok) return r
  let body = null
  try { body = await r.json() } catch { /* no problem document */ }
  throw new Problem(words(body, r.status), r.status, body)
}

/** @param {string} path @param {any} [init] @returns {Promise<any>} */
export const askJSON = async (path, init) => (await ask(path, init)).json()

/** @param {string} path @param {any} [body] */
export const post = (path, body) => askJSON(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) })

/**
 * Reads a stream of Server-Sent Events until it ends or signal is aborted. EventSource cannot send the token.
 * @param {string} path @param {AbortSignal} signal @param {(event: {name: string, data: any, id: string}) => void} tell
 */
export async function events(path, signal, tell) {
  const r = await ask(path, { signal })
  const reader = /** @type {ReadableStream<Uint8Array>} */ (r.body).getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    text += decoder.decode(value, { stream: true })
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const e = { name: 'message', data: '', id: '' }
      for (const line of text.slice(0, end).split('\n')) {
        const colon = line.indexOf(':')
        const field = line.slice(0, colon), rest = line.slice(colon + 2)
        if (field === 'event') e.name = rest
        else if (field === 'data') e.data = rest
        else if (field === 'id') e.id = rest
      }
      if (e.data) tell({ ...e, data: JSON.parse(e.data) })
    }
  }
}
