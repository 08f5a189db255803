// @ts-check
// In edgehold dev: cut regions off from each other and heal them, stop nodes and start them. Other clusters do not have this.
import { h, card, keep, setText } from './dom.js'
import { askJSON, post } from './api.js'

export function faults() {
  const links = h('div', { class: 'row' }), nodes = h('div', { class: 'row' }), said = h('p', { class: 'muted', role: 'status' })
  const heal = h('button', { type: 'button', on: { click: () => run(() => post('/v1/dev/heal', {})) } }, 'Heal all')
  const element = card('Make it fail', h('p', { class: 'muted' }, 'This planet runs on one machine. See what leases do when it breaks.'),
    h('h3', {}, 'Regions'), links, h('h3', {}, 'Nodes'), nodes, h('div', { class: 'row' }, heal), said)
  element.hidden = true
  /** @type {any} */
  let planet = null
  let asking = false, seen = 0

  /** @param {() => Promise<any>} f */
  async function run(f) {
    setText(said, 'Working …')
    try { planet = await f(); setText(said, '') } catch (e) { setText(said, /** @type {Error} */ (e).message) }
    draw()
  }

  function draw() {
    if (!planet) return
    /** @type {{a: string, b: string, cut: boolean}[]} */
    const pairs = []
    planet.regions.forEach((/** @type {string} */ a, /** @type {number} */ i) => {
      for (const b of planet.regions.slice(i + 1)) {
        pairs.push({ a, b, cut: planet.cuts.some((/** @type {any} */ c) => c.a === a && c.b === b || c.a === b && c.b === a) })
      }
    })
    keep(links, pairs, p => p.a + '~' + p.b, p => h('button', { type: 'button', 'data-link': p.a + '~' + p.b }), (e, p) => {
      setText(e, `${p.cut ? 'Heal' : 'Cut'} ${p.a} – ${p.b}`)
      e.className = p.cut ? 'on' : ''
      e.onclick = () => run(() => post(p.cut ? '/v1/dev/heal' : '/v1/dev/cut', { a: p.a, b: p.b }))
    })
    keep(nodes, planet.nodes, (/** @type {any} */ n) => n.node, n => h('button', { type: 'button', 'data-node': n.node }), (e, n) => {
      const stopped = n.state === 'stopped'
      setText(e, n.self ? n.node + ' (this one)' : n.state === 'up' ? 'Stop ' + n.node : stopped ? 'Start ' + n.node : n.node + ' is ' + n.state)
      e.disabled = n.self || !(stopped || n.state === 'up')
      e.className = stopped ? 'on' : ''
      e.onclick = () => run(() => post(`/v1/dev/nodes/${encodeURIComponent(n.node)}/${stopped ? 'start' : 'stop'}`))
    })
  }

  return {
    element,
    show(/** @type {any} */ l) {
      if (!l.dev) return
      element.hidden = false
      const now = performance.now()
      if (asking || planet && now - seen < 2000) return
      asking = true
      seen = now
      askJSON('/v1/dev').then(p => { planet = p; draw() }, e => setText(said, e.message)).finally(() => { asking = false })
    },
  }
}
