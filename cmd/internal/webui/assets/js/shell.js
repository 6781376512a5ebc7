// What is around each view: the rail, the bar with the state of the host, the filter, notes.

import { h } from './dom.js';
import * as net from './net.js';
import { app, watch, draw, show, set, go, pause, toast, addressOf, may, unmark } from './store.js';
import { clean, num, ago, age, span, state, bytes } from './fmt.js';
import { groups, titles, tables, command, listed } from './cols.js';
import { table } from './table.js';
import { drawer } from './detail.js';
import { verbsFor, begin, trap } from './plan.js';
import { inSight, keymap, clip, theme, openPalette, targets } from './keys.js';
import { kindOf } from './detail.js';
import * as boards from './boards.js';
import * as tree from './tree.js';
import * as pages from './pages.js';

const pagesOf = {
  overview: () => ({ body: boards.overview() }), queues: boards.queueBoard, workers: boards.workerBoard, sandbox: boards.sandbox, mailboxes: boards.mailboxes,
  trace: () => ({ body: pages.tracePage() }), flow: () => ({ body: pages.flowPage() }), chain: pages.chainPage, compare: () => ({ body: pages.comparePage() }),
};
const filtered = new Set([...Object.keys(tables), 'queues', 'workers', 'sandbox', 'mailboxes']);
const hints = { actors: 'filter: state=busy,backoff mailbox>80% worker', tree: 'filter: state=busy,backoff mailbox>80% worker', mailboxes: 'filter: state=busy,backoff mailbox>80% worker', jobs: 'filter: state=queued age>1m priority>=high', failures: 'filter: blame=guest since:10m', guests: 'filter: cpu>80% age>5s', artifacts: 'filter: state=failed size>10MiB', log: 'filter: level>=warn since:10m worker', apps: 'filter: state!=running restarts>3', workers: 'filter: state=busy rss>100MiB' };
const asTable = () => app.params.as === 'table';

let shownView = ''; // in the rail, which may have to be scrolled to it

function rail() {
  return h('nav', { class: 'rail', 'aria-label': 'Views' }, groups.map(([g, list]) => h('div', { key: g, class: 'group' }, h('h2', null, g), h('ul', null, list.map(([name, title]) => h('li', { key: name }, h('a', { href: addressOf(name), 'aria-current': app.view === name ? 'page' : undefined, then: app.view === name && shownView !== name ? (el) => { shownView = name; el.scrollIntoView({ block: 'nearest', inline: 'nearest' }); } : undefined }, title)))))));
}

function top(o) {
  const host = o.rows.get(o.order[0]) || {};
  const worst = (host.health || []).some((x) => x.level === 'error') ? 'error' : (host.health || []).length ? 'warning' : 'ok';
  const lost = o.state !== 'live' && !app.paused && !app.hidden && o.at;
  return h('header', { class: 'bar-top' },
    h('a', { class: 'brand', href: addressOf('overview') }, h('b', null, 'troupe'), h('span', { class: 'host' }, clean(host.name || (app.me && app.me.host) || '', 40))),
    h('span', { class: 'vital roomy' }, state(host.draining ? 'draining' : host.ready === false ? 'starting' : host.name ? 'ready' : 'waiting')),
    host.started_at ? h('span', { class: 'vital wide' }, h('span', { class: 'dim' }, 'up '), ago(host.started_at)) : null,
    host.rss_bytes ? h('span', { class: 'vital wide' }, h('span', { class: 'dim' }, 'resident '), bytes(host.rss_bytes)) : null,
    h('a', { class: 'vital', href: addressOf('health') }, state(worst, (host.health || []).length ? num(host.health.length) + ' to know' : 'health')),
    h('span', { class: 'grow' }),
    h('span', { class: 'vital fresh' + (lost ? ' lost' : ''), title: 'of what is shown' }, app.paused ? state('paused', 'as of ' + span((Date.now() - app.pausedReal) / 1000) + ' ago') : lost ? state('lost', 'seen ' + age(o.at) + ' ago') : h('span', { class: 'dim' }, 'every ' + span(app.every / 1000))),
    h('span', { class: 'vital wide dim', title: 'what you may do here: ' + [...app.rights].join(', ') }, [...app.rights].pop() || ''),
    h('button', { id: 'pause', 'aria-pressed': app.paused ? 'true' : 'false', title: 'freeze the display (f)', onclick: () => { pause(!app.paused); } }, app.paused ? '▶ Go on' : '❙❙ Freeze'),
    h('button', { class: 'icon', title: 'go to a view, or do something (:)', 'aria-label': 'Commands', onclick: openPalette }, '⌘'),
    h('button', { class: 'icon', title: 'dark, light or as the system has it (d)', 'aria-label': 'Colours', onclick: theme }, '◐'),
    h('button', { class: 'icon', title: 'keys (?)', 'aria-label': 'Keys', onclick: () => { app.help = !app.help; show(); } }, '?'));
}

// Completion: what the grammar offers at the end of the text, then values that are in sight.
async function complete(text) {
  const view = app.view === 'tree' ? 'actors' : listed(app.view);
  let list = [];
  try {
    list = await (await fetch('/complete/' + encodeURIComponent(view) + '?q=' + encodeURIComponent(text))).json();
  } catch { /* typing goes on without */ }
  const q = typed();
  if (!q || q.text !== text || q.list) return;
  q.list = list;
  if (q.early && q.open && suggestions(q).length) put(suggestions(q)[0].text);
  draw();
}

// typed is what stands in the filter and does not hold yet.
const typed = () => app.local.query;

let live = null; // the subscription that is filtered

const put = (text) => {
  app.local.query = { text, open: true, at: -1, list: null, early: false };
  complete(text);
  draw();
};

const done = (text) => set({ q: text.trim() });

// keys goes by what was typed, not by what was drawn of it: the next key does not wait for a frame.
function keys(e) {
  const q = typed();
  const list = q && q.open ? suggestions(q) : [];
  if (e.key === 'Enter') {
    e.preventDefault();
    if (q && list[q.at]) { put(list[q.at].text); return; }
    app.local.query = null;
    done(e.target.value);
    (document.getElementById('grid') || document.getElementById('main')).focus();
  } else if (e.key === 'Tab' && !e.shiftKey && list.length) {
    e.preventDefault();
    put(list[Math.max(q.at, 0)].text);
  } else if (e.key === 'Tab' && !e.shiftKey && q && q.open && !q.list && !q.early) {
    e.preventDefault();
    q.early = true; // the answer is still on its way
  } else if ((e.key === 'ArrowDown' || e.key === 'ArrowUp') && list.length) {
    e.preventDefault();
    q.at = e.key === 'ArrowDown' ? (q.at + 1) % list.length : (Math.max(q.at, 0) + list.length - 1) % list.length;
    draw();
  } else if (e.key === 'Escape') app.local.query = null;
}

function suggestions(q) {
  const text = q.text;
  const word = /[^\s]*$/.exec(text)[0];
  const before = text.slice(0, text.length - word.length);
  const out = (q.list || []).map((x) => ({ text: x.text, help: x.help }));
  const m = /^([\w.]+)(!=|=|~|:)(.*)$/.exec(word);
  if (m && live && !out.length) {
    const start = m[3].slice(m[3].lastIndexOf(',') + 1);
    const column = (tables[app.view] || tables.actors).cols.find((c) => c.s === m[1]);
    const f = column ? column.f : m[1];
    const seen = new Set();
    for (const r of live.list().slice(0, 2000)) if (typeof r[f] === 'string' && r[f].startsWith(start) && r[f] !== start && r[f].length < 80) seen.add(r[f]);
    for (const v of [...seen].sort().slice(0, 8)) out.push({ text: before + word.slice(0, word.length - start.length) + (/^[\w./:-]*$/.test(v) ? v : JSON.stringify(v)), help: 'in sight' });
  }
  return out.filter((x) => x.text !== text).slice(0, 8);
}

function query(l) {
  live = l;
  const q = typed();
  const text = q ? q.text : app.params.q || '';
  const list = q && q.open ? suggestions(q) : [];
  const wrong = live && live.state === 'refused' && live.error;
  const column = wrong && Number((/column (\d+)/.exec(wrong.error.message + ' ' + wrong.hint) || [])[1]);
  return h('div', { key: 'query', class: 'querybar' },
    h('label', { class: 'hidden', for: 'query' }, 'Filter'),
    h('div', { class: 'queryfield' }, h('span', { class: 'slash', 'aria-hidden': 'true' }, '/'),
      h('input', { id: 'query', class: 'query', value: text, placeholder: hints[app.view] || 'filter: a word, field=value, field>5, -word', autocomplete: 'off', spellcheck: 'false', role: 'combobox', 'aria-expanded': list.length ? 'true' : 'false', 'aria-controls': 'suggestions', 'aria-invalid': wrong ? 'true' : 'false', 'aria-describedby': 'query-says',
        oninput: (e) => put(e.target.value), onblur: () => { if (typed()) typed().open = false; draw(); }, onkeydown: keys }),
      list.length ? h('ul', { id: 'suggestions', class: 'suggestions', role: 'listbox' }, list.map((s, i) => h('li', { key: s.text, role: 'option', 'aria-selected': q.at === i ? 'true' : 'false', class: q.at === i ? 'at' : '', onmousedown: (e) => { e.preventDefault(); put(s.text); } }, h('b', null, clean(s.text, 120)), h('span', { class: 'dim' }, clean(s.help, 100))))) : null),
    app.params.q ? h('button', { class: 'quiet', onclick: () => done('') }, 'Clear') : null,
    h('p', { id: 'query-says', class: wrong ? 'problem' : 'dim says', role: 'status' }, wrong ? [column ? h('code', { class: 'caret' }, clean(app.params.q || '', 200).slice(0, column - 1) + '▸' + clean(app.params.q || '', 200).slice(column - 1)) : null, ' ', clean(wrong.message, 200), wrong.hint ? h('span', { class: 'dim' }, ' — ' + clean(wrong.hint, 200)) : null] : live && live.at ? `${num(live.order.length)} shown · ${num(live.matched)} match · ${num(live.total)} in all` + (live.dropped ? ` · ${num(live.dropped)} overtaken` : '') : ''));
}

function chosen() {
  if (!app.marks.size) return null;
  const [id, row] = app.marks.entries().next().value;
  const kind = kindOf(listed(app.view), row);
  const verbs = verbsFor(kind, app.marks.size > 1 ? { ...row, any: true } : row);
  return h('div', { key: 'chosen', class: 'chosen', role: 'toolbar', 'aria-label': 'What to do with what is marked' }, h('b', null, app.allMatch ? 'all that match' : num(app.marks.size) + ' marked'),
    verbs.map((v) => h('button', { key: v.name, class: v.danger ? 'risky' : '', title: clean(v.effect), onclick: () => begin(v, targets({ id, row }, kind)) }, v.action, v.key ? h('kbd', null, v.key) : null)),
    h('button', { class: 'quiet', onclick: () => { unmark(); draw(); } }, 'Unmark'));
}

function view() {
  const name = app.view;
  if (pagesOf[name] && !asTable()) return pagesOf[name]();
  if (!tables[name]) return { body: h('p', { class: 'empty' }, 'There is no view of this name.') };
  if (name === 'tree') {
    const x = tree.treeRows();
    tree.index(x.rows);
    inSight(x.rows);
    return { live: x.live, body: table(x.t, x.rows, { ...x.opts, unsorted: true, open: (id, row) => pages.inspectRow('tree', id, row) }) };
  }
  const t = tables[name];
  const limit = name === 'actors' ? 10000 : 1000;
  const live = watch(name, { q: app.params.q, sort: app.params.sort, limit: app.params.limit || limit });
  const rows = live.order.map((id) => ({ id, row: live.rows.get(id) })).filter((x) => x.row);
  inSight(rows);
  const above = name === 'artifacts' ? boards.artifactMap(live) : name === 'apps' ? pages.appCharts(live) : null;
  return { live, rows: rows.length, body: h('div', { class: 'stack' }, above, rows.length || !live.at ? table(t, rows, { open: (id, row) => pages.inspectRow(name, id, row) }) : h('p', { class: 'empty' }, app.params.q ? 'Nothing matches the filter.' : 'There is nothing here.'),
    live.matched > rows.length && live.at ? h('p', { class: 'more' }, `${num(rows.length)} of ${num(live.matched)} are shown. `, rows.length < 10000 ? h('button', { onclick: () => set({ limit: 10000 }) }, 'Show up to 10 000') : 'Filter to see the others.') : null) };
}

function help() {
  if (!app.help) return null;
  const kinds = new Map();
  for (const v of app.verbs) if (may(v.right) && v.key) kinds.set(v.kind, [...(kinds.get(v.kind) || []), v]);
  return h('div', { key: 'help', class: 'veil', onclick: (e) => { if (e.target === e.currentTarget) { app.help = false; show(); } } }, h('section', { class: 'dialog help', role: 'dialog', 'aria-modal': 'true', tabindex: '-1', 'aria-label': 'Keys', onkeydown: trap }, h('h2', null, 'Keys'),
    h('div', { class: 'columns' }, keymap.map(([title, list]) => h('div', { key: title }, h('h3', null, title), h('dl', { class: 'keys' }, list.map(([k, w]) => [h('dt', null, k.split(' ').map((x) => (x === '…' ? ' … ' : h('kbd', null, x)))), h('dd', null, w)])))),
      kinds.size ? h('div', null, h('h3', null, 'Do'), h('dl', { class: 'keys' }, [...kinds].map(([kind, list]) => [h('dt', null, kind), h('dd', null, list.map((v) => [h('kbd', null, v.key), ' ' + v.action + '  ']))]))) : h('p', { class: 'dim' }, 'You may look, and change nothing.')),
    h('p', { class: 'dim' }, 'Filters are written as in the terminal and on the command line: field=value,other  field!=value  field~part  field>5  age>5s. '),
    h('div', { class: 'buttons' }, h('button', { class: 'primary', id: 'close', onclick: () => { app.help = false; show(); } }, 'Close'))));
}

// page is all that is on the screen.
export function page(dialog, palette) {
  if (app.fatal) {
    return h('main', { key: 'fatal', class: 'fatal', id: 'main', tabindex: '-1' }, h('h1', null, 'troupe'), h('p', { role: 'alert' }, clean(app.fatal.message || 'There is no session.', 300)), h('p', { class: 'dim' }, clean(app.fatal.hint || '', 300)));
  }
  const o = watch('overview');
  const v = view();
  const stale = v.live && v.live.state !== 'live' && v.live.state !== 'refused' && v.live.at && !app.paused && !app.hidden;
  const title = titles[app.view] || 'Troupe';
  const d = drawer((x) => (v.live && v.live.rows.get(x.id)) || findRow(x));
  return h('div', { key: 'shell', class: 'shell' + (d ? ' with-drawer' : '') + (app.banner ? ' with-banner' : '') },
    top(o), rail(),
    h('main', { key: 'main', id: 'main', tabindex: '-1', class: stale ? 'stale' : '' },
      app.banner ? h('p', { key: 'banner', class: 'banner', role: 'alert' }, app.banner, h('button', { class: 'quiet', onclick: () => { app.banner = ''; draw(); } }, 'Understood')) : null,
      h('div', { key: 'title', class: 'title' }, h('h1', null, title), h('span', { class: 'grow' }),
        tables[app.view] && pagesOf[app.view] ? h('button', { class: 'quiet', onclick: () => set({ as: asTable() ? '' : 'table' }) }, asTable() ? 'Board' : 'Table') : null,
        h('button', { class: 'quiet', title: command(app.view, app.params), onclick: () => clip(command(app.view, app.params)) }, 'Copy as CLI'),
        h('button', { class: 'quiet', onclick: () => { const l = v.live || o; net.save(`troupe-${app.view}.json`, { view: app.view, q: app.params.q, at: l.at, boot: app.boot, matched: l.matched, total: l.total, rows: l.list() }); } }, 'Download JSON')),
      filtered.has(app.view) ? query(v.live) : null,
      stale ? h('p', { key: 'stale', class: 'banner', role: 'status' }, 'Not connected. This is what was seen ', age(v.live.at), ' ago; it is tried again.', v.live.error ? h('span', { class: 'dim' }, ' ' + clean(v.live.error.message, 200)) : null) : null,
      v.live && v.live.state === 'refused' && !(app.params.q && filtered.has(app.view)) && !v.live.at ? h('p', { key: 'refused', class: 'problem', role: 'alert' }, h('b', null, clean(v.live.error.code)), ' ', clean(v.live.error.message), ' ', h('span', { class: 'dim' }, clean(v.live.error.hint))) : null,
      chosen(),
      h('div', { class: 'view', key: app.view }, v.body)),
    d,
    dialog, palette, help(),
    h('div', { key: 'toasts', class: 'toasts', role: 'status', 'aria-live': 'polite' }, app.toasts.map((t) => h('p', { key: t.id, class: 'toast tone-' + t.tone }, t.words))));
}

let found = null;
// findRow looks for what the drawer shows in the other subscriptions.
function findRow(d) {
  found = null;
  app.eachLive((l) => { if (!found && (l.view === d.view || (d.view === 'tree' && l.view === 'actors')) && l.rows.has(d.id)) found = l.rows.get(d.id); });
  return found;
}

export { go, toast };
