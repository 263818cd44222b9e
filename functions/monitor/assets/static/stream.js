// The one connection of the page, for the views that somebody listens to when it
// is opened. EventSource reconnects by itself after most losses, but not after an
// answer that is no stream, such as a proxy's 502: then a new one is made. A page
// that nobody looks at lets go of it after a while.

import { complete } from './views.js';

const HIDDEN_FOR = 60_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;

export class Stream extends EventTarget {
  #source;
  #retry;
  #wait = FIRST_WAIT;
  #hide;
  #listeners = new Map();
  state = 'connecting';

  constructor(url) {
    super();
    this.url = url;
    document.addEventListener('visibilitychange', () => this.#visible());
    addEventListener('pagehide', () => this.#close());
    addEventListener('pageshow', (event) => event.persisted && this.open());
  }

  // Calls fn with each view of a kind.
  on(kind, fn) {
    const listener = ({ data }) => fn(complete(kind, JSON.parse(data)));
    this.#listeners.set(kind, [...(this.#listeners.get(kind) ?? []), listener]);
    this.#source?.addEventListener(kind, listener);
    return this;
  }

  open() {
    this.#close();
    const source = new EventSource(`${this.url}?views=${[...this.#listeners.keys()]}`);
    this.#source = source;
    for (const [kind, all] of this.#listeners) all.forEach((fn) => source.addEventListener(kind, fn));
    source.onopen = () => {
      this.#wait = FIRST_WAIT;
      this.#become('live');
    };
    source.onerror = () => {
      this.#become('reconnecting');
      if (source.readyState !== EventSource.CLOSED) return;
      this.#retry = setTimeout(() => this.open(), this.#wait * (0.75 + Math.random() / 2));
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    };
  }

  #close() {
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#source = undefined;
  }

  #visible() {
    clearTimeout(this.#hide);
    if (document.hidden) {
      this.#hide = setTimeout(() => this.#close(), HIDDEN_FOR);
    } else if (!this.#source) {
      this.open();
    }
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event('state'));
  }
}
