// Puts values where the page has a place for them: data-v is the path of the
// value, data-f how it is said, data-if the path of what has to be there for it
// to mean anything. What is within a [data-model] is that model's, all else the
// page's. Only text that differs is touched, so nothing flickers, no
// selection is lost and a screen reader's place stays.

import * as format from './format.js';

export function put(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

export function at(object, path) {
  return path.split('.').reduce((o, key) => o?.[key], object);
}

export function bind(root, data) {
  for (const element of root.querySelectorAll('[data-v]')) {
    if ((element.closest('[data-model]') ?? document) !== root) continue;
    const { v, f, if: needs } = element.dataset;
    const value = at(data, v);
    if (value === undefined && f !== 'text') continue; // another view's
    put(element, needs && !at(data, needs) ? format.NOTHING : say(f, value));
  }
}

function say(f, value) {
  const said = format[f](value);
  return typeof said === 'string' ? said : said.text;
}

// Marks are words that stand there, or do not.
export function marks(root, data) {
  for (const element of root.querySelectorAll('[data-show]')) {
    element.hidden = !data[element.dataset.show];
  }
}

// Makes table cells and the like: element('td', {class: 'n'}, 'text', child).
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children);
  return made;
}
