"use strict";

/* How many samples stay at each threshold of the cosine, with the one that was applied. */
const curve = (() => {
  const { count, percent } = core;
  const HEIGHT = 250;
  const MARGIN = { top: 24, right: 20, bottom: 40, left: 58 };

  /* `points` are [threshold, kept], ascending; `of` is how many samples there are. */
  function start(place, { points, applied, of }) {
    const draw = () => place.replaceChildren(plot(points, applied, of, place.clientWidth));
    draw();
    core.onResize(place, draw);
  }

  function plot(points, applied, of, width) {
    const x = d3.scaleLinear([points[0][0], 1], [MARGIN.left, width - MARGIN.right]);
    const low = d3.min(points, ([, kept]) => kept);
    const y = d3.scaleLinear([low > of / 2 ? Math.max(0, low - (of - low) * 0.15) : 0, of], [HEIGHT - MARGIN.bottom, MARGIN.top]).nice();
    const chosen = points.find(([level]) => level === applied);
    const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${HEIGHT}`).attr("width", width).attr("height", HEIGHT).attr("role", "img")
      .attr("aria-label", `Kept samples against the threshold: ${points.filter(([level]) => level === applied || Math.round(level * 100) % 10 === 0).map(([level, kept]) => `${count(kept)} at ${level}`).join(", ")}`);
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${HEIGHT - MARGIN.bottom})`)
      .call(d3.axisBottom(x).ticks(Math.max(3, width / 110)).tickSizeOuter(0));
    svg.append("g").attr("class", "axis lines").attr("transform", `translate(${MARGIN.left},0)`)
      .call(d3.axisLeft(y).ticks(4, of < 10000 ? ",d" : "~s").tickSize(-(width - MARGIN.left - MARGIN.right))).call((g) => g.select(".domain").remove());
    svg.append("text").attr("class", "axis-name").attr("x", width - MARGIN.right).attr("y", HEIGHT - 4).attr("text-anchor", "end").text("cosine above which two samples are the same");
    svg.append("path").attr("class", "line").attr("d", d3.line().x(([level]) => x(level)).y(([, kept]) => y(kept)).curve(d3.curveMonotoneX)(points));
    if (chosen) {
      svg.append("line").attr("class", "applied").attr("x1", x(applied)).attr("x2", x(applied)).attr("y1", MARGIN.top).attr("y2", HEIGHT - MARGIN.bottom);
      svg.append("circle").attr("class", "mark-dot").attr("r", 4.5).attr("cx", x(applied)).attr("cy", y(chosen[1]));
      const left = x(applied) > width / 2;
      svg.append("text").attr("class", "applied-name").attr("x", x(applied) + (left ? -9 : 9)).attr("y", MARGIN.top - 4).attr("text-anchor", left ? "end" : "start")
        .text(`applied: ${applied}, ${count(chosen[1])} kept`);
    }
    const middle = d3.bisector(([level]) => level).center;
    svg.on("mousemove", (event) => {
      const [level, kept] = points[middle(points, x.invert(d3.pointer(event, svg.node())[0]))];
      core.tip(event, `${level}: ${count(kept)} kept (${percent(kept / of)})`);
    }).on("mouseleave", () => core.tip(null));
    return svg.node();
  }

  return { start };
})();
