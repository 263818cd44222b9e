// The range that shows what most lines do: up to three times the median of what
// is shown. A model that has exploded leaves it, and is named.
export function robustRange(columns) {
  const all = columns.flat().filter((x) => x != null).sort((a, b) => a - b);
  if (!all.length) return [0, 1];
  const median = all[Math.floor(all.length / 2)];
  const low = all[0];
  const high = Math.min(all.at(-1), median * 3);
  const room = Math.max((high - low) * 0.06, 1);
  return [Math.max(0, low - room), high + room];
}
