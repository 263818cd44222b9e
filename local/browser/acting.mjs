// Promoting and rolling back from the page, with a token and without one.

import assert from "node:assert/strict";

import { ready, shown, until } from "./live.mjs";

const dialog = (page) => page.locator("dialog[data-act-dialog]");

const reasoned = (page) => dialog(page).getByLabel(/^Reason/);

async function fill(page, { token, by, reason }) {
  await dialog(page).getByLabel(/^Token/).fill(token);
  await dialog(page).getByLabel(/^Your name/).fill(by);
  await reasoned(page).fill(reason);
  await dialog(page).locator("[data-act-verb]").click();
}

// promote makes another model the champion: first with a token that is wrong,
// which is told in place, then with the right one.
export async function promote(session, { page: name, url, model, wrong, token, by, reason }) {
  const page = session.pages.get(name) ?? (await session.page(name, url));
  await page.goto(`${url}/models/${model}`);
  await ready(page);
  await page.locator('[data-act="promote"]').click();
  await dialog(page).waitFor();
  await insideDialog(page);
  session.watch.expect(`/models/${model}/promote`, "the token is wrong");
  await fill(page, { token: wrong, by, reason });
  const problem = dialog(page).locator("[data-act-problem]");
  await problem.filter({ hasText: /token/i }).waitFor();
  await session.shot("token-wrong", page);
  const told = await problem.innerText();
  assert.ok(await dialog(page).isVisible(), "the dialog stays");
  assert.equal(await reasoned(page).inputValue(), reason, "what was written stays");
  session.watch.forget();

  await fill(page, { token, by, reason });
  await dialog(page).waitFor({ state: "hidden" });
  await page.locator("[data-done]").filter({ hasText: model }).waitFor();
  await page.locator('header [data-show="champion"]').waitFor();
  await session.shot("promoted", page);
  return { told, done: await page.locator("[data-done]").innerText() };
}

// insideDialog presses Tab more often than there are places to go: the focus does
// not get out of the dialog, to what lies below it.
async function insideDialog(page) {
  for (let i = 0; i < 14; i++) {
    await page.keyboard.press("Tab");
    const outside = await page.evaluate(() => {
      const at = document.activeElement;
      return at && at !== document.body && !at.closest("dialog[open]") ? at.outerHTML : "";
    });
    assert.equal(outside, "", "the focus left the dialog");
  }
}

// rollback puts the oldest snapshot back.
export async function rollback(session, { page: name, url, model, token, by, reason }) {
  const page = session.pages.get(name);
  await page.goto(`${url}/models/${model}`);
  await ready(page);
  const button = page.locator('[data-act="rollback"]').last();
  const version = await button.getAttribute("data-version");
  await button.click();
  await dialog(page).waitFor();
  await fill(page, { token, by, reason });
  await dialog(page).waitFor({ state: "hidden" });
  await page.locator("[data-done]").filter({ hasText: version }).waitFor();
  await page.reload();
  await page.getByText(`rollback to ${version}`).first().waitFor();
  await session.shot("rolled-back", page, { fullPage: true });
  return Number(version);
}

// audit returns the newest entries of the audit trail, as rows of text.
export async function audit(session, { page: name, url }) {
  const page = session.pages.get(name);
  await page.goto(`${url}/audit`);
  await page.locator("table tbody tr").first().waitFor();
  await session.shot("audit", page);
  return page.locator("table tbody tr").allInnerTexts();
}

// readOnly sees numbers, and that there is nothing to press, and why.
export async function readOnly(session, { url, model }) {
  const page = await session.page("read-only", url);
  await page.goto(url);
  await until("trips completed", async () => (await shown(page, "trips.completed")) > 0);
  assert.equal(await page.locator("[data-act]").count(), 0, "buttons on the live page");
  for (const path of ["/models", `/models/${model}`, "/audit"]) {
    await page.goto(url + path);
    await page.getByText("read-only").first().waitFor();
    assert.equal(await page.locator("[data-act]").count(), 0, `buttons on ${path}`);
  }
  await page.goto(`${url}/models/${model}`);
  await session.shot("read-only", page, { fullPage: true });
  await session.close("read-only");
}
