"use strict";
// Figures of a page: values under the pointer, a larger view, and files to save. It neither loads nor sends data.
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

  // ---- a note beside the pointer ---------------------------------------------------------------------------------
  const note = make("div", "note-box");
  note.hidden = true;
  note.setAttribute("aria-hidden", "true");
  document.body.append(note);
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
    const { width, height } = note.getBoundingClientRect(), room = document.documentElement;
    note.style.left = `${Math.max(4, x + 16 + width > room.clientWidth ? x - width - 12 : x + 16)}px`;
    note.style.top = `${Math.max(4, Math.min(y + 14, window.innerHeight - height - 4))}px`;
  }
  const hush = () => { note.hidden = true; };
  document.addEventListener("scroll", hush, { passive: true });

  // values of a drawing: find(x, y) in its own units returns lines, or null outside of its axes
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
  function nearest(sorted, value) {
    let low = 0, high = sorted.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= value) low = middle; else high = middle;
    }
    return Math.abs(sorted[low] - value) <= Math.abs(sorted[high] - value) ? low : high;
  }

  // ---- readings of the drawn figures -----------------------------------------------------------------------------
  const inside = ([left, top, width, height], x, y) => x >= left && x <= left + width && y >= top && y <= top + height;
  function across(reading, x) {
    const [left, , width] = reading.box, [low, high] = reading.limits, share = (x - left) / width;
    return reading.log ? low * (high / low) ** share : low + share * (high - low);
  }
  function place(reading, value) {
    const [left, , width] = reading.box, [low, high] = reading.limits;
    const share = reading.log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    return left + width * share;
  }
  const MOST = 14;
  function read(reading, x, y) {
    if (reading.curves) {
      const first = reading.curves[0], value = across(reading, x), i = nearest(first.at, value);
      const lines = [{ text: `${reading.x || "x"} ${reading.steps ? whole(first.at[i]) : number(first.at[i])}` }];
      for (const curve of reading.curves.slice(0, MOST)) {
        const at = curve.at || first.at, j = curve.at ? nearest(at, value) : i;
        lines.push({ text: `${curve.label ? `${curve.label}: ` : ""}${number(curve.values[j])}`, color: curve.color });
      }
      return lines;
    }
    if (reading.bars) {
      const [left, top, width, height] = reading.box, [low, high] = reading.range;
      const share = reading.upright ? (x - left) / width : 1 - (y - top) / height, value = low + share * (high - low);
      const bar = reading.bars.reduce((best, one) => (Math.abs(one[2] - value) < Math.abs(best[2] - value) ? one : best));
      return [{ text: `${bar[0]}: ${number(bar[1])}` }];
    }
    const [, top, , height] = reading.box, rows = reading.rows.length;
    const row = Math.max(0, Math.min(rows - 1, Math.floor(((y - top) / height) * rows)));
    const value = across(reading, x), edges = reading.edges;
    let column = edges.length - 2;
    while (column > 0 && edges[column] > value) column -= 1;
    const where = reading.columns ? reading.columns[column] : `step ${whole(Math.round(value))}`;
    return [{ text: `${reading.rows[row]}, ${where}: ${number(reading.cells[row][column])}` }];
  }

  // a line in every figure over the steps follows the step that the page shows
  const linked = [];
  function link(svg, readings) {
    for (const reading of readings.filter((one) => one.steps)) {
      const [, top, , height] = reading.box;
      const now = add(svg, "line", { class: "now", y1: top, y2: top + height });
      linked.push((step) => {
        const x = place(reading, step), [left, , width] = reading.box;
        now.setAttribute("visibility", x >= left - 0.5 && x <= left + width + 0.5 ? "visible" : "hidden");
        now.setAttribute("x1", x);
        now.setAttribute("x2", x);
      });
    }
  }
  const follow = (step) => linked.forEach((move) => move(step));

  // ---- files -----------------------------------------------------------------------------------------------------
  function save(name, text, type) {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(new Blob([text], { type }));
    anchor.download = name;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
  }
  const STYLED = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "text-anchor", "opacity",
    "stroke-linecap", "image-rendering", "visibility"];
  function image(svg) {
    const copy = svg.cloneNode(true), theirs = [...svg.querySelectorAll("*")], ours = [...copy.querySelectorAll("*")];
    theirs.forEach((element, i) => {
      const style = getComputedStyle(element);
      for (const name of STYLED) ours[i].setAttribute(name, style.getPropertyValue(name));
      if (element.getAttribute("class") === "now") ours[i].setAttribute("opacity", 0);
    });
    const box = svg.viewBox.baseVal;
    copy.setAttribute("xmlns", SVG);
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    copy.setAttribute("font-family", "system-ui, DejaVu Sans, sans-serif");
    const ground = { width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor };
    copy.prepend(add(copy, "rect", ground));
    return copy.outerHTML;
  }
  const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value ?? ""));
  const csv = (rows) => `${rows.map((row) => row.map(cell).join(",")).join("\n")}\n`;
  function rowsOf(readings) {
    const rows = [["panel", "series", "x", "value"]];
    for (const reading of readings) {
      const title = reading.title || reading.y || "";
      for (const curve of reading.curves || []) {
        const at = curve.at || reading.curves[0].at;
        at.forEach((x, i) => rows.push([title, curve.label, x, curve.values[i]]));
      }
      for (const [name, value] of reading.bars || []) rows.push([title, "", name, value]);
      (reading.cells || []).forEach((values, row) => values.forEach((value, column) => {
        const x = reading.columns ? reading.columns[column] : (reading.edges[column] + reading.edges[column + 1]) / 2;
        rows.push([title, reading.rows[row], x, value]);
      }));
    }
    return rows;
  }
  const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "").slice(0, 60) || "figure";

  // ---- tools under every figure and table ------------------------------------------------------------------------
  function tool(words, about, act) {
    const button = make("button", "tool", words);
    button.type = "button";
    button.setAttribute("aria-label", `${words}: ${about}`);
    button.addEventListener("click", act);
    return button;
  }
  let large = null;
  function enlarge(figure) {
    if (large) large.classList.remove("zoomed");
    large = figure === large ? null : figure;
    if (large) large.classList.add("zoomed");
    for (const one of document.querySelectorAll("figure")) {
      const button = one.querySelector(".tool");
      if (button) button.textContent = one === large ? "Close" : "Enlarge";
    }
    document.body.classList.toggle("has-zoom", Boolean(large));
    document.dispatchEvent(new Event("layout"));
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && large) enlarge(large); });
  function tools(figure, name, table) {
    const line = make("div", "tools");
    const svg = () => figure.querySelector("svg");
    line.append(tool("Enlarge", name, () => enlarge(figure)));
    line.append(tool("SVG", name, () => save(`${slug(name)}.svg`, image(svg()), "image/svg+xml")));
    if (table) line.append(tool("CSV", name, () => save(`${slug(name)}.csv`, csv(table()), "text/csv")));
    figure.append(line);
  }

  const all = [];
  for (const figure of document.querySelectorAll("figure[data-readings]")) {
    const svg = figure.querySelector("svg"), readings = JSON.parse(figure.dataset.readings);
    const name = svg.getAttribute("aria-label");
    all.push({ figure: name, readings });
    values(svg, (x, y) => {
      const found = readings.find((reading) => inside(reading.box, x, y));
      return found ? read(found, x, y) : null;
    });
    link(svg, readings);
    tools(figure, name, () => rowsOf(readings));
  }
  for (const figure of document.querySelectorAll("main figure:not([data-readings]):not(.live)")) {
    const svg = figure.querySelector("svg");
    if (svg) tools(figure, svg.getAttribute("aria-label"), null);
  }
  const cellsOf = (table) => [...table.rows].map((row) => [...row.cells].map((one) => one.textContent.trim()));
  for (const table of document.querySelectorAll("table.numbers")) {
    const name = table.caption ? table.caption.textContent : "table";
    const line = make("div", "tools");
    line.append(tool("CSV", name, () => save(`${slug(name)}.csv`, csv(cellsOf(table)), "text/csv")));
    (table.closest(".scroll") || table).after(line);
  }
  const everything = document.getElementById("everything");
  if (everything) {
    everything.hidden = false;
    everything.addEventListener("click", () => {
      const tables = [...document.querySelectorAll("table")].map((table) => ({
        table: table.caption ? table.caption.textContent : "", rows: cellsOf(table),
      }));
      save("page.json", JSON.stringify({ figures: all, tables }), "application/json");
    });
  }

  // ---- terms -----------------------------------------------------------------------------------------------------
  document.querySelectorAll("dfn.term").forEach((term, i) => {
    const about = term.title, described = make("span", "", about);
    term.removeAttribute("title");
    described.id = `term-${i}`;
    described.hidden = true;
    document.body.append(described);
    term.setAttribute("aria-describedby", described.id);
    const show = () => {
      const box = term.getBoundingClientRect();
      tell(box.left - 12, box.bottom - 8, [{ text: about }]);
    };
    for (const kind of ["pointerenter", "focus", "click"]) term.addEventListener(kind, show);
    for (const kind of ["pointerleave", "blur"]) term.addEventListener(kind, hush);
  });

  // a link to something folded unfolds it
  function unfold() {
    const id = decodeURIComponent(location.hash.slice(1)), target = id && document.getElementById(id);
    if (!target) return;
    const folded = target.matches("details") ? target : target.closest("details") || target.querySelector(":scope > details");
    if (folded && !folded.open) { folded.open = true; target.scrollIntoView(); }
  }
  window.addEventListener("hashchange", unfold);
  document.addEventListener("click", (event) => {
    if (event.target.closest("a[href^='#']")) setTimeout(unfold);
  });
  unfold();

  return { add, make, number, whole, minus, tell, hush, values, nearest, follow, tools, enlarge, link };
})();
