"use strict";

/* The head of the page: what the run is, how it ended, and its key figures. */
const head = (() => {
  const { el, byId, count, counted, percent, amount, money } = core;

  const ENDS = {
    "": ["good", "complete"],
    saturated: ["warn", "stopped: nothing new came"],
    budget: ["warn", "stopped: the budget was spent"],
    stopped: ["warn", "stopped by hand"],
  };

  function ending(run) {
    if (run.tree_only) return ["", "tree only, no samples yet"];
    return ENDS[run.stopped] ?? ["warn", `stopped: ${core.spaced(run.stopped)}`];
  }

  function tile(value, name, note) {
    return el("div", { class: "tile" }, el("dt", {}, name), el("dd", {}, value), note && el("p", { class: "muted small" }, note));
  }

  function totals(usage) {
    const sum = (key) => usage.reduce((all, row) => all + row[key], 0);
    const known = usage.every((row) => row.cost !== null);
    const priced = usage.reduce((all, row) => all + (row.cost ?? 0), 0);
    return { priced, calls: sum("calls"), failed: sum("failed"), tokens: sum("input_tokens") + sum("output_tokens"), cost: known ? sum("cost") : null };
  }

  function tiles({ run, usage, novelty }) {
    const spent = totals(usage);
    const made = [];
    if (!run.tree_only) {
      const share = run.candidates ? `${percent(run.accepted / run.candidates)} of ${counted(run.candidates, "candidate")}` : "no candidates";
      made.push(tile(count(run.accepted), "accepted rows", share));
    }
    made.push(tile(count(run.tasks), "tasks", `${counted(run.leaves, "leaf", "leaves")}, ${counted(run.depth, "level")} deep`));
    if (novelty && novelty.latest !== null) {
      made.push(tile(percent(novelty.latest), "novelty at the end", "of the last good candidates were new"));
    }
    made.push(tile(count(spent.calls), "calls", spent.failed ? `${count(spent.failed)} gave nothing` : run.rounds > 0 && counted(run.rounds, "round")));
    made.push(tile(spent.tokens ? amount(spent.tokens) : "none", "tokens", spent.tokens ? rate(novelty) : "nothing was billed"));
    made.push(tile(money(spent.cost), "cost", spent.cost === null ? unpriced(spent.priced) : perRow(run, spent.cost)));
    return made;
  }

  function rate(novelty) {
    const value = novelty?.whole.per_million;
    return value ? `${count(Math.round(value))} rows per million` : "";
  }

  const unpriced = (priced) => (priced ? `${money(priced)} and what has no known price` : "no model's price is known");

  function perRow(run, cost) {
    return cost && run.accepted ? `$${((cost / run.accepted) * 1000).toPrecision(2)} per 1,000 rows` : "";
  }

  function fact(name, value) {
    return value === "" || value === null || value === undefined ? null : el("div", {}, el("dt", {}, name), el("dd", {}, String(value)));
  }

  function facts(run) {
    const when = new Date(run.when);
    return [
      ...Object.entries(run.models).map(([role, name]) => fact(role, name)),
      fact("language", run.language),
      fact("seed", run.seed),
      ...Object.entries(run.checks).map(([name, value]) => fact(name, value)),
      fact("written", when.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })),
    ];
  }

  function draw(data) {
    const { run } = data;
    const [kind, words] = ending(run);
    byId("head").replaceChildren(
      el("div", { class: "title" },
        el("h1", {}, run.domain),
        el("span", { class: `chip ${kind}` }, words),
      ),
      run.root !== run.domain && el("p", { class: "root" }, run.root),
      run.about && prose.fill(el("p", { class: "about" }), run.about),
      el("dl", { class: "facts" }, ...facts(run).filter(Boolean)),
      el("dl", { class: "tiles" }, ...tiles(data)),
    );
    for (const node of [...byId("head").childNodes]) if (node.nodeType === Node.TEXT_NODE) node.remove();
    byId("foot").append(
      `Written by curate ${run.version}. This file holds all it shows, loads nothing and sends nothing. `,
      el("span", { class: "mono" }, `curate view ${run.folder}`), " shows every sample.",
    );
  }

  function sections(shown) {
    byId("sections").replaceChildren(...shown.map(([id, name]) => el("a", { href: `#${id}` }, name)));
  }

  return { draw, sections };
})();
