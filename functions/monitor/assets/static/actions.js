// Promotes and rolls back, after saying what exactly will happen and asking for
// a token. The token is in this variable and nowhere else.

import { put } from './bind.js';
import { number } from './format.js';
import { fetchFragment, putFragment } from './fragment.js';

let token = '';
let by = '';
let last = {}; // the newest view of the models

export const followModels = (models) => (last = models);

export function startActions() {
  const main = document.querySelector('#main');
  main.addEventListener('click', ({ target }) => {
    const button = target.closest('[data-act]');
    if (button) ask(button);
    if (target.closest('[data-act-cancel]')) target.closest('dialog').close();
  });
  main.addEventListener('submit', (event) => {
    if (!event.target.closest('[data-act-dialog]')) return;
    event.preventDefault();
    act(event.target);
  });
  document.documentElement.classList.add('acts');
}

const kinds = {
  promote: {
    verb: 'Promote',
    title: ({ name }) => `Promote ${name}`,
    what: ({ name, expect }) => (expect
      ? `${name} answers instead of ${expect} from the next prediction on. ${expect} goes on predicting and learning in its shadow.`
      : `${name} answers from the next prediction on.`),
    body: ({ expect }) => ({ expect: expect ?? '' }),
    done: ({ name }) => `${name} is the champion now.`,
  },
  rollback: {
    verb: 'Roll back',
    title: ({ name, version }) => `Roll back ${name} to version ${number(Number(version))}`,
    what: ({ name, version, count }) => {
      const model = last.models?.find((m) => m.name === name);
      const next = model ? `version ${number(model.version + 1)}, or a later one if it learns meanwhile` : 'a new version';
      const since = model ? Math.max(0, model.labels - Number(count)) : 0;
      return `Version ${number(Number(version))} is put back as ${next}. What was learned since, ${model ? `${number(since)} labels` : 'all labels after it'}, is forgotten by the model; those labels are not learned again.`;
    },
    // A model that learns has another version with every commit: to insist on one
    // would be to be refused for ever.
    body: ({ version }) => ({ version: Number(version), expect: 0 }),
    done: ({ name, version }, action) => `${name} is back at what version ${number(Number(version))} knew${action.from ? `, as version ${number(Number(action.from) + 1)}` : ''}.`,
  },
};

function ask(button) {
  const dialog = document.querySelector('[data-act-dialog]');
  const kind = kinds[button.dataset.act];
  const form = dialog.querySelector('form');
  dialog.dataset.kind = button.dataset.act;
  dialog.asked = { ...button.dataset };
  put(dialog.querySelector('[data-act-title]'), kind.title(button.dataset));
  put(dialog.querySelector('[data-act-what]'), kind.what(button.dataset));
  put(dialog.querySelector('[data-act-verb]'), kind.verb);
  put(dialog.querySelector('[data-act-problem]'), '');
  form.elements.token.value = token;
  form.elements.by.value = by;
  form.elements.reason.value = '';
  dialog.showModal();
  (['by', 'token', 'reason'].map((name) => form.elements[name]).find((field) => !field.value)).focus();
}

async function act(form) {
  const dialog = form.closest('dialog');
  const { kind } = dialog.dataset;
  const { asked } = dialog;
  const button = form.querySelector('[data-act-verb]');
  const problem = form.querySelector('[data-act-problem]');
  ({ value: by } = form.elements.by);
  button.disabled = true;
  put(problem, '');
  try {
    const answer = await fetch(`/models/${encodeURIComponent(asked.name)}/${kind}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${form.elements.token.value}` },
      body: JSON.stringify({ ...kinds[kind].body(asked), by, reason: form.elements.reason.value }),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      refuse(form, answer.status, said);
      return;
    }
    token = form.elements.token.value;
    dialog.close();
    await finish(kinds[kind].done(asked, said));
  } catch {
    put(problem, 'The monitor does not answer. It is not known whether it was done: the audit trail tells, once it is back.');
  } finally {
    button.disabled = false;
  }
}

function refuse(form, status, { error, way_out: wayOut }) {
  put(form.querySelector('[data-act-problem]'), [error ?? `Refused with status ${status}.`, wayOut].filter(Boolean).join(' '));
  if (status === 401) {
    token = '';
    form.elements.token.select();
    form.elements.token.focus();
  }
}

// Brings the page up to date, then says what was done: a live region has to be
// there before its text is.
async function finish(text) {
  const main = document.querySelector('#main');
  const { ok, html } = await fetchFragment(location.pathname);
  if (ok) putFragment(main, html, true);
  const done = main.querySelector('[data-done]');
  done.hidden = false;
  setTimeout(() => put(done, text), 100);
  main.focus();
}
