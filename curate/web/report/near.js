"use strict";

/* The largest groups of near-duplicates: the kept sample, and its dropped copies with what they say differently.
   `name` is what a kept sample is called. */
const near = (() => {
  const { el, byId, count } = core;
  const OPEN = 2;
  const FIRST = 8; /* groups shown before the button */
  const SHARED = 0.3;
  const LONGEST = 400; /* words of a text up to which differences are marked */
  const WORDS = /\$\$[^]+?\$\$|\$[^$\n]+\$|\\\([^]+?\\\)|\\\[[^]+?\\\]|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}_']+|\s+|[^]/gu;

  function start({ groups, reasons, name = "accepted" }) {
    const place = byId("groups");
    const rows = groups.map((group, at) => () => shown(group, at, reasons, name));
    place.append(...rows.slice(0, FIRST).map((make) => make()));
    if (rows.length > FIRST) {
      const more = el("button", { type: "button", class: "button", click: () => {
        more.remove();
        place.append(...rows.slice(FIRST).map((make) => make()));
      } }, `Show ${count(rows.length - FIRST)} more groups`);
      place.append(more);
    }
  }

  const asked = (sample) => sample?.m.find(([role]) => role === "user")?.[1] ?? "";

  function shown(group, at, reasons, name) {
    const first = asked(group.kept ?? group.copies[0]);
    const box = el("details", { class: "card group", open: at < OPEN, toggle: () => fill() },
      el("summary", {}, el("span", { class: "n" }, count(group.count)), prose.fill(el("span", { class: "grow prose", dir: "auto" }), first.slice(0, 400)),
        el("span", { class: "grow opened" }, group.count === 1 ? "dropped copy" : "dropped copies")));
    let filled = false;
    function fill() {
      if (filled || !box.open) return;
      filled = true;
      box.append(el("div", { class: "pair" }, kept(group, name), el("ol", {}, ...group.copies.map((copy) => one(copy, group, reasons))),
      ), ...(group.count > group.copies.length ? [el("p", { class: "muted small" }, `The first ${group.copies.length} of ${count(group.count)} copies.`)] : []));
    }
    fill();
    return box;
  }

  function kept(group, name) {
    if (!group.kept) return el("div", {}, el("p", { class: "role" }, name), el("p", { class: "muted" }, "This sample is not in the dataset any more."), el("code", { class: "id" }, group.id));
    return el("div", { class: "original" }, el("p", { class: "role" }, `${name} `, el("code", { class: "id" }, group.id)), prose.fill(el("div", { class: "prose", dir: "auto" }), asked(group.kept)));
  }

  function one(copy, group, reasons) {
    return el("li", {}, el("p", { class: "role" }, `${core.reasonName(reasons[copy.r - 1])} ${copy.v === undefined ? "" : (Math.round(copy.v * 1000) / 1000).toFixed(3)}`),
      marked(asked(copy), group.kept ? asked(group.kept) : ""));
  }

  /* A text with the words marked that are not in the other one, at their place in the longest common sequence. */
  function marked(text, other) {
    const box = el("div", { class: "prose", dir: "auto" });
    const [ours, theirs] = [text.match(WORDS) ?? [], other.match(WORDS) ?? []];
    if (!other || ours.length > LONGEST || theirs.length > LONGEST) return prose.fill(box, text);
    const same = joined(ours, common(ours, theirs));
    /* Where next to nothing is shared, marks would say no more than the score does. */
    if (same.filter(Boolean).length < SHARED * ours.length) return prose.fill(box, text);
    let at = 0;
    while (at < ours.length) {
      let end = at;
      while (end < ours.length && same[end] === same[at]) end++;
      const part = prose.nodes(ours.slice(at, end).join(""));
      box.append(same[at] ? part : el("mark", {}, part));
      at = end;
    }
    return box;
  }

  /* Blanks and single words between two differences belong to them: marks are for phrases. */
  function joined(words, same) {
    for (let at = 0; at < words.length;) {
      let end = at;
      while (end < words.length && same[end] === same[at]) end++;
      const inside = at > 0 && end < words.length;
      if (same[at] && inside && words.slice(at, end).filter((word) => /[^\s\p{P}]/u.test(word)).length < 2) same.fill(false, at, end);
      at = end;
    }
    return same;
  }

  /* For each of our words: is it part of the longest common subsequence? */
  function common(ours, theirs) {
    const width = theirs.length + 1;
    const table = new Uint16Array((ours.length + 1) * width);
    for (let i = ours.length - 1; i >= 0; i--) {
      for (let j = theirs.length - 1; j >= 0; j--) {
        table[i * width + j] = ours[i] === theirs[j] ? table[(i + 1) * width + j + 1] + 1 : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
      }
    }
    const same = new Array(ours.length).fill(false);
    for (let i = 0, j = 0; i < ours.length && j < theirs.length;) {
      if (ours[i] === theirs[j]) {
        same[i] = true;
        i++;
        j++;
      } else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) i++;
      else j++;
    }
    return same;
  }

  return { start };
})();
