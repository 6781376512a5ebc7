// Descriptions of elements, and how the page is brought to look like them. Text only ever becomes a text node or an attribute from a
// short list, so nothing that a guest says can become an element, a script, a style or a request.

const svgSpace = 'http://www.w3.org/2000/svg';
const banned = new Set(['script', 'style', 'link', 'meta', 'base', 'iframe', 'frame', 'object', 'embed', 'form', 'template', 'foreignobject', 'use', 'image', 'animate', 'set']);
const attributes = /^(id|class|title|role|for|type|name|placeholder|tabindex|lang|dir|hidden|disabled|readonly|required|open|colspan|scope|width|height|download|autocomplete|spellcheck|maxlength|min|max|step|accept|aria-[a-z]+|data-[a-z]+|viewBox|preserveAspectRatio|x|y|x1|y1|x2|y2|cx|cy|r|rx|ry|d|points|fill|stroke|stroke-width|stroke-dasharray|text-anchor|transform|opacity|marker-end|markerWidth|markerHeight|refX|refY|orient|patternUnits|patternTransform|dominant-baseline|vector-effect)$/;
const properties = new Set(['value', 'checked', 'selected', 'scrollTop', 'indeterminate']);

// h describes an element. A tag that begins with "svg:" is one of SVG.
export function h(tag, props, ...kids) {
  return { tag, props: props || {}, kids: flat(kids, []) };
}

function flat(list, into) {
  for (const k of list) {
    if (k === null || k === undefined || k === false || k === true || k === '') continue;
    if (Array.isArray(k)) flat(k, into);
    else into.push(typeof k === 'object' ? k : String(k));
  }
  return into;
}

// render makes the children of an element look like a list of descriptions.
export function render(el, ...kids) {
  children(el, flat(kids, []));
}

function make(v) {
  if (typeof v === 'string') return document.createTextNode(v);
  const svg = v.tag.startsWith('svg:');
  const name = svg ? v.tag.slice(4) : v.tag;
  if (banned.has(name.toLowerCase())) throw new Error('element ' + name);
  const el = svg ? document.createElementNS(svgSpace, name) : document.createElement(name);
  el.shown = { props: {}, kids: [] };
  return el;
}

function update(el, v) {
  const was = el.shown.props;
  for (const name in was) if (!(name in v.props)) put(el, name, undefined, was[name]);
  for (const name in v.props) if (name !== 'value' && v.props[name] !== was[name]) put(el, name, v.props[name], was[name]);
  el.shown.props = v.props;
  if (!v.props.raw) children(el, v.kids);
  // What somebody types is not written over, unless something else is meant now.
  if ('value' in v.props && el.value !== v.props.value && (v.props.value !== was.value || el !== document.activeElement)) el.value = v.props.value;
  if (v.props.then) v.props.then(el);
}

function put(el, name, value, was) {
  if (name === 'key' || name === 'then' || name === 'raw') return;
  if (name.startsWith('on')) {
    if (value !== undefined && typeof value !== 'function') throw new Error('handler ' + name);
    el[name] = value || null;
    return;
  }
  if (name === 'css') { // {property: value}, set one by one: what a policy without inline styles allows
    for (const p in was || {}) if (!value || !(p in value)) el.style.removeProperty(p);
    for (const p in value || {}) if (!was || was[p] !== value[p]) el.style.setProperty(p, value[p]);
    return;
  }
  if (name === 'href') {
    if (value !== undefined && !/^(#|blob:)/.test(value)) throw new Error('link');
  } else if (properties.has(name)) {
    if (value !== undefined) el[name] = value;
    return;
  } else if (!attributes.test(name)) {
    throw new Error('attribute ' + name);
  }
  if (value === undefined || value === null || value === false) el.removeAttribute(name);
  else el.setAttribute(name, value === true ? '' : String(value));
}

function children(el, kids) {
  if (!el.shown) el.shown = { props: {}, kids: [] };
  const old = el.shown.kids;
  const keyed = new Map();
  const loose = [];
  for (const o of old) {
    if (typeof o.v === 'object' && o.v.props.key !== undefined) keyed.set(o.v.props.key, o);
    else loose.push(o);
  }
  const next = [];
  let at = 0;
  for (const v of kids) {
    let o;
    const key = typeof v === 'object' ? v.props.key : undefined;
    if (key !== undefined) {
      o = keyed.get(key);
      if (o && o.v.tag === v.tag) keyed.delete(key);
      else o = undefined;
    } else {
      const same = loose[at];
      if (same && typeof same.v === typeof v && (typeof v === 'string' || same.v.tag === v.tag)) {
        o = same;
        at++;
      }
    }
    if (!o) o = { v: null, dom: make(v) };
    next.push({ v, dom: o.dom, was: o.v });
  }
  const kept = new Set(next.map((n) => n.dom));
  for (const o of old) if (!kept.has(o.dom)) o.dom.remove();
  let place = el.firstChild;
  for (const n of next) {
    if (n.dom === place) place = place.nextSibling;
    else el.insertBefore(n.dom, place);
    if (typeof n.v === 'string') {
      if (n.was !== n.v) n.dom.nodeValue = n.v;
    } else update(n.dom, n.v);
  }
  el.shown.kids = next.map((n) => ({ v: n.v, dom: n.dom }));
}
