// One trip: found on the map and in the list, in the panel and on its page.

import assert from "node:assert/strict";

import { until } from "./live.mjs";

const panel = (page) => page.locator("dialog[data-panel]");
const topics = (place) => place.locator(".timeline .topic").allTextContents();

// wantEvents waits until these are the topics of the trip's events, in order.
async function wantEvents(place, want) {
  let got;
  await until(`events of ${want}`, async () => {
    got = await topics(place);
    return got.join() === want.join();
  }).catch((error) => {
    throw new Error(`${error.message}; there are those of ${got}`);
  });
}

// said are the predictions: every model's, one of the champion, each a time.
async function said(page, place) {
  const models = await page.locator("table[data-models] tbody tr").count();
  const rows = await place.locator("table.said tbody tr:not(.truth)").allInnerTexts();
  assert.equal(rows.length, models, `there are ${models} models, and the trip shows predictions of ${rows.length}`);
  for (const row of rows) assert.match(row, /\d\s*(s|min|h)\b/, `no predicted time in ${JSON.stringify(row)}`);
  assert.equal(await place.locator("table.said tr.is-champion").count(), 1, "predictions of the champion");
}

// fromMap clicks where a trip is on the map and sees it in the panel, on its way.
export async function fromMap(session, { page: name, trip, lon, lat }) {
  const page = session.pages.get(name);
  const at = await find(page, trip, lon, lat);
  await page.mouse.click(at.x, at.y);
  await panel(page).getByRole("heading", { name: `Trip ${trip}` }).waitFor();
  await panel(page).getByText("On its way").waitFor();
  await said(page, panel(page));
  const features = await panel(page).locator("table.features tbody tr").allInnerTexts();
  assert.ok(features.length > 3, `only these features: ${features}`);
  for (const feature of features) assert.match(feature, /\d/, `no value in ${JSON.stringify(feature)}`);
  await wantEvents(panel(page), ["pick_ups", "features", "predictions"]);
  await session.shot("trip-on-its-way", page);
}

// ends sees the truth come to the panel that is open.
export async function ends(session, { page: name, trip, took }) {
  const page = session.pages.get(name);
  await panel(page).locator("tr.truth").waitFor();
  const truth = await panel(page).locator("tr.truth").innerText();
  assert.ok(truth.replace(/\s/g, " ").includes(took), `${JSON.stringify(truth)} does not say ${took}`);
  await wantEvents(panel(page), ["pick_ups", "features", "predictions", "drop_offs", "labels"]);
  const events = panel(page).locator(".timeline li");
  const all = [];
  for (let i = 0; i < (await events.count()); i++) {
    await events.nth(i).locator("summary").click();
    const names = await events.nth(i).locator("dl.attributes dt").allTextContents();
    const values = await events.nth(i).locator("dl.attributes dd").allTextContents();
    const attributes = Object.fromEntries(names.map((n, j) => [n, values[j]]));
    for (const required of ["id", "source", "type", "subject"]) assert.ok(attributes[required], `event ${i} has no ${required}: ${JSON.stringify(attributes)}`);
    assert.equal(attributes.subject, trip);
    JSON.parse(await events.nth(i).locator("pre").textContent());
    all.push(attributes.type);
  }
  await session.shot("trip-ended", page);
  return all;
}

// leave closes the panel with Escape, and goes back and forth.
export async function leave(session, { page: name }) {
  const page = session.pages.get(name);
  const closed = () => panel(page).waitFor({ state: "hidden" });
  await page.keyboard.press("Escape");
  await closed();
  assert.equal(new URL(page.url()).pathname, "/", "the address after Escape");

  const link = page.locator("[data-recent] tbody a").first();
  const before = await page.evaluate(() => performance.timeOrigin);
  // The list moves on while it is clicked.
  await link.evaluate((a) => a.click());
  await panel(page).locator("table.said").waitFor();
  const trip = await panel(page).locator("[data-trip]").getAttribute("data-trip");
  assert.equal(new URL(page.url()).pathname, `/trips/${trip}`, "the address of an open panel");
  await page.goBack();
  await closed();
  assert.equal(new URL(page.url()).pathname, "/", "the address after going back");
  await page.goForward();
  await panel(page).locator("table.said").waitFor();
  await page.locator("[data-panel-close]").click();
  await closed();
  assert.equal(await page.evaluate(() => performance.timeOrigin), before, "the page was loaded again");
  return trip;
}

// find moves the mouse over the map, near a place, until the map says that the
// trip is there. The map shows the whole city.
async function find(page, trip, lon, lat) {
  const map = page.locator("[data-map]");
  await map.scrollIntoViewIfNeeded();
  const box = await map.boundingBox();
  const near = await page.evaluate(async ([lon, lat, width, height]) => {
    const { View, planeX, planeY } = await import("/static/projection.js");
    const view = new View();
    view.resize(width, height);
    view.home();
    return { x: view.toX(planeX(lon)), y: view.toY(planeY(lat)) };
  }, [lon, lat, box.width, box.height]);
  return until(`trip ${trip} is on the map near ${near.x}, ${near.y}`, async () => {
    for (const [x, y] of around({ x: box.x + near.x, y: box.y + near.y }, 16)) {
      await page.mouse.move(x, y);
      if ((await page.locator("[data-map-tip]").textContent()).includes(trip)) return { x, y };
    }
  });
}

// around are the points of a spiral.
function* around({ x, y }, radius) {
  yield [x, y];
  for (let r = 4; r <= radius; r += 4) {
    for (let d = -r; d < r; d += 4) yield* [[x + d, y - r], [x + r, y + d], [x - d, y + r], [x - r, y - d]];
  }
}
