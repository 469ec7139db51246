"use strict";

/* The yield as a flow: from what was asked, through every stage, to what was accepted; what is dropped leaves below. */
const flow = (() => {
  const { el, byId, count, percent } = core;
  const TRUNK = 170; /* pixels of the thickest stage */
  const TOP = 24;
  const LINE = 19;
  const NARROW = 640;

  function start({ flow: given, reasons }) {
    const lost = d3.sum(given.lost, ([, n]) => n);
    const words = [`${core.counted(given.calls, "call")} asked for ${core.counted(given.asked, "sample")}; ${count(given.candidates)} came and ${count(given.accepted)} were accepted.`];
    if (lost) words.push(`Of ${core.counted(lost, "call")} nothing could be used (${given.lost.map(([name, n]) => `${core.spaced(name)} ${count(n)}`).join(", ")}).`);
    byId("yield-lead").textContent = words.join(" ");
    const colours = new Map(reasons.map(([stage, reason], at) => [`${stage}: ${reason}`, search.reasonColour(at + 1)]));
    const place = byId("flow");
    const draw = () => place.replaceChildren(...(place.clientWidth < NARROW ? [] : [picture(given, colours, place.clientWidth)]));
    draw();
    core.onResize(place, draw);
    byId("flow-table").parentNode.open = place.clientWidth < NARROW;
    byId("flow-table").replaceChildren(table(given, colours));
  }

  /* Nodes and links: the trunk first in each column, so that it runs along the top. */
  function graph(given) {
    const nodes = [];
    const links = [];
    const add = (id, name, column, kind, colour) => nodes.push({ id, name, column, kind, colour }) && id;
    let column = 0;
    let trunk = null;
    if (given.asked > given.candidates) {
      trunk = add("asked", "asked", column++, "trunk");
      links.push({ source: trunk, target: "candidates", value: given.candidates });
      links.push({ source: trunk, target: "missing", value: given.asked - given.candidates, lost: true });
    }
    trunk = add("candidates", "candidates", column, "trunk");
    if (links.length) add("missing", "did not come", column, "drop");
    for (const [stage, , kept, why] of given.stages) {
      column += 1;
      const next = stage === given.stages.at(-1)[0] ? "accepted" : `after ${stage}`;
      if (kept || next === "accepted") {
        add(next, next === "accepted" ? "accepted" : `after ${core.spaced(stage)}`, column, "trunk");
        links.push({ source: trunk, target: next, value: kept });
      }
      for (const [reason, n] of why) {
        const id = `${stage}: ${reason}`;
        add(id, core.spaced(reason), column, "drop");
        links.push({ source: trunk, target: id, value: n, lost: true });
      }
      trunk = next;
    }
    if (!given.stages.length) {
      add("accepted", "accepted", column + 1, "trunk");
      links.push({ source: trunk, target: "accepted", value: given.accepted });
    }
    return { nodes, links: links.filter((link) => link.value > 0 && nodes.some((node) => node.id === link.target)) };
  }

  function picture(given, colours, width) {
    const { nodes, links } = graph(given);
    if (!links.length) return el("p", { class: "muted" }, "Nothing came.");
    const used = nodes.filter((node) => links.some((link) => link.source === node.id || link.target === node.id));
    const laid = d3.sankey().nodeId((node) => node.id).nodeWidth(9).nodePadding(0).nodeSort(null).linkSort(null).iterations(0)
      .nodeAlign((node) => node.column).extent([[1, TOP], [width - 150, TOP + TRUNK]])({ nodes: used, links });
    settle(laid);
    const height = d3.max(laid.nodes, (node) => node.y1) + 16;
    const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("height", height).attr("role", "img")
      .attr("aria-label", `Flow of ${count(given.candidates)} candidates to ${count(given.accepted)} accepted rows; the table below has the numbers`);
    const colour = (node) => (node.kind === "trunk" ? "var(--good)" : (colours.get(node.id) ?? "var(--ink-3)"));
    svg.append("g").attr("fill", "none").selectAll("path").data(laid.links).join("path")
      .attr("d", d3.sankeyLinkHorizontal()).attr("stroke-width", (link) => Math.max(1.2, link.width))
      .style("stroke", (link) => colour(link.target)).attr("stroke-opacity", (link) => (link.lost ? 0.55 : 0.28))
      .on("mousemove", (event, link) => core.tip(event, told(link))).on("mouseleave", () => core.tip(null));
    const node = svg.append("g").selectAll("g").data(laid.nodes).join("g");
    node.append("rect").attr("x", (d) => d.x0).attr("y", (d) => d.y0).attr("width", 9).attr("height", (d) => Math.max(2, d.y1 - d.y0)).attr("rx", 2).style("fill", colour);
    const text = node.append("text").attr("class", (d) => `flow-label ${d.kind}`)
      .attr("x", (d) => (d.kind === "trunk" && d.column < given.stages.length ? d.x0 : d.x1 + 6))
      .attr("y", (d) => (d.kind === "trunk" ? (d.id === "accepted" ? (d.y0 + d.y1) / 2 : d.y0 - 6) : (d.y0 + d.y1) / 2)).attr("dy", (d) => (d.kind === "trunk" && d.id !== "accepted" ? 0 : "0.35em"));
    text.append("tspan").text((d) => `${d.name} `);
    text.append("tspan").attr("class", "n").text((d) => count(d.value));
    return svg.node();
  }

  /* The trunk stays at the top of every column; what leaves stands below it, clear of the trunk's first stage. */
  function settle(laid) {
    const below = d3.max(laid.nodes, (node) => (node.kind === "trunk" ? node.y1 - node.y0 : 0)) + TOP + 26;
    for (const [, column] of d3.group(laid.nodes, (node) => node.column)) {
      let y = TOP;
      for (const node of column.sort((a, b) => (a.kind === "trunk" ? -1 : b.kind === "trunk" ? 1 : b.value - a.value))) {
        const tall = node.y1 - node.y0;
        node.y0 = y;
        node.y1 = y + tall;
        /* Names are wider than columns: they stand on every second line, in turns. */
        y = node.kind === "trunk" ? below + (node.column % 2) * LINE : y + Math.max(tall, 4) + 2 * LINE - 4;
      }
    }
    d3.sankey().nodeId((node) => node.id).linkSort((a, b) => Number(Boolean(a.lost)) - Number(Boolean(b.lost))).update(laid);
  }

  const told = (link) => `${link.lost ? link.target.name : `${link.source.name} → ${link.target.name}`}: ${count(link.value)} (${percent(link.value / link.source.value)})`;

  function table(given, colours) {
    const bar = (share, colour) => el("span", { class: "bar-cell" }, el("span", { style: { width: `${Math.max(share * 100, share > 0 ? 0.6 : 0)}%`, background: colour } }));
    const row = (name, left, gone, colour, inner) => el("tr", { class: inner ? "inner" : "" }, el("td", {}, name),
      el("td", { class: "number" }, left === null ? "" : count(left)), el("td", { class: "number" }, gone === null ? "" : `−${count(gone)}`),
      el("td", { class: "bar" }, bar((left ?? gone) / Math.max(given.asked, 1), colour)));
    const rows = [row("asked", given.asked, null, "var(--ink-3)"), row("candidates", given.candidates, given.asked > given.candidates ? given.asked - given.candidates : null, "var(--good)")];
    for (const [stage, from, kept, why] of given.stages) {
      rows.push(row(core.spaced(stage), kept, from - kept, "var(--good)"));
      if (why.length > 1 || why[0][0] !== stage) rows.push(...why.map(([reason, n]) => row(core.spaced(reason), null, n, colours.get(`${stage}: ${reason}`) ?? "var(--ink-3)", true)));
    }
    rows.push(el("tr", { class: "total" }, el("td", {}, "accepted"), el("td", { class: "number" }, count(given.accepted)), el("td", { class: "number" }, percent(given.candidates ? given.accepted / given.candidates : 0)), el("td", { class: "bar" }, bar(given.accepted / Math.max(given.asked, 1), "var(--good)"))));
    return el("table", {}, el("thead", {}, el("tr", {}, ...["stage", "left", "dropped", ""].map((name, at) => el("th", { class: at === 1 || at === 2 ? "number" : "", scope: "col" }, name)))), el("tbody", {}, ...rows));
  }

  return { start };
})();
