// @ts-check
// The map: regions with their nodes, links with their round trips, and what passes between them.
import { s, h, keep, setText, setAttr, span, rate } from './dom.js'
import { links, rates, regions, stateOf } from './tally.js'

const calm = matchMedia('(prefers-reduced-motion: reduce)')
const mostDots = 48 // a second

/** @typedef {{x: number, y: number}} Point */

export function map() {
  const gLinks = s('g'), gDots = s('g', { 'aria-hidden': 'true' }), gRegions = s('g'), gLabels = s('g')
  const svg = s('svg', { class: 'map', role: 'img', 'aria-label': 'Map of regions' }, gLinks, gDots, gRegions, gLabels)
  const frame = h('div', { class: 'mapframe' }, svg)
  /** @type {any} */
  let last = null
  let width = 0
  /** @type {Map<string, Point>} */
  let nodeAt = new Map()
  new ResizeObserver(() => {
    if (Math.abs(frame.clientWidth - width) > 1) { width = frame.clientWidth; if (last) draw(last, false) }
  }).observe(frame)

  /** Where regions stand, and how large the map is. @param {string[]} names @param {Map<string, any[]>} nodes */
  function layout(names, nodes) {
    const w = Math.max(280, width || frame.clientWidth || 640), narrow = w < 560
    const most = Math.max(...names.map(r => (nodes.get(r) ?? []).length), 1)
    const perRow = 4, rows = Math.ceil(most / perRow)
    const bw = narrow ? 146 : 176, bh = 54 + rows * 36
    const height = names.length < 2 ? bh + 40 : narrow ? Math.max(320, names.length * (bh + 30)) : names.length > 2 ? Math.max(380, 2 * bh + 150) : bh + 90
    const rx = Math.max(0, Math.min((w - bw) / 2 - 8, 460)), ry = Math.max(0, (height - bh) / 2 - 8)
    /** @type {Map<string, Point>} */
    const at = new Map()
    // On a ring that is stretched to the edges of the map.
    const unit = names.map((_, i) => names.length === 2 ? { x: 2 * i - 1, y: 0 } : { x: Math.cos(-Math.PI / 2 - i * 2 * Math.PI / names.length), y: Math.sin(-Math.PI / 2 - i * 2 * Math.PI / names.length) })
    const fit = (/** @type {number} */ v, /** @type {number[]} */ all, /** @type {number} */ mid, /** @type {number} */ r) => {
      const low = Math.min(...all), high = Math.max(...all)
      return high - low < 1e-9 ? mid : mid - r + 2 * r * (v - low) / (high - low)
    }
    names.forEach((r, i) => at.set(r, { x: fit(unit[i].x, unit.map(u => u.x), w / 2, rx), y: fit(unit[i].y, unit.map(u => u.y), height / 2, ry) }))
    return { w, height, bw, bh, perRow, at }
  }

  /** @param {any} l @param {boolean} move */
  function draw(l, move) {
    last = l
    const names = regions(l)
    /** @type {Map<string, any[]>} */
    const byRegion = new Map(names.map(r => [r, l.nodes.filter((/** @type {any} */ n) => n.region === r)]))
    const g = layout(names, byRegion)
    setAttr(svg, 'viewBox', `0 0 ${Math.round(g.w)} ${Math.round(g.height)}`)
    setAttr(svg, 'height', Math.round(g.height))
    const leads = new Map(l.groups.filter((/** @type {any} */ x) => x.leader).map((/** @type {any} */ x) => [x.leader, x.group]))
    const live = new Map(l.live.nodes.map((/** @type {any} */ n) => [n.node, n]))
    nodeAt = new Map()
    keep(gRegions, names, r => r, makeRegion, (box, r) => {
      const p = /** @type {Point} */ (g.at.get(r)), nodes = byRegion.get(r) ?? []
      const x = p.x - g.bw / 2, y = p.y - g.bh / 2
      const frameRect = box.children[0], title = box.children[1], sums = box.children[2], dots = box.children[3]
      for (const [name, v] of Object.entries({ x, y, width: g.bw, height: g.bh })) setAttr(frameRect, name, v.toFixed(1))
      const down = nodes.filter(n => n.state === 'unreachable').length
      setAttr(frameRect, 'class', 'region' + (down === nodes.length ? ' bad' : down ? ' warn' : ''))
      setAttr(title, 'x', (x + 12).toFixed(1)); setAttr(title, 'y', (y + 20).toFixed(1)); setText(title, r)
      const sum = { lease: 0, owner: 0, writes: 0 }
      for (const n of nodes) {
        const f = n.state !== 'unreachable' && live.get(n.node)
        if (f) { const v = rates(f); sum.lease += v.lease; sum.owner += v.owner; sum.writes += v.writes }
      }
      setAttr(sums, 'x', (x + 12).toFixed(1)); setAttr(sums, 'y', (y + 38).toFixed(1))
      keep(sums, [['lease', sum.lease], ['owner', sum.owner], ['write', sum.writes]], v => String(v[0]), v => s('tspan', { class: 'n-' + v[0], dx: v[0] === 'lease' ? 0 : 8 }),
        (e, v) => setText(e, `${v[0] === 'lease' ? 'L' : v[0] === 'owner' ? 'O' : 'W'} ${rate(Number(v[1]))}`))
      keep(dots, nodes, n => n.node, makeNode, (e, n) => {
        const i = nodes.indexOf(n), q = { x: x + 22 + (i % g.perRow) * (g.bw - 20) / g.perRow, y: y + 58 + Math.floor(i / g.perRow) * 36 }
        nodeAt.set(n.node, q)
        setAttr(e, 'transform', `translate(${q.x.toFixed(1)} ${q.y.toFixed(1)})`)
        setAttr(e, 'class', `node ${n.role} ${n.state}${leads.has(n.node) ? ' leads' : ''}`)
        const short = n.node.startsWith(n.region + '-') ? n.node.slice(n.region.length + 1) : n.node
        setText(e.children[4], short.length > 8 ? short.slice(0, 7) + '…' : short)
        setText(e.children[0], `${n.node}: ${n.role}, ${n.state}${leads.has(n.node) ? ', leads ' + leads.get(n.node) : ''}`)
      })
    })
    const all = links(l).map(k => ({ ...k, from: /** @type {Point} */ (g.at.get(k.a)), to: /** @type {Point} */ (g.at.get(k.b)) }))
    keep(gLinks, all, k => k.a + '\n' + k.b, () => s('line'), (e, k) => {
      for (const [name, v] of Object.entries({ x1: k.from.x, y1: k.from.y, x2: k.to.x, y2: k.to.y })) setAttr(e, name, v.toFixed(1))
      setAttr(e, 'class', k.cut ? 'link cut' : 'link')
    })
    keep(gLabels, all, k => k.a + '\n' + k.b, () => s('g', {}, s('rect', { rx: 9, height: 18 }), s('text', { 'text-anchor': 'middle' })), (e, k) => {
      const text = k.cut ? `no answer ${span(k.silent)}` : k.rtt === null ? '–' : span(k.rtt)
      const w = 14 + text.length * 6.6, x = (k.from.x + k.to.x) / 2, y = (k.from.y + k.to.y) / 2
      setAttr(e, 'class', k.cut ? 'label cut' : 'label')
      for (const [name, v] of Object.entries({ x: x - w / 2, y: y - 9, width: w })) setAttr(e.children[0], name, v.toFixed(1))
      setAttr(e.children[1], 'x', x.toFixed(1)); setAttr(e.children[1], 'y', (y + 4).toFixed(1)); setText(e.children[1], text)
    })
    const cut = all.filter(k => k.cut)
    setAttr(svg, 'aria-label', `Map of ${names.length} regions. ` + all.map(k => `${k.a} and ${k.b}: ${k.cut ? 'no answer' : k.rtt === null ? 'unknown' : span(k.rtt)}`).join('. ') +
      (cut.length ? '. Cut off: ' + cut.map(k => `${k.a} from ${k.b}`).join(', ') : ''))
    if (move && !calm.matches) flow(l)
  }

  /** Lets dots move as requests did in the last second: from the node that asked to the one that answered. @param {any} l */
  function flow(l) {
    const leader = new Map(l.groups.map((/** @type {any} */ x) => [x.group, x.leader]))
    /** @type {{kind: string, from: string, to: string, n: number}[]} */
    const moves = []
    const state = stateOf(l)
    for (const n of l.live.nodes) {
      if (state.get(n.node) === 'unreachable' || !n.over_ms) continue
      if (n.reads_lease) moves.push({ kind: 'lease', from: n.node, to: n.node, n: n.reads_lease })
      for (const f of n.flows) {
        const to = leader.get(f.group)
        if (!to) continue
        if (f.reads) moves.push({ kind: 'owner', from: n.node, to, n: f.reads })
        if (f.writes) moves.push({ kind: 'write', from: n.node, to, n: f.writes })
      }
    }
    for (const g of l.live.groups) for (const x of g.holders) if (x.revoked) moves.push({ kind: 'revoke', from: g.leader, to: x.node, n: x.revoked })
    const each = moves.map(m => ({ ...m, dots: Math.ceil(Math.log2(m.n + 1)) }))
    const most = each.reduce((sum, m) => sum + m.dots, 0)
    const part = Math.min(1, mostDots / Math.max(1, most))
    for (const m of each) {
      const dots = m.dots * part
      for (let i = 0; i < Math.floor(dots) + (Math.random() < dots % 1 ? 1 : 0); i++) dot(m, 1000 * (i + Math.random()) / Math.max(1, dots))
    }
  }

  /** @param {{kind: string, from: string, to: string}} m @param {number} delay */
  function dot(m, delay) {
    const a = nodeAt.get(m.from), b = nodeAt.get(m.to)
    if (!a || !b) return
    const stays = m.from === m.to
    const c = s('circle', { r: stays ? 5 : 3.5, class: 'dot ' + m.kind })
    gDots.append(c)
    const far = Math.hypot(a.x - b.x, a.y - b.y)
    const at = (/** @type {Point} */ p, /** @type {number} */ scale) => `translate(${p.x}px, ${p.y}px) scale(${scale})`
    const frames = stays
      ? [{ transform: at(a, .6), opacity: .8 }, { transform: at(a, 2.4), opacity: 0 }]
      : [{ transform: at(a, 1), opacity: 0 }, { transform: at(a, 1), opacity: 1, offset: .08 }, { transform: at(b, 1), opacity: 1, offset: .92 }, { transform: at(b, 1), opacity: 0 }]
    const motion = c.animate(frames, { duration: stays ? 700 : 350 + far * 2, delay, fill: 'both', easing: 'ease-in-out' })
    motion.onfinish = () => c.remove()
    motion.oncancel = () => c.remove()
  }

  return { element: frame, show: (/** @type {any} */ l) => draw(l, true), clear: () => gDots.replaceChildren() }
}

function makeRegion() {
  return s('g', {}, s('rect', { rx: 10, class: 'region' }), s('text', { class: 'rname' }), s('text', { class: 'rsum' }), s('g'))
}

/** A server is a square, an edge a circle, and the leader of a group has a ring. @param {any} n */
function makeNode(n) {
  const shape = n.role === 'edge' ? s('circle', { r: 6 }) : s('rect', { x: -6, y: -6, width: 12, height: 12, rx: 3 })
  return s('g', {}, s('title'), s('circle', { r: 10.5, class: 'halo' }), shape, s('path', { class: 'x', d: 'M-3-3 3 3M3-3-3 3' }), s('text', { class: 'nname', y: 22, 'text-anchor': 'middle' }))
}
