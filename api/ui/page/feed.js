// @ts-check
// The one live stream of the page: it reconnects by itself, knows the age of its data, and stops while the tab is hidden.
import { events, Problem, onToken } from './api.js'

/** @typedef {any} Live the data of an event of GET /v1/cluster/live */

export const feed = {
  /** @type {Live|null} */ last: null,
  /** When last came, by performance.now(). */ at: 0,
  /** Why there is no stream; '' while there is one. */ trouble: '',
  /** 'connecting', 'live', 'waiting' or 'paused' */ state: 'connecting',
  /** Bytes of events so far. */ paused: false,
}

/** @type {Set<(l: Live) => void>} */
const onEvent = new Set()
/** @type {Set<() => void>} */
const onState = new Set()
export const eachEvent = (/** @type {(l: Live) => void} */ f) => { onEvent.add(f) }
export const eachState = (/** @type {() => void} */ f) => { onState.add(f) }

/** How old the newest data is, in ms; -1 if there is none. */
export const age = () => feed.last ? performance.now() - feed.at : -1

const firstWait = 500, longestWait = 8000, refusedWait = 30000

/** @type {AbortController|null} */
let current = null
let run = 0

/** @param {string} state @param {string} [trouble] */
function become(state, trouble = '') {
  feed.state = state
  feed.trouble = trouble
  for (const f of onState) f()
}

/** @param {number} ms @param {AbortSignal} signal */
const sleep = (ms, signal) => new Promise(resolve => {
  const t = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => { clearTimeout(t); resolve(null) })
})

/** Connects anew, and again whenever the stream breaks. */
async function connect() {
  stop()
  const mine = ++run
  const control = current = new AbortController()
  let wait = firstWait
  become('connecting')
  while (!control.signal.aborted) {
    let why = 'The stream has ended.'
    try {
      await events('/v1/cluster/live', control.signal, e => {
        if (mine !== run) return
        if (e.name === 'end') { why = e.data.detail || e.data.title || why; return }
        wait = firstWait
        feed.last = e.data
        feed.at = performance.now()
        if (feed.state !== 'live') become('live')
        for (const f of onEvent) f(e.data)
      })
    } catch (e) {
      if (control.signal.aborted) return
      why = /** @type {Error} */ (e).message
      if (e instanceof Problem && (e.status === 401 || e.status === 403)) wait = refusedWait
      else if (!(e instanceof Problem)) why = 'The connection to the node broke.'
    }
    if (control.signal.aborted) return
    const pause = wait * (0.8 + 0.4 * Math.random())
    become('waiting', why)
    await sleep(pause, control.signal)
    if (wait < longestWait) wait = Math.min(2 * wait, longestWait)
  }
}

function stop() {
  if (current) current.abort()
  current = null
}

/** Begins, or goes on after a pause. */
export function start() {
  feed.paused = false
  if (!document.hidden) connect()
}

export function pause() {
  feed.paused = true
  run++
  stop()
  become('paused')
}

onToken(() => { if (!feed.paused) start() })
document.addEventListener('visibilitychange', () => {
  if (feed.paused) return
  if (document.hidden) { run++; stop() } else start()
})
