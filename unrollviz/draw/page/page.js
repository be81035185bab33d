// Joins picture, table, matrix and replay: what is chosen in one is seen in the others.
const data = JSON.parse(byId("data").textContent);
const HINT = "Point at a node to see its value and its cotangent. Choose a path in the table to see its way, its factors and what it contributes.";
let chosen = []; // the paths that are highlighted

/** What is known of a node: its formula, its value, its cotangent. */
function look(node, heading = null) {
  const about = byId("about");
  if (!node && !heading && passes.running()) return passes.retell();
  if (!node && !heading && chosen.length === 1) return about.replaceChildren(...chosenPath(data, chosen[0], scene.inspect));
  if (!node) return about.replaceChildren(make("p", { class: "caption" }, heading ?? HINT));
  const kind = `${node.kind}${node.time === null ? "" : ` at step ${node.time}`}${node.symbol === undefined ? "" : `, “${node.symbol}”`}`;
  const title = make("h3", {}, heading ?? `${node.label}: ${kind}`);
  const formula = node.formula ? [make("div", { class: "formula" }, node.formula)] : [];
  const parts = [numbers(node.value, node.shape, `value, norm ${number(node.norm)}`)];
  if (node.cotangent !== null) parts.push(numbers(node.cotangent, node.shape, `cotangent ∂${data.source}/∂${node.label}, norm ${number(node.cotangent_norm)}`));
  return about.replaceChildren(title, ...formula, make("div", { class: "pair" }, ...parts));
}

const scene = picture(data, look);
const passes = replay(
  data,
  scene,
  (moment, words) => look(moment && moment.nodes.length === 1 && !moment.hidden ? data.nodes[moment.nodes[0]] : null, words),
  () => {
    chosen = [];
    list.unmark();
    byId("clear").hidden = false;
  },
);

/** Highlight paths, a preview of them, or (null) what is chosen. */
function show(paths) {
  if (passes.running()) return;
  scene.mark((paths ?? chosen).map((path) => path.edges));
}
function choose(paths) {
  passes.end();
  chosen = paths === null ? [] : Array.isArray(paths) ? paths : [paths];
  show(null);
  byId("clear").hidden = !chosen.length;
  scene.inspect(null);
  const visited = [...new Set(chosen.flatMap((path) => nodesOf(data, path)))].filter((node) => node.time !== null);
  const drawn = visited.filter((node) => node.id);
  const folded = data.spans.filter((span) => visited.some(({ time }) => span.first <= time && time <= span.last));
  scene.reveal((drawn.length ? drawn : folded).map(({ id }) => byId(id)));
}
const list = table(data, show, choose);
function clear() {
  list.unmark();
  if (byId("filter").value) list.only("");
  for (const cell of document.querySelectorAll(".cell.chosen")) cell.classList.remove("chosen");
  choose(null);
  scene.inspect(null);
}
/** The paths behind a cell of a chart: in the table, and highlighted. */
function only(filter, words) {
  const found = list.only(filter);
  choose(found);
  const listed = data.heaviest ? `${found.length} of them are among the heaviest listed` : "highlighted";
  look(null, `${words}: ${found.length === 1 && !data.heaviest ? "highlighted" : listed}.`);
}
heatMap(data, only);
bars(data, "lag", "lag", only);
bars(data, "loss", "t", only);

const ACTIONS = {
  n: () => passes.move(1),
  p: () => passes.move(-1),
  N: () => passes.phase(1),
  P: () => passes.phase(-1),
  " ": passes.play,
  "/": () => byId("filter").focus(),
  "+": () => scene.zoom(1.3),
  "=": () => scene.zoom(1.3),
  "-": () => scene.zoom(1 / 1.3),
  0: scene.fit,
  d: () => theme(true),
  "?": help,
  Escape: clear,
};
const BUTTONS = { theme: "d", keys: "?", clear: "Escape", in: "+", out: "-", fit: "0" };
for (const [id, key] of Object.entries(BUTTONS)) byId(id).addEventListener("click", () => ACTIONS[key]());
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=search]");
  const pressing = event.key === " " && event.target.matches("button, input");
  if (event.ctrlKey || event.metaKey || event.altKey || pressing || (typing && event.key !== "Escape")) return;
  if (event.key in ACTIONS) {
    ACTIONS[event.key]();
    event.preventDefault();
  }
});

scene.open();
look(null);
if (data.selected !== null) list.select(data.paths[data.selected]);
if (data.group) {
  scene.mark([data.group.edges], false);
  look(null, data.group.words);
  byId("clear").hidden = false;
}
