// The table of paths: sorted, filtered, chosen; and the one that is chosen, factor by factor.
const AT_ONCE = 200; // rows; a button shows the next ones

const COLUMNS = [
  { name: "#", of: (path) => path.place },
  { name: "path, from the loss back", of: (path) => path.edges.length, words: true },
  { name: "k", of: (path) => path.entry, about: "the step k at which it enters the parameter" },
  { name: "lag", of: (path) => path.lag, about: "t − k" },
  { name: "norm", of: (path) => path.norm ?? -1, falling: true },
  { name: "share", of: (path) => path.share ?? -Infinity, falling: true },
  { name: "sum", of: null, about: "running sum of the shares, from the top", optional: true },
];

const nodesOf = (data, path) => [data.edges[path.edges[0]].head, ...path.edges.map((edge) => data.edges[edge].tail)].map((index) => data.nodes[index]);

/** The nodes with arrows; the middle of a long path left out. */
function written(labels) {
  return (labels.length > 10 || labels.join(" → ").length > 72 ? [...labels.slice(0, 4), "⋯", ...labels.slice(-3)] : labels).join(" → ");
}

/** What a filter asks of a path: every word must hold. `lag=2`, `k=1..3`, `t>4`, or a node that it visits. */
function filtering(text) {
  const tests = text.toLowerCase().split(/[\s,]+/).filter(Boolean).map((word) => {
    const found = /^(t|k|lag|#)(=|<|>)?(-?\d+)(?:\.\.(-?\d+))?$/.exec(word.replace("loss", "t").replace("entry", "k"));
    if (!found || (found[1] !== "#" && !found[2])) return (path) => path.names.some((name) => name === word || (!/\d$/.test(word) && name.startsWith(word)));
    const [, what, relation = "=", low, high = low] = found;
    const value = { t: (path) => path.loss, k: (path) => path.entry, lag: (path) => path.lag, "#": (path) => path.place }[what];
    if (relation === "<") return (path) => value(path) < +low;
    if (relation === ">") return (path) => value(path) > +low;
    return (path) => value(path) >= +low && value(path) <= +high;
  });
  return (path) => tests.every((test) => test(path));
}

/** The table. `show(paths)` marks paths in the picture; `choose(index)` tells that one was chosen. */
function table(data, show, choose) {
  const body = document.querySelector("#paths tbody");
  const heads = document.querySelector("#paths thead tr");
  const filter = byId("filter");
  for (const path of data.paths) {
    const nodes = nodesOf(data, path);
    path.words = written(nodes.map((node) => node.label));
    path.names = nodes.flatMap((node) => [node.name.toLowerCase(), node.label.toLowerCase()]);
  }
  const largest = Math.max(...data.paths.map((path) => Math.abs(path.share ?? 0))) || 1;
  let sorted = data.heaviest ? { column: 4, falling: true } : { column: 0, falling: false };
  let rows = [];
  let shown = 0;
  let chosen = null;

  COLUMNS.forEach((column, index) => {
    const button = make("button", { type: "button" }, column.name);
    if (column.about) button.title = column.about;
    const head = make("th", { scope: "col", class: `${column.words ? "words" : ""} ${column.optional ? "optional" : ""}` }, button);
    if (column.of) button.addEventListener("click", () => {
      sorted = { column: index, falling: sorted.column === index ? !sorted.falling : !!column.falling };
      update();
    });
    else button.disabled = true;
    heads.append(head);
  });

  function row(path, sum) {
    const bar = make("i", path.share < 0 ? { class: "less" } : {});
    bar.style.width = `calc((100% - 16px) * ${Math.abs(path.share ?? 0) / largest})`;
    const cells = [path.place, path.words, path.entry, `${path.lag}`.replace("-", "−"), number(path.norm), percent(path.share), percent(sum)];
    const made = make("tr", { tabindex: -1, "aria-selected": path === chosen }, ...cells.map((cell, index) => {
      const classes = [COLUMNS[index].words ? "words" : "", COLUMNS[index].optional ? "optional" : "", index === 5 ? "share" : ""];
      return make("td", { class: classes.join(" ").trim() }, `${cell}`, ...(index === 5 ? [bar] : []));
    }));
    made.path = path;
    return made;
  }
  function more() {
    let sum = rows.slice(0, shown).reduce((total, path) => total + path.share, 0);
    for (const path of rows.slice(shown, shown + AT_ONCE)) {
      sum += path.share;
      body.append(row(path, path.share === null ? null : sum));
    }
    shown = Math.min(shown + AT_ONCE, rows.length);
    const left = rows.length - shown;
    byId("more").hidden = !left;
    byId("more").textContent = `Show ${Math.min(left, AT_ONCE)} more of ${left}`;
  }
  function update() {
    const { of } = COLUMNS[sorted.column];
    const order = sorted.falling ? -1 : 1;
    rows = data.paths.filter(filtering(filter.value)).sort((a, b) => order * (of(a) - of(b)) || a.place - b.place);
    [...heads.children].forEach((head, index) =>
      head.setAttribute("aria-sort", index !== sorted.column ? "none" : sorted.falling ? "descending" : "ascending"));
    shown = 0;
    body.replaceChildren();
    more();
    body.firstElementChild?.setAttribute("tabindex", 0);
    byId("all").disabled = !rows.length;
    byId("all").textContent = rows.length < data.paths.length ? `Highlight these ${rows.length}` : "Highlight all";
    byId("summary").textContent = filter.value.trim() ? `${rows.length} of ${summary(data)}` : summary(data);
  }
  function select(path) {
    chosen = path;
    for (const made of body.children) made.setAttribute("aria-selected", made.path === chosen);
    choose(chosen);
  }

  const rowOf = (event) => event.target.closest("tbody tr");
  body.addEventListener("click", (event) => {
    const made = rowOf(event);
    if (made) select(made.path === chosen ? null : made.path);
  });
  body.addEventListener("pointerover", (event) => rowOf(event) && event.pointerType === "mouse" && show([rowOf(event).path]));
  body.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(null));
  body.addEventListener("keydown", (event) => {
    const made = rowOf(event);
    const to = { ArrowDown: made.nextElementSibling, ArrowUp: made.previousElementSibling, Home: body.firstElementChild, End: body.lastElementChild }[event.key];
    if (to) {
      made.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
      show([to.path]);
    } else if (event.key === "Enter" || event.key === " ") select(made.path === chosen ? null : made.path);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  filter.addEventListener("input", update);
  byId("more").addEventListener("click", more);
  byId("all").addEventListener("click", () => choose(rows));
  byId("paths").hidden = false;
  update();
  const frame = document.querySelector(".scroll");
  frame.style.minHeight = `${frame.offsetHeight}px`; // what is below stays where it is when a filter leaves few
  return {
    select,
    /** Show what a filter lets through, and return it. */
    only(text) {
      filter.value = text;
      update();
      return rows;
    },
    unmark() {
      chosen = null;
      for (const made of body.children) made.setAttribute("aria-selected", false);
    },
  };
}

/** How many paths there are, how many of them are here, and what is proved of those. */
function summary(data) {
  const count = grouped(data.count);
  if (!data.heaviest) {
    const kappa = data.cancellation === null ? "" : `; cancellation κ = ${number(data.cancellation)}`;
    return `${counted(count)}, ‖G‖ = ${number(data.total.norm)}${kappa}`;
  }
  const found = data.heaviest;
  const proof = found.exact
    ? "exact: no heavier path was missed"
    : `bounded: a path that was missed has norm at most ${number(found.bound)}; the first ${found.certain} are certain`;
  return `the ${data.paths.length} heaviest of ${counted(count.length > 24 ? found.counted : count)} (${proof}). ` +
    `They carry ${percent(found.coverage)} of the gradient; without them a norm of ${number(found.residual)} is left of ${number(data.total.norm)}`;
}

/** The chosen path: what it visits, its factors, how their product grows or shrinks, and its term. */
function chosenPath(data, path, inspect) {
  const nodes = nodesOf(data, path);
  const steps = [...new Set(nodes.map((node) => node.time).filter((time) => time !== null))];
  const title = make("h3", {}, `Path ${path.place}: ${written(nodes.map((node) => node.label))}`);
  const facts = make("p", { class: "facts" },
    `It visits step${steps.length > 1 ? "s" : ""} ${steps.length > 8 ? `${steps[0]} … ${steps.at(-1)}` : steps.join(", ")}, enters at step ${path.entry} ` +
    `(lag ${path.lag}) and contributes ${percent(path.share)} of the gradient: a term of norm ${number(path.norm)}, the product of these factors`);
  const folded = steps.filter((time) => data.spans.some((span) => span.first <= time && time <= span.last)).length;
  if (folded) facts.append(make("span", { class: "caption" }, ` (${folded === steps.length ? "all" : folded} of these steps are folded in the picture)`));
  const logs = path.running.map((norm) => (norm > 0 ? Math.log10(norm) : -320));
  const high = Math.max(...logs);
  const low = Math.min(...logs, high - 1);
  const factors = path.edges.map((index, place) => {
    const edge = data.edges[index];
    const gauge = make("i");
    gauge.style.width = `${6 + (94 * (logs[place] - low)) / (high - low)}%`;
    const about = `norm ${number(edge.norm)}; of the product so far ${number(path.running[place])}`;
    const product = place ? ` ⇒ ${number(path.running[place])}` : "";
    const look = make("button", { type: "button", title: about }, make("b", {}, edge.symbol), make("small", {}, number(edge.norm) + product), gauge);
    look.addEventListener("click", () => inspect(data.nodes[edge.tail]));
    return make("li", {}, look);
  });
  const shape = data.nodes[data.target].shape;
  const terms = path.term === null ? [] : [numbers(path.term, shape, "its term"), numbers(data.total.term, shape, `G = ${data.symbol}`)];
  return [title, facts, make("ol", { id: "chain", "aria-label": "Factors, from the loss back" }, ...factors), make("div", { class: "pair" }, ...terms)];
}
