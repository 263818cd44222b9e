// Rows of models, wherever they stand: the table of the live page follows the
// catalogue, the others only bring the rows up to date that they have.

import { bind, marks, put } from './bind.js';
import { learnModels, paintSwatches } from './colours.js';
import { ago, change } from './format.js';

let known = [];

// What was committed some seconds ago was so without any news, too.
export function startAges() {
  setInterval(() => {
    for (const model of known) {
      for (const age of document.querySelectorAll(`[data-model="${CSS.escape(model.name)}"] [data-f="ago"]`)) {
        put(age, ago(model.committed_at));
      }
    }
  }, 1000);
}

export function showModels({ models, champion }) {
  known = models;
  learnModels(models.map((m) => m.name));
  follow(document.querySelector('template[data-row]'), models);
  for (const model of models) {
    for (const row of document.querySelectorAll(`[data-model="${CSS.escape(model.name)}"]`)) {
      bind(row, model);
      marks(row, model);
      showTrend(row, model);
    }
  }
  for (const button of document.querySelectorAll('[data-act="promote"]')) button.dataset.expect = champion.model;
}

// Makes the rows of the live page's table those of the catalogue.
function follow(blank, models) {
  const body = blank && document.querySelector('table[data-models] tbody');
  if (!body) return;
  document.querySelector('[data-empty="models"]').hidden = models.length > 0;
  const names = models.map((m) => m.name);
  const have = [...body.rows].map((row) => row.dataset.model);
  if (names.length === have.length && names.every((name, i) => name === have[i])) return;
  body.replaceChildren(...models.map(({ name }) => {
    const row = blank.content.querySelector('tr').cloneNode(true);
    row.dataset.model = name;
    row.querySelector('[data-swatch]').dataset.swatch = name;
    const link = row.querySelector('[data-link]');
    link.href = `/models/${encodeURIComponent(name)}`;
    link.textContent = name;
    return row;
  }));
  paintSwatches(body);
}

const WORDS = { better: ', better', worse: ', worse', same: ', as before' };

function showTrend(row, model) {
  const cell = row.querySelector('[data-change]');
  if (!cell) return;
  const { trend } = model.trips ? change(model.mae_change_s) : { trend: '' };
  if (cell.dataset.trend !== trend) cell.dataset.trend = trend;
  put(cell.querySelector('[data-trend-word]'), WORDS[trend] ?? '');
}
