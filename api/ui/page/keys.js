// @ts-check
// The key browser: list, read, write, delete, time to live, and what happens to a key.
import { h, card, table, setText, span, size } from './dom.js'
import { ask, askJSON, events, onToken, Problem } from './api.js'
import { bytesOf, shown, encoded, base64, typedKey, asTyped, textOf, toBytes } from './keytext.js'

const pageSize = 100
const mostEvents = 200
const longestKey = 4096

export function keys() {
  const prefix = h('input', { id: 'prefix', type: 'text', autocomplete: 'off', spellcheck: 'false', dir: 'auto', placeholder: 'all keys' })
  const said = h('p', { class: 'muted', role: 'status', id: 'list-said' })
  const list = h('ul', { class: 'keys', 'aria-label': 'Keys' })
  const back = h('button', { type: 'button', disabled: true, on: { click: () => { pages.pop(); load() } } }, 'Previous page')
  const next = h('button', { type: 'button', disabled: true, on: { click: () => { pages.push(more); load() } } }, 'Next page')
  /** @type {string[]} */
  let pages = []
  let more = '', turn = 0
  const detail = keyCard(() => load(true))

  /** Shows the page of the list. @param {boolean} [quiet] */
  async function load(quiet) {
    let p
    try { p = encoded(typedKey(prefix.value)) } catch (e) { setText(said, /** @type {Error} */ (e).message); return }
    if (!quiet) setText(said, 'Reading …')
    const page = pages.at(-1), depth = pages.length, mine = ++turn
    back.disabled = next.disabled = true
    try {
      const r = await askJSON(`/v1/kv?prefix=${p}&keys_only=true&limit=${pageSize}` + (page ? '&page=' + encodeURIComponent(page) : ''))
      if (mine !== turn) return // another list was asked for meanwhile
      more = r.next || ''
      back.disabled = depth === 0
      next.disabled = !more
      list.replaceChildren(...r.entries.map((/** @type {any} */ e) => {
        const key = bytesOf(e, 'key')
        return h('li', {}, h('button', { type: 'button', class: 'keyrow', on: { click: () => detail.open(key) } }, shown(key, 120), h('small', { class: 'muted' }, e.version)))
      }))
      setText(said, r.entries.length === 0 ? 'There are no keys with this prefix.' : `Page ${depth + 1}: ${r.entries.length} keys${more ? ', and more' : ''}.`)
    } catch (e) {
      if (mine !== turn) return
      setText(said, /** @type {Error} */ (e).message)
      back.disabled = depth === 0
      if (!quiet) list.replaceChildren()
    }
  }
  const form = h('form', { class: 'row', role: 'search', on: { submit: (/** @type {Event} */ e) => { e.preventDefault(); pages = []; load() } } },
    h('label', { for: 'prefix' }, 'Prefix'), prefix, h('button', { type: 'submit', class: 'primary' }, 'List'))
  onToken(() => { pages = []; list.replaceChildren(); detail.close(); if (element.isConnected) load() })
  const element = h('div', { class: 'split keysplit' },
    card('Keys', form, said, list, h('div', { class: 'row' }, back, next), h('p', { class: 'muted small' }, 'Write \\xNN for a byte and \\\\ for a backslash.')), detail.element)
  return { title: 'Keys', element, enter: () => load(), leave: detail.rest }
}

/** Whether version a is newer than b. @param {string} a @param {string} b */
function newer(a, b) {
  const [e, i] = a.split('.').map(Number), [f, j] = b.split('.').map(Number)
  return !b || e > f || e === f && i > j
}

/** One key: its value, and what happens to it. @param {() => void} changed */
function keyCard(changed) {
  const name = h('input', { id: 'key-name', type: 'text', autocomplete: 'off', spellcheck: 'false', dir: 'auto' })
  const value = h('textarea', { id: 'key-value', rows: 6, spellcheck: 'false', dir: 'auto' })
  const binary = h('input', { id: 'key-b64', type: 'checkbox', on: { change: () => recode() } })
  const ttl = h('input', { id: 'key-ttl', type: 'text', autocomplete: 'off', placeholder: 'none', size: 8 })
  const facts = h('dl', { class: 'facts' })
  const said = h('p', { role: 'status', id: 'key-said' })
  const sure = h('div', { class: 'row', hidden: true }, h('span', {}, 'Delete this key?'), h('button', { type: 'button', class: 'danger', id: 'key-sure', on: { click: () => act(remove) } }, 'Delete it'),
    h('button', { type: 'button', on: { click: () => { sure.hidden = true; del.focus() } } }, 'Keep it'))
  const del = h('button', { type: 'button', id: 'key-delete', on: { click: () => { sure.hidden = false; sure.querySelector('button')?.focus() } } }, 'Delete')
  const blind = h('input', { id: 'key-force', type: 'checkbox' })
  const past = table('What happened', [
    { name: 'When', text: e => e.when }, { name: 'What', text: e => e.what }, { name: 'Version', text: e => e.version },
    { name: 'Value', put: (c, e) => { if (!c.firstChild) c.append(e.value ? shown(e.value, 60) : '') } },
  ], e => e.id, 'Nothing that is known.')
  const since = h('p', { class: 'muted', role: 'status' })
  /** @type {{key: Uint8Array, version: string}|null} */
  let open = null
  /** @type {AbortController|null} */
  let watch = null
  /** @type {any[]} */
  let happened = []

  const recode = () => {
    try {
      const b = binary.checked ? toBytes(value.value) : Uint8Array.from(atob(value.value), c => c.charCodeAt(0))
      const text = binary.checked ? base64(b) : textOf(b)
      if (text === null) { binary.checked = true; setText(said, 'The value is no text: it stays in base64.'); return }
      value.value = text
    } catch { binary.checked = true; setText(said, 'This is not base64.') }
  }

  /** @param {() => Promise<void>} f */
  async function act(f) {
    sure.hidden = true
    try { await f() } catch (e) { if (/** @type {Error} */ (e).name !== 'AbortError') setText(said, /** @type {Error} */ (e).message) }
  }

  /** @param {Response} r */
  function tell(r) {
    const rows = [['Version', r.headers.get('Edgehold-Version')], ['Answered by', r.headers.get('Edgehold-Served-By')], ['Group', r.headers.get('Edgehold-Owner')],
      ['Node', r.headers.get('Edgehold-Node')], ['Lives for', r.headers.get('Edgehold-TTL') && span(1000 * Number(r.headers.get('Edgehold-TTL')))], ['Time', r.headers.get('Server-Timing')]]
    facts.replaceChildren(...rows.filter(x => x[1]).flatMap(([k, v]) => [h('dt', {}, String(k)), h('dd', {}, String(v))]))
  }

  async function read() {
    const key = typedKey(name.value)
    if (!key.length) throw new Error('Type in a key.')
    const r = await ask('/v1/kv/' + encoded(key)).catch(e => {
      if (!(e instanceof Problem) || e.status !== 404) throw e
      open = null
      value.value = ttl.value = ''
      facts.replaceChildren()
      const absent = e.body && e.body.version || ''
      follow(key, v => newer(v, absent)) // what happened to it before may be kept
      throw e
    })
    const b = new Uint8Array(await r.arrayBuffer()), text = textOf(b)
    binary.checked = text === null
    value.value = text === null ? base64(b) : text
    const left = r.headers.get('Edgehold-TTL')
    ttl.value = left ? Math.ceil(Number(left)) + 's' : ''
    tell(r)
    setText(said, `Read ${size(b.length)}.`)
    open = { key, version: r.headers.get('ETag') || '' }
    const now = r.headers.get('Edgehold-Version') || ''
    follow(key, v => newer(v, now))
  }

  async function write() {
    const key = typedKey(name.value)
    if (!key.length) throw new Error('Type in a key.')
    let body
    try { body = binary.checked ? Uint8Array.from(atob(value.value), c => c.charCodeAt(0)) : toBytes(value.value) } catch { throw new Error('The value is not base64.') }
    const known = open && encoded(open.key) === encoded(key)
    /** @type {Record<string, string>} */
    const headers = {}
    if (!blind.checked && known) headers['If-Match'] = /** @type {any} */ (open).version
    const life = ttl.value.trim()
    const r = await ask(`/v1/kv/${encoded(key)}${life ? '?ttl=' + encodeURIComponent(life) : ''}`, { method: 'PUT', body, headers }).catch(e => {
      throw e.status === 412 ? new Error('The key has changed since you read it: read it again, or write over it.') : e
    })
    tell(r)
    open = { key, version: r.headers.get('ETag') || `"${r.headers.get('Edgehold-Version')}"` }
    setText(said, 'Written.')
    const own = r.headers.get('Edgehold-Version') || ''
    if (!known) follow(key, v => !newer(own, v))
    changed()
  }

  async function remove() {
    const key = typedKey(name.value)
    if (!key.length) throw new Error('Type in a key.')
    const r = await ask('/v1/kv/' + encoded(key), { method: 'DELETE' })
    tell(r)
    open = null
    setText(said, 'Deleted.')
    changed()
  }

  /**
   * Shows what is kept of the key's history, and what happens to it.
   * @param {Uint8Array} key @param {(version: string) => boolean} live whether a version was written since the page asked
   */
  async function follow(key, live) {
    rest()
    const control = watch = new AbortController(), id = encoded(key)
    const range = key.length < longestKey ? `start=${id}&end=${id}%00` : 'prefix=' + id
    happened = []
    past.show(happened)
    setText(since, 'All since the beginning, and live:')
    let cursor = 'oldest', n = 0, due = 0
    while (!control.signal.aborted) {
      try {
        await events(`/v1/watch?${range}&from=${encodeURIComponent(cursor)}`, control.signal, e => {
          if (e.id) cursor = e.id
          if (e.name === 'gap') setText(since, 'Older changes are no longer kept. What is known:')
          if (e.name === 'end') setText(since, 'The watch has ended: ' + (e.data.detail || e.data.title))
          if (e.name !== 'put' && e.name !== 'delete') return
          const version = e.data.version
          if (happened.some(x => x.version === version)) return
          happened.unshift({ id: String(++n), when: live(version) ? new Date().toLocaleTimeString() : 'before', what: e.data.expired ? 'expired' : e.name, version,
            value: e.name === 'put' && !e.data.elided ? bytesOf(e.data, 'value') : null })
          happened.length = Math.min(happened.length, mostEvents)
          due = due || requestAnimationFrame(() => { due = 0; if (!control.signal.aborted) past.show(happened) }) // a history may be long
        })
      } catch (e) {
        if (control.signal.aborted) return
        setText(since, /** @type {Error} */ (e).message)
        if (/** @type {any} */ (e).status >= 400 && /** @type {any} */ (e).status < 500) return
      }
      await new Promise(r => setTimeout(r, 1500 + 1000 * Math.random()))
    }
  }
  const rest = () => { watch?.abort(); watch = null }

  const form = h('form', { class: 'stack', on: { submit: (/** @type {Event} */ e) => { e.preventDefault(); act(read) } } },
    h('label', { for: 'key-name' }, 'Key'), h('div', { class: 'row' }, name, h('button', { type: 'submit', id: 'key-read' }, 'Read')),
    h('label', { for: 'key-value' }, 'Value'), value,
    h('div', { class: 'row' }, binary, h('label', { for: 'key-b64' }, 'in base64'), h('label', { for: 'key-ttl' }, 'Time to live'), ttl,
      blind, h('label', { for: 'key-force' }, 'write over a newer version')),
    h('div', { class: 'row' }, h('button', { type: 'button', class: 'primary', id: 'key-write', on: { click: () => act(write) } }, 'Write'), del), sure)
  return {
    element: card('Key', form, said, facts, h('h3', {}, 'History'), since, past.element),
    /** @param {Uint8Array} key */
    open(key) { name.value = asTyped(key); act(read) },
    close() { rest(); open = null; value.value = ''; facts.replaceChildren(); happened = []; past.show([]); setText(since, ''); setText(said, '') },
    rest,
  }
}
