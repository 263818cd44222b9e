// Dots, stamped into the pixels of one canvas. Fifty thousand of them as paths
// take a frame or several; as writes to an array they take a few milliseconds.
// A dot that is as opaque as what is below covers it, so colours do not mix.

export class Ink {
  #context;
  #image;
  #pixels;
  #stamps = new Map();

  constructor(canvas) {
    this.canvas = canvas;
    this.#context = canvas.getContext('2d');
  }

  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height && this.#image) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.#image = this.#context.createImageData(width, height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
  }

  clear() {
    this.#pixels.fill(0);
    this.#untouched();
  }

  // Which pixels have been written and are not shown yet.
  #untouched() {
    this.left = this.canvas.width;
    this.top = this.canvas.height;
    this.right = this.bottom = -1;
  }

  // Stamps a dot of a radius, in pixels of the canvas. colour is [r, g, b].
  dot(x, y, radius, colour, alpha) {
    const stamp = this.#stamp(radius);
    const { width, height } = this.canvas;
    const left = Math.round(x - stamp.half);
    const top = Math.round(y - stamp.half);
    const size = stamp.size;
    if (left < 0 || top < 0 || left + size > width || top + size > height) return; // at the rim it is left out
    const rgb = (colour[2] << 16) | (colour[1] << 8) | colour[0];
    const pixels = this.#pixels;
    for (let row = 0, s = 0; row < size; row++) {
      let p = (top + row) * width + left;
      for (let column = 0; column < size; column++, s++, p++) {
        const a = (stamp.coverage[s] * alpha) | 0;
        if (a > 0 && a >= pixels[p] >>> 24) pixels[p] = ((a << 24) | rgb) >>> 0;
      }
    }
    if (left < this.left) this.left = left;
    if (top < this.top) this.top = top;
    if (left + size > this.right) this.right = left + size;
    if (top + size > this.bottom) this.bottom = top + size;
  }

  // Shows what was stamped, and no more than that.
  flush(all = false) {
    if (all) this.#context.putImageData(this.#image, 0, 0);
    else if (this.right > this.left) {
      this.#context.putImageData(this.#image, 0, 0, this.left, this.top, this.right - this.left, this.bottom - this.top);
    }
    this.#untouched();
  }

  // How much of each pixel a dot covers, by four times four samples.
  #stamp(radius) {
    const known = this.#stamps.get(radius);
    if (known) return known;
    const half = Math.ceil(radius);
    const size = half * 2 + 1;
    const coverage = new Float32Array(size * size);
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        let inside = 0;
        for (let i = 0; i < 16; i++) {
          const dx = x - half + ((i % 4) - 1.5) / 4;
          const dy = y - half + ((i >> 2) - 1.5) / 4;
          if (dx * dx + dy * dy <= radius * radius) inside++;
        }
        coverage[y * size + x] = inside / 16;
      }
    }
    const stamp = { half, size, coverage };
    this.#stamps.set(radius, stamp);
    return stamp;
  }
}
