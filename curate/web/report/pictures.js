"use strict";

/* Two pictures beside the figures: root verbs with their objects, and how long the texts are. */
const pictures = (() => {
  const { el, count, percent } = core;
  const VERBS = 20;
  const NOUNS = 4;
  const SIZE = 340;
  const words = (length) => count(Math.round(length));

  function all({ verbs, lengths }) {
    return el("div", { class: "pictures" }, ...(verbs.length > 4 ? [sunburst(verbs)] : []), ...Object.entries(lengths).map(([name, found]) => histogram(name, found)));
  }

  /* The inner ring holds the most frequent verbs, the outer one their most frequent objects (Wang et al. 2023). */
  function tree(verbs) {
    const byVerb = d3.rollups(verbs, (rows) => ({ total: d3.sum(rows, ([, , n]) => n), nouns: rows.slice(0, NOUNS) }), ([verb]) => verb);
    byVerb.sort((a, b) => b[1].total - a[1].total);
    return byVerb.slice(0, VERBS).map(([verb, { total, nouns }]) => {
      const rest = total - d3.sum(nouns, ([, , n]) => n);
      return { name: verb, children: [...nouns.map(([, noun, n]) => ({ name: noun, n })), ...(rest ? [{ name: "", n: rest }] : [])] };
    });
  }

  function sunburst(verbs) {
    const root = d3.partition().size([2 * Math.PI, SIZE / 2])(d3.hierarchy({ children: tree(verbs) }).sum((d) => d.n ?? 0));
    const rings = [0, 46, 112, SIZE / 2 - 2];
    const colour = (d) => `var(--c${root.children.indexOf(d.depth === 1 ? d : d.parent) % 12})`;
    const arc = d3.arc().startAngle((d) => d.x0).endAngle((d) => d.x1).padAngle(0.006).innerRadius((d) => rings[d.depth]).outerRadius((d) => rings[d.depth + 1] - 1);
    const svg = d3.create("svg").attr("viewBox", [-SIZE / 2, -SIZE / 2, SIZE, SIZE]).attr("role", "img")
      .attr("aria-label", `Root verbs and their objects; the most frequent verb is ${root.children[0].data.name}`);
    const parts = root.descendants().filter((d) => d.depth && d.data.name);
    svg.append("g").selectAll("path").data(parts).join("path").attr("d", arc).style("fill", colour).attr("fill-opacity", (d) => (d.depth === 1 ? 0.85 : 0.45))
      .on("mousemove", (event, d) => core.tip(event, `${d.depth === 1 ? d.data.name : `${d.parent.data.name} ${d.data.name}`}: ${count(d.value)} (${percent(d.value / root.value)})`)).on("mouseleave", () => core.tip(null));
    svg.append("g").attr("class", "spokes").selectAll("text").data(parts.filter((d) => (d.x1 - d.x0) * (rings[d.depth] + 20) > 13)).join("text")
      .attr("transform", (d) => {
        const angle = (((d.x0 + d.x1) / 2) * 180) / Math.PI;
        return `rotate(${angle - 90}) translate(${(rings[d.depth] + rings[d.depth + 1]) / 2},0) rotate(${angle < 180 ? 0 : 180})`;
      })
      .attr("dy", "0.34em").text((d) => (d.data.name.length > 10 ? `${d.data.name.slice(0, 9)}…` : d.data.name));
    return el("figure", {}, svg.node(), el("figcaption", { class: "muted small" }, "Root verbs and their objects"));
  }

  function histogram(name, { p5, p50, p95, edges, counts }) {
    const [width, height, foot] = [SIZE, 96, 18];
    const x = d3.scaleLinear([edges[0], edges.at(-1)], [0, width]);
    const y = d3.scaleLinear([0, d3.max(counts) || 1], [0, height - foot]);
    const svg = d3.create("svg").attr("viewBox", [0, 0, width, height]).attr("role", "img").attr("aria-label", `Words of the ${name}: ${words(p50)} in the middle`);
    svg.selectAll("rect").data(counts).join("rect").attr("class", "bin").attr("x", (_, at) => x(edges[at]) + 0.5).attr("width", (_, at) => Math.max(0.5, x(edges[at + 1]) - x(edges[at]) - 1))
      .attr("y", (n) => height - foot - y(n)).attr("height", y);
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - foot})`).call(d3.axisBottom(x).ticks(5).tickSizeOuter(0));
    return el("figure", {}, svg.node(), el("figcaption", { class: "muted small" }, `Words of the ${name}: ${words(p50)} in the middle, nine in ten from ${words(p5)} to ${words(p95)}`));
  }

  return { all };
})();
