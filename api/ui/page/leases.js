// @ts-check
// Lease holders, the holders that delay writes, and the sessions under which nodes read.
import { h, card, table, count, span, rate } from './dom.js'
import { badge } from './nodes.js'

export function leases() {
  const delays = table('Holders that delay writes', [
    { name: 'Node', text: r => r.node }, { name: 'Group', text: r => r.group },
    { name: 'Owes now', num: true, text: r => r.owes || 0 }, { name: 'Since', num: true, text: r => r.owes ? span(r.owes_ms) : '–' },
    { name: 'Writes delayed', num: true, text: r => count(r.delayed_total || 0) },
    { name: 'Mean wait', num: true, text: r => r.delayed_total ? span(r.delay_total_ms / r.delayed_total) : '–' },
    { name: 'Standing', put: badge(r => r.barred || r.standing === 'expired' ? 'bad' : r.standing === 'suspected' ? 'warn' : '', r => r.barred ? 'gets no leases' : r.standing || 'no session') },
  ], r => r.group + '\n' + r.node, 'No write has waited for a lease holder.')
  const holders = table('Leases by holder', [
    { name: 'Node', text: r => r.node }, { name: 'Group', text: r => r.group }, { name: 'Leases', num: true, text: r => count(r.leases) },
    { name: 'Asked back /s', num: true, text: r => rate(r.revoked || 0) }, { name: 'In all', num: true, text: r => count(r.revoked_total || 0) },
    { name: 'Standing', put: badge(r => r.standing === 'good' ? 'good' : r.standing === 'expired' ? 'bad' : 'warn', r => r.standing || 'no session') },
  ], r => r.group + '\n' + r.node, 'No node holds a lease.')
  const sessions = table('Sessions of nodes', [
    { name: 'Node', text: n => n.node }, { name: 'Sessions', num: true, text: n => n.sessions }, { name: 'Usable', put: badge(n => n.sessions_usable < n.sessions ? 'warn' : '', n => String(n.sessions_usable)) },
    { name: 'Cached keys', num: true, text: n => count(n.cached_keys) }, { name: 'Heard', num: true, text: n => n.age_ms < 0 ? 'never' : span(n.age_ms) + ' ago' },
  ], n => n.node, 'Nothing is known yet.')
  const sum = h('p', { class: 'muted' })
  return {
    title: 'Leases',
    element: h('div', { class: 'grid' },
      card('Holders that delay writes', h('p', { class: 'muted' }, 'A write waits until each holder has given its lease back, or its lease has expired. Counted since the process of the leader started.'), delays.element),
      card('Leases', sum, holders.element), card('Sessions', h('p', { class: 'muted' }, 'A node reads under a lease while its session with the group is usable.'), sessions.element)),
    show(/** @type {any} */ l) {
      sum.textContent = `${l.leases.toLocaleString('en')} leases in ${l.sessions.toLocaleString('en')} sessions.`
      const rows = l.live.groups.flatMap((/** @type {any} */ g) => g.holders.map((/** @type {any} */ x) => ({ ...x, group: g.group })))
      delays.show(rows.filter((/** @type {any} */ r) => r.owes || r.delayed_total || r.barred || r.standing === 'suspected').sort((/** @type {any} */ x, /** @type {any} */ y) =>
        (y.owes || 0) - (x.owes || 0) || (y.delay_total_ms || 0) - (x.delay_total_ms || 0)))
      const holding = rows.filter((/** @type {any} */ r) => r.leases || r.revoked_total)
      holders.show(holding.sort((/** @type {any} */ x, /** @type {any} */ y) => y.leases - x.leases || x.node.localeCompare(y.node)))
      sessions.show(l.live.nodes)
    },
  }
}
