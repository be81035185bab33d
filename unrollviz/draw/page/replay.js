// The replay: the forward pass, the losses, the backward pass, one moment after another.
const PHASES = { forward: "forward pass", loss: "losses", backward: "backward pass" };
const PAUSE = 700; // milliseconds between two moments, where there are few
const WHOLE = 40000; // milliseconds that all of them may take

/** `begin()` is called when it starts, `tell(moment, words)` at every moment. */
function replay(data, picture, tell, begin) {
  const { moments, nodes, edges } = data;
  const slider = byId("cursor");
  let timer = null;
  let cursor = null; // null: no replay, all is shown
  slider.max = moments.length;
  const computed = new Set(moments.filter((moment) => moment.phase !== "backward").flatMap((moment) => moment.nodes));
  for (const [phase, name] of Object.entries(PHASES)) {
    const part = make("span", { class: phase }, name);
    part.style.flex = `${moments.filter((moment) => moment.phase === phase).length} 0 0`;
    byId("phases").append(part);
  }

  /** What is known behind the first `count` moments: which values, what norms of cotangents, which edges are crossed. */
  function known(count) {
    const values = new Set(nodes.keys());
    for (const node of computed) values.delete(node);
    const norms = new Map();
    const crossed = new Set();
    for (const moment of moments.slice(0, count)) {
      if (moment.phase === "backward") for (const node of moment.nodes) norms.set(node, nodes[node].cotangent_norm);
      else for (const node of moment.nodes) values.add(node);
      for (const [edge, norm] of moment.handed) {
        norms.set(edges[edge].tail, norm);
        crossed.add(edge);
      }
    }
    return { values, norms, crossed };
  }
  function show(count) {
    if (cursor === null) begin();
    cursor = count;
    const { values, norms, crossed } = known(count);
    const moment = moments[count - 1];
    const back = moment?.phase === "backward";
    const now = new Set(moment?.nodes);
    const handed = new Set(moment?.handed.map(([edge]) => edge));
    dim();
    picture.svg.classList.add("replayed");
    const light = (id, name, yes) => yes && byId(id).classList.add(name);
    nodes.forEach((node, index) => {
      if (!node.id) return;
      light(node.id, "lit", values.has(index));
      light(node.id, "cotangent", norms.has(index));
      light(node.id, "now", now.has(index));
      if (norms.has(index)) badge(node.id, number(norms.get(index)), "back");
      else if (!back && values.has(index) && computed.has(index)) badge(node.id, number(node.norm), "");
    });
    edges.forEach((edge, index) => {
      if (!edge.id) return;
      const from = byId(edge.id).dataset.tail;
      const copy = nodes[edge.tail].time === null;
      for (const id of copy ? [edge.id, from] : [edge.id]) {
        light(id, "lit", values.has(edge.head) || !nodes[edge.head].id);
        light(id, copy && id === from ? "cotangent" : "crossed", crossed.has(index));
      }
      light(edge.id, "now", handed.has(index) || (!back && now.has(edge.head)));
    });
    slider.value = count;
    slider.setAttribute("aria-valuetext", words(count));
    byId("moment").textContent = `${count} / ${moments.length}`;
    byId("previous").disabled = count === 0;
    byId("next").disabled = count === moments.length;
    retell();
    picture.reveal([...now].map((index) => byId(nodes[index].id)));
  }
  function dim() {
    picture.clear();
    for (const element of picture.svg.querySelectorAll(".lit, .cotangent, .crossed, .now")) element.classList.remove("lit", "cotangent", "crossed", "now");
  }
  function retell() {
    tell(moments[cursor - 1], words(cursor));
  }
  /** Above and to the right of a node, where the fewest lines run. */
  function badge(id, text, side) {
    const box = picture.boxOf(id);
    picture.over(draw("text", { class: `badge ${side}`, x: box.x + box.width - 4, y: box.y + 1 }, text));
  }
  function words(count) {
    if (count === 0) return "Given: inputs, initial states and parameters.";
    const { phase, nodes: at, handed, hidden } = moments[count - 1];
    if (hidden) {
      const many = `${grouped(`${hidden}`)} nodes of folded steps`;
      return phase === "backward" ? `${many} hand their cotangents back.` : `${many} are computed.`;
    }
    const node = nodes[at[0]];
    if (phase === "forward") return `${node.label} is computed.`;
    if (phase === "loss") return `${node.label} = ${number(node.value)}: the output is compared with its target.`;
    const to = [...new Set(handed.map(([edge]) => nodes[edges[edge].tail].label))];
    return `∂${data.source}/∂${node.label} is complete${to.length ? `; it is handed back to ${to.join(", ")}` : ""}.`;
  }

  function stop() {
    clearInterval(timer);
    timer = null;
    byId("play").textContent = "Play";
  }
  function play() {
    if (timer !== null) return stop();
    if (cursor === null || cursor === moments.length) show(0);
    byId("play").textContent = "Pause";
    timer = setInterval(() => {
      show(cursor + 1);
      if (cursor === moments.length) stop();
    }, Math.max(60, Math.min(PAUSE, WHOLE / moments.length)));
    return undefined;
  }
  function go(count) {
    stop();
    show(Math.min(Math.max(count, 0), moments.length));
  }
  const move = (by) => go((cursor ?? 0) + by);
  /** To the next or the previous place where the phase changes. */
  function phase(by) {
    let to = (cursor ?? 0) + by;
    while (to > 0 && to < moments.length && moments[to].phase === moments[to - 1].phase) to += by;
    go(to);
  }
  function end() {
    stop();
    if (cursor === null) return;
    cursor = null;
    slider.value = 0;
    slider.removeAttribute("aria-valuetext");
    byId("moment").textContent = "";
    byId("previous").disabled = byId("next").disabled = false;
    picture.svg.classList.remove("replayed");
    dim();
  }
  slider.addEventListener("input", () => go(+slider.value));
  byId("previous").addEventListener("click", () => move(-1));
  byId("next").addEventListener("click", () => move(1));
  byId("play").addEventListener("click", play);
  byId("replay").hidden = false;
  return { move, phase, play, end, retell, running: () => cursor !== null };
}
