"use strict";

/* How diverse the dataset is, and how new what the calls bring still is. */
const measures = (() => {
  const { el, byId, count, percent } = core;
  const HEIGHT = 260;
  const MARGIN = { top: 14, right: 18, bottom: 38, left: 46 };

  function start({ novelty, figures, run, encoder }) {
    const curve = novelty && novelty.windows.length > 1;
    if (curve) startCurve(novelty);
    if (figures) startFigures(figures, run, encoder);
    return Boolean(curve || figures);
  }

  /* The curve of novelty against calls, or against paid tokens where there are some */

  function startCurve(novelty) {
    const box = byId("novelty");
    box.hidden = false;
    const place = el("div", { class: "plot" });
    const paid = novelty.windows.at(-1).tokens > 0;
    let by = "calls";
    const draw = () => place.replaceChildren(plot(novelty.windows, by, place.clientWidth));
    const choice = el("fieldset", { class: "segments", id: "novelty-by" }, el("legend", { class: "visually-hidden" }, "Against"));
    if (paid) core.segments(choice, [["calls", "calls"], ["tokens", "paid tokens"]], by, (value) => { by = value; draw(); });
    box.append(
      el("div", { class: "card-head" }, el("div", {}, el("h3", {}, "Novelty"), el("p", { class: "muted small" }, "Share of the good candidates that were no near-duplicate of what came before; the band holds 90 %.")), paid && choice),
      place, forecast(novelty), branches(novelty));
    for (const node of [...box.firstChild.childNodes]) if (node.nodeType === Node.TEXT_NODE) node.remove();
    draw();
    core.onResize(place, draw);
  }

  function forecast({ forecast: next, whole }) {
    const words = [];
    if (next) words.push(`The next ${core.counted(next.calls, "call")} will add ${count(next.low)}–${count(next.high)} rows (nine times in ten).`);
    if (whole.per_million) words.push(`${count(Math.round(whole.per_million))} accepted rows per million paid tokens.`);
    return words.length ? el("p", { class: "forecast" }, words.join(" ")) : "";
  }

  function branches({ branches: given }) {
    const paid = given.filter((branch) => branch.per_million !== null);
    if (paid.length < 2) return "";
    const most = d3.max(paid, (branch) => branch.per_million);
    const rows = [...paid].sort((a, b) => b.per_million - a.per_million);
    return el("details", {}, el("summary", {}, "Rows per million paid tokens, by branch"), el("table", {}, el("tbody", {}, ...rows.map((branch) => el("tr", {},
      el("td", { dir: "auto" }, branch.branch), el("td", { class: "number" }, count(Math.round(branch.per_million))),
      el("td", { class: "bar" }, el("span", { class: "bar-cell" }, el("span", { style: { width: `${(branch.per_million / most) * 100}%`, background: "var(--accent)" } }))))))));
  }

  function plot(windows, by, width) {
    const x = d3.scaleLinear([0, windows.at(-1)[by]], [MARGIN.left, width - MARGIN.right]);
    const low = Math.max(0, Math.floor((d3.min(windows, (w) => w.low) - 0.02) * 10) / 10);
    const y = d3.scaleLinear([low, 1], [HEIGHT - MARGIN.bottom, MARGIN.top]);
    const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${HEIGHT}`).attr("width", width).attr("height", HEIGHT).attr("role", "img")
      .attr("aria-label", `Novelty against ${by}: from ${percent(windows[0].novelty)} to ${percent(windows.at(-1).novelty)}`);
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${HEIGHT - MARGIN.bottom})`)
      .call(d3.axisBottom(x).ticks(Math.max(3, width / 130), windows.at(-1)[by] < 10000 ? ",d" : "~s").tickSizeOuter(0));
    svg.append("g").attr("class", "axis lines").attr("transform", `translate(${MARGIN.left},0)`)
      .call(d3.axisLeft(y).ticks(4, "%").tickSize(-(width - MARGIN.left - MARGIN.right))).call((g) => g.select(".domain").remove());
    svg.append("text").attr("class", "axis-name").attr("x", width - MARGIN.right).attr("y", HEIGHT - 4).attr("text-anchor", "end").text(by === "calls" ? "calls that wrote samples" : "paid tokens, with votes and grades");
    svg.append("path").attr("class", "band").attr("d", d3.area().x((w) => x(w[by])).y0((w) => y(w.low)).y1((w) => y(w.high)).curve(d3.curveMonotoneX)(windows));
    svg.append("path").attr("class", "line").attr("d", d3.line().x((w) => x(w[by])).y((w) => y(w.novelty)).curve(d3.curveMonotoneX)(windows));
    svg.append("g").selectAll("circle").data(windows).join("circle").attr("class", "mark-dot").attr("r", 3).attr("cx", (w) => x(w[by])).attr("cy", (w) => y(w.novelty));
    const middle = d3.bisector((w) => w[by]).center;
    svg.on("mousemove", (event) => {
      const w = windows[middle(windows, x.invert(d3.pointer(event, svg.node())[0]))];
      core.tip(event, `after ${count(w.calls)} calls${w.tokens ? `, ${core.amount(w.tokens)} tokens` : ""}: novelty ${percent(w.novelty)} (${percent(w.low)}–${percent(w.high)}), ${count(w.rows)} new rows`);
    }).on("mouseleave", () => core.tip(null));
    return svg.node();
  }

  /* The figures, each against a random subset of the same size where there is one */

  const ARROWS = { high: "↑", low: "↓", "": "" };
  const UNITS = new Set(["pairs", "words"]);

  const number = (value) => (value === null ? "–" : Math.abs(value) >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(3))));

  function taken({ samples, of, intervals }, run, encoder) {
    const words = [`Taken on ${samples < of ? `${count(samples)} random ones of ` : ""}${count(of)} accepted samples, of their instructions; embeddings are ${encoder} vectors.`];
    if (!intervals) words.push(el("span", {}, el("span", { class: "mono" }, ` curate report ${run.folder}`), " adds intervals."));
    return words;
  }

  function startFigures(given, run, encoder) {
    const { figures } = given;
    const box = byId("figures");
    box.hidden = false;
    const compared = figures.some((figure) => figure.random_value !== null);
    const heads = ["figure", "value", ...(given.intervals ? ["95 % interval"] : []), ...(compared ? ["random subset"] : []), "taken on"];
    box.append(
      el("div", { class: "card-head" }, el("div", {}, el("h3", {}, "Diversity"), el("p", { class: "muted small" }, ...taken(given, run, encoder)))),
      el("div", { class: "measured" }, el("div", { class: "scrolls" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((name, at) => el("th", { scope: "col", class: at ? "number" : "" }, name)))),
        el("tbody", {}, ...figures.map((figure) => el("tr", {},
          el("td", {}, el("span", { title: figure.source }, figure.label), el("span", { class: "muted small" }, ` ${ARROWS[figure.diverse]}`), figure.note && el("p", { class: "muted small" }, figure.note)),
          el("td", { class: "number strong" }, figure.unit === "share" ? percent(figure.value) : number(figure.value), UNITS.has(figure.unit) && el("span", { class: "muted" }, ` ${figure.unit}`)),
          given.intervals && el("td", { class: "number muted" }, figure.low === null ? "–" : `${figure.unit === "share" ? `${percent(figure.low)} – ${percent(figure.high)}` : `${number(figure.low)} – ${number(figure.high)}`}`),
          compared && el("td", { class: "number muted" }, number(figure.random_value)),
          el("td", { class: "number muted" }, count(figure.n)))))),
        el("p", { class: "muted small" }, "↑ higher and ↓ lower is more diverse.")), pictures.all(given)));
  }

  return { start };
})();
