"use strict";

/* The page of one examination: its head, and the parts that exam.js draws. */
(async () => {
  const { byId, el, count, counted, percent } = core;

  function tiles(found) {
    const needed = d3.sum(found.tasks, (task) => task.needed);
    const made = [
      exam.tile(count(found.total), "samples"),
      exam.tile(percent(found.total ? needed / found.total : null), "need knowledge", counted(needed, "sample")),
      exam.tile(count(found.questions.accepted), "questions", `${count(found.questions.written)} written`),
    ];
    for (const student of found.students) {
      const known = exam.known(student);
      made.push(exam.tile(student.able ? percent(known.share) : "–", `known to ${student.label}`,
        student.able ? `${count(known.yes)} of ${count(known.all)} examined` : "cannot take this exam"));
    }
    const aside = found.outcomes.set_aside ?? 0;
    if (aside) made.push(exam.tile(count(aside), "set aside", "in no dataset"));
    return made;
  }

  function draw(found) {
    const { settings } = found;
    const fact = (name, value) => value && el("div", {}, el("dt", {}, name), el("dd", {}, String(value)));
    byId("head").replaceChildren(
      el("div", { class: "title" }, el("h1", {}, found.source)),
      el("dl", { class: "facts" }, ...[
        fact("teacher", settings.teacher), fact("judge", settings.judge !== settings.teacher && settings.judge),
        fact("documents", settings.documents), fact("option orders", settings.orders), fact("seed", settings.seed),
        fact("treatments", (settings.treat ?? []).map(core.spaced).join(", ")),
      ].filter(Boolean)),
      el("dl", { class: "tiles" }, ...tiles(found)),
    );
    byId("foot").append(`Written by curate ${found.version}. This file holds all it shows, loads nothing and sends nothing.`);
  }

  async function start() {
    core.startTheme();
    const found = await core.json("exam");
    byId("status").hidden = true;
    draw(found);
    const shown = exam.parts(found).map(([id, name, ...nodes]) => {
      byId(id).hidden = false;
      byId(id).replaceChildren(...nodes);
      return [id, name];
    });
    if (found.usage.length) {
      shown.push(["cost", "Cost"]);
      byId("cost").hidden = false;
      cost.start({ usage: found.usage });
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
