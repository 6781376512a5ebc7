// The tables: what each view lists, which columns it has, and which command shows the same.

import { h } from './dom.js';
import { clean, num, bytes, micros, ago, brief, state, blame, bar, clock, span } from './fmt.js';

const text = (f, t, w, p = 1, most = 200) => ({ f, t, w, p, cell: (r) => h('span', { title: clean(r[f]) }, clean(r[f], most)) });
const count = (f, t, w = '76px', p = 2) => ({ f, t, w, p, right: true, cell: (r) => num(r[f]) });
const since = (f, t, w = '84px', p = 2) => ({ f, t, w, p, right: true, cell: (r) => ago(r[f]) });
const idOf = (f, t, w = '140px', p = 1) => ({ f, t, w, p, cell: (r) => brief(r[f]) });

export const waiting = (q) => Object.values(q.parked || {}).reduce((a, b) => a + b, 0);

const rate = (r) => (r.rates ? h('span', { title: 'a second, over the last ten' }, num(r.rates.handled.s10)) : '–');

export const tables = {
  actors: {
    title: 'Actors', kind: 'actor', cli: 'actor list', one: 'actor show', id: 'path', generation: 'incarnation', sort: 'path',
    cols: [
      { f: 'path', t: 'Actor', w: 'minmax(180px,3fr)', p: 1, cell: (r) => h('span', { title: clean(r.path) }, r.path.includes('/') ? h('span', { class: 'dim' }, clean(r.path.slice(0, r.path.lastIndexOf('/') + 1), 80)) : null, clean(r.path.slice(r.path.lastIndexOf('/') + 1), 120)) },
      text('kind', 'Kind', '110px', 3),
      { f: 'state', t: 'State', w: '150px', p: 1, cell: (r) => state(r.paused ? 'paused' : r.state, r.handling ? clean(r.handling, 40) : '') },
      since('since', 'Since', '76px', 2),
      { f: 'mailbox_depth', t: 'Mailbox', w: '120px', p: 1, cell: (r) => bar(r.mailbox_depth, r.mailbox_cap, num(r.mailbox_depth) + ' / ' + (r.mailbox_cap ? num(r.mailbox_cap) : '∞')) },
      since('oldest_since', 'Oldest', '76px', 2),
      { f: 'handled_total', t: 'Handled/s', w: '92px', p: 2, right: true, cell: rate },
      { f: 'handler.p99_us', t: 'p99', w: '76px', p: 3, right: true, cell: (r) => (r.handler && r.handler.count ? micros(r.handler.p99_us) : '–') },
      { f: 'restarts', t: 'Restarts', w: '80px', p: 2, right: true, cell: (r) => h('span', { class: r.restarts >= r.max_restarts && r.max_restarts ? 'bad' : '' }, r.restarts + ' / ' + r.max_restarts) },
      text('last_fault', 'Last fault', 'minmax(110px,1fr)', 2, 60),
    ],
  },
  guests: {
    title: 'Guests', kind: '', cli: 'worker guests', one: 'job show', id: 'id', kindOf: (r) => (r.job ? 'job' : ''), keyOf: (r) => r.job,
    cols: [
      idOf('id', 'Guest', 'minmax(130px,1.4fr)'), text('kind', 'Kind', '82px', 2), text('tenant', 'Tenant', '100px', 3, 40),
      { f: 'stage', t: 'Stage', w: '130px', p: 1, cell: (r) => state(r.stage) }, since('since', 'In stage', '84px', 1),
      { f: 'cpu_us', t: 'CPU', w: '150px', p: 1, cell: (r) => bar(r.cpu_us || 0, r.cpu_cap_us, micros(r.cpu_us || 0) + (r.cpu_cap_us ? ' of ' + micros(r.cpu_cap_us) : '')) },
      { f: 'memory_bytes', t: 'Memory', w: '150px', p: 2, cell: (r) => bar(r.memory_bytes || 0, r.memory_cap_bytes, (r.memory_bytes ? bytes(r.memory_bytes) : '–') + (r.memory_cap_bytes ? ' of ' + bytes(r.memory_cap_bytes) : '')) },
      { f: 'gas_used', t: 'Gas', w: '80px', p: 3, right: true, cell: (r) => num(r.gas_used) },
      idOf('worker', 'Worker', '110px', 2), idOf('job', 'Job', '130px', 3), text('priority', 'Priority', '90px', 2),
      { f: 'deadline', t: 'Deadline', w: '86px', p: 2, right: true, cell: (r) => ago(r.deadline) },
    ],
  },
  jobs: {
    title: 'Jobs', kind: 'job', cli: 'job list', one: 'job show', id: 'id',
    cols: [
      idOf('id', 'Job', 'minmax(140px,1.4fr)'), { f: 'state', t: 'State', w: '110px', p: 1, cell: (r) => state((r.state === 'running' && r.stage) || r.state) },
      { f: 'verdict', t: 'Verdict', w: 'minmax(140px,1.4fr)', p: 1, cell: (r) => (r.receipt ? state(r.receipt.verdict, r.receipt.fault ? clean(r.receipt.fault, 50) : null) : r.fault ? h('span', { class: 'bad', title: clean(r.message) }, clean(r.fault, 50)) : '–') },
      text('priority', 'Priority', '92px', 1), text('tenant', 'Tenant', '110px', 3, 40), idOf('code_hash', 'Code', '120px', 2),
      count('starts', 'Starts', '66px', 3), since('submitted_at', 'Submitted', '90px', 1), since('started_at', 'Started', '84px', 2), since('settled_at', 'Settled', '84px', 2),
    ],
  },
  queues: {
    title: 'Queues', kind: 'queue', cli: 'queue list', one: 'queue show', id: 'name',
    cols: [
      text('name', 'Queue', '140px'), { f: 'paused', t: 'State', w: '110px', p: 1, cell: (r) => state(r.paused ? 'paused' : 'live') },
      { f: 'waiting', t: 'Waiting', w: '170px', p: 1, cell: (r) => bar(waiting(r), r.cap, num(waiting(r)) + ' / ' + num(r.cap)) }, since('oldest_since', 'Oldest', '84px', 1),
      count('running', 'Running', '84px', 1), { f: 'workers', t: 'Workers', w: '120px', p: 2, right: true, cell: (r) => r.workers + ' of ' + r.hard_workers }, count('refused_total', 'Refused, total', '110px', 2),
    ],
  },
  workers: {
    title: 'Workers', kind: 'worker', cli: 'worker list', one: 'worker show', id: 'id',
    cols: [
      idOf('id', 'Worker', '150px'), text('kind', 'Kind', '90px', 2), { f: 'pid', t: 'PID', w: '76px', p: 3, right: true, cell: (r) => String(r.pid) },
      { f: 'state', t: 'State', w: '120px', p: 1, cell: (r) => state(r.state) }, since('since', 'For', '76px', 1), idOf('job', 'Does', 'minmax(110px,1fr)', 2), text('tenant', 'Tenant', '110px', 3, 40),
      { f: 'cpu_us', t: 'CPU, total', w: '92px', p: 2, right: true, cell: (r) => micros(r.cpu_us) }, { f: 'rss_bytes', t: 'Resident', w: '92px', p: 2, right: true, cell: (r) => bytes(r.rss_bytes) },
      count('runs', 'Runs, total', '92px', 2), text('recycle', 'Will end', 'minmax(90px,1fr)', 3, 60), text('sandbox', 'Sandbox', 'minmax(120px,1.4fr)', 2, 80),
    ],
  },
  artifacts: {
    title: 'Artifacts', kind: 'artifact', cli: 'artifact list', one: 'artifact show', id: 'key', generation: 'generation',
    cols: [
      idOf('key', 'Artifact', 'minmax(110px,1fr)'), { f: 'state', t: 'State', w: '120px', p: 1, cell: (r) => state(r.state) }, { f: 'bytes', t: 'Size', w: '76px', p: 1, right: true, cell: (r) => bytes(r.bytes) },
      count('in_use', 'In use', '70px', 2), count('waiting', 'Waiting', '76px', 2), text('priority', 'Priority', '92px', 2), { f: 'pins', t: 'Pins', w: '90px', p: 3, cell: (r) => clean((r.pins || []).join(', '), 60) },
      since('last_needed', 'Needed', '84px', 2), { f: 'prepare_cpu_us', t: 'Preparing took', w: '110px', p: 3, right: true, cell: (r) => micros(r.prepare_cpu_us) }, text('fault', 'Fault', 'minmax(110px,1fr)', 2, 60), since('retry_at', 'Tried again', '96px', 2),
    ],
  },
  failures: {
    title: 'Failures', kind: '', cli: 'failures', one: 'explain', id: 'id', kindOf: (r) => r.kind, keyOf: (r) => r.id,
    cols: [
      { f: 'blame', t: 'Blame', w: '84px', p: 1, cell: (r) => blame(r.blame) }, text('kind', 'What', '84px', 2), idOf('id', 'Which', 'minmax(100px,1fr)'), text('code', 'Code', 'minmax(110px,1fr)', 1, 60),
      text('message', 'Message', 'minmax(140px,2fr)', 2, 300), since('at', 'Ago', '76px', 1), { f: 'retryable', t: 'Retry', w: '110px', p: 2, cell: (r) => (r.retryable ? (r.retry_at ? h('span', null, 'by itself ', ago(r.retry_at)) : 'can be') : 'never') }, text('tenant', 'Tenant', '100px', 3, 40),
    ],
  },
  dead: {
    title: 'Dead letters', kind: 'letter', cli: 'dead list', one: 'dead show', id: 'id',
    cols: [
      idOf('id', 'Letter', '110px', 2), since('at', 'Ago', '76px', 1), text('actor', 'For', 'minmax(130px,1.4fr)', 1, 100), text('type', 'Message', 'minmax(120px,1fr)', 1, 80), text('lane', 'Lane', '80px', 3),
      text('code', 'Code', 'minmax(120px,1fr)', 1, 60), text('reason', 'Reason', 'minmax(120px,1.4fr)', 2, 200), { f: 'replayable', t: 'Replay', w: '84px', p: 2, cell: (r) => (r.replayable ? 'can be' : 'no: told') },
      { f: 'cause', t: 'Cause', w: '120px', p: 3, cell: (r) => (r.cause ? brief(r.cause) : '–') },
    ],
  },
  apps: {
    title: 'Apps', kind: 'app', cli: 'app list', one: 'app show', id: 'address',
    cols: [
      { f: 'label', t: 'App', w: 'minmax(100px,1.2fr)', p: 1, cell: (r) => h('span', { title: clean(r.address) }, clean(r.label || r.address, 60)) }, { f: 'state', t: 'State', w: '120px', p: 1, cell: (r) => state(r.state) }, text('reason', 'Why', 'minmax(110px,1.4fr)', 2, 120),
      { f: 'running', t: 'Instances', w: '84px', p: 1, right: true, cell: (r) => r.running + ' of ' + r.wanted }, count('active', 'Active', '70px', 2), count('queued', 'Queued', '76px', 2), count('restarts', 'Restarts', '80px', 2),
      { f: 'metrics.gas_consumed', t: 'Gas, total', w: '92px', p: 2, right: true, cell: (r) => num(r.metrics && r.metrics.gas_consumed) }, text('tenant', 'Tenant', '100px', 3, 40), idOf('address', 'Address', '120px', 3),
    ],
  },
  health: {
    title: 'Health', kind: '', cli: 'node health', whole: true, id: 'code',
    cols: [
      { f: 'level', t: 'Level', w: '100px', p: 1, cell: (r) => state(r.level) }, text('code', 'Code', 'minmax(140px,1fr)', 1, 80), text('message', 'What', 'minmax(160px,2fr)', 1, 300), text('hint', 'What helps', 'minmax(140px,2fr)', 2, 300), since('since', 'For', '84px', 1),
    ],
  },
  log: {
    title: 'Log', kind: '', cli: 'node log', inOrder: true, id: 'seq', dense: true, newest: true,
    cols: [
      { f: 'at', t: 'UTC', w: '106px', p: 1, cell: (r) => clock(r.at) }, { f: 'level', t: 'Level', w: '84px', p: 1, cell: (r) => state(r.level) }, text('code', 'Code', '150px', 3, 60), text('message', 'Message', 'minmax(110px,2fr)', 1, 400),
      { f: 'fields', t: 'Fields', w: 'minmax(120px,1.6fr)', p: 2, cell: (r) => h('span', { class: 'dim', title: clean(r.fields && JSON.stringify(r.fields)) }, Object.entries(r.fields || {}).map(([k, v]) => clean(k, 30) + '=' + clean(v, 80)).join('  ')) },
      { f: 'suppressed', t: 'Left out', w: '76px', p: 3, right: true, cell: (r) => (r.suppressed ? num(r.suppressed) : '') },
    ],
  },
  audit: {
    title: 'Audit', kind: '', cli: 'node audit', id: 'seq', dense: true, newest: true,
    cols: [
      { f: 'at', t: 'UTC', w: '106px', p: 1, cell: (r) => clock(r.at) }, { f: 'outcome', t: 'Outcome', w: '104px', p: 1, cell: (r) => state(r.outcome) }, text('caller', 'Who', '110px', 1, 60), text('origin', 'Through', '90px', 3, 30), { f: 'verb', t: 'What', w: 'minmax(130px,1fr)', p: 1, cell: (r) => clean(r.verb || r.route, 60) },
      text('target', 'Target', 'minmax(130px,1.4fr)', 1, 120), text('reason', 'Why', 'minmax(120px,1.4fr)', 2, 200), text('code', 'Code', '140px', 3, 60),
    ],
  },
};

// What the grammar calls a column, where that is another word than the record's.
const sorts = {
  mailbox_depth: 'mailbox', oldest_since: 'oldest', handled_total: 'rate', 'handler.p99_us': 'p99', last_fault: 'fault', cpu_us: 'cpu', memory_bytes: 'memory', gas_used: 'gas', code_hash: 'code', submitted_at: 'submitted',
  started_at: 'started', settled_at: 'settled', rss_bytes: 'rss', prepare_cpu_us: 'cpu', refused_total: 'refused', 'metrics.gas_consumed': 'gas', bytes: 'size', last_needed: 'needed', retry_at: 'retry',
};
for (const [name, t] of Object.entries(tables)) for (const c of t.cols) c.s = name === 'queues' && c.f === 'oldest_since' ? 'since' : name === 'queues' && c.f === 'waiting' ? 'parked' : sorts[c.f] || c.f;

// What other views list, of which each has a way of its own to show it.
const lists = { overview: 'failures', mailboxes: 'actors', sandbox: 'workers' };
export const listed = (view) => lists[view] || view;

tables.tree = { ...tables.actors, title: 'Tree', cli: 'actor tree', inOrder: true };

// views of the rail, in groups.
export const groups = [
  ['Now', [['overview', 'Overview'], ['failures', 'Failures'], ['health', 'Health']]],
  ['Actors', [['tree', 'Tree'], ['actors', 'Actors'], ['mailboxes', 'Mailboxes'], ['trace', 'Traces'], ['flow', 'Flow'], ['dead', 'Dead letters']]],
  ['Work', [['jobs', 'Jobs'], ['guests', 'Guests'], ['queues', 'Queues'], ['workers', 'Workers'], ['sandbox', 'Sandbox'], ['artifacts', 'Artifacts']]],
  ['Apps', [['apps', 'Apps'], ['chain', 'Chain']]],
  ['Records', [['log', 'Log'], ['audit', 'Audit'], ['compare', 'Compare']]],
];
export const titles = Object.fromEntries(groups.flatMap(([, v]) => v));

// quote writes a word for a shell.
export const quote = (s) => (/^[\w@%+=:,./-]+$/.test(s) ? s : "'" + String(s).replace(/'/g, "'\\''") + "'");

// command is the command line that shows what a view shows.
export function command(view, params) {
  const t = tables[view];
  const base = { overview: 'status', mailboxes: 'actor list', sandbox: 'worker list', chain: 'chain status', flow: 'actor trace', trace: 'actor trace', compare: 'node snapshot' };
  let c = 'troupe ' + (t ? t.cli : base[view] || 'status');
  if (view === 'trace' && params.cause) c += ' --cause ' + quote(params.cause);
  if (view === 'trace' && params.actor) c += ' ' + quote(params.actor);
  if (params.q && (t ? !t.whole : view === 'mailboxes' || view === 'sandbox')) c += ' --selector ' + quote(params.q);
  const sort = params.sort || (view === 'mailboxes' ? '-mailbox' : '');
  if (sort && (t ? !t.whole && !t.inOrder : view === 'mailboxes')) c += ' --sort ' + quote(sort);
  return c + (view === 'compare' ? '' : ' -o json');
}

// commandOf is the command line that shows one thing.
export function commandOf(view, kind, key) {
  const t = tables[view] || {};
  return 'troupe ' + (t.one && kind !== '' ? t.one + ' ' + quote(key) : t.cli || 'status') + ' -o json';
}

// keyOf is the id by which the host knows what a row is about, which may not be that of the row.
export function keyOf(view, id, row) {
  const t = tables[view];
  return (t && t.keyOf && row && t.keyOf(row)) || id;
}

export { span };
