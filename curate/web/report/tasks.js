"use strict";

/* The task tree: sums over sub-tasks, branches and paths. Tasks are numbers; parents stand before their children. */
const tasks = (() => {
  const tree = { n: 0, names: [], children: [], kept: [], dropped: [], lost: [], branch: [] };

  function start({ tasks: given, reasons }) {
    const n = given.names.length;
    Object.assign(tree, given, { n, reasons });
    tree.children = Array.from({ length: n }, () => []);
    for (let i = 1; i < n; i++) tree.children[given.parents[i]].push(i);
    tree.ownDropped = given.drops.map((pairs) => pairs.reduce((sum, value, at) => sum + (at % 2 ? value : 0), 0));
    tree.sumKept = summed(given.kept);
    tree.sumDropped = summed(tree.ownDropped);
    tree.sumLost = summed(given.lost);
    tree.size = summed(new Array(n).fill(1));
    tree.depth = given.parents.map(() => 0);
    for (let i = 1; i < n; i++) tree.depth[i] = tree.depth[given.parents[i]] + 1;
    return tree;
  }

  function summed(own) {
    const sums = Float64Array.from(own);
    for (let i = sums.length - 1; i > 0; i--) sums[tree.parents[i]] += sums[i];
    return sums;
  }

  /* Dropped candidates of each task and those below it, for one reason. */
  const byReason = new Map();
  function droppedFor(reason) {
    if (!byReason.has(reason)) {
      byReason.set(reason, summed(tree.drops.map((pairs) => {
        for (let at = 0; at < pairs.length; at += 2) if (pairs[at] === reason) return pairs[at + 1];
        return 0;
      })));
    }
    return byReason.get(reason);
  }

  const candidates = (i) => tree.sumKept[i] + tree.sumDropped[i];
  const ownCandidates = (i) => tree.kept[i] + tree.ownDropped[i];

  /* What a task's tile shows: a share from 0 to 1, or null where it has no candidates. */
  function share(i, mode, reason, own) {
    if (mode === "novelty") return own ? tree.own[i] : tree.novelty[i];
    const all = own ? ownCandidates(i) : candidates(i);
    if (!all) return null;
    if (mode === "yield") return (own ? tree.kept[i] : tree.sumKept[i]) / all;
    if (own) return reason ? ownDrops(i).get(reason) / all || 0 : tree.ownDropped[i] / all;
    return (reason ? droppedFor(reason)[i] : tree.sumDropped[i]) / all;
  }

  function ownDrops(i) {
    const pairs = tree.drops[i];
    const found = new Map();
    for (let at = 0; at < pairs.length; at += 2) found.set(pairs[at], pairs[at + 1]);
    return found;
  }

  /* The task and its ancestors, the root first. */
  function path(i) {
    const up = [];
    for (; i >= 0; i = tree.parents[i]) up.unshift(i);
    return up;
  }

  function below(i) {
    const found = [i];
    for (let at = 0; at < found.length; at++) found.push(...tree.children[found[at]]);
    return found;
  }

  /* For each task the number of the child of `focus` that it belongs to; -1 outside, `focus` itself is its own. */
  function groups(focus) {
    const group = new Int32Array(tree.n).fill(-1);
    group[focus] = focus;
    for (const child of tree.children[focus]) for (const i of below(child)) group[i] = child;
    return group;
  }

  return { start, tree, share, candidates, ownCandidates, droppedFor, path, below, groups };
})();
