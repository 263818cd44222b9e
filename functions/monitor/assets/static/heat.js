// Tables whose cells are coloured by the error in them. The numbers stay: colour
// only shows where to look.

import { element, put } from './bind.js';
import { paintSwatches } from './colours.js';
import { NOTHING, cell, number } from './format.js';

const STEPS = 6;

// The scale goes from the least to what three of four cells stay below, twice:
// a model that has exploded is dark, and takes nothing from the others.
export function scaleOf(rows) {
  const all = rows.flat().filter((x) => x != null).sort((a, b) => a - b);
  if (!all.length) return () => undefined;
  const low = all[0];
  const high = Math.min(all.at(-1), all[Math.floor((all.length - 1) * 0.75)] * 2);
  return (x) => {
    if (x == null) return undefined;
    if (high <= low) return 0;
    return Math.max(0, Math.min(STEPS - 1, Math.floor(((x - low) / (high - low)) * STEPS)));
  };
}

// The least of each column, where there is a choice.
export function leastOf(rows, columns) {
  return Array.from({ length: columns }, (_, c) => {
    let least = -1;
    let values = 0;
    rows.forEach((row, r) => {
      if (row[c] == null) return;
      values++;
      if (least < 0 || row[c] < rows[least][c]) least = r;
    });
    return values > 1 ? least : -1;
  });
}

export function showSegments(id, segment, models) {
  const table = document.querySelector(`table[data-segment="${id}"]`);
  const names = (models?.models ?? []).map((m) => m.name);
  const empty = !names.length || !segment.trips.some((n) => n > 0);
  document.querySelector(`[data-empty="${id}"]`).hidden = !empty;
  table.hidden = empty;
  if (empty) return;
  layOut(table, names, segment.labels);
  const rows = names.map((name) => segment.models[name] ?? []);
  const heat = scaleOf(rows);
  const least = leastOf(rows, segment.labels.length);
  rows.forEach((row, r) => {
    const cells = table.tBodies[0].rows[r].cells;
    segment.labels.forEach((_, c) => paint(cells[c + 1], row[c], heat(row[c]), least[c] === r));
  });
  const counts = table.tBodies[0].rows[names.length].cells;
  segment.labels.forEach((_, c) => put(counts[c + 1], number(segment.trips[c] ?? 0)));
}

function paint(cellElement, value, heat, least) {
  put(cellElement, value == null ? NOTHING : cell(value));
  const { dataset } = cellElement;
  if (heat === undefined) delete dataset.heat;
  else if (dataset.heat !== String(heat)) dataset.heat = heat;
  if (least !== 'least' in dataset) least ? (dataset.least = '') : delete dataset.least;
}

// Makes rows and columns those of the data, if they are not already.
function layOut(table, names, labels) {
  const key = JSON.stringify([names, labels]);
  if (table.dataset.layout === key) return;
  table.dataset.layout = key;
  const column = (label) => element('th', { scope: 'col', class: 'n' }, label);
  const cells = () => labels.map(() => element('td', { class: 'n' }));
  table.tHead.rows[0].replaceChildren(element('th', { scope: 'col' }, 'Model'), ...labels.map(column));
  table.tBodies[0].replaceChildren(
    ...names.map((name) => element('tr', {},
      element('th', { scope: 'row' }, element('span', { class: 'swatch', 'data-swatch': name }), name), ...cells())),
    element('tr', { class: 'count' }, element('th', { scope: 'row' }, 'trips'), ...cells()),
  );
  paintSwatches(table);
}
