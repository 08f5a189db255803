// @ts-check
// What the views build elements with. Text from data goes in as text nodes alone, never as markup.

const svgSpace = 'http://www.w3.org/2000/svg'

/**
 * Makes an element. Properties are attributes, but for `on`, listeners by name. Children are elements or text.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node|string|number|null|undefined)} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) { return build(document.createElement(tag), props, children) }

/** The same for SVG. @param {string} tag @param {Record<string, any>} [props] @param {...any} children @returns {any} */
export function s(tag, props = {}, ...children) { return build(document.createElementNS(svgSpace, tag), props, children) }

/** @param {any} e @param {Record<string, any>} props @param {any[]} children */
function build(e, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name === 'on') for (const [event, f] of Object.entries(value)) e.addEventListener(event, f)
    else if (value === true) e.setAttribute(name, '')
    else if (value !== false && value !== null && value !== undefined) e.setAttribute(name, String(value))
  }
  for (const c of children) if (c !== null && c !== undefined) e.append(typeof c === 'number' ? String(c) : c)
  return e
}

/** The element with an id, which the page has. @param {string} id @returns {any} */
export const byId = id => document.getElementById(id)

/** Sets text only if it is another one, so that a screen reader and a selection are left alone. @param {Node} e @param {string|number} text */
export function setText(e, text) {
  const t = String(text)
  if (e.textContent !== t) e.textContent = t
}

/** @param {Element} e @param {string} name @param {string|number|null} value */
export function setAttr(e, name, value) {
  if (value === null) e.removeAttribute(name)
  else if (e.getAttribute(name) !== String(value)) e.setAttribute(name, String(value))
}

/**
 * Keeps one child of a parent for each item, in their order, and changes as little as it can.
 * @template T
 * @param {Element} parent @param {T[]} items @param {(item: T) => string} key
 * @param {(item: T) => any} make makes a child @param {(child: any, item: T) => void} update
 */
export function keep(parent, items, key, make, update) {
  /** @type {Map<string, any>} */
  const old = new Map()
  for (const c of parent.children) old.set(/** @type {any} */ (c).edgeholdKey, c)
  let at = parent.firstElementChild
  /** @type {Set<string>} */
  const used = new Set()
  for (const item of items) {
    let k = key(item)
    while (used.has(k)) k += '+' // two items may be the same
    used.add(k)
    let child = old.get(k)
    if (child) old.delete(k)
    else {
      child = make(item)
      child.edgeholdKey = k
    }
    if (child === at) at = at.nextElementSibling
    else parent.insertBefore(child, at)
    update(child, item)
  }
  for (const c of old.values()) c.remove()
}

/**
 * A table whose rows stay the same elements while their data changes. A cell is text, or what put places into it.
 * @template T
 * @param {string} caption
 * @param {{name: string, num?: boolean, text?: (item: T) => string|number, put?: (cell: HTMLElement, item: T) => void}[]} columns
 * @param {(item: T) => string} key
 * @param {string} empty what stands there without rows
 */
export function table(caption, columns, key, empty) {
  const body = h('tbody')
  const none = h('p', { class: 'muted empty' }, empty)
  const t = h('table', {}, h('caption', { class: 'sr' }, caption),
    h('thead', {}, h('tr', {}, ...columns.map(c => h('th', { scope: 'col', class: c.num ? 'num' : null }, c.name)))), body)
  const frame = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, t)
  return {
    element: h('div', {}, frame, none),
    /** @param {T[]} items @param {(item: T) => string} [rowClass] */
    show(items, rowClass) {
      none.hidden = items.length > 0
      frame.hidden = items.length === 0
      keep(body, items, key, () => h('tr', {}, ...columns.map(c => h('td', { class: c.num ? 'num' : null }))), (row, item) => {
        if (rowClass) setAttr(row, 'class', rowClass(item) || null)
        columns.forEach((c, i) => c.put ? c.put(row.children[i], item) : setText(row.children[i], /** @type {any} */ (c.text)(item)))
      })
    },
  }
}

/** A card with a heading. @param {string} title @param {...any} children */
export function card(title, ...children) { return h('section', { class: 'card' }, h('h2', {}, title), ...children) }

/** A number as people read it: 1,234 or 12.3 k. @param {number} n */
export function count(n) {
  if (n >= 1e6) return (n / 1e6).toFixed(1) + ' M'
  if (n >= 1e4) return (n / 1e3).toFixed(1) + ' k'
  return Math.round(n).toLocaleString('en')
}

/** A rate: one decimal while it is small. @param {number} n */
export const rate = n => n > 0 && n < 10 ? n.toFixed(1) : count(n)

/** A short time. @param {number} us in microseconds */
export const micros = us => us < 100 ? us.toFixed(1) + ' µs' : (us / 1000).toFixed(us < 1e5 ? 1 : 0) + ' ms'

/** A time in milliseconds. @param {number} ms */
export function span(ms) {
  if (ms < 1) return ms.toFixed(2) + ' ms'
  if (ms < 10) return ms.toFixed(1) + ' ms'
  if (ms < 1000) return Math.round(ms) + ' ms'
  if (ms < 60e3) return (ms / 1000).toFixed(1) + ' s'
  if (ms < 3600e3) return Math.round(ms / 60e3) + ' min'
  return Math.round(ms / 3600e3) + ' h'
}

/** Bytes. @param {number} n */
export function size(n) {
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (n < 1024) return (n < 10 && unit !== 'B' ? n.toFixed(1) : Math.round(n)) + ' ' + unit
    n /= 1024
  }
  return n.toFixed(1) + ' TiB'
}
