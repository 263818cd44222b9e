import assert from 'node:assert/strict';
import test from 'node:test';
import * as format from '../static/format.js';

const plain = (text) => text.replaceAll(/[\u00a0\u202f]/g, ' ').replaceAll('\u2212', '-');
const cases = (name, fn, all) => test(name, () => {
  for (const [value, want] of all) assert.equal(plain(fn(value)), want, `${name} of ${value}`);
});

cases('seconds', format.seconds, [
  [12.34, '12.3 s'], [0, '0.0 s'], [59.94, '59.9 s'], [59.96, '1 min 00 s'], [320, '5 min 20 s'],
  [3599.6, '1 h 00 min'], [3900, '1 h 05 min'], [-12.3, '-12.3 s'], [NaN, '–'], [null, '–'], [undefined, '–'],
]);
cases('error', format.error, [[349.64, '349.6 s'], [52340.2, '52 340.2 s'], [1.234e7, '1.2 × 10⁷ s'], [-0.04, '0.0 s'], [-3.2, '-3.2 s']]);
cases('cell', format.cell, [[349.6, '350'], [9999.4, '9 999'], [12345, '12k'], [999_499, '999k'], [1.2e7, '12M'], [null, '–']]);
cases('signed', format.signed, [[3.24, '+3.2 s'], [-3.24, '-3.2 s'], [0.04, '0.0 s'], [-0.04, '0.0 s'], [1500, '+1 500.0 s'], [-2e6, '-2.0 × 10⁶ s']]);
cases('signedWhole', format.signedWhole, [[3.6, '+4 s'], [-1607.9, '-1 608 s'], [0.4, '0 s'], [-0.4, '0 s'], [-2e6, '-2M s']]);
cases('millis', format.millis, [[13.2, '13 ms'], [999.4, '999 ms'], [1250, '1.25 s'], [61_000, '1 min 01 s']]);
cases('number', format.number, [[0, '0'], [12345, '12 345'], [-1234, '-1 234'], [Infinity, '–']]);
cases('rate', format.rate, [[8.12, '8.1'], [99.96, '100.0'], [1234.5, '1 235']]);
cases('bytes', format.bytes, [[999, '999 B'], [25_487, '25.5 kB'], [1_530_000, '1.5 MB']]);
cases('clock', format.clock, [[Date.UTC(2016, 0, 4, 8, 59, 59), 'Mon 4 Jan 2016 08:59'], [Date.UTC(2016, 8, 4), 'Sun 4 Sep 2016 00:00'], [0, '–']]);

test('change has a word for its direction', () => {
  assert.deepEqual(['better', 'worse', 'same', ''], [-1, 1, 0.01, NaN].map((x) => format.change(x).trend));
});

test('ago goes by the clock of the monitor', () => {
  const now = Date.now();
  format.setClock(now + 60_000);
  assert.equal(plain(format.ago(now + 55_000)), '5 s ago');
  format.setClock(Date.now());
  assert.equal(plain(format.ago(now - 120_000)), '2 min ago');
  assert.equal(plain(format.ago(now + 5_000)), '0 s ago');
});

test('offBy says in which direction', () => {
  assert.equal(plain(format.offBy(100, 130)), '30.0 s too short');
  assert.equal(plain(format.offBy(500, 100)), '6 min 40 s too long');
  assert.equal(format.offBy(100.2, 100), 'right to the second');
});
