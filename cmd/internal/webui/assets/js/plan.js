// What changes something: a plan first, which says what would happen; then, confirmed, an operation that is followed to its end.

import { h } from './dom.js';
import * as net from './net.js';
import { app, draw, show, toast, may, unmark } from './store.js';
import { clean, num, span, state, now, brief } from './fmt.js';
import { quote } from './cols.js';

const most = 20; // targets that are listed

// verbsFor lists what the caller may do to a thing of a kind. What may not be done is not there.
export function verbsFor(kind, row) {
  return app.verbs.filter((v) => v.kind === kind && may(v.right) && fits(v, row || {}));
}

// fits leaves out the one of two opposites that changes nothing.
function fits(v, row) {
  const paused = row.paused || row.state === 'paused';
  switch (v.name) {
    case 'actor.pause': case 'queue.pause': case 'chain.pause': return !paused;
    case 'actor.resume': case 'queue.resume': case 'chain.resume': return paused || row.any;
    case 'artifact.pin': return !(row.pins || []).length;
    case 'artifact.unpin': return (row.pins || []).length > 0 || row.any;
    case 'artifact.retry': return row.any || !row.state || row.state === 'failed';
    case 'job.retry': return row.any || (!row.stage && (!row.submitted_at || row.state === 'settled'));
    case 'job.raise': case 'job.cancel': return row.any || !row.submitted_at || row.state !== 'settled';
    case 'letter.replay': return row.any || row.replayable;
    case 'app.start': return row.any || !row.state || ['stopped', 'failed', 'backoff'].includes(row.state);
    case 'app.stop': return row.any || row.state !== 'stopped';
    default: return true;
  }
}

// begin opens the dialog of a verb. what: {ids, match, selector, kind, labels}
export function begin(verb, what) {
  const many = what.selector || what.ids.length > 1;
  const d = app.dialog = { verb, what, reason: '', typed: '', args: {}, texts: {}, plan: null, error: null, busy: false, plain: !verb.danger && !many && !verb.args.length };
  if (verb.args.some((a) => a.startsWith('priority'))) d.args.priority = '';
  if (d.plain) propose(d);
  show();
}

export function close() {
  app.dialog = null;
  show();
}

// wants names the part of a dialog that takes the focus when it comes: none while there is only something to wait for.
export function wants(d) {
  if (d.plan) return d.plan.danger && d.plan.count ? 'typed' : 'apply';
  return d.plain && d.busy ? '' : d.verb.args.find((a) => !a.endsWith('?')) || 'reason';
}

async function propose(d) {
  d.busy = true;
  d.error = null;
  draw();
  const args = Object.fromEntries(Object.entries(d.args).filter(([, v]) => v !== ''));
  try {
    d.plan = await net.post('/v1/plans', { verb: d.verb.name, ids: d.what.selector ? undefined : d.what.ids, selector: d.what.selector, match: d.what.match, reason: d.reason || undefined, args: Object.keys(args).length ? args : undefined });
  } catch (e) {
    d.error = e;
  }
  d.busy = false;
  if (app.dialog === d) show();
}

async function apply(d) {
  if (!ready(d)) return;
  d.busy = true;
  draw();
  let op;
  const key = 'web-' + [...crypto.getRandomValues(new Uint8Array(12))].map((b) => b.toString(16).padStart(2, '0')).join('');
  try {
    op = await net.post('/v1/plans/' + encodeURIComponent(d.plan.id) + '/apply', {}, { 'Idempotency-Key': key });
  } catch (e) {
    d.error = e;
    d.busy = false;
    if (e.code === 'caller.stale' || e.status === 404) d.plan = null; // it has to be looked at again
    draw();
    return;
  }
  d.busy = false;
  const ids = d.plan.targets.map((t) => t.id);
  for (const id of ids) app.ops.set(id, { state: 'running', words: d.verb.action, of: op.id });
  if (app.dialog === d) { // and not another one, that was opened meanwhile
    unmark();
    close();
  }
  follow(op, d.verb, ids);
}

// follow shows what became of an operation: the state that was reached, not that it was asked for.
async function follow(op, verb, ids) {
  try {
    for (let i = 0; op.state === 'running' && i < 60; i++) op = await net.get('/v1/operations/' + encodeURIComponent(op.id), { wait_us: 5000000 });
    for (const r of op.results || []) app.ops.set(r.id, { state: r.state, words: verb.action + (r.code ? ' ' + clean(r.code, 40) : ''), of: op.id });
    const failed = (op.results || []).filter((r) => r.state !== 'done');
    const what = `${verb.action}: ${op.done} done` + (op.failed ? `, ${op.failed} failed` : '') + (op.state === 'superseded' ? ', changed meanwhile' : '');
    toast(failed.length ? what + ' — ' + failed.slice(0, 3).map((r) => clean(r.id, 40) + ' ' + clean(r.why || r.code || r.state, 100) + (r.hint ? ' (' + clean(r.hint, 120) + ')' : '')).join('; ') : what, failed.length || op.state === 'failed' ? 'bad' : 'good', failed.length ? 15000 : 6000);
  } catch (e) {
    toast(verb.action + ': it is not known what became of it: ' + e.message, 'bad', 15000);
  }
  setTimeout(() => { for (const id of ids) if ((app.ops.get(id) || {}).of === op.id) app.ops.delete(id); draw(); }, 6000);
  draw();
}

const ready = (d) => d.plan && d.plan.count > 0 && !d.busy && (!d.plan.danger || d.typed.trim() === String(d.plan.count));
const needsReason = (d) => d.verb.danger || d.what.selector || d.what.ids.length > 1;

// What the command line calls a verb, where that is another word, and verbs of which there is one thing only.
const words = { 'job.raise': 'job escalate', 'letter.replay': 'dead replay', 'letter.drop': 'dead drop' };
const single = ['node', 'chain'];
const unexplained = ['node.reload', 'app.remove']; // they take no reason
const unselected = ['app.remove']; // they take ids only

// cliOf is the command line that does the same: several, where each target must be of the generation that was looked at.
export function cliOf(verb, what, args = {}, reason = '', targets = []) {
  if (!what.selector && what.match && what.ids.length > 1) return what.ids.map((id) => cliOf(verb, { ids: [id], match: what.match }, args, reason)).join('\n');
  if (what.selector && unselected.includes(verb.name)) what = { ids: targets.map((t) => t.id) };
  let c = 'troupe ' + (words[verb.name] || verb.kind + ' ' + verb.action);
  if (args.priority) c += ' --priority ' + quote(args.priority);
  if (args.for_us) c += ' --for ' + Number(args.for_us) / 1e6 + 's';
  if (reason && !unexplained.includes(verb.name)) c += ' --reason ' + quote(reason);
  if (what.selector) c += ' --selector ' + quote(what.selector);
  else if (what.match && what.match[what.ids[0]]) c += ' --generation ' + what.match[what.ids[0]];
  if (args.level) c += ' ' + quote(args.level);
  if (!what.selector && !single.includes(verb.kind)) c += (what.ids.some((i) => i.startsWith('-')) ? ' --' : '') + what.ids.map((i) => ' ' + quote(i)).join('');
  return c;
}

export function dialog() {
  const d = app.dialog;
  if (!d) return null;
  const p = d.plan;
  const n = d.what.selector ? 'all that match' : d.what.ids.length;
  const submit = () => (p ? apply(d) : (!needsReason(d) || d.reason.trim()) && !d.busy ? propose(d) : null);
  const field = (label, name, value, oninput, more = {}) => h('label', { key: name, class: 'field' }, h('span', null, label), h('input', { name, value, readonly: d.busy, autocomplete: 'off', spellcheck: 'false', oninput: (e) => { oninput(e.target.value); draw(); }, ...more }));
  const copy = async (line) => toast((await net.copy(line)) ? 'Copied the command' : line);
  return h('div', { key: 'dialog', class: 'veil', onclick: (e) => { if (e.target === e.currentTarget) close(); } },
    h('section', { class: 'dialog', role: 'dialog', 'aria-modal': 'true', tabindex: '-1', 'aria-labelledby': 'dialog-title', id: 'dialog', onkeydown: (e) => {
      if (e.key === 'Enter' && e.repeat) e.preventDefault(); // a key held down confirms nothing
      else if (e.key === 'Enter' && e.target.tagName === 'INPUT') { e.preventDefault(); submit(); } else trap(e);
    } },
      h('h2', { id: 'dialog-title', class: d.verb.danger ? 'danger' : '' }, d.verb.action[0].toUpperCase() + d.verb.action.slice(1) + ' ', d.what.selector ? h('code', null, clean(d.what.selector, 100)) : n === 1 ? h('code', null, clean(d.what.ids[0], 100)) : `${n} of kind ${d.verb.kind}`),
      h('p', { class: 'effect' }, clean((p && p.effect) || d.verb.effect, 400)),
      d.error ? h('p', { key: 'error', class: 'problem', role: 'alert' }, h('b', null, clean(d.error.code)), ' ', clean(d.error.message), d.error.hint ? h('span', { class: 'dim' }, ' — ' + clean(d.error.hint)) : null) : null,
      !p && d.plain && d.busy ? h('p', { key: 'asking', class: 'dim' }, 'Asking…') : !p ? [
        'priority' in d.args ? h('label', { key: 'priority', class: 'field' }, h('span', null, 'Priority'), h('select', { name: 'priority', disabled: d.busy, onchange: (e) => { d.args.priority = e.target.value; } }, [['', 'one higher'], ['normal', 'normal'], ['high', 'high'], ['critical', 'critical']].map(([v, t]) => h('option', { value: v }, t)))) : null,
        d.verb.args.filter((a) => !a.startsWith('priority')).map((a) => { const k = a.replace('?', ''); return field(k === 'level' ? 'Level (trace, debug, info, warn, error)' : k === 'for_us' ? 'For so many seconds' : k, k, d.texts[k] || '', (v) => { d.texts[k] = v; d.args[k] = k === 'for_us' && Number(v) > 0 ? String(Math.round(Number(v) * 1e6)) : v.trim(); }); }),
        field(needsReason(d) ? 'Why (kept in the audit log)' : 'Why (may be left out)', 'reason', d.reason, (v) => { d.reason = v; }, { maxlength: 512 }),
        h('div', { key: 'first', class: 'buttons' }, h('button', { class: 'quiet', onclick: close }, 'Cancel'), h('button', { class: 'primary', id: 'propose', disabled: d.busy || (needsReason(d) && !d.reason.trim()), onclick: submit }, d.busy ? 'Asking…' : 'Show what it would do')),
      ] : [
        h('dl', { key: 'plan', class: 'plan' },
          h('dt', null, 'Targets'), h('dd', null, num(p.count)),
          sum(p, 'children') ? [h('dt', null, 'Children affected'), h('dd', null, num(sum(p, 'children')))] : null,
          sum(p, 'lost') ? [h('dt', null, 'Work that is lost'), h('dd', { class: 'bad' }, num(sum(p, 'lost')) + (sum(p, 'lost') === 1 ? ' job or run' : ' jobs and runs'))] : null,
          p.reason ? [h('dt', null, 'Why'), h('dd', null, clean(p.reason, 512))] : null,
          h('dt', null, 'Holds for'), h('dd', null, span((Date.parse(p.until) - now()) / 1000))),
        h('ul', { key: 'targets', class: 'targets' }, p.targets.slice(0, most).map((t) => h('li', { key: t.id }, h('span', null, brief(t.id, 24), t.label ? h('span', { class: 'dim' }, ' ' + clean(t.label, 60)) : null), t.generation ? h('span', { class: 'dim' }, 'generation ' + t.generation) : null, t.state ? state(t.state) : null)), p.targets.length > most ? h('li', { class: 'dim' }, `and ${p.targets.length - most} more`) : null),
        (p.excluded || []).length ? h('details', { key: 'excluded' }, h('summary', null, `${p.excluded.length} left out`), h('ul', { class: 'targets' }, p.excluded.slice(0, most).map((x) => h('li', { key: x.id }, brief(x.id, 24), h('span', { class: 'dim' }, clean(x.why || x.code, 160)))))) : null,
        p.danger && p.count ? field(`Type ${p.count} to confirm`, 'typed', d.typed, (v) => { d.typed = v; }, { autocomplete: 'off' }) : null,
        h('div', { key: 'second', class: 'buttons' }, h('button', { class: 'quiet', title: 'the command that does the same', onclick: () => copy(cliOf(d.verb, d.what, d.args, d.reason, p.targets)) }, 'Copy as CLI'), h('span', { class: 'grow' }), h('button', { class: 'quiet', onclick: close }, 'Cancel'),
          h('button', { class: d.verb.danger ? 'primary risky' : 'primary', id: 'apply', disabled: !ready(d), onclick: () => apply(d) }, d.busy ? 'Asking…' : p.count ? d.verb.action[0].toUpperCase() + d.verb.action.slice(1) + ' ' + num(p.count) : 'Nothing to do')),
      ]));
}

const sum = (p, f) => p.targets.reduce((n, t) => n + (t[f] || 0), 0);

// trap keeps the focus inside of a dialog.
export function trap(e) {
  if (e.key !== 'Tab') return;
  const all = [...e.currentTarget.querySelectorAll('button,input,select,a,summary,[tabindex="0"]')].filter((x) => !x.disabled && x.offsetParent !== null);
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const to = e.shiftKey ? (at <= 0 ? all.length - 1 : at - 1) : at === all.length - 1 ? 0 : at + 1;
  e.preventDefault();
  all[to].focus();
}
