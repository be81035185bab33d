// Elements, numbers and colours. Whatever comes from data is set as text, never as markup.
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a child that is no element becomes text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The same for SVG. */
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Four decimals; scientific where that would hide digits. */
function number(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const text = size === 0 || (size >= 1e-3 && size < 1e5) ? value.toFixed(4) : value.toExponential(3);
  return text.replaceAll("-", "−").replace("+", "");
}

/** A norm; by its logarithm where float64 has no room for it. */
function magnitude(norm, log) {
  if (norm || log === null) return number(norm);
  const power = Math.floor(log);
  return `${(10 ** (log - power)).toFixed(3)}e−${-power}`;
}

/** A signed share: +83.1 %. */
function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = 100 * share;
  const size = Math.abs(value);
  const digits = size === 0 || size >= 0.05 ? value.toFixed(1) : size < 1e-4 ? value.toExponential(0) : String(Number(value.toPrecision(1)));
  return `${value < 0 ? "−" : "+"}${digits.replace(/^-/, "").replace("-", "−")} %`;
}

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");
const counted = (count) => `${count} ${count === "1" ? "path" : "paths"}`;

/** A colour between none (0) and full (1 or -1): blue where positive, red where negative. */
const shade = (part, full = part < 0 ? "--red" : "--blue") =>
  `color-mix(in oklab, var(${full}) ${Math.round(100 * Math.min(1, Math.abs(part)))}%, var(--heat-none))`;

/** A vector or matrix as small cells with their numbers, coloured by sign and size; `note` says if some are left out. */
function numbers(values, shape, caption) {
  const rows = Array.isArray(values) ? (Array.isArray(values[0]) ? values : [values]) : [[values]];
  const flat = rows.flat();
  const largest = Math.max(...flat.map((value) => Math.abs(value ?? 0))) || 1;
  const grid = make("div", { class: "numbers" });
  grid.style.gridTemplateColumns = `repeat(${rows[0].length}, auto)`;
  for (const value of flat) {
    const cell = make("span", {}, value === null ? "–" : value.toPrecision(3).replace("-", "−"));
    cell.style.background = shade((0.55 * (value ?? 0)) / largest);
    grid.append(cell);
  }
  const left = shape.reduce((product, size) => product * size, 1) - flat.length;
  const size = shape.length ? `, ${shape.join(" × ")}` : "";
  const note = left > 0 ? `, the first ${flat.length} entries` : "";
  return make("div", {}, make("div", { class: "caption" }, caption + size + note), grid);
}

/** One element of `items` is active; the arrow keys lead to `step(active, key)`, Enter and Space choose. */
function roving(host, items, step, act, choose) {
  let active = null;
  const activate = (index) => {
    if (active !== null) items[active].classList.remove("active");
    active = index;
    items[active].classList.add("active");
    host.setAttribute("aria-activedescendant", items[active].id);
    act(active);
  };
  items.forEach((item, index) => {
    item.addEventListener("pointerenter", () => activate(index));
    item.addEventListener("click", () => choose(index));
  });
  host.addEventListener("focus", () => activate(active ?? 0));
  host.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") choose(active ?? 0);
    else if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") {
      const next = step(active ?? 0, event.key);
      if (next >= 0 && next < items.length) activate(next);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
}
