// accessible.js: what can be checked of a page's accessibility without a library: names of controls, the contrast of
// text and its ground, and that nothing sticks out to the side.

/** @typedef {import('playwright-core').Page} Page */

/** Roles that a user operates, and that therefore need a name. */
const OPERATED = /^(button|checkbox|combobox|link|listbox|option|progressbar|radio|searchbox|tab|tabpanel|textbox|img)$/

/** Nodes of the browser's own accessibility tree without a name. @param {Page} page @returns {Promise<string[]>} */
export async function namesMissing(page) {
  const session = await page.context().newCDPSession(page)
  const { nodes } = await session.send('Accessibility.getFullAXTree')
  await session.detach()
  return nodes.flatMap((node) => {
    const role = String(node.role?.value ?? '')
    if (node.ignored === true || !OPERATED.test(role) || String(node.name?.value ?? '').trim() !== '') return []
    return [`${role} ${JSON.stringify(node.properties ?? [])}`]
  })
}

/** Elements that are wider than the window lets them be. @param {Page} page @returns {Promise<string[]>} */
export function overflowing(page) {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth
    if (document.documentElement.scrollWidth <= width) return []
    return [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > width + 1)
      .map((element) => `${element.tagName} ${element.id} ${element.className}`)
  })
}

/** Text whose contrast is less than 4.5 (3 where it is large), as WCAG computes it. Controls that are off are left
 * out, as there. @param {Page} page @returns {Promise<string[]>} */
export function weakContrasts(page) {
  return page.evaluate(() => {
    /** @param {string} color */
    const parse = (color) => {
      const numbers = (color.match(/[\d.]+/g) ?? []).map(Number)
      const [r = 0, g = 0, b = 0, a = 1] = color.startsWith('color(')
        ? numbers.map((n, i) => (i < 3 ? n * 255 : n))
        : numbers
      return { r, g, b, a }
    }
    /** @param {{ r: number, g: number, b: number }} color */
    const luminance = ({ r, g, b }) => {
      const [x = 0, y = 0, z = 0] = [r, g, b].map((part) => {
        const share = part / 255
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * x + 0.7152 * y + 0.0722 * z
    }
    /** @param {Element} element */
    const groundOf = (element) => {
      for (let at = /** @type {Element | null} */ (element); at !== null; at = at.parentElement) {
        const ground = parse(getComputedStyle(at).backgroundColor)
        if (ground.a === 1) return ground
      }
      return { r: 255, g: 255, b: 255, a: 1 }
    }
    const weak = []
    for (const element of document.querySelectorAll('body *')) {
      const field = element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim() !== '')
      if ((!own && !field) || !element.checkVisibility({ visibilityProperty: true })) continue
      if (element.closest(':disabled, .visually-hidden, .skip, [hidden]') !== null) continue
      const style = getComputedStyle(element)
      const ground = groundOf(element)
      const [low = 0, high = 0] = [luminance(parse(style.color)), luminance(ground)].sort((a, b) => a - b)
      const contrast = (high + 0.05) / (low + 0.05)
      const size = parseFloat(style.fontSize)
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
      if (contrast < (large ? 3 : 4.5)) {
        weak.push(
          `${contrast.toFixed(2)} ${element.tagName} ${element.id} ${element.className}: ${element.textContent}`,
        )
      }
    }
    return weak
  })
}
