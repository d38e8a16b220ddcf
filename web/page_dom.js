// page_dom.js: the few helpers that the page makes its elements with, and how it writes numbers, sizes and times.

/**
 * An element of the page by its id.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new Error(`The page has no ${type.name} #${id}`)
  return found
}

/** @param {Element} element @param {Record<string, string | boolean | ((event: any) => void)>} attributes */
function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value)
    else if (typeof value === 'string') element.setAttribute(name, value)
    else element.toggleAttribute(name, value)
  }
}

/**
 * A new element. A function among the attributes listens to the event of that name.
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, string | boolean | ((event: any) => void)>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[N]}
 */
export function html(name, attributes = {}, ...children) {
  const element = document.createElement(name)
  setAttributes(element, attributes)
  element.append(...children)
  return element
}

/**
 * A new element of SVG.
 * @param {string} name
 * @param {Record<string, string | number>} [attributes]
 * @param {...(Node | string)} children
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value))
  element.append(...children)
  return element
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB']

/** @param {number} value */
export const count = (value) => whole.format(value)

/** "1 entry", "2 entries". @param {number} value @param {string} one @param {string} [many] */
export const counted = (value, one, many = `${one}s`) => `${whole.format(value)} ${value === 1 ? one : many}`

/** @param {number} bytes */
export function size(bytes) {
  let unit = 0
  let value = bytes
  for (; value >= 999.5 && unit < UNITS.length - 1; unit++) value /= 1000
  if (unit === 0) return counted(bytes, 'byte')
  return `${short.format(value)} ${UNITS[unit]}`
}

/** A rate or a factor with three digits. @param {number} value */
export const figure = (value) => (value >= 1000 ? whole.format(value) : short.format(value))

/** @param {number} part @param {number} all */
export const percent = (part, all) => (all === 0 ? '–' : `${short.format((100 * part) / all)} %`)

/** A control that the user is typing in. @param {EventTarget | null} target */
export function isTyping(target) {
  return target instanceof HTMLElement && target.matches('input:not([type=radio],[type=checkbox]), textarea, select')
}

/** Shows one of several elements and hides the others. @param {HTMLElement | null} shown @param {HTMLElement[]} all */
export function showOnly(shown, all) {
  for (const element of all) element.hidden = element !== shown
}

/** Calls `run` once for many calls in the same frame. @param {() => void} run */
export function eachFrame(run) {
  let waiting = false
  return () => {
    if (waiting) return
    waiting = true
    requestAnimationFrame(() => {
      waiting = false
      run()
    })
  }
}

/** A preference that outlives the page, where the browser lets us keep one.
 * @param {string} name @param {string} fallback */
export function preference(name, fallback) {
  const key = `varve-playground.${name}`
  return {
    get() {
      try {
        return localStorage.getItem(key) ?? fallback
      } catch {
        return fallback
      }
    },
    /** @param {string} value */
    set(value) {
      try {
        localStorage.setItem(key, value)
      } catch {
        // Blocked storage: the choice holds for this page alone.
      }
    },
  }
}
