// Boards that move: overview, queues, workers, sandbox, artifacts, mailboxes.

import { h } from './dom.js';
import { app, watch, draw, addressOf, set } from './store.js';
import { clean, num, bytes, micros, ago, state, blame, bar, brief, span } from './fmt.js';
import { waiting } from './cols.js';
import { spark, rateOf, treemap, heat } from './charts.js';
import { inspectRow } from './detail.js';
import { inSight } from './keys.js';

const card = (title, href, ...kids) => h('section', { class: 'card' }, h('h2', null, href ? h('a', { href }, title) : title), kids);
const none = (words) => h('p', { class: 'dim' }, words);

export function overview() {
  const o = watch('overview');
  const fails = watch('failures', { limit: 8 });
  const queues = watch('queues');
  const workers = watch('workers', { limit: 200 });
  const host = o.rows.get(o.order[0]) || {};
  const ring = (o.ring.get('host') || []);
  const cpu = rateOf(ring, (r) => r.cpu / 1e6);
  const list = fails.order.map((id) => ({ id, row: fails.rows.get(id) }));
  inSight(list);
  const busy = workers.list().filter((w) => w.state === 'busy').length;
  const depth = queues.list().reduce((n, q) => n + waiting(q), 0);
  const jobs = host.jobs || {};
  const store = host.store || {};
  const tile = (label, value, unit, extra) => h('div', { class: 'tile' }, h('span', { class: 'label' }, label), h('span', { class: 'value' }, value, unit ? h('small', null, ' ' + unit) : null), extra || null);
  return h('div', { class: 'page overview' },
    h('div', { class: 'tiles' },
      tile('Host CPU', cpu.length ? num(cpu[cpu.length - 1].v * 100) : '–', '% of a core', spark(cpu.map((p) => p.v), 'CPU of the host over the last samples')),
      tile('Resident', bytes(host.rss_bytes), '', spark(ring.map((r) => r.rss), 'resident memory over the last samples')),
      tile('Requests under way', num(host.requests), '', spark(ring.map((r) => r.requests), 'requests under way over the last samples')),
      tile('Waiting in queues', num(depth), '', none(queues.list().some((q) => q.paused) ? 'a queue is paused' : 'all queues take work')),
      tile('Workers busy', num(busy), 'of ' + workers.list().length, none(workers.list().filter((w) => w.recycle).length + ' will be recycled')),
      tile('Artifact store', bytes(store.bytes), store.limit_bytes ? 'of ' + bytes(store.limit_bytes) : '', bar(store.bytes || 0, store.limit_bytes, store.free_bytes ? bytes(store.free_bytes) + ' free on disk' : ''))),
    h('div', { class: 'columns' },
      h('div', { class: 'stackcol' }, card('Failures', addressOf('failures'), list.length ? h('ol', { class: 'feed' }, list.map((x, i) => h('li', { key: x.id, class: i === app.cursor ? 'cursor' : '' }, h('button', { class: 'line', onclick: () => { app.cursor = i; inspectRow('failures', x.id, x.row); } }, blame(x.row.blame), h('span', { class: 'grow' }, h('b', null, clean(x.row.code, 60)), h('span', { class: 'dim' }, ' ' + clean(x.row.kind, 20) + ' '), brief(x.row.id), h('span', { class: 'dim below' }, clean(x.row.message, 160))), ago(x.row.at))))) : none('Nothing has failed.'), fails.matched > list.length ? h('a', { href: addressOf('failures') }, `all ${num(fails.matched)}`) : null),
      card('Queues', addressOf('queues'), h('ul', { class: 'feed' }, queues.list().map((q) => h('li', { key: q.name }, state(q.paused ? 'paused' : 'live'), h('b', { class: 'grow' }, clean(q.name, 40)), bar(waiting(q), q.cap, num(waiting(q)) + ' / ' + num(q.cap)), h('span', { class: 'dim' }, q.running + ' running')))))),
      h('div', { class: 'stackcol' }, card('Health', addressOf('health'), (host.health || []).length ? h('ul', { class: 'feed' }, host.health.map((x) => h('li', { key: x.code }, state(x.level), h('span', { class: 'grow' }, h('b', null, clean(x.code, 60)), h('span', { class: 'below' }, clean(x.message, 300)), x.hint ? h('span', { class: 'dim below' }, 'What helps: ' + clean(x.hint, 300)) : null), ago(x.since)))) : h('p', null, state('ok', 'nothing to know of'))),
      card('Jobs', addressOf('jobs'), Object.keys(jobs).length ? h('ul', { class: 'counts' }, Object.entries(jobs).map(([k, v]) => h('li', { key: k }, h('a', { href: addressOf('jobs', { q: 'state=' + k }) }, h('b', null, num(v)), state(k))))) : none('No jobs.'),
        h('h2', null, 'Host'), h('dl', { class: 'facts' }, [['name', clean(host.name, 80)], ['version', clean(host.version, 40)], ['up', ago(host.started_at)], ['data', clean(host.data_dir, 120)], ['sandbox', clean(host.sandbox, 120)]].flatMap(([k, v]) => [h('dt', { key: k }, k), h('dd', { key: k + 'v' }, v)]))))));
}

const priorities = ['critical', 'high', 'normal', 'background'];

export function queueBoard() {
  const l = watch('queues', { q: app.params.q, sort: app.params.sort });
  const g = watch('guests', { limit: 200 });
  const list = l.order.map((id) => ({ id, row: l.rows.get(id) }));
  inSight(list);
  const guests = g.order.map((id) => ({ id, r: g.rows.get(id) }));
  return { live: l, body: h('div', { class: 'page board' }, list.map(({ id, row: q }, i) => h('section', { key: id, class: 'lanecard' + (i === app.cursor ? ' cursor' : '') },
    h('header', null, h('button', { class: 'line', onclick: () => { app.cursor = i; inspectRow('queues', id, q); } }, h('h2', null, clean(q.name, 40)), state(q.paused ? 'paused' : 'live'), h('span', { class: 'grow' }), h('span', { class: 'dim' }, 'oldest ', ago(q.oldest_since)))),
    h('div', { class: 'meter' }, bar(waiting(q), q.cap, `${num(waiting(q))} of ${num(q.cap)} wait`), h('span', { class: 'dim' }, `${q.running} running · ${q.workers} of ${q.hard_workers} workers · ${num(q.refused_total)} refused, total`)),
    h('div', { class: 'cols' },
      priorities.map((p) => h('div', { key: p, class: 'col' }, h('h3', null, p), h('p', { class: 'big' }, num((q.parked || {})[p] || 0)), h('div', { class: 'pips', 'aria-hidden': 'true' }, Array.from({ length: Math.min((q.parked || {})[p] || 0, 40) }, (_, n) => h('i', { key: n })), ((q.parked || {})[p] || 0) > 40 ? '…' : null))),
      h('div', { class: 'col wide' }, h('h3', null, 'under way'), (q.preparations || []).slice(0, 12).map((x) => h('p', { key: x.job, class: 'chip' }, state(x.state), brief(x.code_hash), h('span', { class: 'dim' }, clean(x.priority, 12)), ago(x.started_at || x.since), x.held ? h('span', { class: 'dim' }, 'held by ' + clean(x.held, 40)) : null)),
        q.name !== 'prepare' ? guests.filter((x) => (q.name === 'jobs' ? x.r.kind === 'job' : x.r.worker && (x.r.kind === 'job' || x.r.kind === 'run'))).slice(0, 12).map((x) => h('button', { key: x.id, class: 'chip', onclick: () => inspectRow('guests', x.id, x.r) }, state(x.r.stage), brief(x.id), h('span', { class: 'dim' }, clean(x.r.priority, 12)), ago(x.r.since))) : null)))), list.length ? null : none('No queues.')) };
}

export function workerBoard() {
  const l = watch('workers', { q: app.params.q, sort: app.params.sort, limit: 1000 });
  const g = watch('guests', { limit: 1000 });
  const by = new Map();
  for (const r of g.list()) if (r.worker) by.set(r.worker, r);
  const list = l.order.map((id) => ({ id, row: l.rows.get(id) }));
  const kinds = [...new Set(list.map((x) => x.row.kind))];
  const ordered = kinds.flatMap((k) => list.filter((x) => x.row.kind === k));
  inSight(ordered);
  return { live: l, body: h('div', { class: 'page board' }, kinds.map((k) => h('section', { key: k, class: 'swim' }, h('h2', null, clean(k, 30), h('span', { class: 'dim' }, `  ${list.filter((x) => x.row.kind === k && x.row.state === 'busy').length} of ${list.filter((x) => x.row.kind === k).length} busy`)),
    h('div', { class: 'cards' }, list.filter((x) => x.row.kind === k).slice(0, 200).map(({ id, row: w }) => {
      const r = by.get(id) || by.get(w.id);
      const i = ordered.findIndex((x) => x.id === id);
      const held = (w.defences || []).filter((d) => d.held).length;
      const op = app.ops.get(id);
      return h('button', { key: id, class: 'worker t-' + clean(w.state, 12).replace(/[^a-z]/g, '') + (i === app.cursor ? ' cursor' : '') + (app.marks.has(id) ? ' marked' : ''), onclick: () => { app.cursor = i; inspectRow('workers', id, w); } },
        h('span', { class: 'top' }, h('b', null, clean(w.id, 40)), state(w.state), op ? state(op.state, op.words) : null),
        h('span', { class: 'dim' }, 'pid ' + w.pid + ' · for ', ago(w.since)),
        r ? h('span', { class: 'does' }, clean(r.job || r.app || r.id, 30), r.cpu_cap_us ? bar(r.cpu_us || 0, r.cpu_cap_us, 'CPU ' + micros(r.cpu_us || 0) + ' of ' + micros(r.cpu_cap_us)) : null, r.memory_cap_bytes ? bar(r.memory_bytes || 0, r.memory_cap_bytes, (r.memory_bytes ? bytes(r.memory_bytes) : 'memory –') + ' of ' + bytes(r.memory_cap_bytes)) : null) : h('span', { class: 'does dim' }, w.job ? clean(w.job, 40) : 'nothing to do'),
        h('span', { class: 'dim' }, `${num(w.runs)} runs, total · ${bytes(w.rss_bytes)}`, (w.defences || []).length ? ` · ${held} of ${w.defences.length} defences` : ''),
        w.recycle ? h('span', { class: 'warn' }, 'ends when idle: ' + clean(w.recycle, 80)) : null);
    })))), list.length ? null : none('No workers.')) };
}

export function sandbox() {
  const l = watch('workers', { q: app.params.q, sort: app.params.sort, limit: 1000 });
  const list = l.order.map((id) => ({ id, row: l.rows.get(id) }));
  inSight(list);
  const layers = [...new Set(list.flatMap((x) => (x.row.defences || []).map((d) => d.name)))];
  const why = new Map();
  for (const x of list) for (const d of x.row.defences || []) if (!d.held && (d.why || d.hint)) why.set(d.name + d.why, d);
  return { live: l, body: h('div', { class: 'page' }, layers.length ? h('div', { class: 'scroll' }, h('table', { class: 'matrix' },
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Worker'), layers.map((n) => h('th', { key: n, scope: 'col' }, clean(n, 24))))),
    h('tbody', null, list.slice(0, 300).map(({ id, row }, i) => h('tr', { key: id, class: i === app.cursor ? 'cursor' : '' }, h('th', { scope: 'row' }, h('button', { class: 'line', onclick: () => { app.cursor = i; inspectRow('workers', id, row); } }, clean(row.id, 40), h('span', { class: 'dim' }, ' ' + clean(row.kind, 20)))),
      layers.map((n) => { const d = (row.defences || []).find((y) => y.name === n); return h('td', { key: n, class: !d ? 'unknown' : d.held ? 'held' : d.optional ? 'optional' : 'open', title: d && d.why ? clean(d.why) : undefined }, !d ? '–' : d.held ? '● held' : d.optional ? '○ off' : '■ open'); })))))) : none('No worker has said what holds it.'),
  why.size ? h('section', { class: 'card' }, h('h2', null, 'What does not hold'), h('ul', { class: 'feed' }, [...why.values()].map((d) => h('li', { key: d.name + d.why }, state(d.optional ? 'off' : 'open'), h('span', { class: 'grow' }, h('b', null, clean(d.name, 30)), ' ' + clean(d.why, 300), d.hint ? h('span', { class: 'dim below' }, 'What helps: ' + clean(d.hint, 300)) : null))))) : null) };
}

// artifactMap is the cache by size; it stands above the table.
export function artifactMap(l) {
  const list = l.order.map((id) => ({ id, row: l.rows.get(id) })).filter((x) => x.row.bytes > 0).sort((a, b) => b.row.bytes - a.row.bytes);
  if (list.length < 2) return null;
  const most = 120;
  const rest = list.slice(most).reduce((n, x) => n + x.row.bytes, 0);
  const items = list.slice(0, most).map((x) => ({ ...x, size: x.row.bytes }));
  if (rest) items.push({ id: '', row: { state: 'absent', key: `${list.length - most} more` }, size: rest });
  const W = 1000; const H = 150;
  return h('div', { class: 'treemap', role: 'img', 'aria-label': `${list.length} artifacts by size; the table below says the same` }, treemap(items, W, H).map((f) => h('button', {
    key: f.i.id || 'rest', tabindex: '-1', class: 'field s-' + clean(f.i.row.state, 12).replace(/[^a-z]/g, '') + (f.i.row.in_use ? ' used' : '') + ((f.i.row.pins || []).length ? ' pinned' : ''), title: `${clean(f.i.row.key, 20)} · ${bytes(f.i.size)} · ${clean(f.i.row.state, 12)}` + (f.i.row.in_use ? ` · ${f.i.row.in_use} in use` : ''),
    css: { left: (f.x / W) * 100 + '%', top: (f.y / H) * 100 + '%', width: (f.w / W) * 100 + '%', height: (f.h / H) * 100 + '%' }, onclick: () => (f.i.id ? inspectRow('artifacts', f.i.id, f.i.row) : null),
  }, f.w * Math.min(window.innerWidth, 1200) / W > 78 && f.h > 26 ? h('span', null, clean(f.i.row.key, 8), h('small', null, bytes(f.i.size))) : null)));
}

export function mailboxes() {
  const l = watch('actors', { q: app.params.q, sort: app.params.sort || '-mailbox', limit: 2000 });
  const all = l.order.map((id) => ({ id, row: l.rows.get(id), ring: l.ring.get(id) || [] })).filter((x) => x.row && (x.ring.length || x.row.mailbox_depth));
  all.sort((a, b) => Math.max(...b.ring.map((p) => p.depth), 0) - Math.max(...a.ring.map((p) => p.depth), 0) || (a.id < b.id ? -1 : 1));
  const list = all.slice(0, 60);
  inSight(list);
  return { live: l, body: h('div', { class: 'page' },
    h('p', { class: 'legend' }, 'Depth of mailboxes over the last 120 looks, now at the right:', ['empty', 'under a quarter', 'under 60 %', 'under 90 %', 'nearly full'].map((w, i) => h('span', { key: w }, h('i', { class: 'swatch heat' + i, 'aria-hidden': 'true' }), w))),
    list.length ? h('div', { class: 'heatmap' }, h('ul', null, list.map((x, i) => h('li', { key: x.id, class: i === app.cursor ? 'cursor' : '' }, h('button', { class: 'line', title: clean(x.id), onclick: () => { app.cursor = i; inspectRow('actors', x.id, x.row); } }, h('span', { class: 'grow' }, h('span', { class: 'lead dim' }, clean(x.id.slice(0, x.id.lastIndexOf('/') + 1), 80)), clean(x.id.slice(x.id.lastIndexOf('/') + 1), 80)), x.row.restarts ? h('span', { class: 'restarts', title: 'restarts' }, '↻ ' + x.row.restarts) : null, h('b', null, num(x.row.mailbox_depth)), h('span', { class: 'dim of' }, '/ ' + (x.row.mailbox_cap ? num(x.row.mailbox_cap) : '∞')))))),
      h('canvas', { class: 'heat', role: 'img', 'aria-label': 'Depth of mailboxes over time; the list says what it is now', raw: true, css: { height: list.length * 26 + 'px' }, then: (el) => requestAnimationFrame(() => heat(el, list.map((x) => x.ring), 120)) })) : none('All mailboxes have been empty since this page looks.')) };
}

export { span, draw, set };
