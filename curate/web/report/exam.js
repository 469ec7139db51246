"use strict";

/* An examination: what each student knows, by task and threshold, what became of the questions, and some to look at. */
const exam = (() => {
  const { el, byId, count, counted, percent, spaced } = core;

  const WAYS = { letter: "letters", text: "texts", votes: "written letters" };
  const CLASSES = [
    ["consistent", "known", "var(--good)"],
    ["inconsistent", "not known", "var(--bad)"],
    ["no_need", "needs no knowledge", "var(--ink-3)"],
    ["set_aside", "set aside", "var(--warn)"],
    ["empty", "empty", "var(--line-2)"],
  ];
  const NAMES = Object.fromEntries(CLASSES.map(([name, words]) => [name, words]));
  const FIRST = 3; /* examples of each kind shown before the button */
  const ROWS = 20; /* tasks shown before the button */
  const LETTERS = "ABCDEFGHIJ";

  const tile = (value, name, note) => el("div", { class: "tile" }, el("dt", {}, name), el("dd", {}, value), note && el("p", { class: "muted small" }, note));

  function known(student) {
    const yes = student.classes?.consistent ?? 0;
    const all = yes + (student.classes?.inconsistent ?? 0);
    return { yes, all, share: all ? yes / all : null };
  }

  const heading = (title, lead) => el("div", { class: "section-head" }, el("div", {}, el("h2", {}, title), lead && el("p", { class: "lead" }, lead)));

  /* The classes of some samples as one bar. */
  function bar(classes, total) {
    const parts = CLASSES.filter(([name]) => classes[name]);
    return el("span", {
      class: "exam-bar", role: "img",
      "aria-label": parts.map(([name, words]) => `${words}: ${classes[name]}`).join(", "),
      mousemove: (event) => core.tip(event, parts.map(([name, words]) => `${words} ${count(classes[name])}`).join(" · ")),
      mouseleave: () => core.tip(null),
    }, ...parts.map(([name, , colour]) => el("span", { style: { width: `${(100 * classes[name]) / Math.max(1, total)}%`, background: colour } })));
  }

  const legend = () => el("p", { class: "exam-legend small" }, ...CLASSES.map(([, words, colour]) => el("span", {}, el("i", { style: { background: colour } }), words)));

  /* Students */

  function control(student) {
    const told = Object.entries(student.control).filter(([, [, put]]) => put)
      .map(([way, [right, put]]) => `${percent(right / put)} of ${counted(put, "question")} by ${WAYS[way]}`);
    return told.length ? `With the knowledge in the prompt: ${told.join(", ")}.` : "";
  }

  function rule(student) {
    return student.rule === "votes"
      ? `Known: at least ${percent(student.threshold)} of its questions right, by ${WAYS[student.way]}.`
      : `Known: the right options have a probability above ${student.threshold} (geometric mean over the questions), by ${WAYS[student.way]}.`;
  }

  function luck(student) {
    const found = student.ways[student.way].luck;
    if (student.rule === "votes") return `Guessing passes ${percent(found.votes)} of what is not known.`;
    return `An even guess never passes; a guesser as sure as this student passes ${percent(found.mean)}. By two of three right, the paper's rule, ${percent(found.votes)}.`;
  }

  /* How many samples each threshold would call known; the one that decided is marked. */
  function thresholds(student) {
    const ways = Object.entries(student.ways).filter(([, way]) => way.passing[student.rule]);
    if (!ways.length) return "";
    const limits = [...new Set(ways.flatMap(([, way]) => way.passing[student.rule].map(([limit]) => limit)))].sort((a, b) => a - b);
    const cell = (way, limit) => {
      const found = way.passing[student.rule].find(([each]) => each === limit);
      return el("td", { class: `number${limit === student.threshold ? " strong" : ""}` }, found ? percent(found[1] / Math.max(1, way.scored)) : "–");
    };
    return el("div", { class: "scrolls" }, el("table", { class: "exam-limits" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "known at the threshold"), ...limits.map((limit) => el("th", { scope: "col", class: "number" }, String(Math.round(limit * 100) / 100))))),
      el("tbody", {}, ...ways.map(([name, way]) => el("tr", {},
        el("td", {}, WAYS[name], name === student.way && ways.length > 1 && el("span", { class: "muted" }, " (decides)")), ...limits.map((limit) => cell(way, limit)))))));
  }

  function differ(student) {
    const other = Object.keys(student.ways).find((way) => way !== student.way);
    const { only_way: fewer = 0, only_other: more = 0 } = student.differ;
    if (!other || !(fewer + more)) return "";
    return `By ${WAYS[other]} ${counted(more, "sample")} more would be known and ${count(fewer)} fewer.`;
  }

  function card(student) {
    const { yes, all, share } = known(student);
    const chip = student.able ? el("span", { class: "chip good" }, "takes the exam") : el("span", { class: "chip bad" }, "cannot take this exam");
    const head = el("div", { class: "card-head" }, el("div", {}, el("h3", {}, student.label), el("p", { class: "muted small" }, student.notes.join(" · "))), chip);
    if (!student.able) {
      const least = `Less than ${percent(student.least)} right: it does not read such questions, so its answers without the knowledge say nothing. Nothing was treated for it.`;
      return el("article", { class: "card exam-student" }, head, el("p", {}, control(student) || "No question could be put to it.", " ", least), student.error && el("p", { class: "muted small" }, student.error));
    }
    const total = d3.sum(CLASSES, ([name]) => student.classes[name]);
    return el("article", { class: "card exam-student" }, head,
      el("p", { class: "exam-known" }, el("strong", {}, percent(share)), ` known: ${count(yes)} of ${counted(all, "examined sample")}`),
      bar(student.classes, total),
      el("p", { class: "small" }, control(student)),
      all > 0 && el("p", { class: "small" }, rule(student), " ", luck(student), " ", differ(student)),
      all > 0 && thresholds(student));
  }

  function students(found) {
    const lead = "Share of the examined samples whose facts a student knows without being told them.";
    return [heading("What the students know", lead), legend(), el("div", { class: "exam-cards" }, ...found.students.map(card))];
  }

  /* Tasks */

  function tasks(found) {
    const able = found.students.filter((student) => student.able);
    const heads = ["task", "samples", "need knowledge", ...able.map((student) => student.label)];
    const row = (task) => el("tr", {},
      el("td", { dir: "auto" }, task.path.join(" / ") || "(no task)"),
      el("td", { class: "number" }, count(task.total)), el("td", { class: "number" }, percent(task.needed / task.total)),
      ...able.map((student) => el("td", { class: "bar" }, bar(task.students[student.label] ?? {}, task.total))));
    const body = el("tbody", {}, ...found.tasks.slice(0, ROWS).map(row));
    const table = el("div", { class: "card scrolls exam-pad" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((name, at) => el("th", { scope: "col", class: at === 1 || at === 2 ? "number" : "" }, name)))), body),
      found.tasks_left_out > 0 && el("p", { class: "muted small" }, `and ${counted(found.tasks_left_out, "smaller task")}`));
    const more = found.tasks.length > ROWS && el("button", { type: "button", class: "button", click: () => {
      more.remove();
      body.append(...found.tasks.slice(ROWS).map(row));
    } }, `Show ${count(found.tasks.length - ROWS)} more tasks`);
    return [heading("By task", "Each bar holds all samples of the task."), legend(), table, more].filter(Boolean);
  }

  /* Questions */

  const CUES = {
    longest: "the longest option", shortest: "the shortest option", stands_out: "an option that is much longer",
    overlap: "an option that repeats the question", position_A: "always A", position_B: "always B", position_C: "always C", position_D: "always D",
  };

  function questions(found) {
    const { written, accepted, rewritten, rejected, cues, draft_cues: drafts, guessed, sizes, grounded } = found.questions;
    const reasons = Object.entries(rejected);
    const [right, wrong] = guessed;
    const shown = Object.entries(cues).filter(([, [, met]]) => met);
    return [
      heading("The questions", `${counted(written, "question")} written, ${count(accepted)} passed every check; ${count(rewritten)} that failed were written anew.`),
      el("div", { class: "exam-cards" },
        el("div", { class: "card exam-pad" }, el("h3", {}, "Turned down"), reasons.length
          ? el("table", {}, el("tbody", {}, ...reasons.map(([name, n]) => el("tr", {}, el("td", {}, found.words[name] ?? spaced(name)), el("td", { class: "number" }, count(n))))))
          : el("p", { class: "muted" }, "None."),
          el("p", { class: "muted small" }, `Examined with ${Object.entries(sizes).map(([size, n]) => `${counted(Number(size), "question")}: ${counted(n, "sample")}`).join(", ") || "no question"}.`,
            grounded ? ` The knowledge of ${counted(grounded, "sample")} cites the documents.` : "")),
        el("div", { class: "card exam-pad" }, el("h3", {}, "What gives answers away"), el("p", { class: "muted small" }, "How often a rule that knows nothing finds the right option; by chance 25 %. The interval is at 95 %."),
          el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "rule"), el("th", { scope: "col", class: "number" }, "all drafts"), el("th", { scope: "col", class: "number" }, "passed"), el("th", {}), el("th", {}))), el("tbody", {}, ...shown.map(([name, [hit, met, low, high]]) => el("tr", {}, el("td", {}, CUES[name] ?? spaced(name)),
            el("td", { class: "number muted" }, percent(drafts[name][0] / drafts[name][1])), el("td", { class: "number strong" }, percent(hit / met)), el("td", { class: "number muted" }, `${percent(low)} – ${percent(high)}`), el("td", { class: "number muted" }, `of ${count(met)}`))))),
          right + wrong > 0 && el("p", { class: "muted small" }, `From the options alone the judge guessed ${count(right)} right, which were turned down, and ${count(wrong)} wrong.`))),
    ];
  }

  /* Examples */

  function given(student, question) {
    const { error, votes, ...ways } = question.students[student.label] ?? { error: "not asked" };
    if (error) return [[student.label, null, error]];
    const total = votes && d3.sum(votes);
    const rows = votes ? [[student.label, votes.map((n) => (total ? n / total : 0)), "written letters"]] : [];
    return [...rows, ...Object.entries(ways).map(([way, values]) => [student.label, values, WAYS[way]])];
  }

  function asked(question, able) {
    const rows = able.flatMap((student) => given(student, question));
    const option = (text, at) => el("tr", { class: at === question.answer ? "right" : "" },
      el("td", { class: "exam-option" }, el("span", { class: "mono muted" }, `${LETTERS[at]} `), prose.fill(el("span", { class: "prose", dir: "auto" }), text), at === question.answer && el("span", { class: "chip good" }, "right")),
      ...rows.map(([, values, why]) => el("td", { class: "exam-share" }, values
        ? [el("span", { class: "exam-bar thin" }, el("span", { style: { width: `${100 * values[at]}%`, background: at === question.answer ? "var(--good)" : "var(--bad)" } })), el("span", { class: "small number" }, percent(values[at]))]
        : at === 0 && el("span", { class: "muted small" }, why))));
    return el("div", { class: "exam-question" }, prose.fill(el("p", { class: "prose", dir: "auto" }), question.text),
      el("div", { class: "scrolls" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "option"), ...rows.map(([label, , way]) => el("th", { scope: "col" }, label, el("span", { class: "muted" }, ` ${way ?? ""}`))))),
        el("tbody", {}, ...question.options.map(option)))));
  }

  function example(shown, able) {
    const chips = able.map((student) => [student, shown.classes[student.label]]).filter(([, name]) => name)
      .map(([student, name]) => el("span", { class: `chip ${name === "consistent" ? "good" : name === "inconsistent" ? "bad" : ""}` }, `${student.label}: ${NAMES[name] ?? spaced(name)}`));
    return el("details", { class: "card group exam-example" },
      el("summary", {}, prose.fill(el("span", { class: "grow prose", dir: "auto" }), shown.instruction.slice(0, 400)), el("span", { class: "exam-chips" }, ...chips)),
      el("div", { class: "exam-inside" },
        el("p", { class: "role" }, "response"), prose.fill(el("div", { class: "prose", dir: "auto" }), shown.response),
        shown.knowledge && el("p", { class: "role" }, "reference knowledge", shown.sources.length > 0 && ` (${shown.sources.join(", ")})`),
        shown.knowledge && prose.fill(el("div", { class: "prose", dir: "auto" }), shown.knowledge),
        ...shown.questions.map((question) => asked(question, able)),
        shown.rejected.length > 0 && el("p", { class: "role" }, "turned down"),
        ...shown.rejected.map((entry) => el("p", { class: "small" }, el("span", { class: "chip bad" }, spaced(entry.reason)), " ", el("span", { dir: "auto" }, entry.text), entry.detail && el("span", { class: "muted" }, ` – ${entry.detail}`))),
        el("code", { class: "id" }, shown.id)));
  }

  function examples(found) {
    const able = found.students.filter((student) => student.able);
    const titles = { inconsistent: "Not known", consistent: "Known", no_questions: "Without a valid question" };
    const blocks = Object.entries(titles).filter(([name]) => found.examples[name]?.length).map(([name, title]) => {
      const [first, rest] = [found.examples[name].slice(0, FIRST), found.examples[name].slice(FIRST)];
      const box = el("div", { class: "groups" }, ...first.map((shown) => example(shown, able)));
      if (rest.length) {
        const more = el("button", { type: "button", class: "button", click: () => {
          more.remove();
          box.append(...rest.map((shown) => example(shown, able)));
        } }, `Show ${count(rest.length)} more`);
        box.append(more);
      }
      return el("div", { class: "exam-kind" }, el("h3", {}, title), box);
    });
    return blocks.length ? [heading("Examples", "Some samples with their questions, and what each student gave to each option."), ...blocks] : [];
  }

  /* The parts that there is something for: [id, name, ...nodes]. */
  function parts(found) {
    const made = [["exam-students", "Students", ...students(found)]];
    if (found.tasks.length > 1 || found.tasks[0]?.path.length) made.push(["exam-tasks", "Tasks", ...tasks(found)]);
    if (found.questions.written) made.push(["exam-questions", "Questions", ...questions(found)]);
    const shown = examples(found);
    if (shown.length) made.push(["exam-examples", "Examples", ...shown]);
    return made;
  }

  /* In the report of a run all parts are one section. */
  function start(found) {
    byId("exam").replaceChildren(...parts(found).flatMap(([, , ...nodes]) => nodes));
  }

  return { start, parts, tile, known };
})();
