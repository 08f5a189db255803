// @ts-check
// Slow requests and where their time went, hot keys, and transactions that hang.
import { h, card, table, setText, span, rate } from './dom.js'
import { askJSON } from './api.js'
import { bytesOf, shown } from './keytext.js'

const every = 5000

/** @param {HTMLElement} cell @param {any} r */
function putKey(cell, r) {
  const text = r.hidden ? '' : JSON.stringify([r.key, r.key_base64])
  if (cell.dataset.of === text) return
  cell.dataset.of = text
  cell.replaceChildren(r.hidden ? h('span', { class: 'muted' }, 'hidden from this token') : shown(bytesOf(r, 'key'), 80))
}

export function requests() {
  const slow = table('Slowest requests', [
    { name: 'Took', num: true, text: r => span(r.took_ms) }, { name: 'Key', put: putKey }, { name: 'Route', text: r => r.front + ' ' + r.route },
    { name: 'At', text: r => r.node }, { name: 'By', text: r => r.error || r.source || '–' }, { name: 'Where the time went', put: parts },
    { name: 'Began', text: r => new Date(r.started).toLocaleTimeString() },
  ], r => r.node + r.started + r.took_ms + r.key + r.key_base64, 'No slow requests in the last five minutes.')
  const hot = table('Hot keys', [
    { name: 'Key', put: putKey }, { name: 'At', text: r => r.node }, { name: 'Reads /s', num: true, text: r => rate(r.reads_per_second) }, { name: 'Writes /s', num: true, text: r => rate(r.writes_per_second) },
  ], r => r.node + '\n' + r.key + '\n' + r.key_base64, 'No key is asked for often.')
  const txns = table('Transactions', [
    { name: 'Group', text: g => g.group }, { name: 'Prepared', num: true, text: g => g.prepared }, { name: 'Oldest', num: true, text: g => g.prepared ? span(1000 * g.oldest_prepared_seconds) : '–' },
    { name: 'Not known to all', num: true, text: g => g.unresolved },
  ], g => g.group, 'No transaction over several groups is under way.')
  const locked = table('Locked keys', [
    { name: 'Key', put: putKey }, { name: 'Group', text: k => k.group }, { name: 'Waits for', text: k => k.decider }, { name: 'Since', num: true, text: k => span(1000 * k.seconds) },
  ], k => k.group + '\n' + k.key + '\n' + k.key_base64, 'No key is locked by a transaction whose deciding group does not answer.')
  const said = h('p', { class: 'muted', role: 'status' })
  let timer = 0
  async function look() {
    try {
      const r = await askJSON('/v1/cluster/slow?node=*')
      slow.show(r.slow)
      hot.show(r.hot)
      const silent = r.nodes.filter((/** @type {any} */ n) => n.state !== 'up').map((/** @type {any} */ n) => n.node)
      setText(said, silent.length ? 'No answer from ' + silent.join(', ') + ': what they remember is not here.' : `Of ${r.nodes.length} nodes, at ${new Date().toLocaleTimeString()}.`)
    } catch (e) { setText(said, /** @type {Error} */ (e).message + ' What stands here is old.') }
  }
  return {
    title: 'Requests',
    element: h('div', { class: 'grid' }, card('Slowest requests', said, slow.element), card('Hot keys', h('p', { class: 'muted' }, 'Estimates of about the last minute, from a sample.'), hot.element),
      card('Transactions that hang', locked.element, txns.element)),
    enter() { look(); timer = setInterval(() => { if (!document.body.classList.contains('paused')) look() }, every) },
    leave() { clearInterval(timer) },
    show(/** @type {any} */ l) {
      txns.show(l.groups.filter((/** @type {any} */ g) => g.prepared || g.unresolved))
      locked.show(l.groups.flatMap((/** @type {any} */ g) => (g.locked || []).map((/** @type {any} */ k) => ({ ...k, group: g.group }))))
    },
  }
}

/** @param {HTMLElement} cell @param {any} r */
function parts(cell, r) {
  setText(cell, (r.parts || []).map((/** @type {any} */ p) => `${p.what}${p.node ? ' ' + p.node : ''} ${span(p.ms)}`).join(', '))
}
