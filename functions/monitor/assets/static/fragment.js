// Asks for what stands in <main> of a page, and puts it somewhere.

import { paintSwatches } from './colours.js';
import { when } from './format.js';
import { morph } from './morph.js';

export async function fetchFragment(path, signal) {
  const answer = await fetch(path, { headers: { Accept: 'text/html', 'Tripcast-Fragment': '1' }, signal });
  return { ok: answer.ok, status: answer.status, html: await answer.text() };
}

// Replaces, or changes only what differs where the same is there already.
export function putFragment(place, html, same = false) {
  const holder = document.createElement('template');
  holder.innerHTML = html;
  localTimes(holder.content);
  if (same) morph(place, holder.content);
  else place.replaceChildren(holder.content);
  paintSwatches(place);
}

// Times come in UTC, and are read where the reader is.
export function localTimes(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    if (!time.title) time.title = time.textContent;
    time.textContent = when(Date.parse(time.dateTime));
  }
}
