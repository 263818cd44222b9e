// Numbers and times as words, the same as the server's words.go and shapes.go
// say them: what is rendered there is replaced by what is said here.

const NBSP = '\u00a0';
const MINUS = '\u2212';
export const NOTHING = '\u2013';

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0, useGrouping: true });
const tenth = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1, useGrouping: false });
const hundredth = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

const known = (x) => typeof x === 'number' && Number.isFinite(x);
const spaced = (text) => text.replaceAll(',', '\u202f').replace('-', MINUS);

export const number = (x) => (known(x) ? spaced(whole.format(x)) : NOTHING);

export const rate = (x) => (!known(x) ? NOTHING : x >= 100 ? number(x) : tenth.format(x));

// Seconds as people say them: 12.3 s, 5 min 20 s, 1 h 05 min.
export function seconds(x) {
  if (!known(x)) return NOTHING;
  const sign = x < 0 ? MINUS : '';
  const s = Math.abs(x);
  if (s < 59.95) return `${sign}${tenth.format(s)}${NBSP}s`;
  const all = Math.round(s);
  if (all < 3600) return `${sign}${Math.floor(all / 60)}${NBSP}min${NBSP}${pad(all % 60)}${NBSP}s`;
  const minutes = Math.round(s / 60);
  return `${sign}${number(Math.floor(minutes / 60))}${NBSP}h${NBSP}${pad(minutes % 60)}${NBSP}min`;
}

// An error in seconds, whatever its size: columns of them are compared, and a
// model that has exploded must not break the table.
export function error(x) {
  if (!known(x)) return NOTHING;
  if (Math.abs(x) < 99_999.5) return `${decimal(x)}${NBSP}s`;
  return `${scientific(x)}${NBSP}s`;
}

function decimal(x) {
  const text = tenth.format(Math.abs(x));
  const [before, after] = text.split('.');
  return `${x < 0 && text !== '0.0' ? MINUS : ''}${number(Number(before))}.${after}`;
}

// Whole seconds where there is little room.
export function cell(x) {
  if (!known(x)) return NOTHING;
  if (x < 9999.5) return number(x);
  return x < 999_500 ? `${number(x / 1e3)}k` : `${number(x / 1e6)}M`;
}

const RAISED = '⁰¹²³⁴⁵⁶⁷⁸⁹';
function scientific(x) {
  const power = Math.floor(Math.log10(Math.abs(x)));
  const raised = [...String(power)].map((d) => RAISED[d]).join('');
  return `${tenth.format(x / 10 ** power).replace('-', MINUS)}${NBSP}×${NBSP}10${raised}`;
}

export function signed(x) {
  if (!known(x)) return NOTHING;
  if (Math.abs(x) >= 99_999.5) return `${x > 0 ? '+' : ''}${scientific(x)}${NBSP}s`;
  const text = tenth.format(Math.abs(x));
  if (text === '0.0') return `0.0${NBSP}s`;
  return `${x < 0 ? MINUS : '+'}${decimal(Math.abs(x))}${NBSP}s`;
}

// The same in whole seconds, where there is little room.
export function signedWhole(x) {
  if (!known(x)) return NOTHING;
  const text = cell(Math.round(Math.abs(x)));
  return `${text === '0' ? '' : x < 0 ? MINUS : '+'}${text}${NBSP}s`;
}

// A change of an error: down is good, and a number too small to print is none.
export function change(x) {
  if (!known(x)) return { text: NOTHING, trend: '' };
  const text = signed(x);
  if (text.startsWith('0.0')) return { text, trend: 'same' };
  return { text, trend: x < 0 ? 'better' : 'worse' };
}

export function millis(x) {
  if (!known(x)) return NOTHING;
  if (Math.abs(x) < 999.5) return `${number(x)}${NBSP}ms`;
  if (Math.abs(x) < 59_950) return `${hundredth.format(x / 1000)}${NBSP}s`;
  return seconds(x / 1000);
}

export function bytes(x) {
  if (!known(x)) return NOTHING;
  if (x < 1000) return `${number(x)}${NBSP}B`;
  if (x < 999_950) return `${tenth.format(x / 1e3)}${NBSP}kB`;
  return `${tenth.format(x / 1e6)}${NBSP}MB`;
}

// Days are put together from parts: in British English September is Sept, on the
// server it is not.
function dated(parts) {
  const { weekday, day, month, year } = Object.fromEntries(parts.map((p) => [p.type, p.value]));
  return [weekday, day, month, year].filter(Boolean).join(' ');
}

// The city's clock has no zone: it is written as if it were UTC, and read so.
const day = new Intl.DateTimeFormat('en-US', { timeZone: 'UTC', weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
const minute = new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

export function clock(ms) {
  if (!known(ms) || ms === 0) return NOTHING;
  return `${dated(day.formatToParts(ms))} ${minute.format(ms)}`;
}

export const hours = (ms) => minute.format(ms);

// A moment of the real clock, in the zone of whoever looks.
const local = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const localDay = new Intl.DateTimeFormat('en-US', { day: 'numeric', month: 'short', year: 'numeric' });

export function when(ms, now = Date.now()) {
  if (!known(ms) || ms === 0) return NOTHING;
  const time = local.format(ms);
  return Math.abs(now - ms) < 12 * 3600e3 ? time : `${dated(localDay.formatToParts(ms))} ${time}`;
}

// The monitor's clock and the browser's need not agree.
let skew = 0;
export const setClock = (serverNow) => (skew = serverNow - Date.now());

export function ago(ms, now = Date.now() + skew) {
  if (!known(ms) || ms === 0) return NOTHING;
  const s = Math.max(0, Math.floor((now - ms) / 1000));
  if (s < 60) return `${s}${NBSP}s ago`;
  if (s < 3600) return `${Math.floor(s / 60)}${NBSP}min ago`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)}${NBSP}h ago`;
  return `${number(Math.floor(s / 86400))}${NBSP}days ago`;
}

export const text = (x) => (x === undefined || x === null ? '' : String(x));

// What a prediction was off by, in words.
export function offBy(predicted, actual) {
  const off = predicted - actual;
  if (Math.abs(off) < 0.5) return 'right to the second';
  return `${seconds(Math.abs(off))} too ${off < 0 ? 'short' : 'long'}`;
}

const pad = (n) => String(n).padStart(2, '0');
