// The slider chooses a record: the marker in the curves, and the bars, follow.
const data = JSON.parse(byId("data").textContent);
const { updates, epochs } = data;
const slider = byId("cursor");
const PAUSE = 400; // milliseconds between two records, where there are few
const WHOLE = 15000; // milliseconds that all of them may take
let record = updates.length - 1;
let shown = []; // what follows the slider
let timer = null;

function section(id, title, words, ...parts) {
  return make("section", { id, class: "chart", "aria-labelledby": `${id}-title` }, make("h2", { id: `${id}-title` }, title), make("div", { class: "words" }, words), ...parts);
}

/** The curves and bars of one watched parameter. */
function open(watched) {
  shown = [];
  byId("curves").replaceChildren(
    ...watched.panels.map((panel) => {
      const made = panel.rows ? heat(panel, updates) : curves(panel, updates);
      made.svg.addEventListener("pointerdown", (event) => point(event, made));
      made.svg.addEventListener("pointermove", (event) => event.buttons === 1 && point(event, made));
      shown.push(() => made.show(updates[record]));
      return section(panel.name, panel.title, panel.words, made.svg, made.legend);
    }),
  );
  byId("now").replaceChildren(
    ...Object.entries(watched.bars).map(([by, what]) => {
      const words = `share of ${watched.symbol} at the chosen update; outlined: at update ${updates[0]}${what.by > 1 ? `; ${what.by} a bar` : ""}`;
      const made = bars(what, `By ${by}: ${words}`);
      shown.push(() => made.show(record));
      return section(`by-${by}`, `By ${by}`, words, made.svg, made.status);
    }),
  );
  show();
}

function show() {
  slider.value = record;
  const words = `update ${grouped(`${updates[record]}`)} of ${grouped(`${updates.at(-1)}`)}, epoch ${epochs[record]}, L ${number(data.losses[record])}`;
  slider.setAttribute("aria-valuetext", words);
  byId("moment").textContent = words;
  byId("previous").disabled = record === 0;
  byId("next").disabled = record === updates.length - 1;
  for (const follow of shown) follow();
}
function go(to) {
  stop();
  record = Math.min(Math.max(to, 0), updates.length - 1);
  show();
}
/** The record nearest to where the pointer is. */
function point(event, { svg, x }) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
  go(updates.reduce((best, update, place) => (Math.abs(x(update) - at) < Math.abs(x(updates[best]) - at) ? place : best), 0));
}
function stop() {
  clearInterval(timer);
  timer = null;
  byId("play").textContent = "Play";
}
function play() {
  if (timer !== null) return stop();
  if (record === updates.length - 1) go(0);
  byId("play").textContent = "Pause";
  timer = setInterval(() => {
    record = Math.min(record + 1, updates.length - 1);
    show();
    if (record === updates.length - 1) stop();
  }, Math.max(50, Math.min(PAUSE, WHOLE / updates.length)));
  return undefined;
}

const ACTIONS = {
  n: () => go(record + 1),
  p: () => go(record - 1),
  Home: () => go(0),
  End: () => go(updates.length - 1),
  " ": play,
  d: () => theme(true),
  "?": help,
};
const BUTTONS = { theme: "d", keys: "?", previous: "p", next: "n", play: " " };
for (const [id, key] of Object.entries(BUTTONS)) byId(id).addEventListener("click", () => ACTIONS[key]());
addEventListener("keydown", (event) => {
  const pressing = event.key === " " && event.target.matches("button, select");
  if (event.ctrlKey || event.metaKey || event.altKey || pressing || event.target.matches("select") || !(event.key in ACTIONS)) return;
  ACTIONS[event.key]();
  event.preventDefault();
});
slider.max = updates.length - 1;
slider.addEventListener("input", () => go(+slider.value));
byId("param").append(...data.watched.map((watched, place) => make("option", { value: place }, watched.name)));
byId("param").value = data.opened;
byId("choose").hidden = data.watched.length < 2;
byId("param").addEventListener("change", () => open(data.watched[+byId("param").value]));
open(data.watched[data.opened]);
