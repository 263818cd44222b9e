// Where on the canvas a place is. A city is small enough for a plane: longitude
// shrinks by the cosine of its latitude, and that is all.

const LATITUDE = 40.73;
const SHRINK = Math.cos((LATITUDE * Math.PI) / 180);
export const NEAREST = 60; // times the whole city
export const FARTHEST = 0.5;

// The plane: x and y in degrees of latitude, y down, from the middle of the city.
export const MIDDLE = { lon: -73.93, lat: 40.73 };
export const planeX = (lon) => (lon - MIDDLE.lon) * SHRINK;
export const planeY = (lat) => MIDDLE.lat - lat;

const EDGE = 0.3; // how far from the middle one can go

// What the whole city is: where nearly all trips are, airports included.
const HOME = { x: 0.01, y: -0.005, width: 0.3, height: 0.3 };

export class View {
  width = 1;
  height = 1;
  scale = 1; // pixels for a degree
  x = HOME.x; // the place in the middle
  y = HOME.y;

  // Keeps what is in the middle there, and as near as it was.
  resize(width, height) {
    const zoom = this.scale / this.#fit();
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    this.scale = this.#fit() * (Number.isFinite(zoom) && this.sized ? zoom : 1);
    this.sized = true;
  }

  #fit() {
    return Math.min(this.width / HOME.width, this.height / HOME.height);
  }

  get zoom() {
    return this.scale / this.#fit();
  }

  home() {
    this.x = HOME.x;
    this.y = HOME.y;
    this.scale = this.#fit();
  }

  toX(x) {
    return (x - this.x) * this.scale + this.width / 2;
  }

  toY(y) {
    return (y - this.y) * this.scale + this.height / 2;
  }

  fromX(px) {
    return (px - this.width / 2) / this.scale + this.x;
  }

  fromY(py) {
    return (py - this.height / 2) / this.scale + this.y;
  }

  pan(dx, dy) {
    this.x = clamp(this.x - dx / this.scale, -EDGE, EDGE);
    this.y = clamp(this.y - dy / this.scale, -EDGE, EDGE);
  }

  // Zooms so that what is at the pixel stays there.
  zoomAt(factor, px = this.width / 2, py = this.height / 2) {
    const x = this.fromX(px);
    const y = this.fromY(py);
    this.scale = clamp(this.scale * factor, this.#fit() * FARTHEST, this.#fit() * NEAREST);
    this.x = x - (px - this.width / 2) / this.scale;
    this.y = y - (py - this.height / 2) / this.scale;
  }
}

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
