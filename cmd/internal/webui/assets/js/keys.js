// The keyboard: the same keys as in the terminal console.

import * as net from './net.js';
import { app, draw, show, go, set, pause, setEvery, toast, watch, unmark } from './store.js';
import { mark, range } from './table.js';
import { begin, close, verbsFor, trap } from './plan.js';
import { inspectRow, closeDrawer, kindOf, matchOf } from './detail.js';
import { tables, command, groups, quote, keyOf, listed } from './cols.js';
import { clean } from './fmt.js';
import { h } from './dom.js';

export const keymap = [
  ['Move', [['j k ↓ ↑', 'next, previous row'], ['g G', 'first, last row'], ['PgDn PgUp', 'a screen'], ['enter', 'open'], ['esc', 'close, back'], ['[ ]', 'history'], ['1 … 9', 'views']]],
  ['Find', [['/', 'filter'], [':', 'go to a view, or do something'], ['s S', 'sort by the next column, reverse'], ['space', 'mark'], ['shift-space', 'mark up to here'], ['*', 'mark all in sight; again: all that match']]],
  ['Look', [['w', 'explain: what it waits for'], ['t', 'trace, or the waterfall of its cause'], ['m', 'mailbox'], ['l', 'log'], ['e', 'last fault'], ['o', 'raw JSON'], ['y', 'copy the id'], ['Y', 'copy as CLI'], ['f', 'freeze the display'], ['+ −', 'refresh faster, slower'], ['d', 'dark, light'], ['?', 'these keys']]],
];

let rows = []; // of the table in sight
let on = ''; // the row under the cursor

// inSight says which rows there are. The cursor stays with its row wherever that goes, and with its place where the row is gone: what a
// key is meant for does not change under the finger.
export function inSight(list) {
  if (rows[app.cursor]) on = rows[app.cursor].id;
  if (app.anew || (tables[app.view] && tables[app.view].newest && app.cursor === 0)) on = '';
  app.anew = false;
  rows = list;
  if (!list.length || (list[app.cursor] && list[app.cursor].id === on)) return;
  const at = on === '' ? -1 : list.findIndex((x) => x.id === on);
  app.cursor = at >= 0 ? at : Math.min(app.cursor, list.length - 1);
}

const typing = (e) => e.target.closest && e.target.closest('input,textarea,select,[contenteditable]');

export function listen() {
  document.addEventListener('keydown', (e) => {
    if (app.fatal || e.ctrlKey && e.key !== ' ' || e.metaKey || e.altKey) return;
    if (e.key === 'Escape') { if (escape_()) e.preventDefault(); return; }
    if (app.help && e.key === '?') { app.help = false; show(); e.preventDefault(); return; }
    if (app.dialog || app.palette || app.help || typing(e)) return;
    if ((e.key === 'Enter' || e.key === ' ') && e.target.closest && e.target.closest('button,a,summary')) return;
    if (press(e)) e.preventDefault();
  });
}

function escape_() {
  if (app.palette) app.palette = null;
  else if (app.dialog) close();
  else if (app.help) app.help = false;
  else if (document.activeElement && document.activeElement.matches('input,select,textarea')) (document.getElementById('grid') || document.getElementById('main')).focus();
  else if (app.drawer) closeDrawer();
  else if (app.marks.size) unmark();
  else if (app.params.q) set({ q: '' });
  else return false;
  show();
  return true;
}

function move(to) {
  app.cursor = Math.max(0, Math.min(rows.length - 1, to));
  app.follow = true;
  if (app.drawer && rows[app.cursor] && app.drawer.view === listed(app.view)) inspectRow(listed(app.view), rows[app.cursor].id, rows[app.cursor].row);
  draw();
  return true;
}

function page() {
  const g = document.getElementById('grid');
  return g ? Math.max(Math.floor(g.clientHeight / 32) - 2, 1) : 10;
}

export const current = () => rows[app.cursor];

function press(e) {
  const c = current();
  const k = e.key;
  switch (k) {
    case 'j': case 'ArrowDown': return move(app.cursor + 1);
    case 'k': case 'ArrowUp': return move(app.cursor - 1);
    case 'g': case 'Home': return move(0);
    case 'G': case 'End': return move(rows.length - 1);
    case 'PageDown': return move(app.cursor + page());
    case 'PageUp': return move(app.cursor - page());
    case '[': history.back(); return true;
    case ']': history.forward(); return true;
    case '/': { const q = document.getElementById('query'); if (q) { q.focus(); q.select(); } return true; }
    case ':': openPalette(); return true;
    case '?': app.help = true; show(); return true;
    case 'f': pause(!app.paused); return true;
    case '+': case '=': setEvery(app.every / 2); return true;
    case '-': setEvery(app.every * 2); return true;
    case 'd': theme(); return true;
    case 'Y': clip(command(app.view, app.params)); return true;
    case 's': case 'S': return sortNext(k === 'S');
    case '*': return markAll();
    case 'P': if (app.view === 'chain') return verb('P', null); break;
    case 'D': return verb('D', { id: 'node', row: {} }, 'node');
  }
  if (/^[1-9]$/.test(k)) { const all = groups.flatMap(([, v]) => v.map(([n]) => n)); if (all[k - 1]) go(all[k - 1]); return true; }
  if (!c) return false;
  switch (k) {
    case 'Enter': case 'ArrowRight': if (app.view === 'tree' && k === 'ArrowRight' && c.fold) { c.fold(false); return true; } inspectRow(listed(app.view), c.id, c.row); return true;
    case 'ArrowLeft': if (c.fold) c.fold(true); return true;
    case ' ': if (e.shiftKey || e.ctrlKey) range(rows, app.cursor); else mark(c.id, c.row); draw(); return true;
    case 'w': case 'm': case 'e': inspectRow(listed(app.view), c.id, c.row, k); return true;
    case 'o': net.save(`troupe-${app.view}.json`, c.row); toast('The row was saved as JSON'); return true;
    case 'y': clip(c.id); return true;
    case 't': if (c.row.cause) go('trace', { cause: c.row.cause }); else if (c.row.path) go('trace', { actor: c.row.path }); else toast('It carries no cause'); return true;
    case 'l': go('log', { q: kindOf(listed(app.view), c.row) === 'actor' ? 'actor=' + quote(c.id) : '' }); return true;
  }
  return verb(k, c);
}

// verb begins what a key does to what is marked, or to the row under the cursor. A key without a right does nothing at all.
export function verb(k, c, kind) {
  kind = kind || (app.view === 'chain' ? 'chain' : c ? kindOf(listed(app.view), c.row) : '');
  const row = app.view === 'chain' ? { paused: app.local.chainPaused } : app.marks.size ? { ...c.row } : c.row;
  const v = verbsFor(kind, row).find((x) => x.key === k);
  if (!v) return false;
  begin(v, targets(c, kind));
  return true;
}

// targets is what an action would be done to.
export function targets(c, kind) {
  if (kind === 'chain' || kind === 'node') return { ids: [kind] };
  if (app.marks.size) {
    if (app.allMatch && app.params.q) return { selector: app.params.q, ids: [] };
    const match = {};
    for (const [id, row] of app.marks) Object.assign(match, matchOf({ view: listed(app.view), key: idOf(id, row) }, row));
    return { ids: [...app.marks].map(([id, row]) => idOf(id, row)), match: Object.keys(match).length ? match : undefined };
  }
  return { ids: [idOf(c.id, c.row)], match: matchOf({ view: listed(app.view), key: idOf(c.id, c.row) }, c.row) };
}

const idOf = (id, row) => keyOf(listed(app.view), id, row);

function markAll() {
  if (rows.length && app.params.q && !app.allMatch && rows.every((r) => app.marks.has(r.id))) {
    app.allMatch = true;
    toast('All that match the filter are marked, also those that are not listed');
  } else {
    app.allMatch = false;
    app.marks = new Map(rows.map((r) => [r.id, r.row]));
  }
  draw();
  return true;
}

function sortNext(reverse) {
  const t = tables[app.view];
  if (!t) return false;
  const s = app.params.sort || '';
  const f = s.replace('-', '');
  if (reverse) { set({ sort: s.startsWith('-') ? f : '-' + (f || t.cols[0].s) }); return true; }
  const at = t.cols.findIndex((c) => c.s === f);
  set({ sort: t.cols[(at + 1) % t.cols.length].s });
  return true;
}

export async function clip(text) { toast((await net.copy(text)) ? 'Copied: ' + text : text); }

export function theme() {
  const order = ['auto', 'dark', 'light'];
  const now = document.documentElement.dataset.theme || 'auto';
  const next = order[(order.indexOf(now) + 1) % order.length];
  setTheme(next);
  toast('Colours: ' + (next === 'auto' ? 'as the system has them' : next));
}

export function setTheme(name) {
  if (name === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try { localStorage.setItem('troupe.theme', name); } catch { /* for this page only */ }
}

// The palette: ":" and the name of a view, or of what can be done.
export function openPalette() {
  app.palette = { text: '', at: 0 };
  show();
}

function choices() {
  const c = current();
  const list = groups.flatMap(([g, v]) => v.map(([n, t]) => ({ name: n, words: t, kind: g, go: () => go(n) })));
  if (c || app.marks.size) for (const v of verbsFor(app.view === 'chain' ? 'chain' : kindOf(listed(app.view), (c || {}).row || {}), (c || {}).row)) list.push({ name: v.action, words: v.effect, kind: app.marks.size ? `${app.marks.size} marked` : clean(c ? c.id : '', 30), go: () => begin(v, targets(c, v.kind)) });
  for (const v of verbsFor('node', {})) list.push({ name: 'node ' + v.action, words: v.effect, kind: 'Host', go: () => begin(v, { ids: ['node'] }) });
  list.push({ name: 'snapshot', words: 'save a bundle of all that is known', kind: 'Host', go: async () => { try { net.save('troupe.bundle', await net.blob('/v1/node/snapshot')); } catch (e) { toast(e.message, 'bad'); } } });
  list.push({ name: 'leave', words: 'end this session and the console', kind: 'Console', go: async () => { await net.leave(); app.fatal = { message: 'The session is closed.', hint: "Run 'troupe web' for another one." }; draw(); } });
  const t = app.palette.text.trim().toLowerCase();
  return list.filter((x) => !t || x.name.toLowerCase().includes(t) || (t.length > 2 && x.words.toLowerCase().includes(t))).sort((a, b) => (b.name.toLowerCase().startsWith(t) ? 1 : 0) - (a.name.toLowerCase().startsWith(t) ? 1 : 0));
}

export function palette() {
  const p = app.palette;
  if (!p) return null;
  const list = choices();
  p.at = Math.max(0, Math.min(p.at, list.length - 1));
  const pick = (x) => { if (!x) return; app.palette = null; x.go(); show(); };
  return h('div', { key: 'palette', class: 'veil top', onclick: (e) => { if (e.target === e.currentTarget) { app.palette = null; draw(); } } },
    h('section', { class: 'palette', role: 'dialog', 'aria-modal': 'true', tabindex: '-1', 'aria-label': 'Go to a view, or do something', onkeydown: (e) => {
      const now = choices(); // not those of the last drawing: what was typed since counts
      if (e.key === 'ArrowDown') p.at = Math.min(p.at + 1, now.length - 1);
      else if (e.key === 'ArrowUp') p.at = Math.max(p.at - 1, 0);
      else if (e.key === 'Enter') { e.preventDefault(); if (!e.repeat) pick(now[p.at]); return; } else { trap(e); return; }
      e.preventDefault();
      draw();
    } },
    h('input', { id: 'palette', class: 'query', value: p.text, placeholder: 'a view, or what to do', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'choices', 'aria-activedescendant': 'choice-' + p.at, autocomplete: 'off', spellcheck: 'false', oninput: (e) => { p.text = e.target.value; p.at = 0; draw(); } }),
    h('ul', { id: 'choices', role: 'listbox' }, list.map((x, i) => h('li', { key: x.name + x.kind, id: 'choice-' + i, role: 'option', 'aria-selected': i === p.at ? 'true' : 'false', class: i === p.at ? 'at' : '', then: i === p.at && i !== p.seen ? (el) => { p.seen = i; el.scrollIntoView({ block: 'nearest' }); } : undefined, onclick: () => pick(x) }, h('b', null, clean(x.name, 40)), h('span', { class: 'dim' }, clean(x.words, 90)), h('span', { class: 'kicker' }, clean(x.kind, 30)))), list.length ? null : h('li', { class: 'dim' }, 'There is nothing of this name.'))));
}

export { watch };
