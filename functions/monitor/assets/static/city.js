// The city: a map of trips as they start and end. Five canvases lie on each
// other, so that each is drawn no more often than what is on it changes: the
// land with the view, ended trips as they come, lines with each message, and
// taxis with the clock, and names with the land.

import { element, put } from './bind.js';
import { css, onTheme, rgb } from './colours.js';
import { Ink } from './ink.js';
import { drawLand, drawNames, readLand } from './land.js';
import { Input } from './map-input.js';
import { View } from './projection.js';
import { Tip } from './tip.js';
import { ENDED, ON_ITS_WAY, Trips } from './trips.js';
import { number } from './format.js';

const LINES = 2_000; // of the newest trips; more are a tangle
const OVERDUE = 7_200; // seconds
const FADES = 2_000; // with fewer ended trips than this none is faded
const FRAME = 50; // ms between two of the taxis'
const REACH = 14; // pixels from which a pointer finds a trip

export class City {
  trips = new Trips();
  view = new View();
  #layers = {};
  #leftOut = 0;
  #stale = new Set(); // layers to be drawn in the next frame
  #fresh = []; // slots that ended and are not drawn yet
  #drawn = 0; // ended trips since all were drawn
  #time = { clock: 0, at: 0, speed: 0 };
  #still = matchMedia('(prefers-reduced-motion: reduce)');
  #seen = true;
  #lastFrame = 0;
  #selected = -1;

  constructor(place, open) {
    this.place = place;
    this.count = document.querySelector('[data-map-count]');
    for (const name of ['land', 'ended', 'lines', 'taxis', 'names']) {
      const canvas = element('canvas', { 'aria-hidden': 'true' });
      place.insertBefore(canvas, place.querySelector('[data-map-tip]'));
      this.#layers[name] = canvas;
    }
    this.ink = new Ink(this.#layers.ended);
    this.tip = new Tip(place.querySelector('[data-map-tip]'));
    new Input(place, this.view, {
      changed: () => this.#all(),
      point: (x, y) => this.#point(x, y),
      leave: () => this.#select(-1),
      choose: (x, y, reach) => {
        const slot = this.#find(x, y, reach);
        if (slot >= 0) open(this.trips.ids[slot], place);
      },
    });
    this.#colours();
    onTheme(() => {
      this.#colours();
      this.#all();
    });
    new ResizeObserver(() => this.#resize()).observe(place);
    new IntersectionObserver(([entry]) => {
      this.#seen = entry.isIntersecting;
      if (this.#seen) this.#ask();
    }).observe(place);
    readLand().then((land) => {
      this.land = land;
      this.#draw('land');
    });
  }

  // The city's clock comes with each summary; between two it goes on as fast as
  // it went.
  clock(clock) {
    const at = performance.now();
    const { clock: before, at: then, speed } = this.#time;
    if (clock > before && before) {
      const now = (clock - before) / (at - then);
      this.#time = { clock, at, speed: speed ? speed + (now - speed) * 0.2 : now };
    } else if (clock !== before) {
      this.#time = { clock, at, speed: 0 };
    }
  }

  #now() {
    const { clock, at, speed } = this.#time;
    return clock + speed * Math.min(performance.now() - at, 1500);
  }

  show({ reset, started, ended, left_out: leftOut }) {
    if (reset) {
      this.trips.clear();
      this.#leftOut = 0;
      this.#fresh.length = 0;
      this.#select(-1);
      this.#draw('ended');
    }
    for (const trip of started) this.trips.start(trip);
    for (const trip of ended) {
      const slot = this.trips.end(trip);
      if (slot >= 0) this.#fresh.push(slot);
    }
    this.#leftOut += leftOut ?? 0;
    this.#tell();
    this.#draw('fresh');
    this.#draw('lines');
    if (this.#selected >= 0) this.tip.show(this.trips, this.#selected, this.view);
  }

  #tell() {
    const { under, ended, size } = this.trips;
    if (!size) return;
    put(this.count, [
      `${number(under)} on their way`, `${number(ended)} ended`,
      this.#leftOut ? `${number(this.#leftOut)} more were left out` : '',
      under > LINES ? `lines of the newest ${number(LINES)}` : '',
    ].filter(Boolean).join(', '));
  }

  #colours() {
    this.colours = {
      off: [0, 1, 2, 3, 4].map((i) => rgb(`--off-${i}`)),
      way: css('--way'), line: css('--way-line'), ink: css('--ink'), card: css('--card'),
    };
  }

  #resize() {
    const { clientWidth, clientHeight } = this.place;
    if (!clientWidth) return;
    this.view.resize(clientWidth, clientHeight);
    this.ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [clientWidth, clientHeight].map((v) => Math.round(v * this.ratio));
    for (const [name, canvas] of Object.entries(this.#layers)) {
      if (name === 'ended') continue;
      canvas.width = width;
      canvas.height = height;
      canvas.getContext('2d').setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    }
    this.ink.resize(width, height);
    this.#all();
    this.#paint(); // a canvas that has been resized is empty: not even for a frame
  }

  #all() {
    for (const layer of ['land', 'ended', 'lines']) this.#draw(layer);
    if (this.#selected >= 0) this.tip.show(this.trips, this.#selected, this.view);
  }

  #draw(layer) {
    this.#stale.add(layer);
    this.#ask();
  }

  #ask() {
    this.frame ??= requestAnimationFrame((at) => {
      this.frame = undefined;
      this.#paint();
      if (at - this.#lastFrame >= FRAME) {
        this.#lastFrame = at;
        this.#drawTaxis();
      }
      if (this.#seen && !this.#still.matches && this.trips.under && !document.hidden) this.#ask();
    });
  }

  #paint() {
    if (!this.ratio) return;
    const stale = this.#stale;
    this.#stale = new Set();
    if (stale.has('land') && this.land) {
      drawLand(this.#clean('land'), this.view, this.land);
      drawNames(this.#clean('names'), this.view, this.land);
    }
    if (stale.has('ended') || this.#drawn > Math.max(400, this.trips.ended / 40)) this.#drawEnded();
    else if (stale.has('fresh')) this.#drawFresh();
    if (stale.has('lines')) {
      this.#drawLines();
      this.#lastFrame = 0; // taxis go with their lines
    }
  }

  #clean(layer) {
    const context = this.#layers[layer].getContext('2d');
    context.clearRect(0, 0, this.view.width, this.view.height);
    return context;
  }

  #radius() {
    return Math.round(Math.min(5, 1.9 + Math.log2(Math.max(1, this.view.zoom)) * 0.6) * this.ratio * 2) / 2;
  }

  #drawEnded() {
    const { trips, ink } = this;
    const radius = this.#radius();
    const fades = trips.ended > FADES;
    ink.clear();
    trips.each(ENDED, (slot, age) => this.#stamp(slot, radius, fades ? 235 - 175 * age : 235));
    ink.flush(true);
    this.#fresh.length = 0;
    this.#drawn = 0;
  }

  #drawFresh() {
    const radius = this.#radius();
    for (const slot of this.#fresh) this.#stamp(slot, radius, 235);
    this.ink.flush();
    this.#drawn += this.#fresh.length;
    this.#fresh.length = 0;
  }

  #stamp(slot, radius, alpha) {
    const { trips, view, ratio } = this;
    this.ink.dot(view.toX(trips.toX[slot]) * ratio, view.toY(trips.toY[slot]) * ratio, radius, this.colours.off[trips.off[slot]], alpha);
  }

  // The newest trips on their way, at most so many. One that should have ended
  // long ago has: its end was among those that were left out.
  #eachUnderWay(fn) {
    const { trips } = this;
    const now = this.#now();
    let skip = trips.under - LINES;
    trips.each(ON_ITS_WAY, (slot) => {
      const seconds = (now - trips.pickedUp[slot]) / 1000;
      if (skip-- > 0 || (seconds > OVERDUE && seconds > 3 * trips.predicted[slot])) return;
      fn(slot);
    });
  }

  #drawLines() {
    const context = this.#clean('lines');
    const { trips, view } = this;
    context.strokeStyle = this.colours.line;
    context.globalAlpha = Math.max(0.05, 0.2 - trips.under / 8_000);
    context.lineWidth = 1;
    this.#eachUnderWay((slot) => {
      // A path for each: one of thousands of lines is slower than they are.
      context.beginPath();
      context.moveTo(view.toX(trips.fromX[slot]), view.toY(trips.fromY[slot]));
      context.lineTo(view.toX(trips.toX[slot]), view.toY(trips.toY[slot]));
      context.stroke();
    });
  }

  // A taxi is where it should be by the prediction; it waits at the drop-off when
  // that was too short, and stays at the pick-up for those who want no motion.
  #drawTaxis() {
    if (!this.ratio) return;
    const context = this.#clean('taxis');
    const { trips, view } = this;
    const now = this.#now();
    const still = this.#still.matches;
    const size = view.zoom > 3 ? 4 : 2.5;
    context.fillStyle = this.colours.way;
    context.globalAlpha = 0.9;
    this.#eachUnderWay((slot) => {
      const done = still ? 0 : Math.min(1, Math.max(0, (now - trips.pickedUp[slot]) / 1000 / trips.predicted[slot]));
      const x = trips.fromX[slot] + (trips.toX[slot] - trips.fromX[slot]) * done;
      const y = trips.fromY[slot] + (trips.toY[slot] - trips.fromY[slot]) * done;
      context.fillRect(view.toX(x) - size / 2, view.toY(y) - size / 2, size, size);
    });
    this.#drawSelected(context);
  }

  #drawSelected(context) {
    const slot = this.#selected;
    if (slot < 0) return;
    const { trips, view, colours } = this;
    context.globalAlpha = 1;
    context.strokeStyle = colours.ink;
    const x = view.toX(trips.x(slot));
    const y = view.toY(trips.y(slot));
    if (!Number.isNaN(trips.fromX[slot])) {
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(view.toX(trips.fromX[slot]), view.toY(trips.fromY[slot]));
      context.lineTo(view.toX(trips.toX[slot]), view.toY(trips.toY[slot]));
      context.stroke();
    }
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 8, 0, Math.PI * 2);
    context.stroke();
  }

  #find(x, y, reach = REACH) {
    return this.trips.nearest(this.view.fromX(x), this.view.fromY(y), reach / this.view.scale);
  }

  #point(x, y) {
    this.#select(this.#find(x, y));
  }

  #select(slot) {
    if (slot < 0 && this.#selected < 0) return;
    this.#selected = slot;
    this.place.classList.toggle('is-over', slot >= 0);
    if (slot < 0) this.tip.hide();
    else this.tip.show(this.trips, slot, this.view);
    this.#lastFrame = 0;
    this.#ask();
  }
}
