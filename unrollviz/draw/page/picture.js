// The picture: pan, zoom, what is marked, which node is looked at.
const NEAREST = 6; // pixels a point
const READABLE = 0.55; // pixels a point: what the picture opens with, if it is too large to be seen whole
const FARTHEST = 0.35; // to show a whole path

function picture(data, look) {
  const view = byId("view");
  const svg = byId("svg");
  const drawing = byId("drawing");
  const { x: left, y: top, width: wide, height: high } = svg.viewBox.baseVal;
  const paper = { x: left, y: top, width: wide, height: high };
  const under = draw("g");
  const over = draw("g");
  const spans = drawing.querySelectorAll(".span");
  if (spans.length) spans[spans.length - 1].after(under);
  else drawing.prepend(under);
  drawing.append(over);
  const nodeOf = new Map(data.nodes.filter((node) => node.id).map((node) => [node.id, node]));

  /** The box around a shape. All are measured at once: between changes each would cost a layout of its own. */
  const measured = new Map();
  function boxOf(id) {
    if (!measured.size) for (const shape of drawing.querySelectorAll(".thing, .span")) measured.set(shape.id, shape.getBBox());
    return measured.get(id);
  }

  // Pan and zoom: what is at `at` in the picture is in the upper left corner, `scale` pixels a point.
  const at = { x: 0, y: 0, scale: 1 };
  const size = () => ({ width: view.clientWidth || 1, height: view.clientHeight || 1 });
  const whole = () => Math.min(size().width / paper.width, size().height / paper.height);
  /** Keep most of the view on the paper; what fits is in the middle. */
  function within(value, from, length, seen) {
    if (seen >= length) return from - (seen - length) / 2;
    return Math.min(Math.max(value, from - seen / 4), from + length - (3 * seen) / 4);
  }
  function show() {
    const width = size().width / at.scale;
    const height = size().height / at.scale;
    at.x = within(at.x, paper.x, paper.width, width);
    at.y = within(at.y, paper.y, paper.height, height);
    svg.setAttribute("viewBox", `${at.x} ${at.y} ${width} ${height}`);
  }
  /** Zoom about a point of the view, its middle where none is given. */
  function zoom(factor, x = size().width / 2, y = size().height / 2) {
    const scale = Math.min(Math.max(at.scale * factor, Math.min(whole(), 1)), NEAREST);
    at.x += x / at.scale - x / scale;
    at.y += y / at.scale - y / scale;
    at.scale = scale;
    show();
  }
  function pan(x, y) {
    at.x -= x / at.scale;
    at.y -= y / at.scale;
    show();
  }
  function fit() {
    at.scale = Math.min(whole(), 1.7);
    show();
  }
  /** At first: all of it, or, of what would be too small to read, its beginning. */
  function open() {
    view.style.aspectRatio = `${Math.min(paper.width, 1.45 * paper.height)} / ${paper.height}`;
    view.style.setProperty("--tallest", `${paper.height}px`);
    fit();
    if (at.scale >= READABLE) return;
    at.scale = Math.min(1.2, Math.max(READABLE, size().height / paper.height));
    at.x = paper.x;
    at.y = paper.y;
    show();
  }
  /** Bring shapes into view; zoom out for them, but not further than labels can be read. */
  function reveal(shapes) {
    if (!shapes.length) return;
    const box = around(shapes, 30);
    const { width, height } = size();
    const fits = Math.min(width / box.width, height / box.height);
    if (fits < at.scale) at.scale = Math.max(fits, Math.min(at.scale, FARTHEST));
    const into = (value, from, length, seen) => {
      const moved = Math.max(value, from + length - seen);
      return from < moved && length <= seen ? from : moved;
    };
    at.x = into(at.x, box.x, box.width, width / at.scale);
    at.y = into(at.y, box.y, box.height, height / at.scale);
    show();
  }
  /** The box around some shapes. */
  function around(shapes, margin) {
    const boxes = shapes.map((shape) => boxOf(shape.id));
    const x = Math.min(...boxes.map((box) => box.x)) - margin;
    const y = Math.min(...boxes.map((box) => box.y)) - margin;
    const right = Math.max(...boxes.map((box) => box.x + box.width)) + margin;
    const bottom = Math.max(...boxes.map((box) => box.y + box.height)) + margin;
    return { x, y, width: right - x, height: bottom - y };
  }

  const fingers = new Map();
  let dragged = 0; // pixels since the last press
  view.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, event);
    dragged = 0;
  });
  addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const other = [...fingers.values()].find((finger) => finger.pointerId !== event.pointerId);
    if (other) {
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY) || 1;
      const box = view.getBoundingClientRect();
      zoom(apart(event) / apart(before), (event.clientX + other.clientX) / 2 - box.x, (event.clientY + other.clientY) / 2 - box.y);
    } else pan(event.clientX - before.clientX, event.clientY - before.clientY);
    dragged += Math.abs(event.clientX - before.clientX) + Math.abs(event.clientY - before.clientY);
    view.classList.toggle("dragged", dragged > 4);
    fingers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      view.classList.remove("dragged");
    });
  }
  const wheel = (event) => {
    const box = view.getBoundingClientRect();
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY / 200), event.clientX - box.x, event.clientY - box.y);
    else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(-(event.deltaX || event.deltaY), 0);
    else return; // the page scrolls
    event.preventDefault();
  };
  view.addEventListener("wheel", wheel, { passive: false });
  new ResizeObserver(show).observe(view);

  // Which node is looked at.
  let seen = null;
  function inspect(node) {
    if (seen) byId(seen.id).classList.remove("seen");
    seen = node?.id ? node : null;
    if (seen) byId(seen.id).classList.add("seen");
    look(node);
  }
  const nodeAt = (target) => nodeOf.get(target.closest(".thing")?.id) ?? null;
  svg.addEventListener("pointerover", (event) => {
    const node = nodeAt(event.target);
    if (node && !fingers.size) inspect(node);
  });
  svg.addEventListener("pointerleave", () => fingers.size || inspect(null));
  svg.addEventListener("click", (event) => dragged > 4 || inspect(nodeAt(event.target)));
  /** The nearest node in a direction, what lies aside counting twice. */
  function neighbour(right, down) {
    const middle = (node) => {
      const box = boxOf(node.id);
      return [box.x + box.width / 2, box.y + box.height / 2];
    };
    const [x, y] = seen ? middle(seen) : [-1e6 * right, -1e6 * down];
    const far = (node) => {
      const [toX, toY] = middle(node);
      const along = (toX - x) * right + (toY - y) * down;
      return along > 1 ? along + 2 * Math.abs((toX - x) * down + (toY - y) * right) : Infinity;
    };
    return [...nodeOf.values()].map((node) => [far(node), node]).reduce((best, one) => (one[0] < best[0] ? one : best), [Infinity, null])[1];
  }
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  view.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || event.altKey || event.ctrlKey || event.metaKey) return;
    const node = event.shiftKey ? neighbour(...arrow) : null;
    if (node) {
      inspect(node);
      reveal([byId(node.id)]);
    } else if (!event.shiftKey) pan(-60 * arrow[0], -60 * arrow[1]);
    event.preventDefault();
  });

  // What is marked.
  const marked = [];
  function add(element) {
    element.classList.add("on");
    marked.push(element);
  }
  function clear() {
    for (const element of marked.splice(0)) element.classList.remove("on");
    svg.classList.remove("marked");
    under.replaceChildren();
    over.replaceChildren();
  }
  /** A copy of a shape, below all others, as if drawn with a marker pen. */
  function pen(shape, name) {
    const copy = shape.cloneNode();
    for (const attribute of ["fill", "stroke", "stroke-width", "stroke-dasharray"]) copy.removeAttribute(attribute);
    copy.setAttribute("class", name);
    under.append(copy);
  }
  const headings = new Map([...svg.querySelectorAll(".heading")].map((heading) => [heading.textContent.trim(), heading]));
  const columns = new Map(); // step -> the shapes that stand there
  function stand(time, shape) {
    if (!columns.has(time)) columns.set(time, new Set());
    columns.get(time).add(shape);
  }
  for (const node of nodeOf.values()) if (node.time !== null) stand(node.time, byId(node.id));
  for (const line of svg.querySelectorAll(".link")) {
    const head = nodeOf.get(line.dataset.head);
    const tail = byId(line.dataset.tail);
    if (head && tail.classList.contains("copy")) stand(head.time, tail);
  }
  /** A band behind the steps that are visited, their headings bold; of folded steps, their box. */
  function bands(times, ends) {
    const all = around([...nodeOf.keys()].map(byId), 0);
    for (const time of times) {
      const heading = headings.get(`t = ${time}`);
      if (heading) add(heading);
      if (!columns.has(time)) continue;
      const { x, width } = around([...columns.get(time)], 7);
      under.prepend(draw("rect", { class: "band", x, width, y: all.y - 30, height: all.height + 40, rx: 6 }));
    }
    for (const span of data.spans) if (times.some((time) => span.first <= time && time <= span.last)) add(byId(span.id));
    for (const id of ends) add(byId(id));
  }
  /** Mark some paths, each a list of numbers of edges from the loss back; a single one is numbered. */
  function mark(paths, single = paths.length === 1) {
    clear();
    if (!paths.length) return;
    svg.classList.add("marked");
    const edges = [...new Set(paths.flat())].map((index) => data.edges[index]);
    const lines = [...new Set(edges.map((edge) => edge.id).filter(Boolean))].map(byId);
    const ends = new Set(lines.flatMap((line) => [line.dataset.tail, line.dataset.head]));
    const nodes = [...new Set(edges.flatMap((edge) => [edge.tail, edge.head]))].map((index) => data.nodes[index]);
    for (const line of lines) {
      add(line);
      pen(line.querySelector("path"), "pen");
    }
    for (const id of ends) pen(byId(id).querySelector(":scope > :not(text)"), "rim");
    for (const node of nodes) if (node.id) ends.add(node.id);
    bands([...new Set(nodes.map((node) => node.time).filter((time) => time !== null))], ends);
    if (single) count(paths[0].map((index) => data.edges[index]));
  }
  /** Number the nodes of one path from the loss back. */
  function count(edges) {
    const tails = edges.map((edge) => (edge.id && data.nodes[edge.tail].time === null ? byId(edge.id).dataset.tail : data.nodes[edge.tail].id));
    [data.nodes[edges[0].head].id, ...tails].forEach((id, index) => {
      if (!id) return; // in folded steps
      const { x, y } = boxOf(id);
      const half = 5 + 1.5 * `${index + 1}`.length;
      const disc = draw("rect", { x: x - half, y: y - 7, width: 2 * half, height: 13, rx: 6.5 });
      over.append(draw("g", { class: "count" }, disc, draw("text", { x, y: y + 2.5 }, `${index + 1}`)));
    });
  }
  return { zoom, fit, open, mark, clear, inspect, reveal, boxOf, over: (element) => over.append(element), svg };
}
