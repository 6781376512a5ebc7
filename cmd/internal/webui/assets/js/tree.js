// The supervision tree, as a table whose rows fold.

import { h } from './dom.js';
import { app, watch, draw } from './store.js';
import { clean, num } from './fmt.js';
import { tables } from './cols.js';
import { spark } from './charts.js';

const folded = (app.local.folded = new Set());
let cache = { version: -1, rows: [] };

const parentOf = (p) => (p.includes('/') ? p.slice(0, p.lastIndexOf('/')) : '');

// build puts actors below those that look after them. An actor whose parent the filter has hidden is shown where its parent would be.
function build(l) {
  const name = l.version + ' ' + l.view + JSON.stringify(l.params) + folded.size + [...folded].join();
  if (cache.name === name) return cache.rows;
  const byPath = new Map();
  for (const id of l.order) { const r = l.rows.get(id); if (r) byPath.set(r.path, { id, row: r, kids: [] }); }
  const roots = [];
  for (const n of byPath.values()) {
    let p = parentOf(n.row.path);
    while (p && !byPath.has(p)) p = parentOf(p);
    (p ? byPath.get(p).kids : roots).push(n);
  }
  const rows = [];
  const walk = (n, depth) => {
    let busy = 0;
    const shut = folded.has(n.row.path);
    n.depth = depth;
    rows.push({ id: n.id, row: n.row, depth, kids: n.kids.length, shut, fold: (s) => { if (n.kids.length) { if (s) folded.add(n.row.path); else folded.delete(n.row.path); draw(); } } });
    if (!shut) for (const k of n.kids) busy += walk(k, depth + 1);
    return busy;
  };
  for (const r of roots) walk(r, 0);
  cache = { name, rows };
  return rows;
}

export function treeRows() {
  const l = watch('actors', { q: app.params.q, sort: app.params.sort || 'path', limit: 10000 });
  return { live: l, rows: build(l), t: tables.tree, opts: {
    cell: (c, row, cell, depth) => {
      if (c.f !== 'path') return cell;
      const at = app.local.kids.get(row.path) || {};
      return h('span', { class: 'branch', css: { 'padding-left': Math.min(depth || 0, 12) * 18 + 'px' }, title: clean(row.path) },
        at.kids ? h('button', { class: 'fold', tabindex: '-1', 'aria-label': at.shut ? 'unfold' : 'fold', 'aria-expanded': at.shut ? 'false' : 'true', onclick: (e) => { e.stopPropagation(); at.fold(!at.shut); } }, at.shut ? '▸' : '▾') : h('span', { class: 'leaf', 'aria-hidden': 'true' }, '·'),
        h('span', null, clean(row.path.slice(row.path.lastIndexOf('/') + 1), 120)), at.shut ? h('span', { class: 'dim' }, `  ${num(at.kids)} below`) : null,
        at.kids && (l.ring.get(row.path) || []).some((p) => p.restarts) ? spark((l.ring.get(row.path) || []).map((p) => p.restarts), 'restarts over time', 48, 14) : null);
    },
  } };
}

// index lets cells of the tree find what they fold.
export function index(rows) { app.local.kids = new Map(rows.map((r) => [r.row.path, r])); }
