"use strict";

/* The page of `curate dedup`: what it kept, the curve, and the largest groups. */
(async () => {
  const { byId, el, count, percent } = core;

  const tile = (value, name, note) => el("div", { class: "tile" }, el("dt", {}, name), el("dd", {}, value), note && el("p", { class: "muted small" }, note));
  const fact = (name, value) => value !== null && value !== undefined && value !== "" && el("div", {}, el("dt", {}, name), el("dd", {}, String(value)));

  function draw(found) {
    const { settings } = found;
    byId("head").replaceChildren(
      el("div", { class: "title" }, el("h1", {}, found.source)),
      el("dl", { class: "facts" }, ...[
        fact("kept of its like", settings.keep), fact("ROUGE-L", settings.rouge), fact("embedder", settings.embedder),
        fact("threshold", settings.threshold), fact("calibrated", settings.calibrated), fact("compared", settings.field),
        fact("against", settings.against), fact("pairs", found.search),
      ].filter(Boolean)),
      el("dl", { class: "tiles" },
        tile(count(found.kept), "kept", `${percent(found.total ? found.kept / found.total : null)} of ${core.counted(found.total, "sample")}`),
        ...found.reasons.map(([reason, dropped]) => tile(count(dropped), core.reasonName(reason), "dropped"))),
    );
    byId("foot").append(`Written by curate ${found.version}. This file holds all it shows, loads nothing and sends nothing. `,
      el("span", { class: "mono" }, `curate show ${found.out} --dropped`), " shows every dropped sample.");
  }

  async function start() {
    core.startTheme();
    const found = await core.json("dedup");
    byId("status").hidden = true;
    draw(found);
    const shown = [];
    if (found.curve.length > 1) {
      shown.push(["curve", "Curve"]);
      byId("curve").hidden = false;
      curve.start(byId("curve-plot"), { points: found.curve, applied: found.settings.threshold, of: found.total });
    }
    if (found.groups.length) {
      shown.push(["near", "Groups"]);
      byId("near").hidden = false;
      near.start({ groups: found.groups, reasons: found.reasons.map(([reason]) => reason), name: "kept" });
    }
    head.sections(shown);
    document.documentElement.dataset.ready = "1";
  }

  try {
    await start();
  } catch (error) {
    byId("status").hidden = false;
    byId("status").textContent = `This page could not be drawn: ${error.message}. A browser of 2024 or later shows it.`;
    throw error;
  }
})();
