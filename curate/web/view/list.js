/* The list of samples: as many elements as are seen, filled page by page, whatever the number of samples. */

import { ask } from "./api.js";
import { get, h, spoken, toast } from "./dom.js";
import { mark } from "./marks.js";
import { keepAddress, state, tell } from "./state.js";

const HEIGHT = 78;
const PAGE = 100;
const SPARE = 6;

/* Matrices and the like, which are taller than a line. */
const TALL = /\\begin\{[^]*?\\end\{\w*\*?\}/g;

const MARKS = {
  accept: ["✓", "good", "accepted"],
  reject: ["✕", "bad", "rejected"],
  edit: ["✎", "edit", "edited"],
};

const box = get("rows");
const canvas = box.firstElementChild;

/* Briefs by position, the pages that are on their way, and the elements by position. */
let known = new Map();
let asked = new Set();
let shown = new Map();

/** Take a new search: its first page came along. */
export function fill(found) {
  known = new Map();
  asked = new Set([0, 1]); /* What the server sends along with a search. */
  shown = new Map();
  canvas.replaceChildren();
  state.view = found.view;
  state.total = found.total;
  state.terms = found.terms;
  keep(found);
  canvas.style.height = `${found.total * HEIGHT}px`;
  box.scrollTop = 0;
  draw();
}

/** Take a list that goes on where the one that is shown ends: what is shown stays. */
export function extend(found) {
  asked.delete(Math.floor(state.total / PAGE)); /* It may have been the last one and not full. */
  state.view = found.view;
  state.total = found.total;
  keep(found);
  canvas.style.height = `${found.total * HEIGHT}px`;
  for (const at of shown.keys()) redraw(at);
  draw();
}

function keep(page) {
  page.rows.forEach((brief, place) => known.set(page.begin + place, brief));
}

async function load(page) {
  if (asked.has(page)) return;
  asked.add(page);
  const pages = asked;
  try {
    const found = await ask("page", { view: state.view, begin: page * PAGE, count: PAGE, q: state.wish.q });
    if (pages !== asked) return;
    keep(found);
    for (let at = found.begin; at < found.begin + found.rows.length; at += 1) redraw(at);
  } catch (error) {
    pages.delete(page);
    toast(error.message, { bad: true });
  }
}

function draw() {
  const first = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - SPARE);
  const last = Math.min(state.total - 1, Math.ceil((box.scrollTop + box.clientHeight) / HEIGHT) + SPARE);
  for (const [at, node] of shown) {
    if (at < first || at > last) {
      node.remove();
      shown.delete(at);
    }
  }
  for (let at = first; at <= last; at += 1) {
    if (!shown.has(at)) {
      const node = item(at);
      shown.set(at, node);
      canvas.append(node);
    }
    if (!known.has(at)) load(Math.floor(at / PAGE));
  }
}

function redraw(at) {
  const before = shown.get(at);
  if (!before) return;
  const node = item(at);
  before.replaceWith(node);
  shown.set(at, node);
}

function item(at) {
  const brief = known.get(at);
  const chosen = at === state.index;
  const node = h("div", {
    class: chosen ? "item chosen" : "item",
    role: "option",
    id: `item-${at}`,
    "aria-selected": String(chosen),
  });
  node.setAttribute("aria-posinset", at + 1);
  node.setAttribute("aria-setsize", state.total);
  node.style.top = `${at * HEIGHT}px`;
  node.addEventListener("click", () => choose(at));
  if (!brief) {
    node.classList.add("coming");
    return node;
  }
  const [sign, kind, word] = MARKS[brief.review?.decision] ?? ["", "", ""];
  const state_ = h(
    "span",
    { class: `sign ${kind}`, title: word || null },
    sign,
    word && h("span", { class: "visually-hidden" }, word),
  );
  const head = prose.fill(h("p", { class: "head" }), brief.head.replaceAll(TALL, "…") || "(no text)");
  mark(head, state.terms);
  const foot = h("p", { class: "foot" }, h("span", { class: "cut" }, brief.task));
  if (brief.stage) foot.append(h("span", { class: "chip warn" }, spoken(brief.reason)));
  if (brief.review?.reason) foot.append(h("span", { class: "chip bad" }, brief.review.reason));
  if (brief.score !== null && brief.score !== undefined)
    foot.append(h("span", { class: "chip" }, `grade ${brief.score}`));
  node.append(state_, head, foot);
  return node;
}

/** Go to a position and show its sample; the list scrolls only as far as it must. */
export function choose(at) {
  if (!state.total) return;
  const before = state.index;
  state.index = Math.max(0, Math.min(state.total - 1, at));
  redraw(before);
  const top = state.index * HEIGHT;
  if (top < box.scrollTop + HEIGHT) box.scrollTop = top - HEIGHT;
  else if (top + 2 * HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + 2 * HEIGHT - box.clientHeight;
  draw();
  redraw(state.index);
  box.setAttribute("aria-activedescendant", `item-${state.index}`);
  keepAddress();
  tell("chosen");
}

/** Return the number of the sample at a position; its page is waited for. */
export async function rowAt(at) {
  if (!known.has(at)) {
    const found = await ask("page", { view: state.view, begin: at, count: 1, q: state.wish.q });
    keep(found);
  }
  return known.get(at)?.row;
}

/** Show a sample as it stands after a decision. */
export function refresh(brief) {
  for (const [at, each] of known) {
    if (each.id === brief.id) {
      known.set(at, { ...brief, row: each.row, head: each.row === brief.row ? brief.head : each.head });
      redraw(at);
    }
  }
}

/** The position of a sample in the list as far as it is known, else -1. */
export function positionOf(row) {
  for (const [at, brief] of known) if (brief.row === row) return at;
  return -1;
}

/** The next position after this one that nobody has decided on, as far as the list is known, else -1. */
export function nextOpen(from) {
  for (let at = from + 1; at < state.total; at += 1) {
    const brief = known.get(at);
    if (!brief) return at;
    if (!brief.review) return at;
  }
  return -1;
}

box.addEventListener("scroll", draw, { passive: true });
new ResizeObserver(draw).observe(box);
