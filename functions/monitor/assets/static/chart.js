// Error over time: a line for each model, over the city's clock.

import uPlot from './vendor/uPlot.esm.js';
import { element, put } from './bind.js';
import { colourOf, css, dashOf, onTheme, paintSwatches } from './colours.js';
import { robustRange } from './range.js';
import { NOTHING, cell, clock, error, hours, number } from './format.js';

const HEIGHT = 280;

// Only powers of ten: a logarithmic scale has nine lines between two of them.
function decades(plot, axis, low, high) {
  const from = Math.ceil(Math.log10(low));
  return Array.from({ length: Math.max(0, Math.floor(Math.log10(high)) - from + 1) }, (_, i) => 10 ** (from + i));
}

export class Chart {
  #plot;
  #view = { width_ms: 0, buckets: [], trips: [], models: {} };
  #names = [];
  #champion = '';
  #off = new Set();
  #all = false;

  constructor(place) {
    this.place = place;
    this.legend = document.querySelector('[data-legend]');
    this.beyond = document.querySelector('[data-beyond]');
    this.at = document.querySelector('[data-errors-at]');
    this.about = this.at.textContent;
    this.table = document.querySelector('[data-errors-table]');
    const label = document.querySelector('[data-show-all]');
    label.querySelector('input').addEventListener('change', ({ target }) => {
      this.#all = target.checked;
      this.#build();
    });
    this.table.addEventListener('toggle', () => this.#fillTable());
    new ResizeObserver(() => this.#resize()).observe(place.parentElement);
    onTheme(() => this.#build());
  }

  models({ models, champion }) {
    const names = models.map((m) => m.name);
    if (names.join() === this.#names.join() && champion.model === this.#champion) return;
    this.#names = names;
    this.#champion = champion.model;
    this.#build();
  }

  show(view) {
    this.#view = view;
    const empty = view.buckets.length === 0;
    document.querySelector('[data-empty="errors"]').hidden = !empty;
    document.querySelector('[data-show-all]').hidden = empty;
    this.table.hidden = empty;
    if (!this.#plot) this.#build();
    else this.#plot.setData(this.#data());
    this.#tell();
    if (this.table.open) this.#fillTable();
  }

  #data() {
    const { buckets, models } = this.#view;
    return [buckets.map((ms) => ms / 1000), ...this.#names.map((name) => {
      const values = models[name] ?? [];
      // A logarithm has no zero.
      return buckets.map((_, i) => (this.#all && values[i] === 0 ? null : values[i] ?? null));
    })];
  }

  #shown() {
    return this.#names.filter((name) => !this.#off.has(name)).map((name) => this.#view.models[name] ?? []);
  }

  // Scales and colours of a plot are fixed when it is made, so others need
  // another plot.
  #build() {
    this.#plot?.destroy();
    this.#plot = undefined;
    if (!this.#names.length || !this.#view.buckets.length) return;
    this.place.replaceChildren();
    this.#plot = new uPlot(this.#options(), this.#data(), this.place);
    this.#buildLegend();
    this.#tell();
  }

  #options() {
    const ink = css('--ink-2');
    const grid = { stroke: css('--line'), width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: '12px system-ui, sans-serif' };
    return {
      width: this.place.clientWidth || 400,
      height: HEIGHT,
      padding: [10, 20, 0, 0],
      tzDate: (s) => uPlot.tzDate(new Date(s * 1000), 'Etc/UTC'), // the city's clock is written so
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: {
        x: { time: true },
        y: this.#all ? { distr: 3 } : { range: () => robustRange(this.#shown()) },
      },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((s) => hours(s * 1000)), space: 64, size: 30 },
        { ...axis, values: (_, ticks) => ticks.map((v) => (v == null ? '' : `${cell(v)}\u00a0s`)), size: 70, ...(this.#all ? { splits: decades } : {}) },
      ],
      series: [{}, ...this.#names.map((name) => ({
        label: name,
        show: !this.#off.has(name),
        stroke: colourOf(name),
        dash: dashOf(name),
        width: name === this.#champion ? 2.75 : 1.5,
        points: { show: this.#view.buckets.length < 3 },
        spanGaps: true,
      }))],
      hooks: { setCursor: [(plot) => this.#tell(plot.cursor.idx)] },
    };
  }

  #buildLegend() {
    const focus = document.activeElement?.closest('[data-legend] button')?.dataset.name;
    this.legend.replaceChildren(...this.#names.map((name) => {
      const button = element('button', { type: 'button', 'data-name': name, 'aria-pressed': String(!this.#off.has(name)) },
        element('span', { class: 'swatch', 'data-swatch': name }), name, element('span', { class: 'value' }));
      button.addEventListener('click', () => this.#toggle(name, button));
      return element('li', {}, button);
    }));
    paintSwatches(this.legend);
    if (focus) this.legend.querySelector(`[data-name="${CSS.escape(focus)}"]`)?.focus();
  }

  #toggle(name, button) {
    if (!this.#off.delete(name)) this.#off.add(name);
    const shown = !this.#off.has(name);
    button.setAttribute('aria-pressed', String(shown));
    this.#plot.setSeries(this.#names.indexOf(name) + 1, { show: shown });
    this.#tell();
  }

  // Says the values under the pointer, or the newest.
  #tell(index) {
    const { buckets, models, trips } = this.#view;
    const i = index ?? this.#plot?.cursor.idx ?? buckets.length - 1;
    for (const button of this.legend.querySelectorAll('button')) {
      const value = models[button.dataset.name]?.[i];
      put(button.querySelector('.value'), value == null ? NOTHING : error(value));
    }
    put(this.at, buckets[i] === undefined ? this.about : `Trips that ended ${clock(buckets[i])} to ${hours(buckets[i] + this.#view.width_ms)}: ${number(trips[i])}`);
    put(this.beyond, this.#all ? '' : this.#beyondText());
  }

  #beyondText() {
    const [, high] = robustRange(this.#shown());
    const beyond = this.#names.filter((name) => !this.#off.has(name)).map((name) => {
      const most = Math.max(...(this.#view.models[name] ?? []).filter((x) => x != null));
      return most > high ? `${name} up to ${error(most)}` : '';
    }).filter(Boolean);
    return beyond.length ? `Above what is shown: ${beyond.join(', ')}.` : '';
  }

  #resize() {
    if (this.#plot && this.place.clientWidth) this.#plot.setSize({ width: this.place.clientWidth, height: HEIGHT });
  }

  #fillTable() {
    if (!this.table.open) return;
    const { buckets, trips, models } = this.#view;
    const table = this.table.querySelector('table');
    table.tHead.rows[0].replaceChildren(
      element('th', { scope: 'col' }, 'City’s clock'), element('th', { scope: 'col', class: 'n' }, 'Trips'),
      ...this.#names.map((name) => element('th', { scope: 'col', class: 'n' }, name)));
    table.tBodies[0].replaceChildren(...buckets.map((at, i) => element('tr', {},
      element('th', { scope: 'row' }, clock(at)), element('td', { class: 'n' }, number(trips[i])),
      ...this.#names.map((name) => element('td', { class: 'n' }, models[name]?.[i] == null ? NOTHING : cell(models[name][i])))),
    ).reverse());
  }
}
