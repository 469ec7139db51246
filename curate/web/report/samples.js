"use strict";

/* Samples to read: unpacked by parts when a task is chosen, shown with their formulas, reasons and scores. */
const samples = (() => {
  const { el } = core;
  let firsts = [];
  let reasons = [];
  const parts = new Map();

  function start(data) {
    firsts = data.shards;
    reasons = data.reasons;
  }

  function part(number) {
    if (!parts.has(number)) parts.set(number, core.json(`samples-${number}`));
    return parts.get(number);
  }

  /* The samples of a task: [] where the page holds none. */
  async function of(task) {
    const number = d3.bisectRight(firsts, task) - 1;
    return number < 0 ? [] : ((await part(number))[task] ?? []);
  }

  const score = (value) => (typeof value === "number" ? String(Math.round(value * 1000) / 1000) : String(value));

  function verdict(sample) {
    if (!sample.r) return sample.g === undefined ? null : el("span", { class: "chip good" }, `grade ${score(sample.g)}`);
    const parts = [core.reasonName(reasons[sample.r - 1])];
    if (sample.v !== undefined) parts.push(`score ${score(sample.v)}`);
    return el("span", { class: "chip bad" }, parts.join(" · "));
  }

  const ROLES = { user: "instruction", assistant: "response", reply: "the model's reply, cut" };

  function message([role, text]) {
    return el("div", { class: `message ${role === "user" ? "asked" : ""}` },
      el("p", { class: "role" }, ROLES[role] ?? role),
      prose.fill(el("div", { class: "prose", dir: "auto" }), text),
    );
  }

  /* A sample as a card; `longer` of its messages is folded away. */
  function card(sample) {
    return el("article", { class: "sample" },
      el("header", {}, verdict(sample), el("code", { class: "id" }, sample.i)),
      ...sample.m.map(message),
      sample.x && el("p", { class: "muted small" }, sample.x),
      sample.n && el("p", { class: "muted small" }, "too near to the accepted ", el("code", { class: "id" }, sample.n)),
      sample.c && el("p", { class: "muted small" }, "The text is cut here."),
    );
  }

  return { start, of, card, verdict, message };
})();
