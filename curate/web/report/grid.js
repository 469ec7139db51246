"use strict";

/* An index of points by square cells: which point is nearest to a place, without looking at all of them. */
const grid = (() => {
  const CELLS = 256;
  const STEP = 65536 / CELLS;

  function build(xs, ys) {
    const n = xs.length;
    const starts = new Uint32Array(CELLS * CELLS + 1);
    const cell = (k) => (ys[k] / STEP | 0) * CELLS + (xs[k] / STEP | 0);
    for (let k = 0; k < n; k++) starts[cell(k) + 1]++;
    for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
    const next = starts.slice();
    const order = new Uint32Array(n);
    for (let k = 0; k < n; k++) order[next[cell(k)]++] = k;

    /* The nearest point within `radius` of (x, y) for which `shown` holds, or -1. */
    function nearest(x, y, radius, shown) {
      const low = (value) => Math.max(0, Math.floor((value - radius) / STEP));
      const high = (value) => Math.min(CELLS - 1, Math.floor((value + radius) / STEP));
      let best = -1;
      let least = radius * radius;
      for (let row = low(y); row <= high(y); row++) {
        for (let column = low(x); column <= high(x); column++) {
          const c = row * CELLS + column;
          for (let at = starts[c]; at < starts[c + 1]; at++) {
            const k = order[at];
            const far = (xs[k] - x) ** 2 + (ys[k] - y) ** 2;
            if (far <= least && shown(k)) {
              least = far;
              best = k;
            }
          }
        }
      }
      return best;
    }

    return { nearest };
  }

  return { build };
})();
