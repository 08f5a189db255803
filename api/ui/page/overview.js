// @ts-check
// The overview: figures, the map, alarms in words, and, in dev, what cuts and stops.
import { h, s, card, keep, setText, setAttr, rate, micros } from './dom.js'
import { totals } from './tally.js'
import { map } from './map.js'
import { faults } from './dev.js'

const kept = 60 // events in a sparkline

export function overview() {
  const tiles = [
    tile('Reads by lease', 'lease', 'a second', t => t.lease, t => t.leaseUs), tile('Reads by owner', 'owner', 'a second', t => t.owner, t => t.ownerUs),
    tile('Writes', 'write', 'a second', t => t.writes, t => t.writeUs), tile('Revocations', 'revoke', 'a second', t => t.revoked),
  ]
  const share = plain('Answered by leases'), up = plain('Nodes up'), held = plain('Leases held')
  const m = map()
  const alarms = alarmList()
  const dev = faults()
  const element = h('div', { class: 'grid' },
    h('div', { class: 'tiles' }, ...tiles.map(t => t.element), share.element, up.element, held.element),
    h('div', { class: 'split' },
      h('div', { class: 'stack' }, h('section', { class: 'card' }, h('h2', {}, 'Regions'), legend(), m.element), dev.element),
      alarms.element))
  return {
    title: 'Overview',
    element,
    leave: m.clear,
    show(/** @type {any} */ l) {
      const t = totals(l)
      for (const x of tiles) x.show(t)
      const reads = t.lease + t.owner + t.stale
      share.show(reads > 0 ? Math.round(100 * t.lease / reads) + ' %' : '–', '')
      up.show(`${t.up} of ${t.nodes}`, t.up < t.nodes ? 'bad' : '')
      held.show(l.leases.toLocaleString('en'), '')
      m.show(l)
      alarms.show(l.live.alarms)
      dev.show(l)
    },
  }
}

/** @param {string} name @param {string} kind @param {string} unit @param {(t: any) => number} read @param {(t: any) => number} [mean] in microseconds */
function tile(name, kind, unit, read, mean) {
  const value = h('b', {}, '–'), small = h('small', {}, ' ' + unit), line = s('polyline', { points: '' })
  const spark = s('svg', { class: 'spark ' + kind, viewBox: `0 0 ${kept - 1} 20`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, line)
  /** @type {number[]} */
  const past = []
  return {
    element: h('div', { class: 'tile ' + kind }, h('span', {}, h('i', { class: 'sw ' + kind, 'aria-hidden': 'true' }), name), h('div', {}, value, small), spark),
    show(/** @type {any} */ t) {
      const v = read(t)
      past.push(v)
      if (past.length > kept) past.shift()
      setText(value, rate(v))
      const us = mean ? mean(t) : 0
      setText(small, ' ' + unit + (us > 0 ? ', ' + micros(us) : ''))
      const top = Math.max(1, ...past)
      setAttr(line, 'points', past.map((y, i) => `${kept - past.length + i},${(19 - 18 * y / top).toFixed(1)}`).join(' '))
    },
  }
}

/** @param {string} name */
function plain(name) {
  const value = h('b', {}, '–')
  const element = h('div', { class: 'tile' }, h('span', {}, name), h('div', {}, value))
  return { element, show(/** @type {string} */ text, /** @type {string} */ kind) { setText(value, text); setAttr(value, 'class', kind || null) } }
}

function legend() {
  const item = (/** @type {string} */ kind, /** @type {string} */ text) => h('li', {}, h('i', { class: 'sw ' + kind, 'aria-hidden': 'true' }), text)
  return h('ul', { class: 'legend' }, item('lease', 'L read by lease, at the node'), item('owner', 'O read by owner'), item('write', 'W write, each a second'), item('revoke', 'revocation'),
    item('server', 'server'), item('edge', 'edge'), item('leads', 'leads a group'))
}

/** Alarms are announced once: a number that goes on counting is no new alarm. @param {any} a */
const same = a => a.text.replace(/\b(\d+h)?(\d+m)?\d+(\.\d+)? ?m?s\b/g, '#')

function alarmList() {
  const list = h('ul', { class: 'alarms' }), calm = h('p', { class: 'ok' }, 'There are no alarms.')
  const spoken = h('div', { class: 'sr', 'aria-live': 'polite' })
  let said = ''
  return {
    element: card('Alarms', calm, list, spoken),
    show(/** @type {any[]} */ all) {
      calm.hidden = all.length > 0
      keep(list, all, same, () => h('li', {}, h('b'), h('span')), (e, a) => { setText(e.children[0], a.text); setText(e.children[1], a.next) })
      const now = all.map(same).join('\n')
      if (now !== said) setText(spoken, all.length ? all.map(a => a.text).join(' ') : 'No alarms.')
      said = now
    },
  }
}
