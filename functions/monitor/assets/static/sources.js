// What answers and what does not: the dots in the header, the line below it, and
// values that are from before. Only changes of state are announced.

import { put } from './bind.js';
import { when } from './format.js';

const NAMES = { database: 'The database', redis: 'Redis', kafka: 'Kafka' };
const WORDS = { connecting: 'connecting', live: 'live', away: 'away' };
const MISSED = {
  database: 'What is shown is from before; it comes back by itself.',
  redis: 'Versions and the champion are as they were.',
  kafka: 'Dead letters and events of trips are not known meanwhile.',
};

const known = {};
const lost = { since: 0 };

export function showSources(summary) {
  for (const name of Object.keys(NAMES)) {
    const source = summary[name];
    if (!source) continue;
    known[name] = source;
    const item = document.querySelector(`[data-source="${name}"]`);
    item.dataset.state = source.state;
    const title = source.since ? `${WORDS[source.state]} since ${when(source.since)}${source.error ? `: ${source.error}` : ''}` : '';
    if (item.title !== title) item.title = title;
    put(item.querySelector('.state'), WORDS[source.state] ?? source.state);
  }
  show();
}

export function showConnection(state) {
  lost.since = state === 'live' ? 0 : lost.since || Date.now();
  document.body.dataset.connection = state;
  show();
}

function show() {
  const news = document.querySelector('[data-news]');
  const away = Object.keys(NAMES).filter((name) => known[name]?.state === 'away');
  const lines = away.map((name) => {
    const { since, error } = known[name];
    return `${NAMES[name]} is away since ${when(since)}${error ? `: ${error}` : ''}. ${MISSED[name]}`;
  });
  if (lost.since && document.body.dataset.connection === 'reconnecting') {
    lines.unshift(`The connection to the monitor was lost at ${when(lost.since)}. Reconnecting …`);
  }
  const stale = lines.length > 0;
  const missing = known.database?.missing;
  if (missing && !away.includes('database')) {
    lines.push(`The SQL of this stream has no ${missing}. What they would show stays empty.`);
  }
  put(news, lines.join(' '));
  news.hidden = lines.length === 0;
  for (const element of document.querySelectorAll('[data-stale-with]')) {
    element.classList.toggle('stale', stale && (lost.since > 0 || away.includes(element.dataset.staleWith)));
  }
}
