// How values are written: short, with units, and inert.

import { h } from './dom.js';

// Control bytes, marks that turn the direction of text, invisible ones and line breaks: shown as what they are.
const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0\ufe00-\ufe0f\u{e0000}-\u{e0fff}\u034f\u17b4\u17b5\u2800]/gu;
const stacked = /(\p{M})\p{M}{3,}/gu; // marks upon marks that grow out of their line
const longest = 1000;

// clean returns text that stays in its place.
export function clean(v, most = longest) {
  if (v === undefined || v === null) return '';
  let s = typeof v === 'string' ? v : typeof v === 'object' ? JSON.stringify(v) : String(v);
  const cut = s.length > most;
  if (cut) s = s.slice(0, most);
  s = s.replace(unsafe, (c) => (c === '\n' ? ' ⏎ ' : c === '\t' ? ' ' : '\\u{' + c.codePointAt(0).toString(16) + '}')).replace(stacked, '$1');
  return cut ? s + '…' : s;
}

export function num(n) {
  if (n === undefined || n === null) return '–';
  const a = Math.abs(n);
  for (const [f, u] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) if (a >= f) return trim(n / (u === 'k' ? 1e3 : f)) + u;
  return Number.isInteger(n) ? String(n) : trim(n);
}

// whole writes all digits of a number, in groups.
export const whole = (n) => (n === undefined || n === null ? '–' : String(n).replace(/\B(?=(\d{3})+$)/g, '\u2009'));

function trim(n) {
  const s = n.toFixed(Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : 2);
  return s.includes('.') ? s.replace(/\.?0+$/, '') : s;
}

export function bytes(n) {
  if (n === undefined || n === null) return '–';
  let i = 0;
  while (Math.abs(n) >= 1024 && i < 5) { n /= 1024; i++; }
  return (i === 0 ? String(n) : trim(n)) + ' ' + ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][i];
}

export function micros(us) {
  if (us === undefined || us === null) return '–';
  if (us < 1000) return Math.round(us) + ' µs';
  if (us < 1e6) return trim(us / 1e3) + ' ms';
  return us < 6e7 ? trim(us / 1e6) + ' s' : span(us / 1e6);
}

// span writes seconds.
export function span(s) {
  if (s < 0) s = 0;
  if (s < 1) return Math.round(s * 1000) + ' ms';
  if (s < 10) return trim(s) + ' s';
  if (s < 60) return Math.floor(s) + ' s';
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  if (s < 3600) return Math.floor(s / 60) + 'm' + two(s % 60) + 's';
  if (s < 86400) return Math.floor(s / 3600) + 'h' + two((s % 3600) / 60) + 'm';
  return Math.floor(s / 86400) + 'd' + two((s % 86400) / 3600) + 'h';
}

const never = (t) => !t || t.startsWith('0001-');

// The clock of the host, as far as its frames tell.
let skew = 0;
export function heard(at) {
  if (!never(at)) skew = Date.parse(at) - Date.now();
}
export const now = () => Date.now() + skew;

// fixed is the moment that ages are counted from while the display is frozen.
let fixed = 0;
export function freeze(at) { fixed = at; }

export function age(t) {
  if (never(t)) return '–';
  return span(((fixed || now()) - Date.parse(t)) / 1000);
}

export function utc(t) {
  return never(t) ? '' : new Date(t).toISOString().replace('T', ' ').replace(/(\.\d{3})?Z$/, '$1 UTC');
}

// ago is an age that tells the moment when it is pointed at.
export function ago(t, words = '') {
  if (never(t)) return '–';
  const ahead = Date.parse(t) > (fixed || now()) + 1000;
  return h('time', { title: utc(t), class: 'age' }, ahead ? 'in ' + span((Date.parse(t) - (fixed || now())) / 1000) : age(t) + words);
}

export function clock(t) {
  return never(t) ? '–' : h('time', { title: utc(t) }, new Date(t).toISOString().slice(11, 23));
}

// brief shortens long hexadecimal ids; the rest is in the title.
export function brief(id, most = 12) {
  const s = clean(id, 300);
  return h('span', { class: 'id', title: s }, /^[0-9a-f]{20,}$/.test(s) ? s.slice(0, most) + '…' : s);
}

// owner writes who can end something, which may be an artifact.
export const owner = (s) => (/^[0-9a-f]{20,}$/.test(s) ? brief(s) : clean(s, 100));

// State words and how they are marked: colour is never the only sign.
const tones = {
  good: ['ready', 'running', 'idle', 'prepared', 'done', 'held', 'ok', 'live', 'following', 'success', 'settled', 'handled', 'in_block', 'delivered'],
  busy: ['busy', 'preparing', 'starting', 'submitted', 'signed', 'queued', 'parked', 'waiting', 'assigned', 'handshake', 'artifact-wait', 'received', 'admitted', 'scheduled', 'reading', 'info', 'planned', 'result-read', 'verdict'],
  warn: ['backoff', 'draining', 'stopping', 'paused', 'suspect', 'warning', 'warn', 'in_doubt', 'lost', 'superseded', 'recycle', 'refused', 'ending', 'stopped', 'off'],
  bad: ['open', 'failed', 'gave_up', 'error', 'guest', 'host', 'dead', 'dropped', 'panicked', 'undelivered', 'other_chain', 'bug', 'invalid'],
};
const marks = { good: '●', busy: '◐', warn: '▲', bad: '■', none: '○' };
const toneOf = {};
for (const t in tones) for (const w of tones[t]) toneOf[w] = t;
export const tone = (word) => toneOf[word] || 'none';

export function state(word, extra) {
  const t = tone(word);
  return h('span', { class: 'state tone-' + t }, h('span', { class: 'mark', 'aria-hidden': 'true' }, marks[t]), clean(word || '–', 40).replace(/_/g, ' '), extra ? h('span', { class: 'extra' }, extra) : null);
}

// blame says whose fault it was; each has its own letter.
export function blame(b) {
  return b ? h('span', { class: 'blame blame-' + clean(b, 10).replace(/[^a-z]/g, '') }, clean(b, 12)) : null;
}

// bar is a share of something, told in words too.
export function bar(part, whole, label, cls = '') {
  const share = whole > 0 ? Math.min(part / whole, 1) : 0;
  return h('span', { class: 'bar ' + cls + (share > 0.9 ? ' full' : share > 0.7 ? ' high' : ''), title: label },
    h('span', { class: 'fill', css: { width: (share * 100).toFixed(1) + '%' } }), h('span', { class: 'words' }, label));
}
