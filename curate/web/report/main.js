"use strict";

/* Unpack the overview and draw the sections that the run has something for. */
(async () => {
  const { byId } = core;

  function show(id) {
    byId(id).hidden = false;
  }

  async function start() {
    core.startTheme();
    const data = await core.json("overview");
    byId("status").hidden = true;
    tasks.start(data);
    samples.start(data);
    head.draw(data);
    const shown = [["tree", "Tree"]];
    show("tree");
    search.start();
    treemap.start({ zoom: map.focus, choose: search.panel });
    search.panel(0);
    if (data.map) {
      shown.push(["map", "Map"]);
      show("map");
    }
    if (data.flow.candidates || data.flow.lost.length) {
      shown.push(["yield", "Yield"]);
      show("yield");
      flow.start(data);
    }
    if (data.groups.length || data.curve) {
      shown.push(["near", "Near-duplicates"]);
      show("near");
      if (data.curve) {
        show("curve");
        curve.start(byId("curve-plot"), data.curve);
      }
      near.start(data);
    }
    if (data.exam) {
      shown.push(["exam", "Exam"]);
      show("exam");
      exam.start(data.exam);
    }
    byId("measures").hidden = false;
    if (measures.start(data)) shown.push(["measures", "Diversity"]);
    else byId("measures").hidden = true;
    if (data.usage.length) {
      shown.push(["cost", "Cost"]);
      show("cost");
      cost.start(data);
    }
    head.sections(shown);
    if (data.map) await map.start(data);
    document.documentElement.dataset.ready = "1";
  }

  try {
    await start();
  } catch (error) {
    byId("status").hidden = false;
    byId("status").textContent = `This report could not be drawn: ${error.message}. A browser of 2024 or later shows it.`;
    throw error;
  }
})();
