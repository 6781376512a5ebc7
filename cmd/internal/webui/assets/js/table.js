// A table of any length, of which only what is in sight is part of the page.

import { h } from './dom.js';
import { app, set, draw } from './store.js';
import { state } from './fmt.js';

const rowHeight = 32;
const denseHeight = 26;
const beyond = 8; // rows above and below what is in sight

// columnsFor leaves out what a narrow window has no room for.
function columnsFor(t, narrow) {
  const width = narrow || window.innerWidth;
  const cols = t.cols.filter((c) => c.p <= (width < 560 ? 1 : width < 1000 ? 2 : 3));
  const least = (c) => Number(/\d+/.exec(c.w)[0]) + (window.innerWidth < 760 ? 8 : 16); // with the gap
  for (let rest = width - 52 - cols.reduce((n, c) => n + least(c), 0), p = 3; rest < 0 && (p > 1 || cols.length > 2);) {
    const at = p > 1 ? cols.findLastIndex((c) => c.p === p) : cols.length - 1;
    if (at < 0) p--;
    else rest += least(cols.splice(at, 1)[0]);
  }
  return cols;
}

let place = 0; // how far the table is scrolled
let placed = ''; // the view of it
let tall = 600;
let wideAsk = 0;

// table draws rows: a list of {id, row}. opts: open(id), cells(row, index, col, cell) to change a cell.
export function table(t, rows, opts = {}) {
  opts.rows = rows;
  if (placed !== app.view) { placed = app.view; place = 0; }
  const height = t.dense ? denseHeight : rowHeight;
  const cols = columnsFor(t, wideAsk);
  const template = '26px ' + cols.map((c) => c.w).join(' ');
  if (app.cursor >= rows.length) app.cursor = Math.max(rows.length - 1, 0);
  const first = Math.max(Math.floor(place / height) - beyond, 0);
  const last = Math.min(first + Math.ceil(tall / height) + 2 * beyond, rows.length);
  const sort = app.params.sort || '';
  const head = h('div', { class: 'row head', role: 'row', 'aria-rowindex': '1', css: { 'grid-template-columns': template } },
    h('span', { role: 'columnheader', class: 'pick', 'aria-label': 'marked' }),
    cols.map((c) => {
      const dir = sort === c.s ? 'ascending' : sort === '-' + c.s ? 'descending' : 'none';
      return h('span', { key: c.f, role: 'columnheader', 'aria-sort': dir, class: c.right ? 'right' : '' },
        opts.unsorted ? c.t : h('button', { class: 'sort', tabindex: '-1', title: 'sort by ' + c.s, onclick: () => set({ sort: sort === '-' + c.s ? c.s : '-' + c.s }) }, c.t, dir === 'none' ? '' : dir === 'ascending' ? ' ↑' : ' ↓'));
    }));
  const body = [];
  for (let i = first; i < last; i++) body.push(line(rows[i], i, cols, template, height, opts));
  return h('div', {
    class: 'table' + (t.dense ? ' dense' : ''), role: 'grid', tabindex: '0', id: 'grid', 'aria-label': t.title, 'aria-rowcount': String(rows.length + 1),
    'aria-activedescendant': rows.length ? 'row-' + app.cursor : undefined, 'aria-multiselectable': 'true',
    onscroll: (e) => { place = e.target.scrollTop; draw(); },
    then: (el) => {
      if (el.clientHeight && Math.abs(el.clientHeight - tall) > 1) { tall = el.clientHeight; draw(); }
      if (el.clientWidth && Math.abs(el.clientWidth - wideAsk) > 1) { wideAsk = el.clientWidth; draw(); }
      if (!el.clientHeight) return;
      if (Math.abs(el.scrollTop - place) > 1) { place = el.scrollTop; draw(); } // of another view, or of more rows than there are now
      if (app.follow) { // the cursor moved: it stays in sight
        app.follow = false;
        const top = app.cursor * height;
        const room = el.clientHeight - height;
        if (top < el.scrollTop) el.scrollTop = top;
        else if (top + height > el.scrollTop + room) el.scrollTop = top + height - room;
      }
    },
  },
  head,
  h('div', { class: 'space', role: 'presentation', css: { height: rows.length * height + 'px' } }, body));
}

function line({ id, row, depth }, i, cols, template, height, opts) {
  const marked = app.marks.has(id);
  const op = app.ops.get(id);
  const open = app.drawer && app.drawer.id === id;
  return h('div', {
    key: id, id: 'row-' + i, role: 'row', 'aria-rowindex': String(i + 2), 'aria-selected': marked ? 'true' : 'false',
    class: 'row' + (i === app.cursor ? ' cursor' : '') + (marked ? ' marked' : '') + (open ? ' open' : '') + (op ? ' moving' : ''),
    css: { 'grid-template-columns': template, transform: 'translateY(' + i * height + 'px)', height: height + 'px' },
    onclick: (e) => { app.cursor = i; if (e.shiftKey) range(opts.rows, i); else if (e.ctrlKey || e.metaKey) mark(id, row); else opts.open(id, row); draw(); },
  },
  h('span', { class: 'pick', role: 'gridcell' }, h('button', { tabindex: '-1', 'aria-label': marked ? 'unmark' : 'mark', onclick: (e) => { e.stopPropagation(); app.cursor = i; mark(id, row); draw(); } }, marked ? '◆' : '◇')),
  cols.map((c) => {
    let cell = c.cell(row);
    if (opts.cell) cell = opts.cell(c, row, cell, depth);
    if (op && c.f === 'state') cell = h('span', null, cell, state(op.state, op.words));
    return h('span', { key: c.f, role: 'gridcell', class: 'cell' + (c.right ? ' right' : '') }, cell);
  }));
}

export function mark(id, row) {
  app.allMatch = false;
  if (app.marks.has(id)) app.marks.delete(id);
  else app.marks.set(id, row);
  app.anchor = app.cursor;
}

export function range(rows, to) {
  app.allMatch = false;
  const from = app.anchor < 0 ? app.cursor : app.anchor;
  for (let i = Math.min(from, to); i <= Math.max(from, to) && i < rows.length; i++) app.marks.set(rows[i].id, rows[i].row);
  app.anchor = to;
}
