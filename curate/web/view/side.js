/* The filters beside the list: kept or dropped, cause of the drop, decision. */

import { brief, get, h, number, spoken } from "./dom.js";
import { state, want } from "./state.js";

const WHICH = [
  ["kept", "Kept"],
  ["dropped", "Dropped"],
  ["all", "All"],
];

const REVIEWS = [
  ["any", "All"],
  ["open", "Undecided"],
  ["accept", "Accepted"],
  ["reject", "Rejected"],
  ["edit", "Edited"],
];

const ORDERS = [
  ["order", "As they lie", () => true],
  ["novel", "Most novel first", () => state.about.compared],
  ["near", "Most alike first", () => state.about.compared],
  ["best", "Best grade first", () => state.about.judged],
  ["worst", "Worst grade first", () => state.about.judged],
  ["long", "Longest first", () => true],
  ["short", "Shortest first", () => true],
  ["decided", "Last decided first", () => true],
];

export function start() {
  const { kept, dropped } = state.about;
  get("which").hidden = !dropped;
  const totals = { kept, dropped, all: kept + dropped };
  get("which").querySelectorAll("label").forEach((label) => label.remove());
  get("which").append(
    ...WHICH.map(([value, label]) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio",
          name: "which",
          value,
          onchange: () => want({ which: value, stage: "", reason: "" }),
        }),
        label,
        " ",
        h("span", { class: "count", title: number(totals[value]) }, brief(totals[value])),
      ),
    ),
  );
  get("order").replaceChildren(
    ...ORDERS.filter(([, , fits]) => fits()).map(([value, label]) => h("option", { value }, label)),
  );
  get("order").onchange = (event) => want({ order: event.target.value });
}

export function draw() {
  const { wish, facets } = state;
  for (const input of get("which").querySelectorAll("input")) input.checked = input.value === wish.which;
  get("order").value = wish.order;
  if (!facets) return;
  const all = Object.values(facets.reviews).reduce((sum, each) => sum + each, 0);
  const counts = { any: all, open: 0, accept: 0, reject: 0, edit: 0, ...facets.reviews };
  get("reviews").replaceChildren(
    h("h2", {}, "Review"),
    choices(
      REVIEWS.map(([value, label]) => [value, label, counts[value]]),
      wish.review,
      (value) => want({ review: value }),
    ),
  );
  drawCauses();
  const done = all - counts.open;
  get("progress").value = all ? done / all : 0;
  get("progress").title = `${number(done)} of ${number(all)} reviewed`;
}

function drawCauses() {
  const { wish, facets } = state;
  const box = get("causes");
  box.hidden = !facets.causes.length || wish.which === "kept";
  if (box.hidden) return;
  const known = facets.causes.map(([stage, reason, count]) => [
    JSON.stringify([stage, reason]),
    [h("span", { class: "muted" }, spoken(stage)), ` ${spoken(reason)}`],
    count,
  ]);
  const now = wish.stage ? JSON.stringify([wish.stage, wish.reason]) : "";
  const total = known.reduce((sum, [, , count]) => sum + count, 0);
  box.replaceChildren(
    h("h2", {}, "Dropped because"),
    choices([["", "Any cause", total], ...known], now, (value) => {
      const [stage, reason] = value ? JSON.parse(value) : ["", ""];
      want({ stage, reason });
    }),
  );
}

function choices(rows, now, pick) {
  return h(
    "ul",
    { class: "choices-side" },
    rows.map(([value, label, count]) =>
      h(
        "li",
        {},
        h(
          "button",
          { class: value === now ? "chosen" : null, "aria-pressed": String(value === now), onclick: () => pick(value) },
          h("span", { class: "cut" }, label),
          h("span", { class: "count" }, number(count)),
        ),
      ),
    ),
  );
}
