// How the map is moved: by mouse, wheel with Ctrl, buttons, two fingers and keys.
// A plain wheel and one finger scroll the page, as anywhere else on it.

const STEP = 60; // pixels that an arrow key moves
const FACTOR = 1.5;
const STILL = 4; // pixels within which a press is a click

export class Input {
  #press;
  #pinch;
  #note;

  constructor(place, view, { changed, point, leave, choose }) {
    Object.assign(this, { place, view, changed, point, leave, choose });
    const buttons = place.querySelector('[data-map-buttons]');
    buttons.hidden = false;
    buttons.addEventListener('click', ({ target }) => this.#zoom(target.closest('button')?.dataset.zoom));
    buttons.addEventListener('pointermove', (event) => event.stopPropagation());
    place.addEventListener('pointerdown', (event) => this.#down(event));
    place.addEventListener('pointermove', (event) => this.#move(event));
    place.addEventListener('pointerup', (event) => this.#up(event));
    place.addEventListener('pointercancel', () => this.#end());
    place.addEventListener('pointerleave', () => this.leave());
    place.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    place.addEventListener('keydown', (event) => this.#key(event));
    place.addEventListener('blur', () => this.leave());
    for (const kind of ['touchstart', 'touchmove']) {
      place.addEventListener(kind, (event) => this.#touch(event), { passive: false });
    }
    for (const kind of ['touchend', 'touchcancel']) place.addEventListener(kind, () => (this.#pinch = undefined));
  }

  #at({ clientX, clientY }) {
    const { left, top } = this.place.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest('button')) return;
    this.#press = { x: event.clientX, y: event.clientY, moved: false };
  }

  #move(event) {
    const press = this.#press;
    if (!press || event.pointerType === 'touch') {
      if (!press) this.point(...this.#at(event));
      return;
    }
    const dx = event.clientX - press.x;
    const dy = event.clientY - press.y;
    if (!press.moved && Math.hypot(dx, dy) < STILL) return;
    if (!press.moved) {
      press.moved = true;
      // Only now: a capture on the press would take the click of what is pressed.
      this.place.setPointerCapture(event.pointerId);
      this.place.classList.add('is-moving');
      this.leave();
    }
    this.view.pan(dx, dy);
    press.x = event.clientX;
    press.y = event.clientY;
    this.changed();
  }

  #up(event) {
    const press = this.#press;
    this.#end();
    if (!press || press.moved) return;
    const at = this.#at(event);
    this.point(...at);
    this.choose(...at);
  }

  #end() {
    this.#press = undefined;
    this.place.classList.remove('is-moving');
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) {
      this.#say('Ctrl and the wheel zoom');
      return;
    }
    event.preventDefault();
    this.view.zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0022)), ...this.#at(event));
    this.changed();
  }

  // Two fingers: what was between them stays there.
  #touch(event) {
    if (event.touches.length !== 2) {
      if (event.type === 'touchmove') this.#say('Two fingers move the map');
      return;
    }
    event.preventDefault();
    this.#press = undefined;
    const [a, b] = event.touches;
    const [x, y] = this.#at({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });
    const apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    if (this.#pinch) {
      this.view.pan(x - this.#pinch.x, y - this.#pinch.y);
      this.view.zoomAt(apart / this.#pinch.apart, x, y);
      this.changed();
    }
    this.#pinch = { x, y, apart };
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.place) return;
    const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    const zooms = { '+': 'in', '=': 'in', '-': 'out', 0: 'home' };
    const middle = [this.view.width / 2, this.view.height / 2];
    if (moves[event.key]) this.view.pan(...moves[event.key]);
    else if (zooms[event.key]) this.#zoom(zooms[event.key]);
    else if (event.key === 'Enter') this.choose(...middle, Math.hypot(...middle)); // of all that are seen
    else return;
    event.preventDefault();
    this.changed();
    this.point(...middle);
  }

  #zoom(how) {
    if (how === 'in') this.view.zoomAt(FACTOR);
    else if (how === 'out') this.view.zoomAt(1 / FACTOR);
    else if (how === 'home') this.view.home();
    else return;
    this.changed();
  }

  #say(text) {
    const note = this.place.querySelector('[data-map-note]');
    note.textContent = text;
    note.hidden = false;
    clearTimeout(this.#note);
    this.#note = setTimeout(() => (note.hidden = true), 1200);
  }
}
