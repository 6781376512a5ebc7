package webui

// contrasts lists words that stand out too little from what is behind them, as WCAG AA has it: 4.5, or 3 for large ones. What is faded on
// purpose, as a disabled button is, is left out.
const contrasts = `
	const parse = (c) => { const n = (c.match(/-?[\d.]+(e-?\d+)?/g) || []).map(Number); const f = c.startsWith('color(') ? 255 : 1; return { r: n[0] * f, g: n[1] * f, b: n[2] * f, a: n.length > 3 ? n[3] : 1 }; };
	const over = (t, u) => ({ r: t.r * t.a + u.r * (1 - t.a), g: t.g * t.a + u.g * (1 - t.a), b: t.b * t.a + u.b * (1 - t.a), a: 1 });
	const light = (c) => { const p = (v) => { const x = v / 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }; return 0.2126 * p(c.r) + 0.7152 * p(c.g) + 0.0722 * p(c.b); };
	const ground = (e) => { const up = []; for (let x = e; x; x = x.parentElement) up.push(parse(getComputedStyle(x).backgroundColor)); return up.reverse().reduce((under, c) => over(c, under), { r: 255, g: 255, b: 255, a: 1 }); };
	const wrong = new Set();
	for (const e of document.querySelectorAll('body *')) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.nodeValue.trim()) || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
		let faded = false;
		for (let x = e; x; x = x.parentElement) if (getComputedStyle(x).opacity !== '1') faded = true;
		const s = getComputedStyle(e);
		if (faded || e.closest('svg, .hidden, .skip, [aria-hidden="true"]')) continue;
		const under = ground(e);
		const ink = over(parse(s.color), under);
		const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		const size = parseFloat(s.fontSize);
		if (ratio < (size >= 24 || (size >= 18.66 && Number(s.fontWeight) >= 700) ? 3 : 4.5)) wrong.add(ratio.toFixed(2) + ' of ' + e.localName + '.' + e.className + ': ' + e.innerText.slice(0, 40));
	}
	return [...wrong].slice(0, 10);`

// readable holds that what the page shows can be read.
func (b *tab) readable(where string) {
	b.t.Helper()
	for _, w := range later[[]string](b, contrasts) {
		b.t.Errorf("%s: contrast %s", where, w)
	}
}
