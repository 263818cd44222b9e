// The trips that the map knows, in typed arrays: a ring of slots, so that the
// oldest makes room for the newest, and a grid that finds the one at a place
// without asking all of them.

import { planeX, planeY } from './projection.js';

export const CAPACITY = 50_000;
export const NONE = 0;
export const ON_ITS_WAY = 1;
export const ENDED = 2;

const CELLS = 256; // a side
const SPAN = 0.8; // degrees that the grid is over; what is outside is in its rim
const NOBODY = -1;

// How far off a prediction was: 0 far too short … 2 about right … 4 far too long.
export function classOf(predicted, actual) {
  const ratio = predicted / Math.max(actual, 1);
  if (ratio < 0.5) return 0;
  if (ratio < 0.8) return 1;
  if (ratio <= 1.25) return 2;
  return ratio <= 2 ? 3 : 4;
}

export class Trips {
  constructor(capacity = CAPACITY) {
    this.capacity = capacity;
    this.ids = new Array(capacity);
    this.state = new Uint8Array(capacity);
    this.off = new Uint8Array(capacity);
    for (const name of ['fromX', 'fromY', 'toX', 'toY', 'predicted', 'actual']) this[name] = new Float32Array(capacity);
    this.pickedUp = new Float64Array(capacity);
    this.slots = new Map();
    this.heads = new Int32Array(CELLS * CELLS);
    this.after = new Int32Array(capacity);
    this.before = new Int32Array(capacity);
    this.cells = new Int32Array(capacity);
    this.clear();
  }

  clear() {
    this.slots.clear();
    this.state.fill(NONE);
    this.heads.fill(NOBODY);
    this.next = 0; // the slot that is taken next: the oldest's
    this.size = 0;
    this.ended = 0;
  }

  get under() {
    return this.size - this.ended;
  }

  start([id, fromLon, fromLat, toLon, toLat, pickedUp, predicted]) {
    if (this.slots.has(id)) return NOBODY;
    const slot = this.#take(id);
    this.state[slot] = ON_ITS_WAY;
    this.fromX[slot] = planeX(fromLon);
    this.fromY[slot] = planeY(fromLat);
    this.toX[slot] = planeX(toLon);
    this.toY[slot] = planeY(toLat);
    this.pickedUp[slot] = pickedUp;
    this.predicted[slot] = predicted;
    this.actual[slot] = NaN;
    this.#file(slot);
    return slot;
  }

  // A trip that ends is a trip even if its start was left out.
  end([id, toLon, toLat, predicted, actual]) {
    let slot = this.slots.get(id);
    if (slot !== undefined && this.state[slot] === ENDED) return NOBODY;
    if (slot === undefined) {
      slot = this.#take(id);
      this.fromX[slot] = NaN;
      this.pickedUp[slot] = NaN;
    } else {
      this.#unfile(slot);
    }
    this.state[slot] = ENDED;
    this.ended++;
    this.toX[slot] = planeX(toLon);
    this.toY[slot] = planeY(toLat);
    this.predicted[slot] = predicted;
    this.actual[slot] = actual;
    this.off[slot] = classOf(predicted, actual);
    this.#file(slot);
    return slot;
  }

  #take(id) {
    const slot = this.next;
    this.next = (slot + 1) % this.capacity;
    if (this.state[slot] !== NONE) {
      this.#unfile(slot);
      this.slots.delete(this.ids[slot]);
      if (this.state[slot] === ENDED) this.ended--;
      this.size--;
    }
    this.ids[slot] = id;
    this.slots.set(id, slot);
    this.size++;
    return slot;
  }

  // Calls fn with each slot of a state, the oldest first, and its age from 1,
  // the oldest of all, to 0.
  each(state, fn) {
    const first = this.size < this.capacity ? 0 : this.next;
    for (let i = 0; i < this.size; i++) {
      const slot = (first + i) % this.capacity;
      if (this.state[slot] === state) fn(slot, 1 - i / this.size);
    }
  }

  // Where a trip is on the map: at its pick-up until it has ended.
  x(slot) {
    return this.state[slot] === ENDED ? this.toX[slot] : this.fromX[slot];
  }

  y(slot) {
    return this.state[slot] === ENDED ? this.toY[slot] : this.fromY[slot];
  }

  // The slot nearest to a place of the plane, within a radius; NOBODY if none is.
  nearest(x, y, radius) {
    let best = NOBODY;
    let least = radius * radius;
    for (let row = line(y - radius); row <= line(y + radius); row++) {
      for (let column = line(x - radius); column <= line(x + radius); column++) {
        for (let slot = this.heads[row * CELLS + column]; slot !== NOBODY; slot = this.after[slot]) {
          const distance = (this.x(slot) - x) ** 2 + (this.y(slot) - y) ** 2;
          if (distance > least) continue;
          least = distance;
          best = slot;
        }
      }
    }
    return best;
  }

  #file(slot) {
    const cell = line(this.y(slot)) * CELLS + line(this.x(slot));
    const head = this.heads[cell];
    this.cells[slot] = cell;
    this.after[slot] = head;
    this.before[slot] = NOBODY;
    if (head !== NOBODY) this.before[head] = slot;
    this.heads[cell] = slot;
  }

  #unfile(slot) {
    const before = this.before[slot];
    const after = this.after[slot];
    if (before === NOBODY) this.heads[this.cells[slot]] = after;
    else this.after[before] = after;
    if (after !== NOBODY) this.before[after] = before;
  }
}

const line = (v) => Math.min(CELLS - 1, Math.max(0, Math.floor(((v + SPAN / 2) / SPAN) * CELLS)));
