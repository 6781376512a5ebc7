// The console of a host, in a browser.

import { render } from './dom.js';
import * as net from './net.js';
import { app, readAddress, settle, hide, draw, eachLive } from './store.js';
import { page } from './shell.js';
import { dialog } from './plan.js';
import { listen, palette, setTheme } from './keys.js';

const root = document.getElementById('app');
app.eachLive = eachLive;

let focused = '';
app.draw = () => {
  const started = performance.now();
  render(root, page(dialog(), palette()));
  settle();
  app.spent = performance.now() - started;
  // A dialog that has come takes the focus, as does each of its steps.
  const want = app.palette ? 'palette' : app.dialog ? (app.dialog.plan ? (app.dialog.plan.danger && app.dialog.plan.count ? 'typed' : 'apply') : 'reason') : '';
  if (want && want !== focused) {
    const el = want === 'palette' ? document.getElementById('palette') : document.querySelector(`#dialog [name="${want}"], #dialog #${want}`);
    if (el && !el.disabled) { el.focus(); focused = want; }
  } else if (!want) focused = '';
};

try { setTheme(localStorage.getItem('troupe.theme') || 'auto'); } catch { /* as the system has it */ }

document.getElementById('skip').addEventListener('click', (e) => { e.preventDefault(); document.getElementById('main').focus(); });

async function start() {
  try {
    await net.enter();
    const [me, verbs] = await Promise.all([net.get('/v1/me'), fetch('/verbs.json').then((r) => r.json())]);
    app.me = me;
    app.boot = me.boot;
    app.rights = new Set(me.rights);
    app.verbs = verbs;
  } catch (e) {
    app.fatal = e;
    draw();
    return;
  }
  readAddress();
  window.addEventListener('hashchange', () => { if (location.hash.startsWith('#link=')) location.reload(); else readAddress(); });
  document.addEventListener('visibilitychange', () => { hide(document.hidden); draw(); });
  window.addEventListener('resize', draw);
  listen();
  setInterval(() => { if (!document.hidden && !app.paused) draw(); }, 1000); // ages go on
}
start();
