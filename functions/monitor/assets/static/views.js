// The views of the stream, complete: what has nothing in it yet may come as null.

const segment = () => ({ labels: [], trips: [], models: {} });
const EMPTY = {
  models: () => ({ champion: {}, best: {}, models: [] }),
  errors: () => ({ width_ms: 0, buckets: [], trips: [], models: {} }),
  segments: () => ({ hours: segment(), distances: segment() }),
  trips: () => ({ started: [], ended: [] }),
};

export function complete(kind, view) {
  const whole = EMPTY[kind]?.() ?? {};
  for (const [key, value] of Object.entries(view)) {
    if (value === null) continue;
    whole[key] = kind === 'segments' ? { ...segment(), ...withoutNull(value) } : value;
  }
  return whole;
}

const withoutNull = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
