// harness_tab.mjs: a tab of a browser whose pages Playwright or Puppeteer drives: both name these calls alike.

export class PageTab {
  constructor(page, session) {
    this.page = page
    this.session = session
  }

  async reload() {
    this.session.expectReload()
    await this.page.goto(this.session.url)
    await this.session.ready()
  }

  async close() {
    await this.page.close()
  }
}
