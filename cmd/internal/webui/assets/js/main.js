// The console of a host, in a browser.

import { render } from './dom.js';
import * as net from './net.js';
import { app, readAddress, settle, hide, draw, show, eachLive } from './store.js';
import { page } from './shell.js';
import { dialog, wants } from './plan.js';
import { refresh } from './detail.js';
import { listen, palette, setTheme } from './keys.js';

const root = document.getElementById('app');
app.eachLive = eachLive;

app.draw = () => {
  const had = document.activeElement;
  const inDrawer = had && had.closest('#drawer');
  render(root, page(dialog(), palette()));
  settle();
  focus(had, inDrawer);
};

let front = null; // what lies before all else, and has the focus in it
let step = '';
let back = null; // where the focus was before
// focus has each dialog take the focus, and each of its steps, and keeps it from being lost to nothing: what had it may have been redrawn.
function focus(had, inDrawer) {
  const now = app.palette || app.dialog || (app.help ? app : null);
  const put = (el) => el && el.focus({ preventScroll: true });
  const rest = () => (inDrawer && document.getElementById('drawer')) || document.getElementById('grid') || document.getElementById('main');
  const box = document.querySelector('.palette, #dialog, .help');
  if (now && box) {
    if (!front) back = had;
    const want = app.palette ? 'palette' : app.dialog ? wants(app.dialog) : 'close';
    const el = want ? box.querySelector(`[name="${want}"], #${want}`) : null;
    const active = document.activeElement;
    if (now !== front || want !== step || active === box || !box.contains(active)) put(el && !el.disabled ? el : box);
    step = want;
  } else if (front) {
    put(back && back !== document.body && back.isConnected ? back : rest());
    back = null;
  } else if (had && had !== document.body && document.activeElement === document.body) {
    put(had.isConnected && !had.disabled ? had : rest());
  }
  front = box && now;
}

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
    show();
    return;
  }
  readAddress();
  window.addEventListener('hashchange', () => { if (location.hash.startsWith('#link=')) location.reload(); else readAddress(); });
  document.addEventListener('visibilitychange', () => { hide(document.hidden); draw(); });
  window.addEventListener('resize', draw);
  listen();
  setInterval(() => { if (!document.hidden && !app.paused) { refresh(); draw(); } }, 1000); // ages go on
}
start();
