// What the page says while something is away, and that it recovers by itself.

import assert from "node:assert/strict";

import { shown, until } from "./live.mjs";

const state = (page, source, is) => page.locator(`[data-source="${source}"][data-state="${is}"]`).waitFor();
const numbers = ["trips.completed", "trips.in_progress"];

// away waits until the page says that a source is, and sees that values stay.
export async function away(session, { page: name, source, word }) {
  const page = session.pages.get(name);
  await state(page, source, "away");
  const news = page.locator("[data-news]");
  await news.filter({ hasText: new RegExp(word, "i") }).waitFor();
  for (const number of numbers) assert.ok((await shown(page, number)) > 0, `${number} is not shown any more`);
  const maes = await page.locator('[data-models] [data-v="mae_s"]').allTextContents();
  assert.ok(maes.length > 0 && maes.every((t) => /\d/.test(t)), `errors are ${maes}`);
  await session.shot(`${source}-away`, page);
  return { said: await news.innerText(), completed: await shown(page, "trips.completed") };
}

// standsStill opens the page anew while the database is away: it has the last
// values all the same.
export async function standsStill(session, { url }) {
  const page = await session.page("late", url);
  await page.goto(url);
  const completed = await shown(page, "trips.completed");
  await state(page, "database", "away");
  await session.close("late");
  return completed;
}

// back waits until a source is live again and numbers move, without a reload.
export async function back(session, { page: name, source }) {
  const page = session.pages.get(name);
  await state(page, source, "live");
  await page.locator("[data-news]").waitFor({ state: "hidden" });
  const before = await shown(page, "trips.completed");
  await until("more trips completed", async () => (await shown(page, "trips.completed")) > before);
  await session.shot(`${source}-back`, page);
}

// losing is told before the server goes away: from then on its stream may fail.
export const losing = (session) => session.watch.expect("/stream", "the dashboard is away");

// lost waits until the page says that its server does not answer.
export async function lost(session, { page: name }) {
  const page = session.pages.get(name);
  const news = page.locator("[data-news]");
  await news.waitFor();
  const said = await news.innerText();
  await session.shot("dashboard-away", page);
  return said;
}

// found waits until the page is up to date again.
export async function found(session, { page: name }) {
  await back(session, { page: name, source: "database" });
  session.watch.forget();
}

// early opens the page of a dashboard that has not seen its database yet, and
// stays until it has.
export async function early(session, { url }) {
  const page = await session.page("early", url);
  await page.goto(url);
  await session.shot("database-never-seen", page, { fullPage: true });
  const states = await page.locator('[data-source="database"]').innerText();
  return states;
}

// close closes a page.
export const close = (session, { page }) => session.close(page);
