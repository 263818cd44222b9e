// The live page: how it loads, that it moves, and when a trip is on it.

import assert from "node:assert/strict";

// shown reads a number that the page shows, by the name that the page gives it.
export async function shown(page, name) {
  const text = await page.locator(`[data-v="${name}"]`).first().textContent();
  return digits(text);
}

// digits is a number as the page writes it, with thin spaces between thousands.
export function digits(text) {
  const bare = text.replace(/[\s\u2009\u202f\u00a0]/g, "").replace("\u2212", "-");
  return /^[+-]?[0-9]/.test(bare) ? Number.parseFloat(bare) : null;
}

// ready waits until the page's scripts have done their part, and the stream is open.
export const ready = (page) => page.locator('body[data-connection="live"]').waitFor();

// until asks again and again, until the answer is one.
export async function until(what, ask, { timeout = 60_000, every = 100 } = {}) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    assert.ok(Date.now() < deadline, `waited ${timeout / 1000} s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

// inPage runs before the page's own scripts: it takes down what the page painted,
// which errors it showed, and when each trip came. Nothing of it is the page's.
function inPage() {
  const seen = (window.__seen = { paints: {}, trips: new Map(), errors: [] });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      seen.paints[entry.name || entry.entryType] = entry.startTime;
      if (entry.name === "first-contentful-paint") {
        seen.numberAtPaint = document.querySelector('[data-v="trips.completed"]')?.textContent.trim() ?? "";
      }
    }
  }).observe({ type: "paint", buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) seen.paints.largest = entry.startTime;
  }).observe({ type: "largest-contentful-paint", buffered: true });

  window.EventSource = class extends EventSource {
    constructor(...given) {
      super(...given);
      // First of all listeners: when the second frame from now begins, the one
      // that the page drew for this message has been painted.
      this.addEventListener("trips", (event) => {
        const { started, ended } = JSON.parse(event.data);
        requestAnimationFrame(() =>
          requestAnimationFrame(() => {
            const now = performance.timeOrigin + performance.now();
            for (const [id] of started ?? []) if (!seen.trips.has(`started ${id}`)) seen.trips.set(`started ${id}`, now);
            for (const [id] of ended ?? []) if (!seen.trips.has(`ended ${id}`)) seen.trips.set(`ended ${id}`, now);
          }),
        );
      });
    }
  };
  setInterval(() => {
    for (const row of document.querySelectorAll("[data-models] tr[data-model]")) {
      const text = (name) => row.querySelector(`[data-v="${name}"]`)?.textContent ?? "";
      seen.errors.push([row.dataset.model, text("trips"), text("mae_s")]);
    }
  }, 250);
}

// loads opens a page as a first visitor does, and on which it is seen what comes.
export async function loads(session, { page: name, url }) {
  const page = await session.page(name, url);
  await page.addInitScript(inPage);
  const network = await page.context().newCDPSession(page);
  await network.send("Network.enable");
  const paths = new Map();
  const received = new Map(); // by request, as far as it is
  const whole = new Map(); // those that are over
  network.on("Network.requestWillBeSent", (e) => paths.set(e.requestId, new URL(e.request.url).pathname));
  network.on("Network.dataReceived", (e) => received.set(e.requestId, (received.get(e.requestId) ?? 0) + e.encodedDataLength));
  network.on("Network.loadingFinished", (e) => whole.set(e.requestId, e.encodedDataLength));

  await page.goto(url, { waitUntil: "load" });
  await page.locator('[data-source="database"][data-state="live"]').waitFor();
  await until("the page shows the trips of the stream", () => page.evaluate(() => window.__seen.trips.size > 0));
  const seen = await page.evaluate(() => ({ ...window.__seen.paints, numberAtPaint: window.__seen.numberAtPaint }));
  await session.shot("live", page);

  const requests = {};
  for (const [id, bytes] of whole) requests[paths.get(id)] = (requests[paths.get(id)] ?? 0) + bytes;
  const stream = [...paths].filter(([, path]) => path === "/stream").map(([id]) => received.get(id) ?? 0);
  await network.detach();
  return {
    firstPaintMS: seen["first-contentful-paint"],
    largestPaintMS: seen.largest,
    numberAtPaint: seen.numberAtPaint ?? "",
    bytes: [...whole.values()].reduce((a, b) => a + b, 0),
    streamBytes: stream.reduce((a, b) => a + b, 0),
    requests,
  };
}

export async function numbersMove(session, { page: name, times }) {
  const page = session.pages.get(name);
  const loaded = await page.evaluate(() => performance.timeOrigin);
  const completed = [await shown(page, "trips.completed")];
  while (completed.length <= times) {
    const before = completed.at(-1);
    completed.push(await until("more trips completed", async () => {
      const now = await shown(page, "trips.completed");
      return now > before && now;
    }));
  }
  assert.equal(await page.evaluate(() => performance.timeOrigin), loaded, "the page was loaded again");
  return completed;
}

export async function errorFalls(session, { page: name, model, trips, by }) {
  const page = session.pages.get(name);
  const read = async () =>
    (await page.evaluate((m) => window.__seen.errors.filter(([name]) => name === m), model))
      .map(([, trips, mae]) => ({ trips: digits(trips), mae: digits(mae) }))
      .filter((e) => e.trips >= trips && e.mae !== null);
  const [from, to] = await until(`the error of ${model} falls by ${100 * by} % after ${trips} trips`, async () => {
    const shown = await read();
    return shown.length > 0 && shown.at(-1).mae <= (1 - by) * shown[0].mae && [shown[0], shown.at(-1)];
  }, { timeout: 90_000 });
  await page.locator("[data-chart] canvas").first().waitFor();
  await page.locator("[data-errors-table] summary").click();
  const row = page.locator("[data-errors-table] tbody tr");
  await row.nth(2).waitFor();
  const buckets = await row.count();
  await session.shot("error-falls", page, { fullPage: true });
  return { model, trips: from.trips, later: to.trips, from: from.mae, to: to.mae, chartedBuckets: buckets };
}

export async function seen(session, { page: name, what, trip }) {
  const page = session.pages.get(name);
  return until(`trip ${trip} ${what} on the page`, () => page.evaluate((key) => window.__seen.trips.get(key) ?? null, `${what} ${trip}`), { every: 10 });
}

// picture waits until so many trips have ended while it looks, and takes a
// picture of the page for each colour scheme.
export async function picture(session, { url, trips, names }) {
  const pages = [];
  for (const colorScheme of Object.keys(names)) {
    const page = await session.page(colorScheme, url, { colorScheme, viewport: { width: 1280, height: 1640 } });
    await page.goto(url);
    pages.push([names[colorScheme], page]);
  }
  for (const [name, page] of pages) {
    await until(`${trips} trips have ended`, async () => (await shown(page, "trips.completed")) >= trips, { timeout: 240_000, every: 1000 });
    await session.shot(name, page);
  }
}
