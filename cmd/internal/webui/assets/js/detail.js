// The drawer: all about one thing, what it waits for, and what can be done to it.

import { h } from './dom.js';
import * as net from './net.js';
import { app, draw, show, toast, addressOf } from './store.js';
import { clean, num, micros, bytes, ago, clock, brief, state, blame, bar, utc, owner } from './fmt.js';
import { tables, quote, keyOf, commandOf } from './cols.js';
import { verbsFor, begin } from './plan.js';
import { stages } from './charts.js';

// kindOf says what kind of thing a row of a view is.
export function kindOf(view, row) {
  const t = tables[view];
  return t ? (t.kindOf ? t.kindOf(row) : t.kind) : app.local.kind || '';
}

// inspectRow opens the drawer. tab: what to show first.
export function inspectRow(view, id, row, tab = '') {
  const kind = kindOf(view, row);
  const d = { view, id, kind, key: keyOf(view, id, row), tab, row, explain: null, more: null, timeline: null, mailbox: null, asked: 0 };
  app.drawer = d;
  load(d);
  show();
}

const again = 2000; // ms between two questions about what the drawer shows

// refresh asks once more about what the drawer shows. What was answered before stays until there is another answer.
export function refresh() {
  const d = app.drawer;
  if (d && !d.asking && Date.now() - d.asked >= Math.max(again, app.every)) load(d);
}

const quietly = (p) => p.catch((e) => ({ problem: e }));

async function load(d) {
  const jobs = [];
  const take = (name, p) => jobs.push(quietly(p).then((v) => {
    if (v.problem && d[name] && !d[name].problem) return;
    d[name] = v;
    if (app.drawer === d) draw();
  }));
  d.asking = true;
  const explains = ['actor', 'job', 'artifact', 'worker', 'app', 'queue', 'letter', 'outgoing', 'ticket', 'request'];
  if (explains.includes(d.kind)) take('explain', net.get('/v1/explain/' + encodeURIComponent(d.key)));
  if (d.kind === 'actor') {
    take('more', net.get('/v1/actor/' + net.segments(d.key)));
    take('mailbox', net.get('/v1/mailbox/' + net.segments(d.key)));
  }
  if (d.kind === 'job' || d.view === 'guests') take('timeline', net.get('/v1/jobs/' + encodeURIComponent(d.row.job || d.key) + '/timeline'));
  if (d.kind === 'artifact') take('more', net.get('/v1/artifacts/' + encodeURIComponent(d.key)));
  if (d.kind === 'app') take('more', net.get('/v1/apps/' + encodeURIComponent(d.key)));
  if (d.kind === 'job') take('more', net.get('/v1/jobs/' + encodeURIComponent(d.key)));
  await Promise.all(jobs);
  d.asking = false;
  d.asked = Date.now();
}

export function closeDrawer() {
  app.drawer = null;
  show();
  (document.getElementById('grid') || document.getElementById('main')).focus({ preventScroll: true });
}

const section = (title, ...kids) => h('section', { class: 'part' }, h('h3', null, title), kids);
const trouble = (e) => e.status === 404 ? h('p', { class: 'dim' }, 'The host has no more to say of it.') : h('p', { class: 'problem' }, h('b', null, clean(e.code || 'unreachable')), ' ', clean(e.message), e.hint ? h('span', { class: 'dim' }, ' — ' + clean(e.hint)) : null);

function explanation(x) {
  if (!x) return section('Why', h('p', { class: 'dim' }, 'Asking…'));
  if (x.problem) return section('Why', trouble(x.problem));
  return h('section', { class: 'part why', id: 'explain' }, h('h3', null, 'Why'),
    h('p', { class: 'summary' }, x.blame ? [blame(x.blame), ' '] : null, clean(x.summary, 400)),
    (x.because || []).length ? h('ol', { class: 'because' }, x.because.map((b) => h('li', null, clean(b.words, 300), b.owner ? h('span', { class: 'dim' }, ' — can be ended by ', owner(b.owner)) : null, b.since ? h('span', { class: 'dim' }, ' · for ', ago(b.since)) : null, b.id ? h('span', { class: 'ref' }, clean(b.kind, 20) + ' ', brief(b.id)) : null))) : null,
    (x.advice || []).length ? h('ul', { class: 'advice' }, x.advice.map((a) => h('li', null, clean(a, 300)))) : null);
}

function facts(row) {
  const skip = new Set(['lanes', 'handler', 'rates', 'flights', 'events', 'defences', 'metrics', 'instances', 'receipt', 'host_calls', 'escalations', 'preparations', 'module', 'fields']);
  const out = [];
  for (const [k, v] of Object.entries(row)) {
    if (skip.has(k) || v === '' || v === null) continue;
    let shown;
    if (typeof v === 'string' && /^\d{4}-\d\d-\d\dT/.test(v)) shown = h('span', null, ago(v), h('span', { class: 'dim' }, '  ' + utc(v)));
    else if (k.endsWith('_us') || k.endsWith('_micros')) shown = micros(v);
    else if (k.endsWith('bytes')) shown = bytes(v);
    else if (k === 'state' || k === 'stage') shown = state(v);
    else shown = h('span', { class: typeof v === 'string' && v.length > 24 ? 'id wrap' : '' }, clean(typeof v === 'object' ? JSON.stringify(v) : v, 500));
    out.push(h('dt', { key: 't' + k }, k.replace(/_(us|bytes|total)$/, (m) => (m === '_total' ? ', total' : '')).replace(/_/g, ' ')), h('dd', { key: 'd' + k }, shown));
  }
  return h('dl', { class: 'facts' }, out);
}

function actorParts(d, row) {
  const m = d.more && !d.more.problem ? d.more : null;
  return [
    section('Mailbox', h('ul', { class: 'lanes' }, (row.lanes || []).map((l) => h('li', { key: l.name }, h('span', { class: 'name' }, clean(l.name, 20)), bar(l.depth, l.cap, num(l.depth) + ' / ' + (l.cap ? num(l.cap) : '∞')), h('span', { class: 'dim' }, l.oldest_since ? ['oldest ', ago(l.oldest_since)] : 'empty')))),
      d.mailbox && d.mailbox.rows && d.mailbox.rows.length ? h('ol', { class: 'letters' }, d.mailbox.rows.slice(0, 20).map((x) => h('li', null, h('span', null, clean(x.type, 60)), h('span', { class: 'dim' }, clean(x.lane, 20)), ago(x.at)))) : null),
    row.handler && row.handler.count ? section('Handler', h('p', { class: 'sums' }, h('span', null, 'p50 ', h('b', null, micros(row.handler.p50_us))), h('span', null, 'p99 ', h('b', null, micros(row.handler.p99_us))), h('span', null, 'max ', h('b', null, micros(row.handler.max_us))), h('span', null, num(row.handler.count) + ' in all')), row.handling ? h('p', null, 'now ', h('b', null, clean(row.handling, 80)), ' for ', ago(row.handling_since)) : null) : null,
    section('Flight recorder', !d.more ? h('p', { class: 'dim' }, 'Asking…') : d.more.problem ? trouble(d.more.problem) : h('ol', { class: 'flights' }, (m.flights || []).slice(-60).reverse().map((f) => h('li', { key: f.seq }, h('span', { class: 'dim' }, clock(f.at)), state(f.what), h('span', null, clean(f.type || f.state || '', 60), f.fault ? h('span', { class: 'bad' }, ' ' + clean(f.fault, 60)) : null),
      h('span', { class: 'dim right' }, f.took_us ? micros(f.wait_us || 0) + ' + ' + micros(f.took_us) : ''), f.cause ? h('a', { href: addressOf('trace', { cause: f.cause }), title: 'all messages of this cause' }, 'cause') : h('span')))), m && m.dead ? h('p', { class: 'bad' }, 'It died ', ago(m.died_at), ' ago.') : null),
  ];
}

const parts = {
  actor: actorParts,
  worker: (d, row) => section('Sandbox', h('ul', { class: 'layers' }, (row.defences || []).map((l) => h('li', { key: l.name }, state(l.held ? 'held' : l.optional ? 'off' : 'open'), h('span', null, clean(l.name, 30)), h('span', { class: 'dim' }, clean([l.why, l.hint].filter(Boolean).join(' — '), 300)))))),
  artifact: (d, row) => (row.escalations || []).length ? section('Raised', h('ol', null, row.escalations.map((e) => h('li', null, clean(e.from), ' → ', h('b', null, clean(e.to)), h('span', { class: 'dim' }, ' by ' + clean(e.by, 60) + ', '), ago(e.at))))) : null,
  app: (d, row) => [
    (row.instances || []).length ? section('Instances', h('ul', { class: 'lanes' }, row.instances.slice(0, 50).map((i) => h('li', { key: i.id }, h('span', { class: 'name' }, String(i.id)), state(i.state), h('span', { class: 'dim' }, ago(i.since), i.reason ? ' ' + clean(i.reason, 100) : ''))))) : null,
    row.metrics ? section('Metrics', facts({ ...row.metrics, address: '', session: '' }), h('p', null, h('a', { href: addressOf('apps', { chart: d.key }) }, 'Plots over time'))) : null,
  ],
};

export function drawer(rowOf) {
  const d = app.drawer;
  if (!d) return null;
  const row = d.row = rowOf(d) || d.row;
  const actions = verbsFor(d.kind, row);
  const title = clean(row.label || row.path || row.name || d.key, 120);
  const cli = () => commandOf(d.view, d.kind, d.key);
  return h('aside', { key: 'drawer', class: 'drawer', id: 'drawer', 'aria-label': 'Details of ' + title, tabindex: '-1' },
    h('header', null, h('div', { class: 'grow' }, h('p', { class: 'kicker' }, clean(d.kind || d.view, 20)), h('h2', { title: clean(d.key) }, title), h('p', null, row.state ? state(row.paused ? 'paused' : row.state) : null, row.since ? h('span', { class: 'dim' }, '  for ', ago(row.since)) : null)),
      h('button', { class: 'icon', 'aria-label': 'Close the details (escape)', onclick: closeDrawer }, '×')),
    actions.length ? h('div', { class: 'actions' }, actions.map((v) => h('button', { key: v.name, class: v.danger ? 'risky' : '', title: clean(v.effect), onclick: () => begin(v, { ids: [d.key], match: matchOf(d, row) }) }, v.action, v.key ? h('kbd', null, v.key) : null))) : null,
    d.timeline && !d.timeline.problem ? section('Where its time went', stages(d.timeline)) : null,
    d.kind ? explanation(d.explain) : null,
    d.view === 'guests' && row.host_calls ? section('Calls of the host', h('dl', { class: 'facts' }, Object.entries(row.host_calls).slice(0, 60).flatMap(([k, v]) => [h('dt', { key: 't' + k }, clean(k, 60)), h('dd', { key: 'd' + k }, num(v))]))) : null,
    parts[d.kind] ? parts[d.kind](d, row) : null,
    row.receipt ? section('Receipt', facts(row.receipt)) : null,
    section('All fields', facts(row)),
    h('div', { class: 'foot' },
      row.cause ? h('a', { class: 'button', href: addressOf('trace', { cause: row.cause }) }, 'Waterfall of its cause') : null,
      d.kind === 'actor' ? h('a', { class: 'button', href: addressOf('trace', { actor: d.key }) }, 'Trace') : null,
      h('button', { onclick: async () => toast((await net.copy(cli())) ? 'Copied: ' + cli() : cli()) }, 'Copy as CLI'),
      h('button', { onclick: () => net.save(`troupe-${d.kind || d.view}.json`, { row, explain: d.explain, timeline: d.timeline, more: d.more }) }, 'Download JSON')));
}

// matchOf names the generation that was looked at, so that nothing else is hit.
export function matchOf(d, row) {
  const t = tables[d.view];
  const g = t && t.generation ? row[t.generation] : undefined;
  return g ? { [d.key]: g } : undefined;
}
