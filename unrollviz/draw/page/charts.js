// Curves and a heat map over the updates with a marker, and bars of one record.
const BOX = { left: 46, right: 8, top: 8, bottom: 20, wide: 340, high: 130 };
const COLOURS = ["--blue", "--red", "--green", "--pink"];
const DASHES = ["none", "6 2", "2 2", "7 2 2 2"];
const SHADES = 2; // powers of ten below the largest share that the heat map tells apart

/** Round numbers between low and high, some five of them. */
function rounds(low, high, whole = false) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= rough * 0.999);
  const by = whole ? Math.max(1, Math.round(size)) : size;
  const found = [];
  for (let index = Math.ceil(low / by - 1e-9); index * by <= high + by * 1e-9; index += 1) found.push(index * by);
  return found;
}
const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = (exponent) => (exponent === 0 ? "1" : `10${`${exponent}`.replace("-", "⁻").replace(/\d/g, (digit) => POWERS[digit])}`);
const plain = (value) => (Number.isInteger(value) ? grouped(`${value}`) : number(value));
/** Unit -> how a value is told, how a tick is. */
const UNITS = {
  log10: { told: (log) => magnitude(10 ** log, log), tick: power },
  signed: { told: percent, tick: (share) => `${Math.round(100 * share)} %`.replace("-", "−") },
  plain: { told: plain, tick: (value) => `${+value.toPrecision(6)}` },
};
const across = (low, high) => (update) => BOX.left + ((update - low) / (high - low || 1)) * (BOX.wide - BOX.left - BOX.right);
const upwards = (low, high) => (value) => BOX.high - BOX.bottom - ((value - low) / (high - low || 1)) * (BOX.high - BOX.top - BOX.bottom);

/** Axes with their ticks: the scales of x and y, and the SVG. */
function axes(described, updates, [low, high], ticks, tell) {
  const x = across(updates[0], updates.at(-1));
  const y = upwards(low, high);
  const svg = draw("svg", { viewBox: `0 0 ${BOX.wide} ${BOX.high}`, role: "img", "aria-label": described });
  for (const at of ticks) {
    svg.append(draw("line", { class: "grid", x1: BOX.left, x2: BOX.wide - BOX.right, y1: y(at), y2: y(at) }));
    svg.append(draw("text", { x: BOX.left - 6, y: y(at) + 4, "text-anchor": "end" }, tell(at)));
  }
  for (const at of rounds(updates[0], updates.at(-1), true)) {
    svg.append(draw("text", { x: x(at), y: BOX.high - 4, "text-anchor": at === updates.at(-1) ? "end" : "middle" }, grouped(`${at}`)));
  }
  return { svg, x, y };
}

/** Says why axes are empty. */
function nothing(svg) {
  svg.append(draw("text", { x: (BOX.left + BOX.wide) / 2, y: BOX.high / 2, "text-anchor": "middle" }, "undefined"));
}

/** The marker of the chosen update. */
function marker(svg, x) {
  const line = draw("line", { class: "marker", y1: BOX.top, y2: BOX.high - BOX.bottom });
  svg.append(line);
  return (update) => {
    line.setAttribute("x1", x(update));
    line.setAttribute("x2", x(update));
  };
}

/** A panel of curves; returns its element, its scale of x and a function that marks an update. */
function curves(panel, updates) {
  const unit = panel.curves[0].unit;
  const known = panel.curves.flatMap((curve) => curve.values.filter((value) => value !== null));
  let [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  let ticks;
  if (unit === "log10") {
    [low, high] = [Math.floor(low), Math.max(Math.ceil(high), Math.floor(low) + 1)];
    ticks = rounds(low, high, true);
  } else {
    [low, high] = [Math.min(low, 0), Math.max(high, panel.reference ?? 0)];
    high = high > low ? high : low + 1;
    ticks = rounds(low, high, known.every(Number.isInteger));
  }
  const { svg, x, y } = axes(`${panel.title}: ${panel.words}`, updates, [low, high], ticks, UNITS[unit].tick);
  if (panel.reference !== null && panel.reference >= low && panel.reference <= high) {
    svg.append(draw("line", { class: "reference", x1: BOX.left, x2: BOX.wide - BOX.right, y1: y(panel.reference), y2: y(panel.reference) }));
  }
  if (!known.length) nothing(svg);
  const mark = marker(svg, x);
  const legend = make("div", { class: "keys" });
  const lines = panel.curves.map((curve, index) => {
    const part = Math.round(30 + (70 * index) / Math.max(1, panel.curves.length - 1));
    const colour = panel.ordered ? `color-mix(in oklab, var(--heat) ${part}%, var(--heat-none))` : `var(${COLOURS[index % COLOURS.length]})`;
    const dashes = { "stroke-dasharray": panel.ordered ? "none" : DASHES[index % DASHES.length] };
    const points = panel.at.map((update, place) => [update, curve.values[place]]).filter(([, value]) => value !== null);
    const line = draw("polyline", { class: "curve", points: points.map(([update, value]) => `${x(update).toFixed(1)},${y(value).toFixed(1)}`).join(" "), ...dashes });
    const dot = draw("circle", { class: "now", r: 3.2 });
    const swatch = draw("line", { x1: 0, x2: 22, y1: 5, y2: 5, "stroke-width": 2, ...dashes });
    line.style.stroke = swatch.style.stroke = dot.style.fill = colour;
    svg.append(line, dot);
    const value = make("span");
    const end = index === 0 || index === panel.curves.length - 1;
    if (!panel.ordered || end) legend.append(make("span", {}, draw("svg", { viewBox: "0 0 22 10", "aria-hidden": true }, swatch), `${curve.name} `, value));
    return { points, dot, value };
  });
  function show(update) {
    mark(update);
    for (const { points, dot, value } of lines) {
      const found = points.findLast(([at]) => at <= update);
      value.textContent = found ? UNITS[unit].told(found[1]) : "–";
      dot.setAttribute("visibility", found ? "visible" : "hidden");
      if (found) dot.setAttribute("cx", x(found[0]));
      if (found) dot.setAttribute("cy", y(found[1]));
    }
  }
  return { svg, legend, x, show };
}

/** A panel of shares by lag over the updates: opaque where large, blue where positive, red where negative. */
function heat(panel, updates) {
  const { rows, values } = panel;
  const by = rows.length > 1 ? rows[1] - rows[0] : 1;
  const top = rows.at(-1) + by;
  const { svg, x, y } = axes(`${panel.title}: ${panel.words}`, updates, [0, top], rounds(0, top - 1, true), UNITS.plain.tick);
  const largest = Math.max(...values.flat().map((share) => Math.abs(share ?? 0))) || 1;
  const edge = updates.map((update, place) => (place ? (update + updates[place - 1]) / 2 : update));
  edge.push(updates.at(-1));
  const cells = draw("g", { class: "cells" });
  values.forEach((row, lag) => row.forEach((share, place) => {
    if (!share) return;
    const part = Math.abs(share) / largest;
    const least = 10 ** -SHADES;
    const opacity = part < least ? (0.1 * part) / least : 0.1 + 0.9 * (1 + Math.log10(part) / SHADES);
    const [left, right] = [x(edge[place]), updates.length > 1 ? x(edge[place + 1]) : BOX.wide - BOX.right];
    cells.append(draw("rect", { class: share > 0 ? "positive" : "negative", x: left.toFixed(2), y: y(rows[lag] + by).toFixed(2), width: (right - left).toFixed(2), height: (y(0) - y(by)).toFixed(2), "fill-opacity": opacity.toFixed(3) }));
  }));
  svg.append(cells);
  const known = values.flat().some((share) => share !== null);
  if (!known) nothing(svg);
  const legend = make("div", { class: "keys" }, known ? `blue: with the sum, up to ${percent(largest)}; orange: against it` : "");
  return { svg, legend, x, show: marker(svg, x) };
}

/** Bars of the shares of one record, on one scale for all records; the first record is outlined. */
function bars({ labels, shares, name, by }, described) {
  const every = shares.flat().map((share) => share ?? 0);
  const least = Math.min(0, ...every);
  const most = Math.max(0, ...every) || (least ? 0 : 1);
  const [wide, high, left, bottom] = [440, 140, 46, 20];
  const y = (share) => 8 + ((most - share) / (most - least || 1)) * (high - bottom - 8);
  const step = (wide - left - 4) / labels.length;
  const svg = draw("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": described });
  for (const at of rounds(least, most)) {
    svg.append(draw("line", { class: "grid", x1: left, x2: wide, y1: y(at), y2: y(at) }));
    svg.append(draw("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, `${+(100 * at).toPrecision(3)} %`.replace("-", "−")));
  }
  const place = (rect, share) => {
    rect.setAttribute("y", Math.min(y(share), y(0)));
    rect.setAttribute("height", Math.max(0.5, Math.abs(y(share) - y(0))));
  };
  const bar = (index, part, kind) => draw("rect", { class: kind, x: left + step * (index + (1 - part) / 2), width: step * part });
  const solid = labels.map((label, index) => {
    const rect = bar(index, 0.8, "");
    const first = bar(index, 0.8, "first");
    place(first, shares[0][index] ?? 0);
    rect.append(draw("title"));
    svg.append(rect, first);
    if (index % Math.ceil(labels.length / 14) === 0) svg.append(draw("text", { x: left + step * (index + 0.5), y: high - 4, "text-anchor": "middle" }, label));
    return rect;
  });
  const status = make("p", { class: "status" });
  const about = (index, share) => `${name} ${labels[index]}${by > 1 ? ` and ${by - 1} more` : ""}: ${percent(share)}`;
  function show(record) {
    const found = shares[record];
    solid.forEach((rect, index) => {
      const share = found[index] ?? 0;
      rect.setAttribute("class", share < 0 ? "negative" : "positive");
      place(rect, share);
      rect.firstChild.textContent = about(index, found[index]);
    });
    const largest = found.reduce((best, share, index) => (Math.abs(share ?? 0) > Math.abs(found[best] ?? 0) ? index : best), 0);
    status.textContent = found.every((share) => share === null) ? "undefined: the gradient is 0" : `largest: ${about(largest, found[largest])}`;
  }
  return { svg, status, show };
}
