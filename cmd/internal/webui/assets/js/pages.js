// Pages with what the terminal cannot draw: traces, flow, apps over time, the chain, two snapshots side by side.

import { h } from './dom.js';
import * as net from './net.js';
import { app, watch, draw, set, toast, addressOf } from './store.js';
import { clean, num, whole, micros, bytes, ago, state, bar, brief, clock, utc, now } from './fmt.js';
import { waterfall, graph, plot, rateOf } from './charts.js';
import { inspectRow } from './detail.js';
import { verbsFor, begin } from './plan.js';
import { inSight } from './keys.js';
import { tables } from './cols.js';

const none = (words) => h('p', { class: 'empty' }, words);
const numbers = new Set(['Number', 'Since', 'Block', 'Tries', 'Pays', 'Waited', 'Took', 'Messages', 'Refused', 'Longest wait']);
const th = (t) => h('th', { key: t, scope: 'col', class: numbers.has(t) ? 'right' : '' }, t);
const trouble = (e) => h('p', { class: 'problem', role: 'alert' }, h('b', null, clean(e.code || 'failed')), ' ', clean(e.message), e.hint ? h('span', { class: 'dim' }, ' — ' + clean(e.hint)) : null);
const input = (label, name, value, onchange, more = {}) => h('label', { class: 'field inline' }, h('span', null, label), h('input', { name, value, autocomplete: 'off', spellcheck: 'false', onchange: (e) => onchange(e.target.value.trim()), ...more }));

// asked keeps an answer until something else is asked for.
function asked(name, what, ask) {
  const a = app.local[name];
  if (a && a.what === what) return a;
  const fresh = (app.local[name] = { what, value: null, error: null, at: 0 });
  ask().then((v) => { fresh.value = v; fresh.at = now(); }, (e) => { fresh.error = e; }).then(draw);
  return fresh;
}

// listen records a trace into app.local[name].
function record(name, filter, most) {
  const old = app.local[name];
  if (old && old.stop) old.stop.abort();
  const t = (app.local[name] = { rows: [], stop: new AbortController(), filter, error: null, since: Date.now(), dropped: 0 });
  net.events('/v1/trace', filter, t.stop.signal, '', (m) => {
    t.rows.push(m);
    t.dropped = m.dropped_total || t.dropped;
    if (t.rows.length >= most) t.stop.abort();
    draw();
  }).catch((e) => { if (!t.stop.signal.aborted) t.error = e; }).finally(() => { t.stop = null; draw(); });
  draw();
}

export function tracePage() {
  inSight([]);
  const p = app.params;
  const live = app.local.trace && app.local.trace.filter.actor === p.actor ? app.local.trace : null;
  const head = h('div', { class: 'bar-row' },
    input('Cause', 'cause', p.cause || '', (v) => set({ cause: v, actor: '' }), { placeholder: '32 hex digits', maxlength: '64' }),
    input('or actor', 'actor', p.actor || '', (v) => set({ actor: v, cause: '' }), { placeholder: 'troupe/execute', maxlength: '300' }),
    !p.cause ? (live && live.stop ? h('button', { onclick: () => live.stop.abort() }, 'Stop') : h('button', { class: 'primary', onclick: () => record('trace', { actor: p.actor, rows: 1000, for_us: 60000000 }, 1000) }, 'Trace for a minute')) : h('button', { onclick: () => { app.local.cause = null; draw(); } }, 'Ask again'));
  let body;
  if (p.cause) {
    const a = asked('cause', p.cause, () => net.get('/v1/cause/' + encodeURIComponent(p.cause)));
    body = a.error ? trouble(a.error) : !a.value ? none('Asking…') : [h('p', { class: 'dim' }, `${num((a.value.rows || []).length)} messages of cause `, brief(p.cause), ' · hatched: waited in a mailbox; solid: was handled'), waterfall(a.value.rows || [])];
  } else if (live) {
    body = [h('p', { class: 'dim', role: 'status' }, live.stop ? 'Recording. ' : 'Ended. ', `${num(live.rows.length)} messages` + (live.dropped ? `, ${num(live.dropped)} were lost since nobody took them in time` : '') + '. It ends by itself after a minute or 1000 messages.'), live.error ? trouble(live.error) : null,
      h('div', { class: 'scroll' }, h('table', { class: 'plain' }, h('thead', null, h('tr', null, ['Sent', 'Actor', 'Message', 'From', 'Waited', 'Took', 'Cause'].map(th))),
        h('tbody', null, live.rows.slice(-200).reverse().map((m) => h('tr', { key: m.seq }, h('td', null, clock(m.sent)), h('td', null, clean(m.actor, 80)), h('td', null, clean(m.type, 60), m.fault ? h('span', { class: 'bad' }, ' ' + clean(m.fault, 60)) : null), h('td', { class: 'dim' }, clean(m.from, 60)), h('td', { class: 'right' }, m.started ? micros((Date.parse(m.started) - Date.parse(m.accepted)) * 1000) : '–'), h('td', { class: 'right' }, m.finished ? micros((Date.parse(m.finished) - Date.parse(m.started)) * 1000) : '–'), h('td', null, h('a', { href: addressOf('trace', { cause: m.cause }) }, clean(m.cause, 8))))))))];
  } else body = none(p.actor ? 'Press “Trace for a minute”: messages to this actor and those below it are shown as they are handled.' : 'Name a cause to see its waterfall across actors, or an actor to follow its messages. Failures, guests and flight recorders link to causes.');
  return h('div', { class: 'page' }, head, body);
}

const maxKinds = 16;

export function flowPage() {
  inSight([]);
  const kinds = asked('kinds', 'all', () => net.get('/v1/actors', { limit: 10000 }));
  const t = app.local.flow;
  const kindOf = new Map(((kinds.value || {}).rows || []).map((a) => [a.path, a.kind]));
  let body = none('Press “Record 10 s”: who sends how much to whom is drawn from what is handled meanwhile. A trace costs the host something, so it ends by itself.');
  if (t) {
    const edges = new Map();
    const nodes = new Map();
    for (const m of t.rows) {
      const from = m.from ? kindOf.get(m.from) || m.from.split('/').slice(0, 2).join('/') : 'outside';
      const to = kindOf.get(m.actor) || m.actor.split('/').slice(0, 2).join('/');
      const e = edges.get(from + '\n' + to) || { from, to, n: 0, wait: 0, faults: 0 };
      e.n++;
      if (m.fault) e.faults++;
      if (m.started && m.accepted) e.wait = Math.max(e.wait, Date.parse(m.started) - Date.parse(m.accepted));
      edges.set(from + '\n' + to, e);
      nodes.set(from, (nodes.get(from) || 0) + 1);
      nodes.set(to, (nodes.get(to) || 0) + 1);
    }
    const ranked = [...nodes].sort((a, b) => b[1] - a[1]);
    const kept = new Set(ranked.slice(0, maxKinds).map(([n]) => n));
    const list = [...edges.values()].sort((a, b) => b.n - a.n);
    body = [h('p', { class: 'dim', role: 'status' }, (t.stop ? 'Recording. ' : 'Ended. ') + `${num(t.rows.length)} messages` + (t.dropped ? `, ${num(t.dropped)} lost` : '') + (ranked.length > maxKinds ? `; the ${ranked.length - maxKinds} quietest kinds are in the table only` : '')), t.error ? trouble(t.error) : null,
      t.rows.length ? h('div', { class: 'split' }, graph(ranked.slice(0, maxKinds).map(([name, n]) => ({ name, n })).sort((a, b) => (a.name < b.name ? -1 : 1)), list.filter((e) => kept.has(e.from) && kept.has(e.to)).slice(0, 80)),
        h('div', { class: 'scroll' }, h('table', { class: 'plain' }, h('thead', null, h('tr', null, ['From', 'To', 'Messages', 'Refused', 'Longest wait'].map(th))), h('tbody', null, list.slice(0, 60).map((e) => h('tr', { key: e.from + e.to }, h('td', null, clean(e.from, 40)), h('td', null, clean(e.to, 40)), h('td', { class: 'right' }, num(e.n)), h('td', { class: 'right' + (e.faults ? ' bad' : '') }, num(e.faults)), h('td', { class: 'right' }, e.wait + ' ms'))))))) : null];
  }
  return h('div', { class: 'page' }, h('div', { class: 'bar-row' }, h('button', { class: 'primary', disabled: !!(t && t.stop), onclick: () => record('flow', { rows: 20000, for_us: 10000000 }, 20000) }, 'Record 10 s'), t && t.stop ? h('button', { onclick: () => t.stop.abort() }, 'Stop') : null), body);
}

const charts = [
  ['running_time_ms', 'Running time', (v) => num(v / 1000) + ' s/s'], ['gas_consumed', 'Gas', (v) => num(v) + '/s'], ['network_ingress', 'Network in', (v) => bytes(v) + '/s'], ['network_egress', 'Network out', (v) => bytes(v) + '/s'],
  ['storage_read', 'Storage read', (v) => bytes(v) + '/s'], ['storage_write', 'Storage written', (v) => bytes(v) + '/s'], ['starts', 'Starts', (v) => num(v) + '/s'], ['tip', 'Tip', (v) => num(v) + '/s'],
];

// appCharts stands above the table of apps: the use of one of them over time, as the host remembers it and as it goes on.
export function appCharts(l) {
  const id = app.params.chart || l.order[Math.min(app.cursor, l.order.length - 1)];
  const row = l.rows.get(id);
  if (!row) return null;
  const a = asked('history', id, () => net.get('/v1/history', { address: row.address }));
  if (!a.more) a.more = [];
  if (a.value && a.seen !== l.version) { a.seen = l.version; a.more.push({ at: Date.parse(l.at), metrics: row.metrics, running: row.running, queued: row.queued }); if (a.more.length > 600) a.more.shift(); }
  const past = ((a.value && a.value.samples) || []).map((x) => ({ ...x, at: Date.parse(x.at) }));
  const last = past.length ? past[past.length - 1].at : 0;
  const gap = a.value ? a.value.every_us / 1e6 : 0;
  const all = [...past];
  let at = last;
  for (const x of a.more) if (x.at - at >= gap * 1000) { all.push(x); at = x.at; } // between two samples totals may stand still
  return h('section', { class: 'charts' }, h('h2', null, clean(row.label || row.address, 60), ' ', state(row.state), h('span', { class: 'dim' }, gap ? `  per second, from samples every ${num(gap)} s, and live` : '')),
    a.error ? trouble(a.error) : null,
    all.length < 2 ? none('Plots begin with the second sample.') : h('div', { class: 'plots' }, plot(all.map((x) => ({ at: x.at, v: x.running })), { title: 'Instances' }), plot(all.map((x) => ({ at: x.at, v: x.queued })), { title: 'Requests that wait' }),
      charts.map(([f, title, unit]) => plot(rateOf(all, (x) => Number((x.metrics || {})[f] || 0)), { title, unit }))));
}

export function chainPage() {
  const l = watch('chain');
  const v = l.rows.get(l.order[0]);
  const tick = Math.floor(l.version / 5);
  const calls = asked('calls', 'c' + tick, () => net.get('/v1/chain/calls', { limit: 100 }));
  const past = asked('past', 'p' + tick, () => net.get('/v1/chain/calls', { history: true, newest: true, limit: 50 }));
  const demands = asked('demands', 'd' + tick, () => net.get('/v1/chain/demands', { limit: 100 }));
  for (const x of [calls, past, demands]) { if (x.value) app.local['kept.' + x.what[0]] = x.value; }
  const out = (app.local['kept.c'] || {}).calls || [];
  const old = (app.local['kept.p'] || {}).calls || [];
  const want = (app.local['kept.d'] || {}).demands || [];
  inSight([]);
  if (!v) return { live: l, body: h('div', { class: 'page' }, l.error ? (l.error.code === 'caller.not_found' ? none('This host has no chain. Start it with one to see blocks, reports and tickets here.') : trouble(l.error)) : none(l.at ? 'This host has no chain.' : 'Asking…')) };
  const c = v.chain; const r = v.reporter || {}; const f = v.follower || {};
  app.local.chainPaused = !!c.paused;
  const tile = (label, value, extra) => h('div', { class: 'tile' }, h('span', { class: 'label' }, label), h('span', { class: 'value' }, value), extra);
  const states = ['waiting', 'signed', 'submitted', 'in_block', 'in_doubt', 'ending'];
  const call = (x) => h('tr', { key: x.number }, h('td', { class: 'right' }, String(x.number)), h('td', null, h('b', null, clean(x.call, 60)), h('span', { class: 'dim below' }, clean(x.key, 80))), h('td', null, state(x.state)), h('td', { class: 'right' }, ago(x.since || x.accepted)), h('td', { class: 'right' }, x.block ? whole(x.block) : '–'), h('td', { class: 'right' }, num(x.tries || 0)), h('td', { class: 'bad' }, clean(x.error, 120)));
  const table = (head, rows, empty) => (rows.length ? h('div', { class: 'scroll' }, h('table', { class: 'plain' }, h('thead', null, h('tr', null, head.map(th))), h('tbody', null, rows))) : h('p', { class: 'dim' }, empty));
  return { live: l, body: h('div', { class: 'page' },
    h('div', { class: 'bar-row' }, verbsFor('chain', { paused: !!c.paused }).map((x) => h('button', { key: x.name, onclick: () => begin(x, { ids: ['chain'] }) }, x.action, h('kbd', null, x.key)))),
    h('div', { class: 'tiles' }, tile('Head', whole(c.head), h('span', { class: 'dim' }, ago(c.head_since), ` · ${num(c.lag)} behind`)), tile('Final', whole(c.finalized), h('span', { class: 'dim' }, `${num(c.head - c.finalized)} may be undone`)), tile('Link', h('span', null, state(c.connected ? 'live' : 'lost')), h('span', { class: 'dim' }, clean(c.waiting || f.reason || 'waits for nothing', 120))),
      tile('Outbox', num(Object.values(c.outbox || {}).reduce((a, b) => a + b, 0)), bar(Object.values(c.outbox || {}).reduce((a, b) => a + b, 0), c.outbox_cap, 'of ' + num(c.outbox_cap))), tile('Reports', num(r.reports_settled_total), h('span', { class: 'dim' }, `${num(r.reports_open)} open · ${num(r.reports_refused_total)} refused`)), tile('Forks', num(c.forks_total), h('span', { class: 'dim' }, `${num(c.nonce_races_total)} nonce races`))),
    c.last_error ? h('p', { class: 'problem' }, clean(c.last_error, 300), h('span', { class: 'dim' }, ' ', ago(c.last_error_at), ' ago')) : null,
    h('section', { class: 'card' }, h('h2', null, 'On its way'), h('ol', { class: 'track', 'aria-label': 'outbox by state' }, states.map((s) => h('li', { key: s, class: (c.outbox || {})[s] ? 'some' : '' }, h('b', null, num((c.outbox || {})[s] || 0)), h('span', null, s.replace('_', ' '))))), table(['Number', 'Call', 'State', 'Since', 'Block', 'Tries', 'Error'], out.map(call), 'Nothing is on its way.')),
    h('section', { class: 'card' }, h('h2', null, 'What the chain wants of this host'), table(['Demand', 'State', 'Since', 'Pays', 'Tickets', 'Why'], want.map((x) => h('tr', { key: x.id }, h('td', null, h('b', null, clean(x.kind, 20)), ' ', brief(x.id, 20)), h('td', null, state(x.state)), h('td', { class: 'right' }, ago(x.since)), h('td', { class: 'right' }, /^\d+$/.test(x.balance || '') ? whole(x.balance) : clean(x.balance, 40)), h('td', null, clean((x.tickets || []).join(', '), 80)), h('td', null, clean(x.reason, 200)))), `${num(f.tickets)} tickets and ${num(f.requests)} requests are followed; none of them wants something.`)),
    h('div', { class: 'columns' }, h('section', { class: 'card' }, h('h2', null, 'Session'), h('dl', { class: 'facts' }, [['worker', brief(r.worker || '')], ['registered', r.registered ? 'yes' : 'no'], ['computing', clean(r.computing, 40)], ['session', brief(r.session || '')], ['session on the chain', brief(r.chain_session || '')], ['sequence of reports', num(r.sn)], ['last report', ago(r.last_report)], ['next report', ago(r.next_report)], ['heartbeats', r.heartbeat ? `${num(r.heartbeat.answered_total)} answered of ${num(r.heartbeat.hits_total)}` : '–']].flatMap(([k, x]) => [h('dt', { key: k }, k), h('dd', { key: k + 'v' }, x)]))),
      h('section', { class: 'card' }, h('h2', null, 'Lately'), table(['Number', 'Call', 'State', 'Since', 'Block', 'Tries', 'Error'], old.map(call), 'Nothing has ended yet.')))) };
}

const compared = [['actors', '/v1/actors', 'path', ['state', 'incarnation', 'mailbox_depth', 'restarts', 'last_fault', 'paused']], ['workers', '/v1/workers', 'id', ['state', 'pid', 'job', 'runs', 'sandbox']], ['queues', '/v1/queues', 'name', ['paused', 'running', 'workers', 'refused_total']], ['artifacts', '/v1/artifacts', 'key', ['state', 'generation', 'waiting', 'in_use', 'fault']], ['jobs', '/v1/jobs', 'id', ['state', 'priority', 'fault']], ['apps', '/v1/apps', 'address', ['state', 'running', 'queued', 'restarts']]];

async function takeAll() {
  const s = { troupe: 'comparison', at: new Date(now()).toISOString(), boot: app.boot, parts: {} };
  for (const [name, path] of compared) {
    try {
      const v = await net.get(path, { limit: 1000 });
      s.parts[name] = v.rows || v[name] || [];
    } catch { s.parts[name] = []; }
  }
  return s;
}

export function comparePage() {
  inSight([]);
  const L = (app.local.compare = app.local.compare || { a: null, b: null });
  const side = (k, title) => h('section', { class: 'card', key: k }, h('h2', null, title), L[k] ? h('p', null, utc(L[k].at), h('span', { class: 'dim' }, ' boot ' + clean(L[k].boot, 12))) : h('p', { class: 'dim' }, 'Nothing yet.'),
    h('div', { class: 'bar-row' }, h('button', { class: L[k] ? '' : 'primary', onclick: async () => { L[k] = await takeAll(); draw(); } }, 'Take it now'), L[k] ? h('button', { onclick: () => net.save('troupe-compare.json', L[k]) }, 'Save') : null,
      h('label', { class: 'filepick' }, 'Open a saved one', h('input', { type: 'file', accept: '.json', onchange: async (e) => { const f = e.target.files[0]; if (!f) return; try { const v = JSON.parse(await f.text()); if (v.troupe !== 'comparison') throw new Error('it was not saved here'); L[k] = v; } catch (x) { toast('This file cannot be compared: ' + x.message, 'bad'); } draw(); } }))));
  const out = [];
  if (L.a && L.b) for (const [name, , id, fields] of compared) {
    const a = new Map((L.a.parts[name] || []).map((r) => [r[id], r])); const b = new Map((L.b.parts[name] || []).map((r) => [r[id], r]));
    for (const [k, r] of b) if (!a.has(k)) out.push([name, k, 'new', state(r.state || 'live')]);
    for (const [k, r] of a) {
      if (!b.has(k)) { out.push([name, k, 'gone', state(r.state || 'stopped')]); continue; }
      for (const f of fields) { const x = JSON.stringify(r[f]); const y = JSON.stringify(b.get(k)[f]); if (x !== y) out.push([name, k, f.replace(/_/g, ' '), h('span', null, h('s', null, clean(r[f] ?? 'none', 80)), ' → ', h('b', null, clean(b.get(k)[f] ?? 'none', 80)))]); }
    }
  }
  return h('div', { class: 'page' }, h('div', { class: 'columns' }, side('a', 'Before'), side('b', 'After')),
    L.a && L.b ? (out.length ? h('div', { class: 'scroll' }, h('table', { class: 'plain' }, h('thead', null, h('tr', null, ['Of', 'Which', 'What', 'Change'].map(th))), h('tbody', null, out.slice(0, 500).map((r, i) => h('tr', { key: i }, h('td', null, r[0]), h('td', null, brief(r[1], 20)), h('td', null, r[2]), h('td', null, r[3])))))) : none('Nothing of note has changed between the two.')) : none('Take or open two to see what has changed between them: actors, workers, queues, artifacts, jobs and apps.'));
}

export { inspectRow, tables };
