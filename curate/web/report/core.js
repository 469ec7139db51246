"use strict";

/* What every part of the page uses: unpacking the data, making elements, numbers as people read them, light and dark. */
const core = (() => {
  async function unpack(name) {
    const block = document.getElementById(`data-${name}`);
    const raw = atob(block.textContent);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    /* The text is megabytes long and is not needed again. */
    block.remove();
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
  }

  const json = async (name) => (await unpack(name)).json();
  const text = async (name) => (await unpack(name)).text();
  const bytes = async (name) => (await unpack(name)).arrayBuffer();

  /* Make an element. Attributes that are functions are listeners; children are nodes or text, never markup. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") node.addEventListener(name, value);
      else if (name === "style") Object.assign(node.style, value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  const byId = (id) => document.getElementById(id);

  const whole = new Intl.NumberFormat("en");
  const count = (n) => whole.format(n);
  const counted = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

  /* A share is never rounded up to "100 %" nor down to "0 %" when it is not. */
  function percent(share) {
    if (share === null || share === undefined || Number.isNaN(share)) return "–";
    const value = share * 100;
    if (value > 0 && value < 0.1) return "<0.1 %";
    if (value < 100 && value > 99.9) return ">99.9 %";
    return `${value < 10 || (value > 99 && value < 100) ? Math.round(value * 10) / 10 : Math.round(value)} %`;
  }

  function amount(n) {
    if (n >= 1e9) return `${(n / 1e9).toFixed(1)}G`;
    if (n >= 1e6) return `${(n / 1e6).toFixed(1)}M`;
    if (n >= 1e4) return `${(n / 1e3).toFixed(1)}k`;
    return count(n);
  }

  function money(cost) {
    if (cost === null) return "unknown";
    return cost > 0 && cost < 0.01 ? "<$0.01" : `$${cost.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  }

  function span(seconds) {
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const n = Math.round(seconds);
    if (n < 60) return `${n} s`;
    const two = (value) => String(value).padStart(2, "0");
    if (n < 3600) return `${Math.floor(n / 60)} min ${two(n % 60)} s`;
    return `${count(Math.floor(n / 3600))} h ${two(Math.floor((n % 3600) / 60))} min`;
  }

  const spaced = (name) => name.replaceAll("_", " ");

  /* A stage and its reason in words: the stage is left out where the reason names it. */
  function reasonName([stage, reason]) {
    return reason.startsWith(stage) ? spaced(reason) : `${spaced(stage)}: ${spaced(reason)}`;
  }

  /* Light and dark */

  const probe = document.createElement("span");
  probe.hidden = true;

  /* What a colour of the style sheet is now, for the canvas. */
  function colour(name) {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }

  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const watchers = [];
  const onTheme = (then) => watchers.push(then);

  function themed() {
    const button = byId("theme");
    button.textContent = isDark() ? "☀ Light" : "☾ Dark";
    watchers.forEach((then) => then());
  }

  function startTheme() {
    byId("theme").addEventListener("click", () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      themed();
    });
    system.addEventListener("change", themed);
    themed();
  }

  /* One note that follows the pointer, for all charts. */
  function tip(event, ...children) {
    const box = byId("tip");
    if (!event) {
      box.hidden = true;
      return;
    }
    box.replaceChildren(...children);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const x = event.clientX + 14 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 14;
    const y = event.clientY + 14 + height > innerHeight ? event.clientY - height - 14 : event.clientY + 14;
    box.style.left = `${Math.max(4, x)}px`;
    box.style.top = `${Math.max(4, y)}px`;
  }

  /* Radio buttons for one of several; each choice is [value, label]. */
  function segments(fieldset, choices, chosen, then) {
    fieldset.append(
      ...choices.map(([value, label]) =>
        el("label", {}, label, el("input", {
          type: "radio", name: fieldset.id, value, checked: value === chosen, change: () => then(value),
        })),
      ),
    );
  }

  /* Draw again when the width changes, once a frame. */
  function onResize(node, then) {
    let width = node.clientWidth;
    let waiting = 0;
    new ResizeObserver(() => {
      if (node.clientWidth === width) return;
      width = node.clientWidth;
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(then);
    }).observe(node);
  }

  return {
    json, text, bytes, el, byId, count, counted, percent, amount, money, span, spaced, reasonName,
    colour, isDark, onTheme, startTheme, tip, segments, onResize,
  };
})();
