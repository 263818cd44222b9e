// Follows a trip that is on its way: asks for it again until it has ended and
// its events are all there.

import { fetchFragment, putFragment } from './fragment.js';

const AGAIN = 2_000;
const AFTER_THE_END = 2; // more times: the label comes a moment later

export function follow(place) {
  const stopped = new AbortController();
  let more = AFTER_THE_END;
  let timer;

  const again = () => {
    const trip = place.querySelector('[data-trip]');
    if (!trip) return;
    if (trip.dataset.inProgress !== 'true' && more-- <= 0) return;
    timer = setTimeout(ask, AGAIN, trip.dataset.trip);
  };
  const ask = async (id) => {
    try {
      if (!document.hidden) {
        const { ok, html } = await fetchFragment(`/trips/${encodeURIComponent(id)}`, stopped.signal);
        if (ok && !stopped.signal.aborted) putFragment(place, html, true);
      }
    } catch {
      // It is away: what is shown stays, and the header says so.
    }
    if (!stopped.signal.aborted) again();
  };

  if (place.querySelector('[data-trip]')?.dataset.inProgress === 'true') again();
  return () => {
    stopped.abort();
    clearTimeout(timer);
  };
}
