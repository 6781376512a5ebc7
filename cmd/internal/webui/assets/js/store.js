// What the page knows: where it is, who the caller is, and what is watched.

import * as net from './net.js';
import * as fmt from './fmt.js';

export const app = {
  me: null, verbs: [], rights: new Set(), readOnly: false,
  paused: false, pausedAt: 0, every: 1000, hidden: false,
  view: 'overview', params: {}, // of the address
  cursor: 0, anchor: -1, anew: false, marks: new Map(), allMatch: false, // of the table in sight; ids and rows
  drawer: null, dialog: null, palette: null, help: false,
  toasts: [], ops: new Map(), boot: '', banner: '',
  fatal: null, draw: () => {},
  local: {}, // what views keep, by name
};

let asked = false;
// draw has the page drawn before the next frame.
export function draw() {
  if (asked) return;
  asked = true;
  const go = () => { if (asked) show(); };
  if (document.hidden) setTimeout(go, 100); // no frames are drawn then
  else requestAnimationFrame(go);
}

// show draws at once, where something opens, closes or gives way to another view: the next key may come before the next frame, and it is
// meant for what this one has brought.
export function show() {
  asked = false;
  app.draw();
}

export function unmark() {
  app.marks = new Map();
  app.anchor = -1;
  app.allMatch = false;
}

// Where the page is: #/view?q=&sort=&…
export function readAddress() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const p = {};
  for (const [k, v] of new URLSearchParams(query || '')) p[k] = v;
  let view = 'overview';
  try { view = decodeURIComponent(path || 'overview'); } catch { /* not of ours */ }
  if (view !== app.view) { unmark(); app.drawer = null; }
  if (view !== app.view || p.q !== app.params.q || p.sort !== app.params.sort) { // other rows
    app.cursor = 0;
    app.anew = true;
    app.allMatch = false;
    app.local.query = null;
  }
  app.view = view;
  app.params = p;
  show();
}

export function addressOf(view, params) {
  const q = new URLSearchParams();
  for (const k in params || {}) if (params[k] !== undefined && params[k] !== '' && params[k] !== null) q.set(k, params[k]);
  const text = q.toString();
  return '#/' + encodeURIComponent(view) + (text ? '?' + text : '');
}

export function go(view, params) {
  location.hash = addressOf(view, params);
  readAddress(); // now: the event of it comes later than the next key may
}

// set changes parameters of the address, as a step back or in place.
export function set(changes, replace) {
  const to = addressOf(app.view, { ...app.params, ...changes });
  if (replace) history.replaceState(null, '', to);
  else location.hash = to;
  readAddress();
}

let toastID = 0;
export function toast(words, tone = 'none', life = 6000) {
  const t = { id: ++toastID, words: fmt.clean(words, 300), tone };
  app.toasts = [...app.toasts.slice(-3), t];
  setTimeout(() => { app.toasts = app.toasts.filter((x) => x !== t); draw(); }, life);
  draw();
}

export const may = (right) => !app.readOnly && app.rights.has(right);

// A Live is one subscription to a view of the host.
class Live {
  constructor(view, params) {
    Object.assign(this, { view, params, rows: new Map(), order: [], matched: 0, total: 0, at: '', heard: 0, dropped: 0, error: null, state: 'waiting', last: '', wanted: 0, version: 0, ring: new Map() });
  }

  start() {
    if (this.stop || app.paused || app.hidden) return;
    const c = new AbortController();
    this.stop = c;
    this.run(c).catch((e) => console.error(e));
  }

  end() {
    if (this.stop) this.stop.abort();
    this.stop = null;
    if (this.state === 'live') this.state = 'waiting';
  }

  async run(c) {
    let pause = 250;
    while (!c.signal.aborted) {
      try {
        await net.events('/v1/watch/' + this.view, { ...this.params, every_us: app.every * 1000 }, c.signal, this.last, (frame, id) => {
          if (c.signal.aborted) return;
          this.take(frame);
          this.last = id || this.last;
          this.state = 'live';
          this.error = null;
          pause = 250;
          draw();
        });
      } catch (e) {
        if (c.signal.aborted) return;
        this.error = e;
        if (e.status === 401) { app.fatal = e; draw(); return; }
        if (e.status >= 400 && e.status < 500) { this.state = 'refused'; draw(); return; }
      }
      this.state = 'lost';
      draw();
      await new Promise((done) => { setTimeout(done, pause); });
      pause = Math.min(pause * 2, 5000);
    }
  }

  take(f) {
    if (f.boot && app.boot && f.boot !== app.boot) {
      app.banner = 'The host was restarted: this is another boot, ' + fmt.clean(f.boot, 12) + '. What was shown before is gone.';
      for (const l of lives.values()) { l.rows.clear(); l.order = []; l.ring.clear(); l.last = ''; }
    }
    if (f.boot) app.boot = f.boot;
    fmt.heard(f.at);
    const rows = f.rows || [];
    if (f.full) {
      const old = this.rows;
      this.rows = new Map();
      for (const r of rows) this.rows.set(r.id, old.has(r.id) ? merge(old.get(r.id), r.row) : r.row);
      this.order = f.order || rows.map((r) => r.id);
    } else {
      const fresh = [];
      for (const r of rows) {
        if (!this.rows.has(r.id)) fresh.push(r.id);
        this.rows.set(r.id, r.row);
      }
      for (const id of f.gone || []) this.rows.delete(id);
      if (f.order) this.order = f.order;
      else if (fresh.length || (f.gone || []).length) {
        const ordered = this.view === 'log' || this.view === 'audit' ? [...fresh.reverse(), ...this.order] : [...this.order, ...fresh];
        this.order = ordered.filter((id) => this.rows.has(id)).slice(0, 20000);
      }
      if (this.rows.size > this.order.length) { const keep = new Set(this.order); for (const id of this.rows.keys()) if (!keep.has(id)) this.rows.delete(id); }
    }
    if ((this.view === 'log' || this.view === 'audit') && !this.params.sort) this.order = [...this.order].sort((a, b) => b - a); // the newest first
    this.matched = f.matched;
    this.total = f.total;
    this.dropped = f.dropped_total || 0;
    this.at = f.at;
    this.heard = Date.now();
    this.version++;
    if (this.view === 'actors') this.sample();
    if (this.view === 'overview') this.sampleHost();
  }

  // sample keeps the depth of mailboxes over time, of those that ever had something in them.
  sample() {
    const most = 120;
    for (const [id, r] of this.rows) {
      let ring = this.ring.get(id);
      if (!ring && !r.mailbox_depth && !r.restarts) continue;
      if (!ring) this.ring.set(id, ring = []);
      ring.push({ at: this.version, depth: r.mailbox_depth || 0, cap: r.mailbox_cap || 0, restarts: r.restarts || 0 });
      if (ring.length > most) ring.shift();
    }
    if (this.ring.size > 400) for (const id of this.ring.keys()) { if (!this.rows.has(id)) this.ring.delete(id); }
  }

  sampleHost() {
    const r = this.rows.get(this.order[0]);
    if (!r) return;
    let ring = this.ring.get('host');
    if (!ring) this.ring.set('host', ring = []);
    ring.push({ at: Date.parse(r.at || this.at), cpu: r.cpu_us || 0, rss: r.rss_bytes || 0, requests: r.requests || 0 });
    if (ring.length > 300) ring.shift();
  }

  list() { return this.order.map((id) => this.rows.get(id)).filter(Boolean); }
}

// merge keeps the object of a row that has not changed, so that what is drawn of it need not be made again.
function merge(old, row) { return JSON.stringify(old) === JSON.stringify(row) ? old : row; }

const lives = new Map();
// watch returns the subscription to a view, which lasts while it is asked for in each drawing.
export function watch(view, params = {}) {
  const name = view + ' ' + JSON.stringify(params);
  let l = lives.get(name);
  if (!l) lives.set(name, l = new Live(view, params));
  if (!l.wanted) l.start();
  l.wanted = 2;
  return l;
}

// settle ends subscriptions that the last drawing did not ask for.
export function settle() {
  for (const [name, l] of lives) {
    if (--l.wanted > 0) continue;
    l.end();
    lives.delete(name);
  }
}

export function eachLive(f) { for (const l of lives.values()) f(l); }

export function pause(on) {
  app.paused = on;
  app.pausedAt = on ? fmt.now() : 0;
  app.pausedReal = Date.now();
  fmt.freeze(app.pausedAt);
  eachLive((l) => (on ? l.end() : l.start()));
  draw();
}

export function hide(on) {
  app.hidden = on;
  eachLive((l) => (on ? l.end() : l.start()));
}

export function setEvery(ms) {
  app.every = Math.max(250, Math.min(10000, ms));
  eachLive((l) => { l.end(); l.last = ''; l.start(); });
  toast('Refreshed every ' + fmt.span(app.every / 1000));
}
