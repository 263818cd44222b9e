// One line: who answers, who would do better, and by how much.

import { element } from './bind.js';
import { clock, error, when } from './format.js';

const HOUR = 3600e3;

// The error of a model over the last hour of the city's clock that the errors
// know, weighted by trips: the same for whoever is compared.
export function lastHour(errors, model) {
  if (!errors?.buckets.length) return undefined;
  const values = errors.models[model] ?? [];
  const from = errors.buckets.at(-1) + errors.width_ms - HOUR;
  let sum = 0;
  let trips = 0;
  for (let i = errors.buckets.length - 1; i >= 0 && errors.buckets[i] >= from; i--) {
    if (values[i] == null) continue;
    sum += values[i] * errors.trips[i];
    trips += errors.trips[i];
  }
  return trips ? sum / trips : undefined;
}

let shown = '';

export function showLeaders({ champion, best }, errors) {
  const line = document.querySelector('[data-leaders]');
  const gain = champion.model && best.model && champion.model !== best.model
    ? lastHour(errors, champion.model) - lastHour(errors, best.model)
    : 0;
  const key = JSON.stringify([champion.model, champion.since, best.model, best.since, gain > 0.05 && gain.toFixed(1), best.mae_s?.toFixed(1)]);
  if (key === shown) return;
  // The line has links: one that has the focus must keep it, so that nobody who
  // tabs along loses the place.
  if (line.contains(document.activeElement)) return;
  shown = key;
  line.replaceChildren(...say(champion, best, gain));
}

function* say(champion, best, gain) {
  if (champion.model) {
    yield 'Champion ';
    yield link(champion.model);
    yield `${champion.since ? ` since ${when(champion.since)}` : ''}. `;
  } else {
    yield 'There is no champion: nothing is served. ';
  }
  if (!best.model) return;
  if (best.model === champion.model) {
    yield `It is the best of the last hour of the city’s clock, too${best.since ? `, since ${clock(best.since)}` : ''}: ${error(best.mae_s)}.`;
    return;
  }
  yield 'Best of the last hour of the city’s clock: ';
  yield link(best.model);
  yield `${best.since ? ` since ${clock(best.since)}` : ''}, ${error(best.mae_s)}`;
  yield gain > 0.05 ? `, ${error(gain)} better. ` : '. ';
  yield element('a', { href: `/models/${encodeURIComponent(best.model)}` }, 'Promote it?');
}

const link = (model) => element('a', { href: `/models/${encodeURIComponent(model)}` }, model);
