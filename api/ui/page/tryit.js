// @ts-check
// The same read by lease and by quorum, with its timing, and a write that takes the lease back.
import { h, card, setText, span, keep } from './dom.js'
import { ask } from './api.js'
import { feed } from './feed.js'
import { encoded, typedKey, toBytes } from './keytext.js'
import { regions } from './tally.js'

const times = 5

/** @typedef {{name: string, by: string, took: number, parts: {name: string, ms: number, desc: string}[]}} Run */

/** @param {string|null} header @returns {Run['parts']} */
function timing(header) {
  return (header || '').match(/[a-z]+(;[a-z]+=("[^"]*"|[^,;]*))*/g)?.map(m => ({
    name: m.split(';')[0], ms: Number(/;dur=([\d.]+)/.exec(m)?.[1] ?? 0), desc: /;desc="([^"]*)"/.exec(m)?.[1] ?? '',
  })).filter(p => p.ms > 0) ?? []
}

export function tryIt() {
  const key = h('input', { id: 'try-key', type: 'text', autocomplete: 'off', spellcheck: 'false' })
  const said = h('p', { class: 'muted', role: 'status', id: 'try-said' })
  const bars = h('ol', { class: 'bars', 'aria-label': 'Requests and how long they took' })
  const both = h('button', { type: 'submit', class: 'primary', id: 'try-read' }, 'Read it both ways')
  const put = h('button', { type: 'button', id: 'try-write', on: { click: () => act(write) } }, 'Write it')
  /** @type {Run[]} */
  let runs = []

  const path = () => {
    const k = typedKey(key.value)
    if (!k.length) throw new Error('Type in a key.')
    return '/v1/kv/' + encoded(k)
  }
  /** @param {string} name @param {string} at @param {any} [init] */
  async function one(name, at, init) {
    const began = performance.now()
    const r = await ask(at, init)
    await r.arrayBuffer()
    const run = { name, by: r.headers.get('Edgehold-Served-By') || (r.headers.get('Edgehold-Owner') || ''), took: performance.now() - began, parts: timing(r.headers.get('Server-Timing')) }
    runs.push(run)
    return run
  }

  function draw() {
    const top = Math.max(...runs.map(r => r.took), 1)
    keep(bars, runs.map((r, i) => ({ ...r, id: String(i) })), r => r.id, () => h('li', {}, h('span'), h('i', { class: 'bar', 'aria-hidden': 'true' }, h('i')), h('b'), h('small', { class: 'muted' })), (e, r) => {
      e.className = r.by === 'lease' ? 'lease' : r.name.startsWith('write') ? 'write' : 'owner'
      setText(e.children[0], r.by === 'lease' || r.by === 'owner' ? `${r.name} · by ${r.by}` : r.name)
      e.children[1].firstChild.style.width = Math.max(1, 100 * r.took / top) + '%'
      setText(e.children[2], span(r.took))
      setText(e.children[3], r.parts.map(p => `${p.name} ${span(p.ms)}${p.desc ? ' (' + p.desc + ')' : ''}`).join(', ') || 'at this node')
    })
  }

  async function read() {
    const at = path()
    runs = []
    for (let i = 0; i < times; i++) await one('read', at)
    for (let i = 0; i < times; i++) await one('quorum read', at + '?consistency=quorum')
    const lease = runs.filter(r => r.by === 'lease').map(r => r.took), owner = runs.slice(times).map(r => r.took)
    const mid = (/** @type {number[]} */ a) => a.sort((x, y) => x - y)[a.length >> 1]
    setText(said, lease.length ? `By lease ${span(mid([...lease]))}, by quorum ${span(mid([...owner]))} in the median. The first read may ask the owner, which gives the lease.`
      : 'The owner gave no lease: the key was written lately, or this node may not hold one.')
  }

  async function write() {
    const r = await one('write', path(), { method: 'PUT', body: toBytes('tried at ' + new Date().toISOString()) })
    const revoke = r.parts.find(p => p.name === 'revoke')
    setText(said, revoke ? `Written. ${span(revoke.ms)} of it waited for lease holders: ${revoke.desc}.` : 'Written. No other node held a lease on the key.')
  }

  /** @param {() => Promise<void>} f */
  async function act(f) {
    both.disabled = put.disabled = true
    setText(said, 'Working …')
    try { await f() } catch (e) {
      const x = /** @type {any} */ (e)
      setText(said, x.status === 404 ? 'There is no such key. Write it first.' : x.message)
    }
    both.disabled = put.disabled = false
    draw()
  }

  const form = h('form', { class: 'row', on: { submit: (/** @type {Event} */ e) => { e.preventDefault(); act(read) } } }, h('label', { for: 'try-key' }, 'Key'), key, both, put)
  return {
    title: 'Try it',
    element: h('div', { class: 'grid' }, card('The same read, twice', h('p', { class: 'muted' },
      'A read under a lease is answered by the node itself, and is as new as one that asks a quorum of the owner. Both are linearizable: they differ in how far the request travels.'), form, said, bars)),
    enter() {
      if (key.value || !feed.last) return
      const own = feed.last.nodes.find((/** @type {any} */ n) => n.node === feed.last.live.node)?.region
      const far = regions(feed.last).find(r => r !== own) ?? own
      key.value = `${far}/try-it`
    },
    show() { if (!key.value) this.enter() },
  }
}
