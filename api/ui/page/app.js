// @ts-check
// The frame of the page: views by the part of the URL behind #, the state of the stream, the token.
import { h, byId, setText, setAttr } from './dom.js'
import { askJSON, setToken, hasToken, onToken } from './api.js'
import { feed, age, eachEvent, eachState, start, pause } from './feed.js'
import { overview } from './overview.js'
import { nodes } from './nodes.js'
import { leases } from './leases.js'
import { requests } from './requests.js'
import { keys } from './keys.js'
import { tryIt } from './tryit.js'

/**
 * A view makes its element once; show is called with each event while it is on screen, tick each 250 ms, enter and leave around that.
 * @typedef {{title: string, element: HTMLElement, show?: (l: any) => void, enter?: () => void, leave?: () => void}} View
 */
/** @type {Record<string, {name: string, make: () => View}>} */
const views = {
  overview: { name: 'Overview', make: overview },
  nodes: { name: 'Nodes', make: nodes },
  leases: { name: 'Leases', make: leases },
  requests: { name: 'Requests', make: requests },
  keys: { name: 'Keys', make: keys },
  try: { name: 'Try it', make: tryIt },
}
/** @type {Record<string, View>} */
const made = {}
/** @type {View|null} */
let on = null

function route() {
  const id = location.hash.replace(/^#\/?/, '')
  if (id === 'main') return
  const name = views[id] ? id : 'overview'
  const view = made[name] ??= views[name].make()
  for (const a of byId('tabs').querySelectorAll('a')) setAttr(a, 'aria-current', a.hash === '#/' + name ? 'page' : null)
  if (view === on) return
  on?.leave?.()
  on = view
  byId('view').replaceChildren(view.element)
  setText(byId('title'), view.title)
  document.title = view.title + ' · Edgehold'
  view.enter?.()
  if (feed.last) view.show?.(feed.last)
}

byId('tabs').append(...Object.entries(views).map(([id, v]) => h('li', {}, h('a', { href: '#/' + id }, v.name))))
window.addEventListener('hashchange', () => { route(); if (location.hash !== '#main') { byId('main').focus({ preventScroll: true }); scrollTo(0, 0) } })

eachEvent(l => {
  setText(byId('cluster'), l.cluster_id ? 'cluster ' + l.cluster_id : '')
  setText(byId('foot'), `Gathered by ${l.live.node}. Level ${l.level || '–'}, ${l.security || 'plain'}.`)
  on?.show?.(l)
})

/** What the pill says, and how old the data is. */
function state() {
  const old = age()
  const text = old < 0 ? '' : old < 1500 ? '' : ` · data is ${Math.floor(old / 1000)} s old`
  const words = /** @type {Record<string, string>} */ ({ live: 'live', connecting: 'connecting', waiting: 'reconnecting', paused: 'paused' })
  const late = feed.state !== 'live' || old > 3000
  setText(byId('feed-text'), words[feed.state] + text)
  setAttr(byId('feed'), 'class', 'pill ' + (feed.state === 'live' ? (late ? 'warn' : 'good') : feed.state === 'paused' ? 'idle' : 'warn'))
  byId('main').classList.toggle('stale', feed.state !== 'paused' && late && old >= 0)
  const notice = byId('notice')
  setText(notice, feed.trouble && feed.trouble + (feed.last ? ' What stands below is old.' : ''))
  notice.hidden = !feed.trouble
}
eachState(state)
setInterval(state, 500)

byId('pause').addEventListener('click', () => {
  if (feed.paused) start()
  else pause()
  setAttr(byId('pause'), 'aria-pressed', String(feed.paused))
  setText(byId('pause'), feed.paused ? 'Resume' : 'Pause')
  document.body.classList.toggle('paused', feed.paused)
})

const dialog = byId('token-dialog'), typed = byId('token-text')
byId('token').addEventListener('click', () => { dialog.showModal(); typed.focus() })
byId('token-close').addEventListener('click', () => dialog.close())
byId('token-form').addEventListener('submit', (/** @type {Event} */ e) => {
  e.preventDefault()
  const text = typed.value.trim()
  if (/[^\x21-\x7e]/.test(text)) { setText(byId('token-who'), 'A token has only letters, digits and signs.'); return }
  typed.value = ''
  setToken(text)
  dialog.close()
})
byId('token-forget').addEventListener('click', () => { typed.value = ''; setToken(''); dialog.close() })

/** Whose rights the page has. */
async function who() {
  let text
  try {
    const self = await askJSON('/v1/access/self')
    text = hasToken() ? 'Token: ' + (self.name || 'set') : 'Token'
    setText(byId('token-who'), self.name ? `You are ${self.name}.` : '')
  } catch (e) {
    text = hasToken() ? 'Token: not valid' : 'Token'
    setText(byId('token-who'), /** @type {Error} */ (e).message)
  }
  setText(byId('token'), text)
}
onToken(who)

route()
who()
start()
