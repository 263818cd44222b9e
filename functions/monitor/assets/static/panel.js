// A trip at the side of the live page. It has the address of the trip's own
// page, so that it can be sent to somebody, and Back closes it.

import { fetchFragment, putFragment } from './fragment.js';
import { follow } from './trip.js';

const NARROW = matchMedia('(max-width: 46rem)');
const PATH = /^\/trips\/([^/]+)$/;

export class Panel {
  #asked;
  #unfollow = () => {};
  #from;

  constructor(dialog) {
    this.dialog = dialog;
    this.body = dialog.querySelector('[data-panel-body]');
    this.page = dialog.querySelector('[data-panel-page]');
    this.title = document.title;
  }

  start() {
    this.dialog.querySelector('[data-panel-close]').addEventListener('click', () => this.#leave());
    this.dialog.addEventListener('cancel', (event) => {
      event.preventDefault();
      this.#leave();
    });
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.dialog.open && !event.defaultPrevented) this.#leave();
    });
    addEventListener('popstate', () => {
      const [, id] = location.pathname.match(PATH) ?? [];
      if (id) this.#show(decodeURIComponent(id));
      else this.#hide();
    });
    // A trip that is linked to in the panel's own text opens in it as well.
    this.dialog.addEventListener('click', (event) => {
      const [, id] = event.target.closest('a')?.pathname.match(PATH) ?? [];
      if (!id || event.ctrlKey || event.metaKey || event.shiftKey || event.target === this.page) return;
      event.preventDefault();
      this.open(decodeURIComponent(id));
    });
  }

  // from is what gets the focus back.
  open(id, from) {
    const path = `/trips/${encodeURIComponent(id)}`;
    if (from) this.#from = from;
    if (this.dialog.open) history.replaceState({ panel: true }, '', path);
    else history.pushState({ panel: true }, '', path);
    this.#show(id);
  }

  async #show(id) {
    this.#stop();
    const asked = new AbortController();
    this.#asked = asked;
    const path = `/trips/${encodeURIComponent(id)}`;
    this.page.href = path;
    this.dialog.setAttribute('aria-label', `Trip ${id}`);
    document.title = `Trip ${id} · tripcast`;
    this.body.setAttribute('aria-busy', 'true');
    if (!this.dialog.open) {
      this.body.replaceChildren();
      if (NARROW.matches) this.dialog.showModal();
      else this.dialog.show();
    }
    try {
      const { html } = await fetchFragment(path, asked.signal);
      putFragment(this.body, html);
      this.#unfollow = follow(this.body);
    } catch (error) {
      if (asked.signal.aborted) return;
      putFragment(this.body, '<p class="empty">The monitor does not answer. The trip is asked for again.</p>');
      setTimeout(() => asked.signal.aborted || this.#show(id), 2000);
    }
    this.body.removeAttribute('aria-busy');
    this.dialog.scrollTop = 0;
    this.body.querySelector('h1')?.focus({ preventScroll: true });
  }

  #stop() {
    this.#asked?.abort();
    this.#unfollow();
    this.#unfollow = () => {};
  }

  // Closes by going back, where that is to the page below.
  #leave() {
    if (history.state?.panel) history.back();
    else this.#hide();
  }

  #hide() {
    if (!this.dialog.open) return;
    this.#stop();
    this.dialog.close();
    document.title = this.title;
    this.#from?.focus({ preventScroll: true });
  }
}
