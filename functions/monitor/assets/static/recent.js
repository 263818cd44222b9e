// The trips that ended last, as a table of links: the map for those who cannot
// point at it.

import { element } from './bind.js';
import { seconds, signedWhole } from './format.js';
import { classOf } from './trips.js';

const ROWS = 16;
const WORDS = ['far too short', 'too short', 'about right', 'too long', 'far too long'];

export class Recent {
  #newest = [];
  #pending = false;

  constructor(table, open) {
    this.table = table;
    table.addEventListener('click', (event) => {
      const link = event.target.closest('a[data-trip]');
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      open(link.dataset.trip, link);
    });
    table.addEventListener('focusout', () => this.#pending && this.#draw());
    table.addEventListener('pointerleave', () => this.#pending && this.#draw());
  }

  show({ reset, ended }) {
    if (reset) this.#newest = [];
    if (!ended.length && !reset) return;
    this.#newest = [...ended.slice(-ROWS).reverse(), ...this.#newest].slice(0, ROWS);
    document.querySelector('[data-empty="recent"]').hidden = this.#newest.length > 0;
    this.table.hidden = this.#newest.length === 0;
    this.#draw();
  }

  // Rows do not move away under a pointer or a focus: what is new waits.
  #draw() {
    this.#pending = this.table.matches(':hover, :focus-within');
    if (this.#pending) return;
    const body = this.table.tBodies[0];
    this.#newest.forEach((trip, i) => {
      const row = body.rows[i] ?? body.appendChild(blank());
      if (row.dataset.trip !== trip[0]) fill(row, trip);
    });
    while (body.rows.length > this.#newest.length) body.rows[body.rows.length - 1].remove();
  }
}

function blank() {
  return element('tr', {},
    element('th', { scope: 'row' }, element('a')), element('td', { class: 'n' }), element('td', { class: 'n' }),
    element('td', { class: 'n' }, element('span', { class: 'off' }, element('span', { class: 'dot' }), element('span'), element('span', { class: 'quiet' }))));
}

function fill(row, [id, , , predicted, actual]) {
  row.dataset.trip = id;
  const link = row.querySelector('a');
  link.href = `/trips/${encodeURIComponent(id)}`;
  link.dataset.trip = id;
  link.textContent = id;
  row.cells[1].textContent = seconds(predicted);
  row.cells[2].textContent = seconds(actual);
  const [dot, off, words] = row.querySelector('.off').children;
  const c = classOf(predicted, actual);
  dot.className = `dot e${c}`;
  off.textContent = signedWhole(predicted - actual);
  words.textContent = `, ${WORDS[c]}`;
}
