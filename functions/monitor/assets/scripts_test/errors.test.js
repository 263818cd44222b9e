import assert from 'node:assert/strict';
import test from 'node:test';
import { leastOf, scaleOf } from '../static/heat.js';
import { lastHour } from '../static/leaders.js';
import { robustRange } from '../static/range.js';
import { complete } from '../static/views.js';

test('a model that has exploded does not flatten the others', () => {
  const good = Array.from({ length: 20 }, (_, i) => 300 + i * 10);
  const [low, high] = robustRange([good, good, [...good.slice(1), 1.2e7]]);
  assert.ok(low > 200 && low < 300, `low is ${low}`);
  assert.ok(high > 490 && high < 1500, `high is ${high}`);
});

test('a range of nothing, of one, and with gaps', () => {
  assert.deepEqual(robustRange([[], [null, undefined]]), [0, 1]);
  const [low, high] = robustRange([[null, 300]]);
  assert.ok(low < 300 && high > 300);
});

test('heat goes by what most cells are', () => {
  const heat = scaleOf([[100, 200, 300, 400], [110, 210, 310, 1e7]]);
  assert.deepEqual([100, 1e7, null].map(heat), [0, 5, undefined]);
  assert.ok(heat(400) >= 2);
  assert.equal(scaleOf([[5, 5]])(5), 0);
  assert.equal(scaleOf([])(5), undefined);
});

test('the least of a column, where there is a choice', () => {
  assert.deepEqual(leastOf([[3, null, 1], [2, 4, null]], 4), [1, -1, -1, -1]);
});

test('the last hour is weighted by trips, and ends with the newest bucket', () => {
  const minute = 60e3;
  const buckets = Array.from({ length: 24 }, (_, i) => i * 5 * minute);
  const errors = { width_ms: 5 * minute, buckets, trips: buckets.map((_, i) => (i === 23 ? 3 : 1)), models: { a: buckets.map((_, i) => (i < 12 ? 1e6 : i === 23 ? 200 : 100)) } };
  assert.equal(lastHour(errors, 'a'), (11 * 100 + 3 * 200) / 14);
  assert.equal(lastHour(errors, 'nobody'), undefined);
  assert.equal(lastHour(undefined, 'a'), undefined);
});

test('what comes as null is empty', () => {
  assert.deepEqual(complete('models', { models: null, best: { model: 'a' } }), { champion: {}, best: { model: 'a' }, models: [] });
  assert.deepEqual(complete('segments', { hours: { labels: null, trips: null, models: null } }).hours, { labels: [], trips: [], models: {} });
  assert.deepEqual(complete('trips', { reset: true, started: null, ended: null }), { reset: true, started: [], ended: [] });
});
