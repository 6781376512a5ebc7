// Plots, drawn by hand: lines over time, a treemap, a strip of heat, bars of stages and of messages.

import { h } from './dom.js';
import { clean, num, micros, span, utc, owner } from './fmt.js';

const s = (tag, props, ...kids) => h('svg:' + tag, props, ...kids);
let unique = 0;

// spark is a small line without axes.
export function spark(values, label, width = 120, height = 28) {
  if (values.length < 2) return h('span', { class: 'dim spark' }, 'not enough yet');
  const most = Math.max(...values, 1e-9);
  const pts = values.map((v, i) => ((i / (values.length - 1)) * width).toFixed(1) + ',' + (height - 2 - (v / most) * (height - 4)).toFixed(1));
  return s('svg', { class: 'spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label },
    s('polygon', { class: 'area', points: `0,${height} ${pts.join(' ')} ${width},${height}` }), s('polyline', { class: 'line', points: pts.join(' '), 'vector-effect': 'non-scaling-stroke' }));
}

// plot draws points {at, v} over time, with axes that say what they count.
export function plot(points, { title, unit = num, height = 120, width = 290, note = '' }) {
  const name = title + ', ' + (points.length ? unit(points[points.length - 1].v) : 'nothing') + ' now';
  if (points.length < 2) return h('figure', { class: 'plot' }, h('figcaption', null, h('strong', null, title)), h('p', { class: 'dim' }, 'Not enough samples yet.'));
  const left = 60; const bottom = 18; const right = 8; const top = 8;
  const a = points[0].at; const b = points[points.length - 1].at;
  const most = Math.max(...points.map((p) => p.v));
  const nice = most > 0 ? ceiling(most) : 1;
  const x = (t) => left + ((t - a) / Math.max(b - a, 1)) * (width - left - right);
  const y = (v) => top + (1 - v / nice) * (height - top - bottom);
  const line = points.map((p) => x(p.at).toFixed(1) + ',' + y(p.v).toFixed(1)).join(' ');
  return h('figure', { class: 'plot' },
    h('figcaption', null, h('strong', null, title), h('span', { class: 'now' }, unit(points[points.length - 1].v)), note ? h('span', { class: 'dim' }, note) : null),
    s('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': name },
      [0, 0.5, 1].map((f) => [s('line', { class: 'grid', x1: left, x2: width - right, y1: y(nice * f), y2: y(nice * f) }), s('text', { class: 'tick', x: left - 6, y: y(nice * f) + 3.5, 'text-anchor': 'end' }, unit(nice * f))]),
      [0, 0.5, 1].map((f) => s('text', { class: 'tick', x: x(a + (b - a) * f), y: height - 4, 'text-anchor': f === 0 ? 'start' : f === 1 ? 'end' : 'middle' }, f === 1 ? 'now' : '−' + span(((b - a) * (1 - f)) / 1000))),
      s('polygon', { class: 'area', points: `${x(a)},${y(0)} ${line} ${x(b)},${y(0)}` }), s('polyline', { class: 'line', points: line }),
      s('circle', { class: 'dot', cx: x(b), cy: y(points[points.length - 1].v), r: 2.6 })));
}

function ceiling(v) {
  const p = 10 ** Math.floor(Math.log10(v));
  for (const m of [1, 2, 2.5, 5, 10]) if (m * p >= v) return m * p;
  return v;
}

// rateOf turns totals into rates per second.
export function rateOf(samples, f) {
  const out = [];
  for (let i = 1; i < samples.length; i++) {
    const dt = (samples[i].at - samples[i - 1].at) / 1000;
    if (dt > 0) out.push({ at: samples[i].at, v: Math.max(f(samples[i]) - f(samples[i - 1]), 0) / dt });
  }
  return out;
}

// treemap lays things out by size: rows of nearly square fields.
export function treemap(items, width, height) {
  const total = items.reduce((n, i) => n + i.size, 0);
  const out = [];
  if (!total) return out;
  let x = 0; let y = 0; let w = width; let l = height;
  let rest = items.map((i) => ({ i, a: (i.size / total) * width * height })).filter((r) => r.a > 0);
  while (rest.length) {
    const side = Math.min(w, l);
    let n = 1;
    const worst = (k) => {
      const sum = rest.slice(0, k).reduce((m, r) => m + r.a, 0);
      return rest.slice(0, k).reduce((m, r) => Math.max(m, (side * side * r.a) / (sum * sum), (sum * sum) / (side * side * r.a)), 0);
    };
    while (n < rest.length && worst(n + 1) <= worst(n)) n++;
    const row = rest.slice(0, n);
    rest = rest.slice(n);
    const sum = row.reduce((m, r) => m + r.a, 0);
    const thick = sum / side;
    let at = 0;
    for (const r of row) {
      const len = r.a / thick;
      out.push(w >= l ? { i: r.i, x, y: y + at, w: thick, h: len } : { i: r.i, x: x + at, y, w: len, h: thick });
      at += len;
    }
    if (w >= l) { x += thick; w -= thick; } else { y += thick; l -= thick; }
  }
  return out;
}

const stageClass = { running: 'run', 'artifact-wait': 'prep', queued: 'wait', admitted: 'wait', received: 'wait', assigned: 'hand', handshake: 'hand', 'result-read': 'hand', verdict: 'hand', delivered: 'done' };

// stages is the bar of a timeline, with a legend that says it all in words.
export function stages(t) {
  const total = t.stages.reduce((n, x) => n + x.us, 0) || 1;
  return h('div', { class: 'stages' },
    h('div', { class: 'stagebar', role: 'img', 'aria-label': t.stages.map((x) => x.name + ' ' + micros(x.us)).join(', ') },
      t.stages.map((x) => h('span', { class: 'stage st-' + (stageClass[x.name] || 'hand'), css: { 'flex-grow': String(Math.max(x.us / total, 0.004)) }, title: clean(x.name) + ' · ' + micros(x.us) + (x.waits_for ? ' · waited for ' + clean(x.waits_for) : '') }, x.us / total > 0.14 ? clean(x.name, 20) : ''))),
    h('ol', { class: 'stagelist' }, t.stages.map((x) => h('li', null, h('span', { class: 'swatch st-' + (stageClass[x.name] || 'hand'), 'aria-hidden': 'true' }), h('span', { class: 'name', title: utc(x.at) }, clean(x.name, 30)), h('span', { class: 'took' }, micros(x.us)), x.waits_for ? h('span', { class: 'why' }, 'waited for ' + clean(x.waits_for, 200), x.owner ? h('span', { class: 'dim' }, ' · ', owner(x.owner)) : null) : null))),
    h('p', { class: 'sums' }, h('span', null, 'wall ', h('b', null, micros(t.wall_us))), h('span', null, 'CPU ', h('b', null, micros(t.cpu_us))), h('span', null, 'waiting ', h('b', null, micros(t.wait_us)))));
}

// waterfall draws messages of one cause over time, by actor.
export function waterfall(list) {
  const at = (x) => Date.parse(x) * 1000 + Number((/\.\d{3}(\d{3})/.exec(x || '') || [0, 0])[1]); // microseconds
  const rows = list.filter((m) => m.sent).map((m) => ({ m, sent: at(m.sent), acc: m.accepted ? at(m.accepted) : at(m.sent), start: m.started ? at(m.started) : null, end: m.finished ? at(m.finished) : null }));
  if (!rows.length) return h('p', { class: 'empty' }, 'No flight recorder holds a message of this cause any more.');
  rows.sort((a, b) => a.sent - b.sent);
  const from = rows[0].sent;
  const to = Math.max(...rows.map((r) => r.end || r.start || r.acc), from + 1);
  const pct = (t) => (((t - from) / (to - from)) * 100).toFixed(3) + '%';
  const wide = (a, b) => `max(2px, ${(((b - a) / (to - from)) * 100).toFixed(3)}%)`;
  const shown = rows.slice(0, 500);
  return h('div', { class: 'waterfall', role: 'table', 'aria-label': 'Messages of one cause' },
    h('div', { class: 'wf head', role: 'row' }, h('span', { role: 'columnheader' }, 'Actor and message'), h('span', { class: 'lane', role: 'columnheader' }, h('span', null, '0'), h('span', null, micros((to - from) / 2)), h('span', null, micros(to - from))), h('span', { class: 'right', role: 'columnheader' }, 'Waited'), h('span', { class: 'right', role: 'columnheader' }, 'Took')),
    shown.map((r, i) => h('div', { class: 'wf' + (r.m.fault ? ' bad' : ''), role: 'row', key: i + r.m.actor + r.m.seq },
      h('span', { class: 'who', role: 'cell', title: clean(r.m.from ? r.m.from + ' → ' + r.m.actor : r.m.actor) }, h('b', null, clean(r.m.actor, 100)), h('span', { class: 'dim' }, ' ' + clean(r.m.type, 80))),
      h('span', { class: 'lane', role: 'cell', title: 'sent ' + utc(r.m.sent) },
        h('i', { class: 'w-wait', css: { left: pct(r.acc), width: wide(r.acc, r.start || to) } }), r.start ? h('i', { class: 'w-run', css: { left: pct(r.start), width: wide(r.start, r.end || to) } }) : null),
      h('span', { class: 'right', role: 'cell' }, r.start ? micros(r.start - r.acc) : r.m.fault ? clean(r.m.fault, 40) : 'waits'),
      h('span', { class: 'right', role: 'cell' }, r.end ? micros(r.end - r.start) : r.start ? 'runs' : '–'))),
    rows.length > shown.length ? h('p', { class: 'dim' }, `${rows.length - shown.length} more messages are not drawn; download the JSON for all.`) : null);
}

// heat draws the depth of mailboxes over time: one line for each actor, time from left to right.
export function heat(canvas, lines, most) {
  const ratio = window.devicePixelRatio || 1;
  const w = canvas.clientWidth; const l = canvas.clientHeight;
  if (!w || !l) return;
  if (canvas.width !== Math.round(w * ratio)) canvas.width = Math.round(w * ratio);
  if (canvas.height !== Math.round(l * ratio)) canvas.height = Math.round(l * ratio);
  const c = canvas.getContext('2d');
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, l);
  const style = getComputedStyle(canvas);
  const colours = ['--heat0', '--heat1', '--heat2', '--heat3', '--heat4'].map((n) => style.getPropertyValue(n).trim());
  const step = w / most;
  const end = Math.max(...lines.map((r) => (r.length ? r[r.length - 1].at : 0)), 0);
  const one = l / Math.max(lines.length, 1);
  lines.forEach((ring, i) => {
    for (const p of ring) {
      const share = p.cap ? p.depth / p.cap : Math.min(p.depth / 64, 1);
      const k = p.depth === 0 ? 0 : share < 0.25 ? 1 : share < 0.6 ? 2 : share < 0.9 ? 3 : 4;
      c.fillStyle = colours[k];
      const x = w - (end - p.at + 1) * step;
      if (x > -step) c.fillRect(x, i * one + 3, Math.max(step - 0.6, 1), one - 6);
    }
  });
}

// graph draws who sends to whom: kinds on a ring, lines as thick as there are messages.
export function graph(nodes, edges, size = 460) {
  const id = 'arrow' + (unique = (unique + 1) % 1000);
  const mid = size / 2; const r = size / 2 - 78;
  const pos = new Map(nodes.map((n, i) => { const a = (i / nodes.length) * 2 * Math.PI - Math.PI / 2; return [n.name, { x: mid + r * Math.cos(a), y: mid + r * Math.sin(a), a }]; }));
  const most = Math.max(...edges.map((e) => e.n), 1);
  return s('svg', { class: 'graph', viewBox: `-60 0 ${size + 120} ${size}`, role: 'img', 'aria-label': nodes.length + ' kinds and ' + edges.length + ' paths of messages between them; the table says the same' },
    s('defs', null, s('marker', { id, viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 4, markerHeight: 4, orient: 'auto' }, s('path', { class: 'tip', d: 'M0 0 8 4 0 8z' }))),
    edges.map((e) => {
      const a = pos.get(e.from); const b = pos.get(e.to);
      if (!a || !b) return null;
      const cx = mid + (a.x + b.x - 2 * mid) * 0.18; const cy = mid + (a.y + b.y - 2 * mid) * 0.18;
      const d = e.from === e.to ? `M${a.x - 6} ${a.y} C${a.x + 46 * Math.cos(a.a - 0.5)} ${a.y + 46 * Math.sin(a.a - 0.5)} ${a.x + 46 * Math.cos(a.a + 0.5)} ${a.y + 46 * Math.sin(a.a + 0.5)} ${a.x + 6} ${a.y}` : `M${a.x} ${a.y} Q${cx} ${cy} ${b.x} ${b.y}`;
      return s('path', { class: 'edge', d, 'stroke-width': (0.8 + 2.4 * (Math.log1p(e.n) / Math.log1p(most))).toFixed(1), 'marker-end': `url(#${id})` }, s('title', null, `${clean(e.from)} → ${clean(e.to)}: ${num(e.n)}`));
    }),
    nodes.map((n) => { const p = pos.get(n.name); const east = Math.cos(p.a) > 0.15; const west = Math.cos(p.a) < -0.15; return [s('circle', { class: 'node', cx: p.x, cy: p.y, r: 5 + 5 * (Math.log1p(n.n) / Math.log1p(most * 2)) }), s('text', { class: 'name', x: p.x + (east ? 14 : west ? -14 : 0), y: p.y + (east || west ? 4 : Math.sin(p.a) < 0 ? -14 : 24), 'text-anchor': east ? 'start' : west ? 'end' : 'middle' }, clean(n.name, 22))]; }));
}
