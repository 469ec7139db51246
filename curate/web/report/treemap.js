"use strict";

/* The tree as a zoomable treemap: two levels at a time, and where tasks are many the smallest of them as one tile. */
const treemap = (() => {
  const { el, byId, count, percent } = core;
  const HEADER = 22;
  const GAP = 3;
  const MOST = 120; /* tiles of the upper level */
  const TILES = 900; /* tiles in all */

  const RAMPS = {
    yield: [["#d9733d", "#efc383", "#a9d2bd", "#2c9182"], ["#c05f30", "#94704a", "#3d7468", "#2f9583"]],
    novelty: [["#ebe7f6", "#bcb0e4", "#8470cf", "#4c329f"], ["#2b2742", "#4c4088", "#7d6ad2", "#b7a8ff"]],
    drops: [["#f4ece2", "#f0bf91", "#dc7650", "#a3313e"], ["#2b2624", "#6e4234", "#c06047", "#ff9a77"]],
  };

  const view = { focus: 0, more: null, mode: "yield", reason: 0, chosen: 0 };
  let tell = { zoom() {}, choose() {} };
  let box;
  let domain = [0, 1];

  function start(listeners) {
    tell = listeners;
    box = byId("treemap");
    const modes = [["yield", "Yield"], ["novelty", "Novelty"], ["drops", "Drops"]];
    const counted = tasks.tree.sumKept[0] + tasks.tree.sumDropped[0] > 0;
    if (counted) {
      core.segments(byId("tree-mode"), modes, view.mode, (mode) => {
        view.mode = mode;
        byId("tree-reason").hidden = mode !== "drops";
        recolour();
      });
      reasonChoice();
    } else {
      byId("tree-mode").hidden = true;
      byId("tree-lead").textContent = "Each tile is a task, as large as the tasks below it.";
      view.mode = "none";
    }
    box.addEventListener("keydown", onKey);
    core.onResize(box, () => draw());
    core.onTheme(recolour);
    recolour();
    draw();
  }

  function reasonChoice() {
    const choice = byId("tree-reason");
    const used = tasks.tree.reasons.map((pair, at) => [at + 1, pair, tasks.droppedFor(at + 1)[0]]).filter(([, , n]) => n);
    choice.append(el("option", { value: 0 }, "for any reason"),
      ...used.sort((a, b) => b[2] - a[2]).map(([number, pair, n]) => el("option", { value: number }, `${core.reasonName(pair)} (${count(n)})`)));
    choice.addEventListener("change", () => {
      view.reason = Number(choice.value);
      recolour();
    });
  }

  /* Colours span what most tasks have, so that differences show where all are good. */
  function recolour() {
    const { tree } = tasks;
    if (view.mode !== "none") {
      const values = [];
      for (let i = 0; i < tree.n; i++) {
        const value = tasks.share(i, view.mode, view.reason);
        if (value !== null) values.push(value);
      }
      values.sort(d3.ascending);
      const low = d3.quantileSorted(values, 0.02) ?? 0;
      const high = d3.quantileSorted(values, 0.98) ?? 1;
      domain = view.mode === "drops" ? [0, Math.max(high, 0.02)] : [Math.min(low, high - 0.02), high];
    }
    legend();
    for (const tile of box?.querySelectorAll("[data-task]") ?? []) paint(tile);
  }

  function scale() {
    const colours = RAMPS[view.mode][core.isDark() ? 1 : 0];
    return d3.scaleSequential(d3.piecewise(d3.interpolateLab, colours)).domain(domain).clamp(true);
  }

  /* A tree without samples: its branches by their colours. */
  function tint(tile, i) {
    const branch = tasks.tree.children[0].indexOf(tasks.path(i)[1] ?? -1);
    tile.style.backgroundColor = `color-mix(in oklab, var(--c${Math.max(branch, 0) % 12}) ${tile.classList.contains("outer") ? 42 : 24}%, var(--surface))`;
    tile.style.color = "var(--ink)";
  }

  function paint(tile) {
    const i = Number(tile.dataset.task);
    if (view.mode === "none") return tint(tile, i);
    const value = tasks.share(i, view.mode, view.reason, tile.dataset.own === "1");
    tile.classList.toggle("blank", value === null);
    tile.style.backgroundColor = value === null ? "" : scale()(value);
    tile.style.color = value === null ? "" : d3.lab(scale()(value)).l > 58 ? "#14171b" : "#ffffff";
    return null;
  }

  function legend() {
    const place = byId("tree-legend");
    if (view.mode === "none") return place.replaceChildren();
    const words = { yield: "accepted share of the candidates", novelty: "share of good candidates that were new", drops: "dropped share of the candidates" };
    const steps = d3.range(24).map((step) => scale()(domain[0] + ((domain[1] - domain[0]) * step) / 23));
    place.replaceChildren(
      el("span", {}, words[view.mode]),
      el("span", {}, percent(domain[0])),
      el("span", { class: "ramp", style: { background: `linear-gradient(90deg, ${steps.join(", ")})` } }),
      el("span", {}, percent(domain[1])),
      el("span", { class: "swatch blank" }), el("span", {}, "no candidates"),
    );
    return null;
  }

  /* What is laid out below a task: its sub-tasks by size, itself where it has candidates of its own, and the rest. */
  function parts(focus, more, most) {
    const list = (more ?? tasks.tree.children[focus]).map((i) => ({ i, weight: weight(i) }));
    list.sort((a, b) => b.weight - a.weight);
    const rest = list.length > most ? list.splice(most - 1) : [];
    if (rest.length) list.push({ i: focus, more: rest.map((part) => part.i), weight: d3.sum(rest, (part) => part.weight) });
    if (!more && tasks.ownCandidates(focus)) list.push({ i: focus, own: true, weight: tasks.ownCandidates(focus) });
    return list;
  }

  /* A task without candidates is still a task: it has a small tile. */
  const weight = (i) => tasks.candidates(i) + 0.25 * tasks.tree.size[i];

  function layout(list, x, y, width, height) {
    const root = d3.hierarchy({ list }, (node) => node.list).sum((node) => node.weight ?? 0);
    d3.treemap().tile(d3.treemapSquarify.ratio(1.5)).size([width, height]).paddingInner(GAP).round(true)(root);
    return (root.children ?? []).map((node) => ({
      ...node.data, x: x + node.x0, y: y + node.y0, w: node.x1 - node.x0, h: node.y1 - node.y0,
    }));
  }

  function draw(from) {
    const { focus, more } = view;
    const upper = layout(parts(focus, more, MOST), 0, 0, box.clientWidth, box.clientHeight);
    const each = Math.max(6, Math.floor(TILES / Math.max(upper.length, 1)));
    const layer = el("div", { class: "layer" });
    for (const part of upper) {
      const inside = !part.own && !part.more && part.w > 64 && part.h > 50 && tasks.tree.children[part.i].length;
      layer.append(tile(part, inside ? "outer" : ""));
      if (!inside) continue;
      const lower = layout(parts(part.i, null, each), part.x + GAP, part.y + HEADER, part.w - 2 * GAP, part.h - HEADER - GAP);
      layer.append(...lower.filter(({ w, h }) => w > 3 && h > 3).map((child) => tile(child, "inner")));
    }
    box.replaceChildren(layer);
    if (from && !matchMedia("(prefers-reduced-motion: reduce)").matches) grow(layer, from);
    const first = layer.querySelector(`[data-task="${view.chosen}"]`) ?? layer.querySelector("button");
    if (first) first.tabIndex = 0;
    mark();
    crumbs();
  }

  function grow(layer, from) {
    const [w, h] = [box.clientWidth, box.clientHeight];
    const start = `translate(${from.x}px, ${from.y}px) scale(${from.w / w}, ${from.h / h})`;
    layer.animate([{ transform: start, opacity: 0.2 }, { transform: "none", opacity: 1 }], { duration: 240, easing: "cubic-bezier(.2,.7,.2,1)" });
  }

  function label(part) {
    if (part.more) return `${count(part.more.length)} smaller tasks`;
    return part.own ? "of itself" : tasks.tree.names[part.i];
  }

  const inner = (part) => tasks.tree.children[part.i].length > 0;

  function told(part) {
    if (part.more) return label(part);
    if (view.mode === "none") return `${label(part)}${inner(part) ? `: ${core.counted(tasks.tree.size[part.i] - 1, "task")} below` : ""}`;
    const kept = part.own ? tasks.tree.kept[part.i] : tasks.tree.sumKept[part.i];
    const share = tasks.share(part.i, view.mode, view.reason, part.own);
    return `${part.own ? `${tasks.tree.names[part.i]}, of itself` : label(part)}: ${core.counted(kept, "row")}${share === null ? "" : `, ${view.mode} ${percent(share)}`}`;
  }

  function tile(part, kind) {
    const named = part.w > 44 && part.h > 17;
    const node = el("button", {
      type: "button", class: `tile-task ${kind}`, tabindex: -1, "aria-label": told(part),
      style: { left: `${part.x}px`, top: `${part.y}px`, width: `${part.w}px`, height: `${part.h}px` },
      click: () => press(part), focus: () => box.querySelectorAll("[tabindex='0']").forEach((other) => (other.tabIndex = other === node ? 0 : -1)),
      mousemove: (event) => core.tip(event, told(part)), mouseleave: () => core.tip(null),
    });
    node.dataset.task = part.i;
    if (part.own) node.dataset.own = "1";
    if (part.more) node.dataset.more = "1";
    const lines = Math.max(1, Math.floor((part.h - 6) / 15));
    if (named) node.append(el("span", { class: "name", dir: "auto", style: { webkitLineClamp: kind === "outer" ? 1 : lines } }, label(part)));
    if (kind === "outer" && part.w > 150) node.append(el("span", { class: "n" }, count(view.mode === "none" ? tasks.tree.size[part.i] - 1 : tasks.tree.sumKept[part.i])));
    if (part.more) node.classList.add("more");
    else paint(node);
    return node;
  }

  function press(part) {
    core.tip(null);
    if (part.more) return zoom(part.i, { more: part.more, from: part });
    if (!part.own && tasks.tree.children[part.i].length) return zoom(part.i, { from: part });
    return choose(part.i);
  }

  function choose(i) {
    view.chosen = i;
    mark();
    tell.choose(i);
  }

  function mark() {
    for (const node of box.querySelectorAll(".chosen")) node.classList.remove("chosen");
    if (view.chosen === view.focus) return;
    for (const node of box.querySelectorAll(`[data-task="${view.chosen}"]`)) node.classList.add("chosen");
  }

  function zoom(focus, { more = null, from = null, chosen = focus } = {}) {
    const held = box.contains(document.activeElement);
    view.focus = focus;
    view.more = more;
    view.chosen = chosen;
    draw(from);
    if (held) box.querySelector("[tabindex='0']")?.focus();
    tell.zoom(focus);
    tell.choose(chosen);
  }

  /* Show a task wherever it is: its parent is opened and it is marked. */
  function show(i) {
    const parent = tasks.tree.parents[i];
    if (tasks.tree.children[i].length || parent < 0) return zoom(i);
    const among = parts(parent, null, MOST);
    const rest = among.find((part) => part.more?.includes(i));
    return zoom(parent, { more: rest ? [i, ...rest.more.filter((other) => other !== i)] : null, chosen: i });
  }

  function up() {
    if (view.more) return zoom(view.focus);
    const parent = tasks.tree.parents[view.focus];
    return parent < 0 ? null : zoom(parent, { chosen: parent });
  }

  function crumbs() {
    const steps = tasks.path(view.focus);
    const last = steps.length - 1;
    byId("crumbs").replaceChildren(...steps.flatMap((i, at) => [
      at > 0 && el("span", { class: "muted", "aria-hidden": "true" }, "›"),
      at === last && !view.more ? el("span", { "aria-current": "page", dir: "auto" }, tasks.tree.names[i])
        : el("button", { type: "button", class: "crumb", dir: "auto", click: () => zoom(i) }, tasks.tree.names[i]),
    ]).filter(Boolean), ...(view.more ? [el("span", { class: "muted" }, "›"), el("span", { "aria-current": "page" }, `${count(view.more.length)} smaller tasks`)] : []));
  }

  /* Arrows go to the nearest tile on that side, Escape and Backspace go up. */
  function onKey(event) {
    const sides = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape" || event.key === "Backspace") {
      event.preventDefault();
      up();
    } else if (sides[event.key]) {
      event.preventDefault();
      nearest(sides[event.key])?.focus();
    }
  }

  function nearest([dx, dy]) {
    const middle = (node) => [node.offsetLeft + node.offsetWidth / 2, node.offsetTop + node.offsetHeight / 2];
    const here = document.activeElement;
    const [x, y] = middle(here);
    const far = (node) => {
      const [along, across] = [(middle(node)[0] - x) * dx + (middle(node)[1] - y) * dy, Math.abs((middle(node)[0] - x) * dy) + Math.abs((middle(node)[1] - y) * dx)];
      return along > 1 ? along + 2.5 * across : Infinity;
    };
    const best = d3.least([...box.querySelectorAll("button")].filter((node) => node !== here), far);
    return best && far(best) < Infinity ? best : null;
  }

  return { start, show, zoom, choose, up, view };
})();
