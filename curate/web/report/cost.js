"use strict";

/* What every stage asked of every model: calls, tokens, money and time. */
const cost = (() => {
  const { el, byId, count, amount, money, span } = core;

  function start({ usage, run }) {
    const sum = (key) => d3.sum(usage, (row) => row[key]);
    const known = usage.every((row) => row.cost !== null);
    const most = Math.max(d3.max(usage, (row) => row.input_tokens + row.output_tokens) ?? 0, 1);
    const timed = usage.some((row) => row.seconds > 0);
    const possibly = sum("possibly");
    byId("cost-lead").textContent = [
      "All that this folder's ledger holds, over the run's whole life.",
      timed && "Time is the sum of all calls' latencies; calls side by side add up to more than the clock shows.",
      possibly && `${core.counted(possibly, "request")} brought no reply and may have been billed: their tokens are upper bounds.`,
      !known && "A price that is not known is not counted as nothing.",
    ].filter(Boolean).join(" ");
    const cells = (row, name) => [
      el("td", {}, name), el("td", { class: "mono small" }, row.model ?? ""),
      el("td", { class: "number" }, count(row.calls)), el("td", { class: "number" }, row.failed ? count(row.failed) : "–"),
      el("td", { class: "number" }, row.input_tokens ? amount(row.input_tokens) : "–"), el("td", { class: "number" }, row.output_tokens ? amount(row.output_tokens) : "–"),
      el("td", { class: "bar" }, tokens(row, most)),
      el("td", { class: `number${row.cost === null ? " warned" : ""}` }, money(row.cost)), el("td", { class: "number" }, row.seconds ? span(row.seconds) : "–"),
    ];
    const heads = ["stage", "model", "calls", "failed", "tokens in", "tokens out", "in and out", "cost", "time"];
    const total = { calls: sum("calls"), failed: sum("failed"), input_tokens: sum("input_tokens"), output_tokens: sum("output_tokens"), cost: known ? sum("cost") : null, seconds: sum("seconds") };
    byId("usage").replaceChildren(el("table", {},
      el("thead", {}, el("tr", {}, ...heads.map((name, at) => el("th", { scope: "col", class: at > 1 && at !== 6 ? "number" : at === 6 ? "bar" : "" }, name)))),
      el("tbody", {}, ...usage.map((row) => el("tr", {}, ...cells(row, row.stage === row.role || !row.role ? row.stage : `${row.stage} (${row.role})`))),
        el("tr", { class: "total" }, ...cells({ ...total, total: true }, "total")))));
    return run;
  }

  /* Tokens in and out as one bar; the total has none, it would dwarf the others. */
  function tokens(row, most) {
    if (row.total || !(row.input_tokens + row.output_tokens)) return "";
    const part = (n, colour) => el("span", { style: { width: `${(n / most) * 100}%`, background: colour } });
    return el("span", { class: "bar-cell" }, part(row.input_tokens, "var(--c7)"), part(row.output_tokens, "var(--accent)"));
  }

  return { start };
})();
