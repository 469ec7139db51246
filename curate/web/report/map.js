"use strict";

/* The map of the samples: coloured by the sub-tasks of the task that the tree shows, dropped ones by reason. */
const map = (() => {
  const { el, byId, count, percent } = core;
  const COLOURS = 11;
  const OTHERS = -2;
  const SLICES = 24;

  const data = { n: 0, ids: null, heads: null };
  const view = { focus: 0, hidden: new Set(), reasons: new Set(), method: "pca" };
  let reasons = [];
  let about = null;
  let canvas = null;
  let keys = [];

  async function start(overview) {
    about = { ...overview.map, encoder: overview.encoder, note: overview.note };
    reasons = overview.reasons;
    lead();
    unpack(await core.bytes("points"));
    canvas = scatter.start(byId("points"), hover, pick);
    canvas.place(...data.pca, (k) => !data.reasons[k]);
    if (about.umap) {
      byId("map-method").hidden = false;
      core.segments(byId("map-method"), [["pca", "PCA"], ["umap", "UMAP"]], "pca", project);
    }
    byId("zoom-in").addEventListener("click", () => canvas.scaleBy(1.8));
    byId("zoom-out").addEventListener("click", () => canvas.scaleBy(1 / 1.8));
    byId("zoom-reset").addEventListener("click", () => canvas.reset());
    core.onTheme(paint);
    focus(treemap.view.focus);
    /* The texts are the larger part: unpacked while nobody waits. */
    (window.requestIdleCallback ?? setTimeout)(() => texts());
  }

  function lead() {
    const explained = `${percent(about.explained[0] + about.explained[1])} of the variance`;
    const shown = about.n < about.total ? `${count(about.n)} of ${count(about.total)} samples` : `${count(about.n)} samples`;
    const words = [`${shown}; near points have similar instructions (${about.encoder} vectors, first two principal components, ${explained}).`];
    words.push("Press the map to zoom by the wheel; press a point to read it.");
    if (about.umap) words.push(`The UMAP has ${count(about.umap)} of them.`);
    if (about.note) words.push(about.note);
    byId("map-lead").textContent = words.join(" ");
    byId("points").setAttribute("aria-label", `Map of ${shown}. Arrow keys pan, plus and minus zoom, 0 resets.`);
  }

  function unpack(buffer) {
    let at = 0;
    const take = (Type, length) => {
      const part = new Type(buffer.slice(at, at + length * Type.BYTES_PER_ELEMENT));
      at += length * Type.BYTES_PER_ELEMENT;
      return part;
    };
    const { n } = about;
    data.n = n;
    data.pca = [take(Uint16Array, n), take(Uint16Array, n)];
    data.tasks = take(Uint32Array, n);
    data.reasons = take(Uint8Array, n);
    if (about.umap) {
      data.mapped = take(Uint32Array, about.umap);
      data.umap = [take(Uint16Array, about.umap), take(Uint16Array, about.umap)];
    }
  }

  async function texts() {
    data.lines ??= core.text("heads").then((text) => {
      const lines = text.split("\n");
      data.ids = lines.slice(0, data.n);
      data.heads = lines.slice(data.n);
    });
    await data.lines;
  }

  /* A point of the canvas is a sample, or with UMAP the place of one. */
  const sample = (point) => (view.method === "umap" ? data.mapped[point] : point);

  function project(method) {
    view.method = method;
    canvas.state.picked = -1;
    canvas.place(...data[method], (point) => !data.reasons[sample(point)]);
    paint();
  }

  /* Colour by the sub-tasks of a task: the largest have colours of their own. */
  function focus(i) {
    if (!canvas) return;
    view.focus = i;
    view.hidden.clear();
    data.group = tasks.groups(i);
    const sizes = new Map();
    for (let k = 0; k < data.n; k++) {
      const group = data.group[data.tasks[k]];
      if (group >= 0 && !data.reasons[k]) sizes.set(group, (sizes.get(group) ?? 0) + 1);
    }
    const order = tasks.tree.children[i].filter((child) => sizes.has(child));
    const large = new Set([...order].sort((a, b) => sizes.get(b) - sizes.get(a)).slice(0, order.length > COLOURS + 1 ? COLOURS : COLOURS + 1));
    keys = order.filter((child) => large.has(child)).map((child, at) => ({ group: child, name: tasks.tree.names[child], n: sizes.get(child), colour: `--c${at < 9 ? at : at + 1}` }));
    if (keys.length > COLOURS) keys[COLOURS].colour = "--c9";
    const rest = order.filter((child) => !large.has(child));
    if (sizes.has(i)) keys.push({ group: i, name: order.length ? `${tasks.tree.names[i]} itself` : tasks.tree.names[i], n: sizes.get(i), colour: order.length ? "--ink-2" : "--c0" });
    if (rest.length) keys.push({ group: OTHERS, name: `${count(rest.length)} more`, n: d3.sum(rest, (child) => sizes.get(child)), colour: "--c9" });
    const others = new Set(rest);
    data.key = Int32Array.from(data.group, (group) => keys.findIndex((key) => key.group === (others.has(group) ? OTHERS : group)));
    branchKeys();
    reasonKeys();
    paint();
  }

  function toggle(box, name, n, swatch, on, then) {
    const input = el("input", { type: "checkbox", checked: on, change: () => then(input.checked) });
    return el("label", { class: "key" }, input, swatch, el("span", { class: "grow", dir: "auto" }, name), el("span", { class: "muted" }, count(n)));
  }

  function branchKeys() {
    const set = (at, on) => {
      if (on) view.hidden.delete(at);
      else view.hidden.add(at);
      paint();
    };
    const all = el("button", { type: "button", class: "button quiet small", click: () => {
      const none = view.hidden.size === keys.length;
      view.hidden = new Set(none ? [] : keys.keys());
      branchKeys();
      paint();
    } }, view.hidden.size === keys.length ? "all" : "none");
    byId("branches").replaceChildren(
      el("div", { class: "key-head" }, el("h3", { dir: "auto" }, view.focus === 0 ? "Accepted" : tasks.tree.names[view.focus]), all),
      ...keys.map((key, at) => toggle("branch", key.name, key.n, el("span", { class: "dot", style: { background: `var(${key.colour})` } }), !view.hidden.has(at), (on) => set(at, on))),
    );
  }

  function reasonKeys() {
    const sizes = new Map();
    for (let k = 0; k < data.n; k++) {
      const { [k]: reason } = data.reasons;
      if (reason && data.group[data.tasks[k]] !== -1) sizes.set(reason, (sizes.get(reason) ?? 0) + 1);
    }
    const used = [...sizes].sort((a, b) => b[1] - a[1]);
    byId("reasons").replaceChildren(...(used.length ? [
      el("div", { class: "key-head" }, el("h3", {}, "Dropped")),
      ...used.map(([number, n]) => toggle("reason", core.reasonName(reasons[number - 1]), n,
        el("span", { class: "cross", style: { color: search.reasonColour(number) }, "aria-hidden": "true" }, "×"), view.reasons.has(number), (on) => {
          if (on) view.reasons.add(number);
          else view.reasons.delete(number);
          paint();
        })),
    ] : []));
  }

  /* Which of the colours a point has: a branch, 1000 and up for a reason, -1 where it is not shown. */
  function layerOf(k) {
    const at = data.key[data.tasks[k]];
    if (data.reasons[k]) return view.reasons.has(data.reasons[k]) && data.group[data.tasks[k]] !== -1 ? 1000 + data.reasons[k] : -1;
    if (at < 0) return 999;
    return view.hidden.has(at) ? -1 : at;
  }

  /* Points in thin slices, colour by colour: no branch lies on top of all others because it came last. */
  function paint() {
    if (!canvas) return;
    const mapped = view.method === "umap";
    const n = mapped ? about.umap : data.n;
    const slices = new Map();
    for (let point = 0; point < n; point++) {
      const layer = layerOf(sample(point));
      if (layer < 0) continue;
      const key = layer === 999 ? -1 : layer >= 1000 ? layer * 100 : (Math.imul(point, 2654435761) >>> 16) % SLICES * 50 + layer;
      if (!slices.has(key)) slices.set(key, { layer, points: [] });
      slices.get(key).points.push(point);
    }
    const faded = view.reasons.size > 0;
    const alpha = (n > 40000 ? 0.55 : n > 5000 ? 0.7 : 0.85) * (faded ? 0.4 : 1);
    const layers = [...slices].sort((a, b) => a[0] - b[0]).map(([, { layer, points }]) => {
      if (layer === 999) return { points, colour: core.colour("--line-2"), alpha: 0.5 };
      if (layer >= 1000) return { points, colour: search.reasonColour(layer - 1000), alpha: 0.95, cross: true };
      return { points, colour: core.colour(keys[layer].colour), alpha };
    });
    canvas.show(layers, (point) => layerOf(sample(point)) >= 0);
  }

  function note(point) {
    const k = sample(point);
    const reason = data.reasons[k];
    return [
      el("p", { class: "small muted", dir: "auto" }, tasks.path(data.tasks[k]).slice(1).map((i) => tasks.tree.names[i]).join(" › ") || tasks.tree.names[0]),
      prose.fill(el("p", { class: "prose", dir: "auto" }), data.heads ? data.heads[k] : "…"),
      ...(reason ? [el("span", { class: "chip bad" }, core.reasonName(reasons[reason - 1]))] : []),
    ];
  }

  function hover(point, event) {
    if (point < 0) return core.tip(null);
    if (!data.heads) texts();
    return core.tip(event, ...note(point));
  }

  async function pick(point) {
    if (point < 0) return byId("picked").replaceChildren();
    await texts();
    const k = sample(point);
    return byId("picked").replaceChildren(
      el("div", { class: "key-head" }, el("h3", {}, "Chosen sample")),
      ...note(point),
      el("p", { class: "small" }, el("code", { class: "id" }, data.ids[k])),
      el("button", { type: "button", class: "button", click: () => {
        treemap.show(data.tasks[k]);
        byId("tree").scrollIntoView({ block: "start" });
      } }, "Show its task"),
    );
  }

  return { start, focus };
})();
