"use strict";

/* Finding a task by a part of its name, and the panel that shows the chosen one. */
const search = (() => {
  const { el, byId, count, counted, percent } = core;
  const SHOWN = 12;
  const CARDS = 8;
  let places = [];
  let at = 0;
  let field;
  let list;

  function start() {
    field = el("input", {
      type: "search", class: "field", placeholder: "Find a task…", "aria-label": "Find a task", role: "combobox",
      "aria-controls": "found", "aria-expanded": "false", autocomplete: "off", input: look, keydown: onKey,
      blur: () => setTimeout(close, 150),
    });
    list = el("ul", { id: "found", class: "found", role: "listbox", hidden: true });
    byId("search").append(field, list);
  }

  /* Names that begin with the words come first, then those in which they stand somewhere. */
  function matches(words) {
    const wanted = words.trim().toLowerCase();
    if (!wanted) return [];
    const found = [];
    tasks.tree.names.forEach((name, i) => {
      const where = name.toLowerCase().indexOf(wanted);
      if (where >= 0) found.push([where === 0 ? 0 : 1, tasks.tree.depth[i], i]);
    });
    return found.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]).map(([, , i]) => i);
  }

  function look() {
    const all = matches(field.value);
    places = all.slice(0, SHOWN);
    at = 0;
    list.replaceChildren(
      ...places.map((i, k) => el("li", { role: "option", id: `found-${k}`, "aria-selected": String(k === 0), mousedown: (event) => { event.preventDefault(); go(i); } },
        el("span", { dir: "auto" }, tasks.tree.names[i]),
        el("span", { class: "muted small", dir: "auto" }, tasks.path(i).slice(1, -1).map((up) => tasks.tree.names[up]).join(" › ")))),
      ...(all.length > SHOWN ? [el("li", { class: "muted small", role: "presentation" }, `and ${count(all.length - SHOWN)} more`)] : []),
      ...(field.value.trim() && !all.length ? [el("li", { class: "muted small", role: "presentation" }, "no task has this in its name")] : []),
    );
    open(field.value.trim() !== "");
  }

  function open(shown) {
    list.hidden = !shown;
    field.setAttribute("aria-expanded", String(shown));
    if (places.length) field.setAttribute("aria-activedescendant", `found-${at}`);
  }

  const close = () => open(false);

  function onKey(event) {
    if (event.key === "Escape") return close();
    if (event.key === "Enter" && places.length) return go(places[at]);
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return null;
    event.preventDefault();
    at = Math.max(0, Math.min(places.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
    [...list.children].forEach((row, k) => row.setAttribute("aria-selected", String(k === at)));
    field.setAttribute("aria-activedescendant", `found-${at}`);
    return null;
  }

  function go(i) {
    close();
    field.value = "";
    treemap.show(i);
  }

  /* The panel of the chosen task */

  let asked = 0;

  async function panel(i) {
    const turn = ++asked;
    const { tree } = tasks;
    const inner = tree.children[i].length > 0;
    const all = tasks.candidates(i);
    byId("task").replaceChildren(
      el("p", { class: "muted small", dir: "auto" }, tasks.path(i).slice(0, -1).map((up) => tree.names[up]).join(" › ")),
      el("h3", { dir: "auto" }, tree.names[i]),
      ...(tree.abouts[i] ? [prose.fill(el("p", { class: "prose about", dir: "auto" }), tree.abouts[i])] : []),
      ...(all || tree.sumLost[i] ? [counts(i, inner)] : [el("p", { class: "muted" }, tree.sumKept[0] ? "No candidate was written for this task." : "No samples have been written yet.")]),
    );
    byId("task").scrollTop = 0;
    if (!all && !tree.sumLost[i]) return;
    const [found, from] = await toRead(i);
    if (turn === asked && found.length) byId("task").append(reader(found, from, i));
  }

  function counts(i, inner) {
    const { tree } = tasks;
    const all = tasks.candidates(i);
    const pieces = tree.reasons.map((pair, k) => [core.reasonName(pair), tasks.droppedFor(k + 1)[i], reasonColour(k + 1)]).filter(([, n]) => n);
    pieces.sort((a, b) => b[1] - a[1]);
    const rows = [["accepted", tree.sumKept[i], "var(--good)"], ...pieces];
    const stacked = rows.filter(([, n]) => n);
    const notes = [
      inner && `with ${counted(tree.size[i] - 1, "task")} below`,
      tree.novelty[i] !== null && `novelty ${percent(tree.novelty[i])}`,
      tree.sumLost[i] && `${counted(tree.sumLost[i], "call")} gave nothing`,
    ].filter(Boolean);
    return el("div", {},
      el("div", { class: "stack", role: "img", "aria-label": rows.map(([name, n]) => `${name} ${n}`).join(", ") },
        ...stacked.map(([, n, colour]) => el("span", { style: { flexGrow: n, background: colour } }))),
      el("ul", { class: "counts" }, ...rows.map(([name, n, colour]) => el("li", {},
        el("span", { class: "dot", style: { background: colour } }), el("span", {}, name), el("b", {}, count(n)), el("span", { class: "muted" }, percent(all ? n / all : 0))))),
      notes.length > 0 && el("p", { class: "muted small" }, notes.join(" · ")));
  }

  /* A reason has one colour all over the page. */
  const REASONS = ["#d1495b", "#8a63c9", "#ef8354", "#5c7cfa", "#c2a83e", "#868e96", "#e064a1", "#0ca6a0", "#a0522d", "#6b8e23"];
  const reasonColour = (number) => REASONS[(number - 1) % REASONS.length];

  /* The samples of a task, else of the first tasks below it that have some. */
  async function toRead(i) {
    const own = await samples.of(i);
    if (own.length || !tasks.tree.children[i].length) return [own, i];
    for (const child of tasks.below(i).slice(1, 40)) {
      const found = await samples.of(child);
      if (found.length) return [found, child];
    }
    return [[], i];
  }

  function reader(found, from, i) {
    const kinds = [["kept", "Accepted", found.filter((sample) => !sample.r)], ["dropped", "Dropped", found.filter((sample) => sample.r)]];
    const shown = kinds.filter(([, , list]) => list.length);
    const place = el("div", { class: "cards" });
    const choose = (name) => place.replaceChildren(...kinds.find(([key]) => key === name)[2].slice(0, CARDS).map(samples.card));
    const choice = el("fieldset", { class: "segments", id: "task-kind" }, el("legend", { class: "visually-hidden" }, "Samples to read"));
    core.segments(choice, shown.map(([key, name, list]) => [key, `${name} ${list.length}`]), shown[0][0], choose);
    choose(shown[0][0]);
    const note = from === i ? "Some samples to read" : `Some samples of “${tasks.tree.names[from]}”`;
    return el("div", { class: "reader" }, el("p", { class: "muted small", dir: "auto" }, note), choice, place);
  }

  return { start, panel, reasonColour, matches };
})();
