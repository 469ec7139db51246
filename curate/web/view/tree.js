/* The task tree: a filter with counts, and changes by hand, which are lines in the tree's journal. */

import { act } from "./api.js";
import { dialog, get, h, many, number, toast } from "./dom.js";
import { state, tell, want } from "./state.js";

const GONE = "gone";
const SEARCHABLE = 25;
const FOUND = 60;

const box = get("tasks");
const open = new Set();
let editable = false;
let sought = "";

/** Take the nodes, parents first. */
export function take(tree) {
  editable = tree.editable;
  state.nodes = new Map(tree.nodes.map((node) => [node.id, { ...node, below: [] }]));
  for (const node of state.nodes.values()) state.nodes.get(node.parent)?.below.push(node);
  for (const node of state.nodes.values()) if (!node.parent && node.id !== GONE) open.add(node.id);
  if (state.wish.task && !state.nodes.has(state.wish.task)) want({ task: "" });
  draw();
}

const roots = () => [...state.nodes.values()].filter((node) => !state.nodes.has(node.parent));

const count = (node) => state.facets?.tasks[node.id] ?? 0;

function size(node) {
  return node.below.reduce((sum, each) => sum + size(each), 1);
}

export function draw() {
  box.hidden = !state.nodes.size;
  if (box.hidden) return;
  const focused = document.activeElement?.closest("[data-task]")?.dataset.task;
  const list = h(
    "ul",
    { class: "tree" },
    sought ? matches().map((node) => branch(node, false)) : roots().map((node) => branch(node, true)),
  );
  const all = h(
    "button",
    { class: "button quiet", hidden: !state.wish.task, onclick: () => want({ task: "" }) },
    "All",
  );
  const kept = box.querySelector(".tree");
  const head = h("h2", {}, "Tasks", all);
  if (kept) {
    box.querySelector("h2").replaceWith(head);
    kept.replaceWith(list);
  } else {
    const input = h("input", {
      class: "field",
      type: "search",
      placeholder: "Find a task",
      "aria-label": "Find a task",
      oninput: (event) => ((sought = event.target.value.trim().toLowerCase()), draw()),
    });
    box.replaceChildren(...[head, state.nodes.size > SEARCHABLE && input, list].filter(Boolean));
  }
  if (focused) box.querySelector(`[data-task="${CSS.escape(focused)}"] .name`)?.focus({ preventScroll: true });
}

function matches() {
  const found = [];
  for (const node of state.nodes.values()) {
    if (node.name.toLowerCase().includes(sought)) found.push(node);
    if (found.length === FOUND) break;
  }
  return found;
}

function branch(node, nested) {
  const chosen = state.wish.task === node.id;
  const unfolded = nested && open.has(node.id) && node.below.length > 0;
  const turn = () => (open.has(node.id) ? open.delete(node.id) : open.add(node.id), draw());
  const row = h(
    "div",
    { class: chosen ? "task chosen" : "task", "data-task": node.id },
    nested && node.below.length
      ? h(
          "button",
          {
            class: "twist",
            "aria-expanded": String(unfolded),
            "aria-label": `${unfolded ? "Fold" : "Unfold"} ${node.name}`,
            onclick: turn,
          },
          unfolded ? "▾" : "▸",
        )
      : h("span", { class: "twist" }),
    h(
      "button",
      {
        class: "name cut",
        "aria-pressed": String(chosen),
        title: node.description ? `${node.name}\n${node.description}` : node.name,
        onclick: () => want({ task: chosen ? "" : node.id }),
      },
      node.name,
    ),
    h("span", { class: "count" }, state.facets ? number(count(node)) : ""),
    editable &&
      node.id !== GONE &&
      h(
        "button",
        { class: "menu", title: "Change this task", "aria-label": `Change ${node.name}`, onclick: () => menu(node) },
        "⋯",
      ),
  );
  const item = h("li", {}, row);
  if (unfolded)
    item.append(
      h(
        "ul",
        {},
        node.below.map((each) => branch(each, true)),
      ),
    );
  return item;
}

/* Changes by hand */

async function change(given, close) {
  try {
    const tree = await act("tree", { ...given, author: state.author });
    close();
    if (given.op === "add") open.add(given.task);
    take(tree);
    toast(`${tree.done}. The next run takes it up.`);
    tell("tree", tree);
  } catch (error) {
    const place = get("dialog").querySelector(".problem");
    if (place) place.textContent = error.message;
    else toast(error.message, { bad: true });
  }
}

function ask(title, fields, label, work, bad = false) {
  const form = h(
    "form",
    { method: "dialog", class: "stack" },
    fields,
    h("p", { class: "problem", role: "alert" }),
    h(
      "footer",
      {},
      h("button", { class: "button", type: "button", onclick: () => close() }, "Cancel"),
      h("button", { class: bad ? "button danger" : "button primary" }, label),
    ),
  );
  const close = dialog(title, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    work(close);
  });
}

const labelled = (text, input) => h("label", {}, h("span", {}, text), input);

function menu(node) {
  const root = !node.parent;
  const entry = (label, hint, work, off = false) =>
    h(
      "li",
      {},
      h(
        "button",
        { class: "button quiet", disabled: off, onclick: () => work(node) },
        h("strong", {}, label),
        h("span", { class: "muted small" }, hint),
      ),
    );
  dialog(
    node.name,
    node.description && h("p", { class: "muted" }, node.description),
    h(
      "ul",
      { class: "choices" },
      entry("Add a task below", "a new sub-task, with a reason", add),
      entry("Rename", "its samples and its place stay", rename),
      entry("Merge into another", "its sub-tasks and examples move there", merge, root),
      entry("Prune", "it and what is below it go for good", prune, root),
    ),
  );
}

function add(node) {
  const name = h("input", { class: "field", autofocus: true, required: true, maxlength: 200 });
  const description = h("textarea", { class: "field", rows: 3, maxlength: 2000 });
  ask(
    `Add a task below “${node.name}”`,
    [labelled("Name", name), labelled("Why it exists: the model that writes samples reads this", description)],
    "Add",
    (close) => change({ op: "add", task: node.id, name: name.value, description: description.value.trim() }, close),
  );
}

function rename(node) {
  const name = h("input", { class: "field", autofocus: true, required: true, maxlength: 200, value: node.name });
  ask(`Rename “${node.name}”`, [labelled("New name", name)], "Rename", (close) =>
    change({ op: "rename", task: node.id, name: name.value }, close),
  );
  name.select();
}

function merge(node) {
  const inside = new Set();
  const walk = (each) => (inside.add(each.id), each.below.forEach(walk));
  walk(node);
  const others = [...state.nodes.values()].filter((each) => !inside.has(each.id) && each.id !== GONE);
  const find = h("input", {
    class: "field",
    type: "search",
    autofocus: true,
    placeholder: "Find a task",
    "aria-label": "Find a task",
  });
  const select = h("select", { class: "field", size: 8, required: true, "aria-label": "Merge into" });
  const fill = () => {
    const wanted = find.value.trim().toLowerCase();
    const fitting = others.filter((each) => each.name.toLowerCase().includes(wanted)).slice(0, 200);
    select.replaceChildren(...fitting.map((each) => h("option", { value: each.id }, above(each))));
    if (wanted && fitting.length) select.selectedIndex = 0;
  };
  find.addEventListener("input", fill);
  fill();
  ask(`Merge “${node.name}” into`, [find, select], "Merge", (close) =>
    change({ op: "merge", task: node.id, into: select.value }, close),
  );
}

function above(node) {
  const names = [];
  for (let each = node; each?.parent; each = state.nodes.get(each.parent)) names.unshift(each.name);
  return names.join(" › ") || node.name;
}

function prune(node) {
  const tasks = size(node);
  const what = tasks === 1 ? "This task" : `This task and ${many(tasks - 1, "task")} below it`;
  ask(
    `Prune “${node.name}”?`,
    [
      h(
        "p",
        {},
        `${what} will not come back. `,
        state.facets
          ? `Of the samples that the filters let through, ${number(count(node))} ` +
              `${count(node) === 1 ? "belongs" : "belong"} there and will be missing from the next run's dataset.`
          : "The samples there will be missing from the next run's dataset.",
      ),
    ],
    "Prune",
    (close) => change({ op: "prune", task: node.id }, close),
    true,
  );
}
