// What the map says about the trip under the pointer.

import { put, element } from './bind.js';
import { offBy, seconds } from './format.js';
import { ENDED } from './trips.js';

const GAP = 14;

export class Tip {
  constructor(place) {
    this.place = place;
    this.title = element('b');
    this.lines = [element('span'), element('br'), element('span')];
    place.append(this.title, ...this.lines);
  }

  show(trips, slot, view) {
    const ended = trips.state[slot] === ENDED;
    const predicted = trips.predicted[slot];
    put(this.title, `Trip ${trips.ids[slot]}`);
    put(this.lines[0], ended ? `predicted ${seconds(predicted)}, took ${seconds(trips.actual[slot])}` : `predicted ${seconds(predicted)}`);
    put(this.lines[2], ended ? offBy(predicted, trips.actual[slot]) : 'on its way');
    this.place.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.place;
    const x = view.toX(trips.x(slot));
    const y = view.toY(trips.y(slot));
    // On the side that has room for it.
    const left = x + GAP + width < view.width ? x + GAP : Math.max(0, x - GAP - width);
    const top = Math.min(Math.max(0, y - height / 2), Math.max(0, view.height - height));
    this.place.style.translate = `${Math.round(left)}px ${Math.round(top)}px`;
  }

  hide() {
    this.place.hidden = true;
  }
}
