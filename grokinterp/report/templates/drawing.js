// Drawings of the slider: a surface with axes, heatmaps, and color bars; a target is a box with values at its stops, places in rows.
const drawing = (() => {
  const { add } = page;
  const largest = (values) => values.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0) || 1;
  // an enlarged figure is drawn for a usual width and scaled
  function room(svg) {
    const width = svg.parentElement.clientWidth || 480;
    return svg.closest(".zoomed") ? Math.min(width, svg.closest(".half") ? 760 : 1200) : width;
  }
  function surface(svg, height) {
    const width = room(svg);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.targets = [];
    return { width };
  }
  const text = (svg, words, x, y, align = "middle", name = "") =>
    add(svg, "text", { x, y: y + 4, "text-anchor": align, class: name }, words);
  const upright = (svg, words, x, y) =>
    add(svg, "text", { transform: `translate(${x} ${y}) rotate(-90)`, "text-anchor": "middle" }, words);
  const line = (svg, x1, y1, x2, y2, name = "axis") => add(svg, "line", { x1, y1, x2, y2, class: name });
  const target = (svg, box, find, stops) => svg.targets.push({ box, find, stops });
  const beside = (box, n, at = (i) => (i + 0.5) / n) => [Array.from({ length: n }, (_, i) => [box.left + box.width * at(i), box.top + box.height / 2])];

  function ticks(low, high, about, whole) {
    const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    if (whole) step = Math.max(1, Math.round(step));
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
    return found;
  }
  const label = (value) => page.minus(String(Number(value.toPrecision(3))));

  // a box with axes: x and y are {low, high, title, whole, about, bare}; each may provide its own marks and their names
  function plot(svg, box, x, y) {
    const at = {
      x: (value) => box.left + ((value - x.low) / (x.high - x.low)) * box.width,
      y: (value) => box.top + box.height - ((value - y.low) / (y.high - y.low)) * box.height,
    };
    const bottom = box.top + box.height;
    line(svg, box.left, bottom, box.left + box.width, bottom);
    line(svg, box.left, box.top, box.left, bottom);
    for (const value of x.marks || ticks(x.low, x.high, x.about || 6, x.whole)) {
      line(svg, at.x(value), bottom, at.x(value), bottom + 4);
      if (!x.bare) text(svg, (x.name || label)(value), at.x(value), bottom + 13);
    }
    for (const value of y.marks || ticks(y.low, y.high, y.about || 4, y.whole)) {
      line(svg, box.left - 4, at.y(value), box.left, at.y(value));
      if (!y.bare) text(svg, (y.name || label)(value), box.left - 7, at.y(value), "end");
    }
    if (x.title) text(svg, x.title, box.left + box.width / 2, bottom + 31);
    if (y.title) upright(svg, y.title, box.left - 44, box.top + box.height / 2);
    return at;
  }

  const sheet = document.createElement("canvas");
  // shares [row, column] from 0 to 1, first row at the bottom; values that are not finite are gray
  function heatmap(svg, box, shares, rows, columns, map) {
    sheet.width = columns;
    sheet.height = rows;
    const image = new ImageData(columns, rows);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const share = shares(row, column), pixel = 4 * ((rows - 1 - row) * columns + column);
        const color = Math.max(0, Math.min(255, Math.round(share * 255)));
        for (let c = 0; c < 3; c++) image.data[pixel + c] = Number.isFinite(share) ? map[3 * color + c] : 205;
        image.data[pixel + 3] = 255;
      }
    }
    sheet.getContext("2d").putImageData(image, 0, 0);
    const { left: x, top: y, width, height } = box;
    add(svg, "image", { x, y, width, height, preserveAspectRatio: "none", class: "cells", href: sheet.toDataURL() });
  }

  function colorBar(svg, box, low, high, title, map) {
    heatmap(svg, box, (row) => row / 63, 64, 1, map);
    const right = box.left + box.width;
    for (const value of ticks(low, high, 5)) {
      const y = box.top + box.height * (1 - (value - low) / (high - low));
      line(svg, right, y, right + 4, y);
      text(svg, label(value), right + 7, y, "start");
    }
    upright(svg, title, right + 50, box.top + box.height / 2);
  }

  // an axis of n cells, each of which represents `every` values
  const cells = (n, title, bare, every = 1) =>
    ({ low: -0.5 * every, high: (n - 0.5) * every, title, whole: true, about: 4, bare });
  function cellTarget(svg, box, rows, columns, every, say) {
    target(svg, box, (x, y) => {
      const column = Math.min(columns - 1, Math.floor(((x - box.left) / box.width) * columns));
      const row = Math.min(rows - 1, Math.floor((1 - (y - box.top) / box.height) * rows));
      return [{ text: say(row, column, row * every, column * every) }];
    }, Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) =>
      [box.left + (box.width * (j + 0.5)) / columns, box.top + (box.height * (i + 0.5)) / rows])));
  }

  // values of all targets, under the pointer and by keyboard
  function pointed(svg, enter = null) {
    const find = (x, y) => {
      const found = (svg.targets || []).find(({ box }) => x >= box.left && x <= box.left + box.width && y >= box.top && y <= box.top + box.height);
      return found ? found.find(x, y) : null;
    };
    page.values(svg, find);
    page.keys(svg, find, () => (svg.targets || []).map(({ stops }) => stops), enter);
  }
  return { room, surface, text, upright, line, target, beside, ticks, label, plot, heatmap, colorBar, cells, cellTarget, pointed, largest };
})();
