// A browser for the tests in Go: it reads {id, step, arguments} a line, takes the
// step of that name, and answers with {id, result} or {id, error}. At the end of
// the input it closes the browser.

import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import * as steps from "./steps.mjs";
import { Watch } from "./watch.mjs";

const require = createRequire(join(resolve(process.env.TRIPCAST_BROWSER), "package.json"));
const { chromium } = require("playwright-core");
const output = process.env.TRIPCAST_BROWSER_OUTPUT;

const browser = await chromium.launch({
  executablePath: process.env.TRIPCAST_CHROMIUM,
  headless: true,
  chromiumSandbox: false,
  args: ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// What a step works with.
const session = {
  axe: require("axe-core").source,
  watch: new Watch((line) => appendFileSync(join(output, "console.log"), line + "\n")),
  pages: new Map(),

  // page opens a page of its own context, as one visitor has it.
  async page(name, url, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    context.setDefaultTimeout(30_000);
    const page = await context.newPage();
    await this.watch.page(page, name, new URL(url).origin);
    this.pages.set(name, page);
    return page;
  },

  async close(name) {
    await this.pages.get(name)?.context().close();
    this.pages.delete(name);
  },

  async shot(name, page, options = {}) {
    await page.screenshot({ path: join(output, name + ".png"), animations: "disabled", ...options });
  },
};

// failed keeps how every page looked when a step failed, and closes those that it
// would have closed.
async function failed(step, before) {
  for (const [name, page] of session.pages) {
    await session.shot(`failed-${step}-${name}`, page, { timeout: 5_000 }).catch(() => {});
    if (!before.has(name)) await session.close(name);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, step, arguments: given } = JSON.parse(line);
  const answer = { id };
  const before = new Set(session.pages.keys());
  try {
    answer.result = (await steps[step](session, given ?? {})) ?? null;
  } catch (error) {
    answer.error = String(error.stack ?? error).replace(/\x1b\[\d+m/g, "");
    await failed(step, before);
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await browser.close();
