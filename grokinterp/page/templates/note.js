"use strict";
// What all figures of a page need: elements, numbers as text, and a note beside the pointer or the focus.
const page = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  function add(parent, tag, attributes = {}, text = "") {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== "") element.textContent = text;
    parent.append(element);
    return element;
  }
  function make(tag, name, text = "") {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.textContent = text;
    return element;
  }
  const minus = (text) => text.replace(/-/g, "−");
  function number(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "not finite";
    const size = Math.abs(value);
    return minus(size === 0 || (size >= 1e-3 && size < 1e5) ? String(Number(value.toPrecision(4))) : value.toExponential(2));
  }
  const whole = (step) => String(step).replace(/\B(?=(\d{3})+$)/g, ",");
  function nearest(sorted, value) {
    let low = 0, high = sorted.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= value) low = middle; else high = middle;
    }
    return Math.abs(sorted[low] - value) <= Math.abs(sorted[high] - value) ? low : high;
  }

  // ---- the note -------------------------------------------------------------------------------------------------
  const note = make("div", "note-box"), spot = make("div", "spot"), spoken = make("div", "spoken");
  note.hidden = spot.hidden = true;
  note.setAttribute("aria-hidden", "true");
  spoken.setAttribute("role", "status");
  document.body.append(note, spot, spoken);
  function tell(x, y, lines) {
    note.replaceChildren(...lines.map(({ text, color }) => {
      const line = make("div", "");
      if (color) {
        const swatch = make("span", "key");
        swatch.style.background = color;
        line.append(swatch);
      }
      line.append(text);
      return line;
    }));
    note.hidden = false;
    spot.hidden = true;
    const { width, height } = note.getBoundingClientRect(), room = document.documentElement;
    note.style.left = `${Math.max(4, x + 16 + width > room.clientWidth ? x - width - 12 : x + 16)}px`;
    note.style.top = `${Math.max(4, Math.min(y + 14, window.innerHeight - height - 4))}px`;
  }
  const hush = () => { note.hidden = spot.hidden = true; };
  let scrolled = 0;  // until when scrolling is our own
  document.addEventListener("scroll", () => { if (performance.now() > scrolled) hush(); }, { passive: true });

  // ---- values under the pointer: find(x, y), in the units of the drawing, returns lines, or null outside of its axes --
  function values(svg, find) {
    const seek = (event) => {
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse()), lines = find(at.x, at.y);
      if (lines) tell(event.clientX, event.clientY, lines); else hush();
    };
    svg.addEventListener("pointermove", seek);
    svg.addEventListener("pointerdown", seek);
    svg.addEventListener("pointerleave", hush);
  }

  // ---- values by keyboard: stops() returns, for each axes, rows of places [x, y]; left and right move along a row, up
  // and down from row to row and from axes to axes, and the page keys from axes to axes ------------------------------------------------------------------
  const help = make("span", "", "Arrow keys read the values.");
  help.id = "reading-by-keys";
  help.hidden = true;
  document.body.append(help);
  function keys(svg, find, stops, enter = null) {
    let axes = 0, row = 0, column = -1;
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-describedby", help.id);
    const clamp = (value, n) => Math.max(0, Math.min(n - 1, value));
    svg.addEventListener("keydown", (event) => {
      const panel = { PageUp: -1, PageDown: 1 }[event.key] || 0, [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-1e9, 0], End: [1e9, 0] }[event.key] || [0, 0];
      if (event.key === "Escape") hush();
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const all = stops().filter((rows) => rows.some((places) => places.length));
      if (!all.length || !(across || down || panel || (event.key === "Enter" && enter))) return;
      event.preventDefault();
      axes = clamp(axes, all.length);
      if (panel && all[axes + panel]) [axes, row] = [axes + panel, 0];
      if (down && all[axes][row + down]) row += down;
      else if (down && all[axes + down]) [axes, row] = [axes + down, down > 0 ? 0 : all[axes + down].length - 1];
      row = clamp(row, all[axes].length);
      column = clamp(column + across, all[axes][row].length);
      const [x, y] = all[axes][row][column];
      if (event.key === "Enter") enter(x);
      show(svg, x, y, find(x, y));
    });
    svg.addEventListener("blur", hush);
  }
  function show(svg, x, y, lines) {
    const scroll = svg.parentElement, local = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
    const view = scroll.getBoundingClientRect();
    if (local.x < view.left || local.x > view.right) scroll.scrollLeft += local.x - (view.left + view.right) / 2;
    if (local.y < 60 || local.y > window.innerHeight - 120) {
      scrolled = performance.now() + 150;
      window.scrollBy({ top: local.y - window.innerHeight / 2, behavior: "instant" });
    }
    const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
    if (!lines) return;
    tell(at.x, at.y, lines);
    spot.style.left = `${at.x}px`;
    spot.style.top = `${at.y}px`;
    spot.hidden = false;
    spoken.textContent = lines.map((line) => line.text).join("; ");
  }
  return { add, make, number, whole, minus, tell, hush, values, keys, nearest };
})();
