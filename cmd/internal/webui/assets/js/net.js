// The way to the host: JSON, events, and the session that they go through.

let key = '';
const slot = 'troupe.key';

// Problem is a refusal, with what the host said of it.
export class Problem extends Error {
  constructor(status, error) {
    super(error.message || error.code || 'status ' + status);
    this.status = status;
    this.code = error.code || '';
    this.hint = error.hint || '';
    this.error = error;
  }
}

// enter trades the link in the address for a session, or goes on with the one that there is.
export async function enter() {
  try { key = localStorage.getItem(slot) || ''; } catch { key = ''; }
  const m = /^#link=([\w-]+)$/.exec(location.hash);
  if (!m) return;
  history.replaceState(null, '', location.pathname + '#/');
  const r = await fetch('/enter', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ link: m[1] }) });
  if (r.status === 204) return;
  const body = await r.json();
  if (!r.ok) throw new Problem(r.status, body.error || {});
  key = body.key;
  try { localStorage.setItem(slot, key); } catch { /* it lasts as long as the page then */ }
}

export async function leave() {
  await fetch('/leave', { method: 'POST', headers: { 'Troupe-Console': key } });
  try { localStorage.removeItem(slot); } catch { /* nothing was kept */ }
}

function address(path, params) {
  const q = new URLSearchParams();
  for (const name in params || {}) if (params[name] !== undefined && params[name] !== '' && params[name] !== null) q.set(name, params[name]);
  const text = q.toString();
  return '/api' + path + (text ? '?' + text : '');
}

// segments escapes an id, whose slashes part it.
export const segments = (id) => String(id).split('/').map(encodeURIComponent).join('/');

async function ask(method, path, params, options = {}) {
  let r;
  try {
    r = await fetch(address(path, params), {
      method, signal: options.signal, body: options.body, cache: 'no-store',
      headers: { 'Troupe-Console': key, ...(options.body ? { 'Content-Type': 'application/json' } : {}), ...options.headers },
    });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Problem(0, { code: 'web.gone', message: "the console's server is gone", hint: "'troupe web' has ended: run it again" });
  }
  if (r.ok) return r;
  let error = {};
  try { error = (await r.json()).error || {}; } catch { /* not one of ours */ }
  throw new Problem(r.status, error);
}

export const get = async (path, params, options) => (await ask('GET', path, params, options)).json();
export const post = async (path, body, headers) => (await ask('POST', path, null, { body: JSON.stringify(body), headers })).json();
export const blob = async (path) => (await ask('GET', path)).blob();

// events calls f for each event until the stream ends or f throws. It returns whether the end was a good one.
export async function events(path, params, signal, last, f) {
  const r = await ask('GET', path, params, { signal, headers: { Accept: 'text/event-stream', ...(last ? { 'Last-Event-ID': last } : {}) } });
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let kind = '';
  let id = '';
  let data = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return false;
    rest += value;
    const lines = rest.split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const l = line.endsWith('\r') ? line.slice(0, -1) : line;
      if (l === '') {
        if (kind === 'end') return true;
        if (kind === 'failure') throw new Problem(200, JSON.parse(data.join('\n')).error || {});
        if (data.length) f(JSON.parse(data.join('\n')), id);
        kind = ''; id = ''; data = [];
        continue;
      }
      const at = l.indexOf(':');
      if (at === 0) continue;
      const name = at < 0 ? l : l.slice(0, at);
      const v = at < 0 ? '' : l.slice(at + 1).replace(/^ /, '');
      if (name === 'data') data.push(v);
      else if (name === 'event') kind = v;
      else if (name === 'id') id = v;
    }
  }
}

// save has the browser keep something as a file.
export function save(name, what) {
  const b = what instanceof Blob ? what : new Blob([JSON.stringify(what, null, 2) + '\n'], { type: 'application/json' });
  const a = document.createElement('a');
  a.href = URL.createObjectURL(b);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}

// copy puts text where it can be pasted from, and says whether it could.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
