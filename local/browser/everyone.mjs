// Whoever looks: with light or dark colours, with a keyboard, on a phone, without
// JavaScript, and with very many trips.

import assert from "node:assert/strict";

import { digits, ready, shown, until } from "./live.mjs";

// axe returns what axe finds on a page as it is now.
async function axe(session, page, where) {
  await page.evaluate(session.axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.flatMap((v) => v.nodes.map((n) => `${where}: ${v.id} (${v.impact}): ${v.help}: ${n.target.join(" ")} ${n.html.slice(0, 200)} ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ""}`));
}

// settle waits until a page shows what it has to.
async function settle(page) {
  await ready(page);
  await page.locator('[data-source="database"][data-state="live"]').waitFor();
  await page.evaluate(() => document.fonts.ready);
}

const named = (path) => path.slice(1).replaceAll("/", "-").replace(/^$/, "live");

// accessible looks at pages in light and dark.
export async function accessible(session, { url, paths, missing }) {
  const violations = [];
  session.watch.expect(missing, "nothing is there");
  for (const colorScheme of ["light", "dark"]) {
    const page = await session.page(colorScheme, url, { colorScheme, reducedMotion: "reduce" });
    for (const path of [...paths, missing]) {
      await page.goto(url + path);
      await settle(page);
      if (path === "/") await page.locator("[data-recent] tbody tr").first().waitFor();
      violations.push(...(await axe(session, page, `${path} in ${colorScheme}`)));
      await session.shot(`${named(path)}-${colorScheme}`, page, { fullPage: true });
    }
    await page.goto(url);
    await settle(page);
    await page.locator("[data-recent] tbody a").first().evaluate((a) => a.click());
    await page.locator("dialog[data-panel] table.said").waitFor();
    violations.push(...(await axe(session, page, `the panel in ${colorScheme}`)));
    await session.shot(`panel-${colorScheme}`, page);
    await session.close(colorScheme);
  }
  session.watch.forget();
  return violations;
}

// dialogAccessible looks at the dialog in which people act.
export async function dialogAccessible(session, { url, model }) {
  const violations = [];
  for (const colorScheme of ["light", "dark"]) {
    const page = await session.page(colorScheme, url, { colorScheme, reducedMotion: "reduce" });
    await page.goto(`${url}/models/${model}`);
    await ready(page);
    await page.locator('[data-act="rollback"]').last().click();
    await page.locator("dialog[data-act-dialog]").waitFor();
    violations.push(...(await axe(session, page, `the dialog in ${colorScheme}`)));
    await session.shot(`dialog-${colorScheme}`, page);
    await session.close(colorScheme);
  }
  return violations;
}

// widths are of screens, in pixels; the last is a phone's.
const widths = [1280, 1250, 1120, 1000, 768, 360];

// fits returns the pages that are wider than a screen, and tiles of the live page
// that are too narrow for what is in them.
export async function fits(session, { url, paths, missing }) {
  const page = await session.page("phone", url, { viewport: { width: 360, height: 740 }, hasTouch: true, deviceScaleFactor: 2 });
  session.watch.expect(missing, "nothing is there");
  const wrong = [];
  for (const path of [...paths, missing]) {
    await page.goto(url + path);
    await settle(page);
    for (const width of widths) {
      await page.setViewportSize({ width, height: 740 });
      // What is drawn learns of it in the next frame.
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      const { whole, reaching, cut } = await page.evaluate((width) => ({
        whole: document.scrollingElement.scrollWidth,
        reaching: [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right + window.scrollX > width + 0.5).map((e) => e.outerHTML.slice(0, 120)).slice(-3),
        cut: [...document.querySelectorAll(".tiles *")].filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline").map((e) => e.innerText),
      }), width);
      if (whole > width) wrong.push(`${path} is ${whole} pixels wide on ${width}: ${reaching.join(" | ")}`);
      if (cut.length > 0) wrong.push(`${path} on ${width} pixels has no room for ${cut.join(" | ")}`);
    }
    await session.shot(`${named(path)}-phone`, page, { fullPage: true });
  }
  session.watch.forget();
  await session.close("phone");
  return wrong;
}

// keyboard goes to a model's page and to a trip by keys alone.
export async function keyboard(session, { url }) {
  const page = await session.page("keyboard", url);
  await page.goto(url);
  await settle(page);
  await page.locator("[data-recent] tbody tr").first().waitFor();

  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content", "what the first Tab reaches");
  const reached = [];
  const reach = async (what, is) => {
    for (let i = 0; i < 120; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const e = document.activeElement;
        const style = getComputedStyle(e);
        // A trip in the list of those that ended is replaced by the next ones.
        return {
          tag: e.tagName, text: e.textContent.trim().slice(0, 40), href: e.getAttribute("href") ?? "", map: e.hasAttribute("data-map"), recent: !!e.closest("[data-recent]"),
          ring: style.outlineStyle !== "none" || style.boxShadow !== "none",
        };
      });
      reached.push(at);
      if (is(at)) {
        assert.ok(at.ring, `${what} has the focus and does not show it`);
        return;
      }
    }
    assert.fail(`Tab never reaches ${what}; it reaches ${reached.map((r) => `${r.tag} ${r.text}`).join(", ")}`);
  };
  await reach("the page of models", (at) => at.href === "/models");
  await reach("the map", (at) => at.map);
  await page.keyboard.press("+");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("0");
  await page.keyboard.press("Enter");
  const panel = page.locator("dialog[data-panel]");
  await panel.locator("table.said").waitFor();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
  await until("the focus is back where it was", () => page.evaluate(() => document.activeElement.hasAttribute("data-map")));
  await reach("a trip that has ended", (at) => at.recent);
  await page.keyboard.press("Enter");
  await panel.locator("table.said").waitFor();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
  await session.close("keyboard");
}

// withoutScript returns what pages show of numbers, without JavaScript.
export async function withoutScript(session, { url, model, trip }) {
  const page = await session.page("no-script", url, { javaScriptEnabled: false });
  const texts = async (selector) => {
    const all = await page.locator(selector).allTextContents();
    assert.ok(all.length > 0, `nothing like ${selector} on ${page.url()}`);
    for (const text of all) assert.match(text, /\d/, `no number in ${selector} of ${page.url()}: ${JSON.stringify(text)}`);
    return all.length;
  };
  const see = async (path, ...selectors) => {
    await page.goto(url + path);
    for (const selector of selectors) await texts(selector);
    assert.deepEqual(await page.locator("button:visible").allTextContents(), [], `buttons that do nothing on ${path}`);
    await session.shot(`${named(path)}-no-script`, page, { fullPage: true });
  };
  // Nothing lags where nothing has started for a while.
  await until("a trip was predicted lately", async () => {
    await page.goto(url);
    return /\d/.test(await page.locator('[data-v="lag.p99_ms"]').first().textContent());
  });
  await see("/", '[data-v="trips.completed"]', '[data-v="lag.p99_ms"]', '[data-v="clock"]', '[data-models] [data-v="mae_s"]', '[data-models] [data-v="version"]', "[data-errors-table] tbody tr", "[data-segment] tr.count");
  const completed = await shown(page, "trips.completed");
  await see("/models", '[data-models] [data-v="mae_s"]', '[data-models] [data-v="labels"]');
  await see(`/models/${model}`, 'dl [data-v="version"]', 'dl [data-v="mae_s"]', "table tbody tr");
  await see(`/trips/${trip}`, "table.said tbody tr", "table.features tbody tr", ".timeline li");
  await see("/audit", "table tbody tr");
  await see("/dead-letters", ".letters li");
  await session.close("no-script");
  return completed;
}

// deadLetter waits for a dead letter on the live page, and sees it on its own.
export async function deadLetter(session, { page: name, url }) {
  const live = session.pages.get(name);
  await until("a dead letter is counted", async () => (await shown(live, "dead_letters")) === 1);
  const page = await session.page("dead-letters", url);
  await page.goto(`${url}/dead-letters`);
  const text = await page.locator(".letters li").first().innerText();
  await page.locator(".letters summary").first().click();
  const type = await page.locator(".letters dl.attributes").first().innerText();
  await session.shot("dead-letter", page, { fullPage: true });
  await session.close("dead-letters");
  return text + "\n" + type;
}

// manyTrips drags the map when there are very many trips on it, and returns how
// long frames took, in milliseconds, in ascending order.
export async function manyTrips(session, { url, trips }) {
  const page = await session.page("many", url);
  await page.goto(url);
  const count = page.locator("[data-map-count]");
  await until(`${trips} trips are on the map`, async () => {
    const numbers = (await count.innerText()).match(/\d[\d\s\u2009\u202f\u00a0]*/g) ?? [];
    return numbers.some((n) => digits(n) >= trips);
  }).catch(async (error) => {
    throw new Error(`${error.message}; the map says: ${await count.innerText()}`);
  });
  const map = page.locator("[data-map]");
  await map.scrollIntoViewIfNeeded();
  const box = await map.boundingBox();
  const middle = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  await page.evaluate(() => {
    window.__frames = [];
    let last = performance.now();
    requestAnimationFrame(function frame(now) {
      window.__frames.push(now - last);
      last = now;
      requestAnimationFrame(frame);
    });
  });
  await page.mouse.move(middle.x, middle.y);
  await page.mouse.down();
  for (let i = 0; i < 90; i++) await page.mouse.move(middle.x + 120 * Math.sin(i / 10), middle.y + 60 * Math.cos(i / 10));
  await page.mouse.up();
  const frames = await page.evaluate(() => window.__frames.slice(1));
  await session.shot("many-trips", page);
  const said = await count.innerText();
  await session.close("many");
  return { frames: frames.sort((a, b) => a - b), said };
}
