// Pages whose lists no stream tells of are asked for again now and then, while
// somebody looks.

import { fetchFragment, putFragment } from './fragment.js';

const EVERY = 10_000;

export function startRefresh(main) {
  setInterval(async () => {
    if (document.hidden || document.querySelector('dialog[open]')) return;
    try {
      const { ok, html } = await fetchFragment(location.pathname);
      if (ok && !document.querySelector('dialog[open]')) {
        const done = main.querySelector('[data-done]');
        const said = done?.textContent;
        putFragment(main, html, true);
        if (said) {
          const again = main.querySelector('[data-done]');
          again.textContent = said;
          again.hidden = false;
        }
      }
    } catch {
      // The next one may be answered.
    }
  }, EVERY);
}
