// @ts-check
// What an event of the live stream adds up to.

/** Rates of a node, a second. @param {any} n a row of live.nodes */
export function rates(n) {
  const per = n.over_ms > 0 ? 1000 / n.over_ms : 0
  const writes = n.flows.reduce((/** @type {number} */ sum, /** @type {any} */ f) => sum + f.writes, 0)
  return { lease: n.reads_lease * per, owner: n.reads_owner * per, stale: n.reads_stale * per, writes: writes * per, revoked: n.revoked * per }
}

/** The mean of n times that are us microseconds together; 0 if there are none. @param {number} us @param {number} n */
const mean = (us, n) => n > 0 ? us / n : 0

/** The sum over all nodes that answer, and the mean times of a read by lease, of one by the owner, and of a write. @param {any} l */
export function totals(l) {
  const t = { lease: 0, owner: 0, stale: 0, writes: 0, revoked: 0, up: 0, nodes: l.nodes.length, leaseUs: 0, ownerUs: 0, writeUs: 0 }
  const sum = { timed: 0, us: 0, reads: 0, readUs: 0, writes: 0, writeUs: 0 }
  const up = stateOf(l)
  for (const n of l.live.nodes) {
    if (up.get(n.node) === 'unreachable') continue
    const r = rates(n)
    sum.timed += n.timed_lease || 0; sum.us += (n.timed_lease_ns || 0) / 1000
    for (const f of n.flows) { sum.reads += f.reads; sum.readUs += f.read_us; sum.writes += f.writes; sum.writeUs += f.write_us }
    t.lease += r.lease; t.owner += r.owner; t.stale += r.stale; t.writes += r.writes; t.revoked += r.revoked
  }
  t.leaseUs = mean(sum.us, sum.timed); t.ownerUs = mean(sum.readUs, sum.reads); t.writeUs = mean(sum.writeUs, sum.writes)
  t.up = l.nodes.filter((/** @type {any} */ n) => n.state !== 'unreachable' && n.state !== 'refused').length
  return t
}

/** @param {any} l @returns {Map<string, string>} */
export const stateOf = l => new Map(l.nodes.map((/** @type {any} */ n) => [n.node, n.state]))
/** @param {any} l @returns {Map<string, string>} */
export const regionOf = l => new Map(l.nodes.map((/** @type {any} */ n) => [n.node, n.region]))

/** Regions in the order in which the map names them. @param {any} l @returns {string[]} */
export const regions = l => [...new Set(l.nodes.map((/** @type {any} */ n) => n.region))]

// How long a server that leads may be silent. It answers once a second.
const lateMs = 3500

/**
 * The links between regions: the shortest round trip that any node of one has to any server of the other, and how long all are silent.
 * @param {any} l @returns {{a: string, b: string, rtt: number|null, silent: number, cut: boolean}[]}
 */
export function links(l) {
  const region = regionOf(l), state = stateOf(l)
  /** @type {Map<string, any>} */
  const all = new Map()
  for (const n of l.live.nodes) {
    if (state.get(n.node) === 'unreachable') continue
    for (const x of n.links) {
      const from = region.get(n.node), to = region.get(x.node)
      if (!from || !to || from === to) continue
      const [a, b] = from < to ? [from, to] : [to, from]
      const key = a + '\n' + b
      const link = all.get(key) ?? { a, b, rtt: null, silent: Infinity, cut: false }
      all.set(key, link)
      link.silent = Math.min(link.silent, x.silent_ms)
      if (x.silent_ms <= lateMs && (link.rtt === null || x.round_trip_ms < link.rtt)) link.rtt = x.round_trip_ms
    }
  }
  for (const link of all.values()) link.cut = link.silent > lateMs
  return [...all.values()].sort((x, y) => (x.a + x.b).localeCompare(y.a + y.b))
}
