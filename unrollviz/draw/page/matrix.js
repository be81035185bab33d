// M[t, k] as a heat map, and the flows by lag and by loss as bars. A click chooses the paths behind a cell.
const DECADES = 12; // of norms that colours tell apart

const span = (from, bin) => (bin > 1 ? `${from} … ${from + bin - 1}` : `${from}`);
const range = (name, from, bin) => `${name}=${from}${bin > 1 ? `..${from + bin - 1}` : ""}`;
const figures = (norm, log, share, count, bin) =>
  `${bin > 1 ? "largest norm" : "norm"} ${magnitude(norm, log)}, share ${percent(share)}, ${counted(count)}`;

/** The heat map. `choose(filter, words)` is told the filter of the cell's paths. */
function heatMap(data, choose) {
  const { bin, cells } = data.matrix;
  const section = byId("matrix");
  if (!cells.length) return;
  section.hidden = false;
  const steps = cells.flatMap(([t, k]) => [t, k]);
  const first = Math.min(...steps);
  const across = Math.round((Math.max(...steps) - first) / bin) + 1;
  const side = 400 / across;
  const place = (step) => ((step - first) / bin) * side;
  const svg = draw("svg", { viewBox: "-34 -6 440 448", role: "grid", tabindex: 0, "aria-labelledby": "matrix-title", "aria-rowcount": across });
  const rows = new Map();
  const about = ([t, k, norm, log, share, count]) => `t = ${span(t, bin)}, k = ${span(k, bin)}: ${figures(norm, log, share, count, bin)}`;
  const items = cells.map((cell, index) => {
    const [t, k] = cell;
    const item = draw("rect", { class: "cell", id: `M${index}`, role: "gridcell", x: place(k), y: place(t), width: side, height: side, rx: Math.min(3, side / 6), "stroke-width": Math.min(1.5, side / 10), "aria-label": about(cell) });
    if (!rows.has(t)) rows.set(t, draw("g", { role: "row" }));
    rows.get(t).append(item);
    return item;
  });
  svg.append(...rows.values());
  const every = Math.ceil(across / 12);
  for (let index = 0; index < across; index += every) {
    const step = first + index * bin;
    svg.append(draw("text", { x: -6, y: place(step) + side / 2 + 4, "text-anchor": "end" }, `${step}`));
    svg.append(draw("text", { x: place(step) + side / 2, y: 414, "text-anchor": "middle" }, `${step}`));
  }
  svg.append(draw("text", { x: 200, y: 434, "text-anchor": "middle" }, "k, the step of entry →"), draw("text", { x: -30, y: 6, "text-anchor": "start" }, "t ↓"));
  section.querySelector(".heat").append(svg);

  const logs = cells.map((cell) => cell[3]).filter((log) => log !== null);
  const high = Math.max(...logs);
  const low = Math.max(Math.min(...logs), high - DECADES);
  const largest = Math.max(...cells.map((cell) => Math.abs(cell[4] ?? 0))) || 1;
  const inside = cells.map(([t, k]) => draw("text", { class: "inside", x: place(k) + side / 2, y: place(t) + side / 2 + 4, "aria-hidden": true }));
  if (across <= 8) svg.append(...inside);
  const legend = section.querySelector(".legend");
  function colour(by) {
    cells.forEach(([, , , log, share], index) => {
      const part = high > low ? Math.max(0.04, ((log ?? -Infinity) - low) / (high - low)) : 1;
      const full = by === "norm" ? part > 0.55 : Math.abs(share ?? 0) > 0.6 * largest;
      inside[index].textContent = by === "norm" ? number(cells[index][2]) : percent(share);
      inside[index].style.fill = full ? "var(--paper)" : "var(--ink)";
      items[index].style.fill = by === "norm" ? shade(log === null ? 0 : part, "--heat") : shade((share ?? 0) / largest);
    });
    const ends = by === "norm" ? [`norm ${magnitude(0, low)}`, magnitude(0, high)] : [`share ${percent(-largest)}`, percent(largest)];
    const scale = make("span", by === "norm" ? {} : { class: "signed" });
    const note = bin > 1 ? ` Each square stands for ${bin} × ${bin} steps: the largest norm in it, the sum of the shares.` : "";
    legend.replaceChildren(ends[0], scale, ends[1], by === "norm" ? " (logarithmic)." : ".", note);
  }
  for (const radio of section.querySelectorAll("input")) radio.addEventListener("change", () => colour(radio.value));
  colour("norm");
  const status = section.querySelector(".status");
  const step = (index, key) => {
    const [t, k] = cells[index];
    const by = { ArrowLeft: [0, -bin], ArrowRight: [0, bin], ArrowUp: [-bin, 0], ArrowDown: [bin, 0] }[key];
    if (!by) return key === "Home" ? 0 : cells.length - 1;
    return cells.findIndex((cell) => cell[0] === t + by[0] && cell[1] === k + by[1]);
  };
  roving(svg, items, step, (index) => (status.textContent = about(cells[index])), (index) => {
    items.forEach((item, other) => item.classList.toggle("chosen", other === index));
    const [t, k] = cells[index];
    choose(`${range("t", t, bin)} ${range("k", k, bin)}`, about(cells[index]), [t, k]);
  });
}

/** A flow of one label as bars of its shares. */
function bars(data, by, name, choose) {
  const { bin, cells } = data.flows[by];
  const section = byId(by);
  if (cells.length < 2) return;
  section.hidden = false;
  const wide = 440 / cells.length;
  const most = Math.max(0, ...cells.map((cell) => cell[3] ?? 0));
  const least = Math.min(0, ...cells.map((cell) => cell[3] ?? 0));
  const unit = 110 / (most - least || 1);
  const zero = 6 + most * unit;
  const svg = draw("svg", { viewBox: "-2 0 444 142", role: "listbox", tabindex: 0, "aria-labelledby": `${by}-title` });
  const about = ([label, norm, log, share, count]) => `${name} = ${span(label, bin)}: ${figures(norm, log, share, count, bin)}`;
  const items = cells.map((cell, index) => {
    const [label, , , share] = cell;
    const height = Math.max(1, Math.abs(share ?? 0) * unit);
    const x = index * wide;
    const bar = draw("rect", { class: "cell", x: x + wide * 0.1, y: share < 0 ? zero : zero - height, width: wide * 0.8, height, "stroke-width": 0 });
    bar.style.fill = share < 0 ? "var(--red)" : "var(--blue)";
    const hit = draw("rect", { class: "hit", x, y: 0, width: wide, height: 122 });
    const item = draw("g", { id: `${by}${index}`, role: "option", "aria-label": about(cell) }, bar, hit);
    if (index % Math.ceil(cells.length / 14) === 0) item.append(draw("text", { x: x + wide / 2, y: 136, "text-anchor": "middle" }, `${label}`));
    return item;
  });
  svg.append(draw("line", { class: "axis", x1: 0, x2: 440, y1: zero, y2: zero }), ...items);
  section.querySelector(".bars").append(svg);
  const status = section.querySelector(".status");
  if (bin > 1) status.textContent = `Each bar stands for ${bin} values of ${name}.`;
  const step = (index, key) => ({ ArrowLeft: index - 1, ArrowUp: index - 1, ArrowRight: index + 1, ArrowDown: index + 1, Home: 0, End: cells.length - 1 })[key];
  roving(svg, items, step, (index) => {
    status.textContent = about(cells[index]);
    items.forEach((item, other) => item.firstChild.classList.toggle("active", other === index));
  }, (index) => {
    items.forEach((item, other) => item.firstChild.classList.toggle("chosen", other === index));
    choose(range(name, cells[index][0], bin), about(cells[index]), name === "t" ? [cells[index][0]] : []);
  });
}
