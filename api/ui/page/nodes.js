// @ts-check
// Nodes and groups: states, rates, ages, leaders, members and their lag, certificates and disks.
import { h, card, table, setText, setAttr, rate, span, size, count } from './dom.js'
import { rates } from './tally.js'

export function nodes() {
  const soon = 14 * 86400e3
  const list = table('Nodes', [
    { name: 'Node', put: (c, n) => setText(c, n.node) },
    { name: 'State', put: badge(n => n.state === 'up' ? 'good' : n.state === 'unreachable' || n.state === 'refused' ? 'bad' : 'warn', n => n.state === 'unreachable' ? 'down' : n.state) },
    { name: 'Region', text: n => n.region }, { name: 'Role', text: n => n.role },
    { name: 'Heard', num: true, text: n => n.live.age_ms < 0 ? 'never' : span(n.live.age_ms) + ' ago' },
    { name: 'By lease /s', num: true, text: n => figure(n, 'lease') }, { name: 'By owner /s', num: true, text: n => figure(n, 'owner') },
    { name: 'Writes /s', num: true, text: n => figure(n, 'writes') },
    { name: 'Under way', num: true, text: n => known(n) ? count(n.live.requests) : '–' }, { name: 'Watches', num: true, text: n => known(n) ? count(n.live.watches) : '–' },
    { name: 'Cached keys', num: true, text: n => n.live.age_ms < 0 ? '–' : count(n.live.cached_keys) },
    { name: 'Disk free', num: true, text: n => n.live.disk_size ? size(n.live.disk_free) : '–' },
    { name: 'Certificate', put: (c, n) => {
      const end = (n.live.certificate_ends || 0) * 1000
      setText(c, end ? 'until ' + new Date(end).toISOString().slice(0, 10) : 'none')
      setAttr(c, 'class', end && end - Date.now() < soon ? 'bad' : null)
    } },
    { name: 'Why', text: n => n.reason || '' },
  ], n => n.node, 'No nodes are known yet.')
  const groups = table('Groups', [
    { name: 'Group', text: g => g.group }, { name: 'Region', text: g => g.region || '–' },
    { name: 'Leader', put: badge(g => g.leader ? '' : 'bad', g => g.leader || 'none known') },
    { name: 'Term', num: true, text: g => g.term }, { name: 'Applied', num: true, text: g => count(g.applied) },
    { name: 'Writes waiting', num: true, text: g => g.live ? g.live.waiting_writes : '–' },
    { name: 'Members: entries behind', put: members },
  ], g => g.group, 'No groups are known yet.')
  const element = h('div', { class: 'grid' }, card('Nodes', list.element), card('Groups', h('p', { class: 'muted' }, 'A leader says of each member how many entries of the log it lacks.'), groups.element))
  return {
    title: 'Nodes and groups',
    element,
    show(/** @type {any} */ l) {
      const live = new Map(l.live.nodes.map((/** @type {any} */ n) => [n.node, n])), of = new Map(l.live.groups.map((/** @type {any} */ g) => [g.group, g]))
      list.show(l.nodes.map((/** @type {any} */ n) => ({ ...n, live: live.get(n.node) })), n => n.state === 'unreachable' ? 'down' : '')
      groups.show(l.groups.map((/** @type {any} */ g) => ({ ...g, live: of.get(g.group) })))
    },
  }
}

const known = (/** @type {any} */ n) => n.state !== 'unreachable' && n.live.age_ms >= 0
/** A node that does not answer has no rates, rather than old ones. @param {any} n @param {'lease'|'owner'|'writes'} what */
const figure = (n, what) => known(n) && n.live.over_ms ? rate(rates(n.live)[what]) : '–'

/** @param {(x: any) => string} kind @param {(x: any) => string} text */
export function badge(kind, text) {
  return (/** @type {HTMLElement} */ cell, /** @type {any} */ x) => {
    if (!cell.firstChild) cell.append(h('span'))
    const e = /** @type {Element} */ (cell.firstChild)
    setText(e, text(x))
    setAttr(e, 'class', kind(x) ? 'badge ' + kind(x) : null)
  }
}

/** @param {HTMLElement} cell @param {any} g */
function members(cell, g) {
  if (!g.live) { setText(cell, g.voters.join(', ')); return }
  setText(cell, g.live.members.map((/** @type {any} */ m) =>
    m.node + (m.voter ? '' : ' (learns)') + (m.node === g.leader ? ' leads' : !m.heard ? ` silent ${span(m.silent_ms)}` : m.lag < 0 ? '' : ` ${m.lag}`)).join(', '))
}
