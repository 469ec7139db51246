"use strict";

/* The canvas of the map: points in layers of one colour each, with zoom and pan. */
const scatter = (() => {
  const SPAN = 65536;
  const ROUND = 15000; /* points up to which each is a disc; more are squares, which a canvas draws faster */

  function start(canvas, onHover, onPick) {
    const context = canvas.getContext("2d");
    let home = { x: 0, y: 0, span: SPAN };
    const state = { xs: [], ys: [], layers: [], faint: false, picked: -1, hovered: -1, transform: d3.zoomIdentity, index: null };
    let frame = 0;
    let image = null;
    let shownAt = () => true;

    /* A wheel that only passes over the map scrolls the page; once the map is pressed, it zooms. */
    const meant = (event) => (event.type === "wheel" ? event.ctrlKey || document.activeElement === canvas : !event.button);
    const zoom = d3.zoom().scaleExtent([0.8, 200]).filter(meant).on("zoom", (event) => {
      state.transform = event.transform;
      redraw();
    });
    const selection = d3.select(canvas).call(zoom).on("dblclick.zoom", null);

    /* The square of the points stands in the middle of the canvas. */
    function fit() {
      const size = Math.min(canvas.clientWidth, canvas.clientHeight) - 24;
      return { size, left: (canvas.clientWidth - size) / 2, top: (canvas.clientHeight - size) / 2 };
    }

    function redraw() {
      if (!frame) frame = requestAnimationFrame(draw);
    }

    function draw() {
      frame = 0;
      const ratio = Math.min(devicePixelRatio || 1, 2);
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
        canvas.width = width * ratio;
        canvas.height = height * ratio;
      }
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      const { size, left, top } = fit();
      const { k, x, y } = state.transform;
      const total = d3.sum(state.layers, (layer) => layer.points.length);
      const radius = Math.max(0.9, Math.min(5, 66 / Math.sqrt(total + 20) + 0.72)) * Math.min(2.2, 1 + Math.log2(Math.max(k, 1)) * 0.22);
      const scale = (size / home.span) * k;
      const place = { scale, x: left * k + x - home.x * scale, y: top * k + y - home.y * scale, width, height };
      if (total > ROUND) drawSquares(state.layers.filter((layer) => !layer.cross), place, radius, ratio);
      for (const layer of state.layers) if (layer.cross || total <= ROUND) drawLayer(layer, place, radius);
      for (const [point, ring] of [[state.hovered, 1], [state.picked, 2]]) if (point >= 0) drawRing(point, place, radius, ring);
      canvas.dataset.drawn = String(total);
    }

    /* Small squares, pixel by pixel: a hundred thousand take a tenth of the time that as many shapes take. */
    function drawSquares(layers, place, radius, ratio) {
      const { xs, ys } = state;
      const [width, height] = [canvas.width, canvas.height];
      if (image?.width !== width || image?.height !== height) image = context.createImageData(width, height);
      const pixels = image.data;
      pixels.fill(0);
      const side = Math.max(1, Math.round(radius * 1.7 * ratio));
      const scale = place.scale * ratio;
      const [left, top] = [place.x * ratio - side / 2, place.y * ratio - side / 2];
      for (const { points, colour, alpha } of layers) {
        const { r, g, b } = d3.rgb(colour);
        for (let at = 0; at < points.length; at++) {
          const x = (xs[points[at]] * scale + left) | 0;
          const y = ((SPAN - ys[points[at]]) * scale + top) | 0;
          if (x < 0 || y < 0 || x + side >= width || y + side >= height) continue;
          for (let row = y; row < y + side; row++) {
            for (let to = (row * width + x) * 4, end = to + side * 4; to < end; to += 4) {
              const under = (pixels[to + 3] / 255) * (1 - alpha);
              const over = alpha + under;
              pixels[to] = (r * alpha + pixels[to] * under) / over;
              pixels[to + 1] = (g * alpha + pixels[to + 1] * under) / over;
              pixels[to + 2] = (b * alpha + pixels[to + 2] * under) / over;
              pixels[to + 3] = over * 255;
            }
          }
        }
      }
      context.putImageData(image, 0, 0);
    }

    function drawLayer({ points, colour, alpha, cross }, place, radius) {
      const { xs, ys } = state;
      context.globalAlpha = alpha;
      context.fillStyle = colour;
      context.strokeStyle = colour;
      const margin = radius + 2;
      context.beginPath();
      for (let at = 0; at < points.length; at++) {
        const x = xs[points[at]] * place.scale + place.x;
        const y = place.y + (SPAN - ys[points[at]]) * place.scale;
        if (x < -margin || y < -margin || x > place.width + margin || y > place.height + margin) continue;
        if (cross) {
          const arm = Math.max(radius, 1.6);
          context.moveTo(x - arm, y - arm);
          context.lineTo(x + arm, y + arm);
          context.moveTo(x + arm, y - arm);
          context.lineTo(x - arm, y + arm);
        } else {
          context.moveTo(x + radius, y);
          context.arc(x, y, radius, 0, 6.2832);
        }
      }
      if (cross) {
        context.lineWidth = 1.2;
        context.stroke();
      } else context.fill();
      context.globalAlpha = 1;
    }

    function drawRing(point, place, radius, ring) {
      const x = state.xs[point] * place.scale + place.x;
      const y = place.y + (SPAN - state.ys[point]) * place.scale;
      context.beginPath();
      context.arc(x, y, radius + 2 + ring, 0, 6.2832);
      context.lineWidth = ring + 0.5;
      context.strokeStyle = core.colour("--ink");
      context.stroke();
    }

    /* The point under the pointer, within a few pixels. */
    function under(event) {
      const { left, top } = canvas.getBoundingClientRect();
      const box = fit();
      const scale = (box.size / home.span) * state.transform.k;
      const x = (event.clientX - left - box.left * state.transform.k - state.transform.x) / scale + home.x;
      const y = SPAN - (event.clientY - top - box.top * state.transform.k - state.transform.y) / scale - home.y;
      return state.index ? state.index.nearest(x, y, 9 / scale, shownAt) : -1;
    }

    canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
    canvas.addEventListener("pointermove", (event) => {
      const point = event.buttons ? -1 : under(event);
      if (point !== state.hovered) {
        state.hovered = point;
        redraw();
      }
      onHover(point, event);
    });
    canvas.addEventListener("pointerleave", () => {
      state.hovered = -1;
      redraw();
      onHover(-1, null);
    });
    selection.on("click", (event) => {
      state.picked = under(event);
      redraw();
      onPick(state.picked);
    });
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
      if (moves[event.key]) zoom.translateBy(selection, moves[event.key][0] / state.transform.k, moves[event.key][1] / state.transform.k);
      else if (event.key === "+" || event.key === "=") scaleBy(1.6);
      else if (event.key === "-") scaleBy(1 / 1.6);
      else if (event.key === "0") reset();
      else return;
      event.preventDefault();
    });

    const scaleBy = (factor) => zoom.scaleBy(selection, factor);
    const reset = () => zoom.transform(selection, d3.zoomIdentity);

    function show(layers, shown) {
      state.layers = layers;
      shownAt = shown;
      redraw();
    }

    /* The square that holds the points for which `inside` holds fills the canvas at first. */
    function settle(xs, ys, inside) {
      const [low, high] = [[SPAN, SPAN], [0, 0]];
      for (let k = 0; k < xs.length; k++) {
        if (!inside(k)) continue;
        [xs[k], SPAN - ys[k]].forEach((value, axis) => {
          low[axis] = Math.min(low[axis], value);
          high[axis] = Math.max(high[axis], value);
        });
      }
      const span = Math.max(high[0] - low[0], high[1] - low[1]);
      if (span > 0) home = { x: (low[0] + high[0] - span) / 2, y: (low[1] + high[1] - span) / 2, span };
      else home = { x: 0, y: 0, span: SPAN };
    }

    function place(xs, ys, inside) {
      settle(xs, ys, inside);
      Object.assign(state, { xs, ys, index: grid.build(xs, ys), hovered: -1 });
      redraw();
    }

    core.onResize(canvas, redraw);
    core.onTheme(redraw);
    return { show, place, scaleBy, reset, state, redraw };
  }

  return { start };
})();
