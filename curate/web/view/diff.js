/* What changed between two texts, word by word: the longest common subsequence of their words. */

import { h } from "./dom.js";

/* Above this many comparisons the middle counts as rewritten: nobody reads such a difference word by word. */
const MOST = 4_000_000;

const words = (text) => text.match(/\p{Script=Han}|[\p{L}\p{N}]+|\s+|[^]/gu) ?? [];

/** [kind, text] with kind "same", "gone" or "new", in order. */
export function changes(before, after) {
  const a = words(before);
  const b = words(after);
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail])
    tail += 1;
  const parts = [["same", a.slice(0, head).join("")]];
  parts.push(...between(a.slice(head, a.length - tail), b.slice(head, b.length - tail)));
  parts.push(["same", a.slice(a.length - tail).join("")]);
  return joined(parts);
}

function between(a, b) {
  if (a.length * b.length > MOST)
    return [
      ["gone", a.join("")],
      ["new", b.join("")],
    ];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const here = i * width + j;
      longest[here] =
        a[i] === b[j] ? longest[here + width + 1] + 1 : Math.max(longest[here + width], longest[here + 1]);
    }
  }
  const parts = [];
  let i = 0;
  let j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      parts.push(["same", a[i]]);
      i += 1;
      j += 1;
    } else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) {
      parts.push(["gone", a[i]]);
      i += 1;
    } else {
      parts.push(["new", b[j]]);
      j += 1;
    }
  }
  parts.push(["gone", a.slice(i).join("")], ["new", b.slice(j).join("")]);
  return parts;
}

/** Neighbours of one kind as one part; what is gone stands before what is new in its place. */
function joined(parts) {
  const result = [];
  for (const [kind, text] of parts) {
    if (!text) continue;
    const last = result.at(-1);
    const before = result.at(-2);
    if (last?.[0] === kind) last[1] += text;
    else if (kind === "gone" && last?.[0] === "new" && before?.[0] === "gone") before[1] += text;
    else if (kind === "gone" && last?.[0] === "new") result.splice(-1, 0, ["gone", text]);
    else result.push([kind, text]);
  }
  return result;
}

/** The changes as an element; with `side`, only what stands in one of the two texts. */
export function shownChanges(before, after, side = "") {
  const node = h("div", { class: "changes" });
  for (const [kind, text] of changes(before, after)) {
    if (kind === "same") node.append(text);
    else if (kind === "gone" && side !== "after") node.append(h("del", {}, text));
    else if (kind === "new" && side !== "before") node.append(h("ins", {}, text));
  }
  return node;
}
