// A model has the same colour everywhere, by its place in the catalogue, and the
// canvases take theirs from the same style sheet as the rest of the page.

const places = new Map();
const PALETTE = 8; // see --model-0 … in base.css

export function learnModels(names) {
  let changed = false;
  names.forEach((name, i) => {
    if (places.get(name) === i) return;
    places.set(name, i);
    changed = true;
  });
  if (changed) paintSwatches(document);
  return changed;
}

export function paintSwatches(root) {
  for (const swatch of root.querySelectorAll('[data-swatch]')) {
    const place = places.get(swatch.dataset.swatch);
    if (place !== undefined) swatch.dataset.colour = place % PALETTE;
  }
}

export const placeOf = (name) => places.get(name) ?? 0;
export const colourOf = (name) => css(`--model-${placeOf(name) % PALETTE}`);

// More models than colours: the second round has dashes.
export const dashOf = (name) => (placeOf(name) < PALETTE ? [] : [6, 4]);

// A custom property with light-dark() in it is only resolved as a colour of an
// element, so one is asked.
let probe;
export function css(property) {
  if (!probe) {
    probe = document.createElement('span');
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `var(${property})`;
  return getComputedStyle(probe).color;
}

export function rgb(property) {
  return css(property).match(/[\d.]+/g).slice(0, 3).map(Number);
}

// Calls back when the colours are others: by the switch, or by the system.
const watchers = new Set();
export const onTheme = (fn) => watchers.add(fn);
const tell = () => watchers.forEach((fn) => fn());

export function startTheme() {
  const chooser = document.querySelector('fieldset.theme');
  const root = document.documentElement;
  chooser.hidden = false;
  chooser.querySelector(`[value="${root.dataset.theme ?? 'auto'}"]`).checked = true;
  chooser.addEventListener('change', ({ target }) => {
    if (target.value === 'auto') delete root.dataset.theme;
    else root.dataset.theme = target.value;
    try {
      localStorage.setItem('theme', target.value);
    } catch {
      // Forbidden: it holds until the page is left.
    }
    tell();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', tell);
}
