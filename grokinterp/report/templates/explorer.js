"use strict";
// The checkpoint slider draws the packed frames of the page on canvases. It neither loads nor sends data.
(() => {
  const data = JSON.parse(document.getElementById("frames").textContent);
  const slider = document.getElementById("slider");
  const fixed = document.getElementById("fixed");
  const play = document.getElementById("play");
  const INK = "#1f2933", QUIET = "#52606d", LINE = "#d5dbe1", BLUE = "#0173b2", ORANGE = "#de8f05", GRAY = "#949494";
  const SPECIALIZED = 0.85;
  const keys = new Set(data.keys);
  const table = (hex) => hex.match(/../g).map((pair) => parseInt(pair, 16));
  const maps = { sequential: table(data.maps.sequential), diverging: table(data.maps.diverging) };

  // ---- data ---------------------------------------------------------------------------------------------------
  function unpack(panel) {
    const text = atob(panel.data), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const raw = panel.type === "uint8" ? bytes : new Int16Array(bytes.buffer);
    const size = panel.shape.slice(1).reduce((product, n) => product * n, 1);
    const number = panel.type === "uint8"
      ? (level) => (level === 255 ? NaN : level / 254)
      : (level) => (level === -32768 ? NaN : panel.low + (level + 32767) * panel.step);
    const frame = (i) => Float64Array.from(raw.subarray(i * size, (i + 1) * size), number);
    const all = () => Float64Array.from(raw, number);
    return { ...panel, frame, all };
  }
  const largest = (values) => values.reduce((most, value) => (Math.abs(value) > most ? Math.abs(value) : most), 0) || 1;

  // ---- drawing ------------------------------------------------------------------------------------------------
  function surface(canvas, height) {
    const scale = window.devicePixelRatio || 1, width = canvas.clientWidth || 480;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12.5px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
    return { pen, width };
  }

  function text(pen, words, x, y, align = "center", color = INK, turn = 0) {
    pen.save();
    pen.translate(x, y);
    pen.rotate(turn);
    pen.fillStyle = color;
    pen.textAlign = align;
    pen.textBaseline = "middle";
    pen.fillText(words, 0, 0);
    pen.restore();
  }

  function line(pen, x0, y0, x1, y1, color = QUIET, dash = []) {
    pen.beginPath();
    pen.setLineDash(dash);
    pen.strokeStyle = color;
    pen.lineWidth = 1;
    pen.moveTo(Math.round(x0) + 0.5, Math.round(y0) + 0.5);
    pen.lineTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
    pen.stroke();
    pen.setLineDash([]);
  }

  function ticks(low, high, about, whole) {
    const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    if (whole) step = Math.max(1, Math.round(step));
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
    return found;
  }
  const label = (value) => (value < 0 ? "−" : "") + String(Number(Math.abs(value).toPrecision(3)));

  // a box with axes: x and y are {low, high, title, whole, about, bare}; y may provide its own marks and their names
  function plot(pen, box, x, y) {
    const at = {
      x: (value) => box.left + ((value - x.low) / (x.high - x.low)) * box.width,
      y: (value) => box.top + box.height - ((value - y.low) / (y.high - y.low)) * box.height,
    };
    const bottom = box.top + box.height;
    line(pen, box.left, bottom, box.left + box.width, bottom);
    line(pen, box.left, box.top, box.left, bottom);
    for (const value of ticks(x.low, x.high, x.about || 6, x.whole)) {
      line(pen, at.x(value), bottom, at.x(value), bottom + 4);
      if (!x.bare) text(pen, label(value), at.x(value), bottom + 13);
    }
    for (const value of y.marks || ticks(y.low, y.high, y.about || 4, y.whole)) {
      line(pen, box.left - 4, at.y(value), box.left, at.y(value));
      if (!y.bare) text(pen, (y.name || label)(value), box.left - 7, at.y(value), "right");
    }
    if (x.title) text(pen, x.title, box.left + box.width / 2, bottom + 31);
    if (y.title) text(pen, y.title, box.left - 42, box.top + box.height / 2, "center", INK, -Math.PI / 2);
    return at;
  }

  const sheet = document.createElement("canvas");
  // shares [row, column] from 0 to 1, first row at the bottom; values that are not finite are gray
  function heatmap(pen, box, shares, rows, columns, map) {
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
    pen.imageSmoothingEnabled = false;
    pen.drawImage(sheet, box.left, box.top, box.width, box.height);
  }

  function colorBar(pen, box, low, high, title, map) {
    for (let i = 0; i < box.height; i++) {
      const color = Math.round(255 * (1 - i / (box.height - 1)));
      pen.fillStyle = `rgb(${map[3 * color]},${map[3 * color + 1]},${map[3 * color + 2]})`;
      pen.fillRect(box.left, box.top + i, box.width, 1.5);
    }
    const right = box.left + box.width;
    for (const value of ticks(low, high, 5)) {
      const y = box.top + box.height * (1 - (value - low) / (high - low));
      line(pen, right, y, right + 4, y);
      text(pen, label(value), right + 7, y, "left");
    }
    text(pen, title, right + 50, box.top + box.height / 2, "center", INK, -Math.PI / 2);
  }

  const viridis = (share) => {
    const color = 3 * Math.round(255 * share);
    return `rgb(${maps.sequential[color]},${maps.sequential[color + 1]},${maps.sequential[color + 2]})`;
  };
  // an axis of n cells, each of which represents `every` values
  const cells = (n, title, bare, every = 1) =>
    ({ low: -0.5 * every, high: (n - 0.5) * every, title, whole: true, about: 4, bare });

  // ---- panels: each takes the unpacked data (losses: the curves) once and returns a function that draws frame i and returns its description ----
  const panels = {
    embedding_power(panel) {
      const n = panel.shape[1], most = largest(panel.all());
      return (canvas, i) => {
        const { pen, width } = surface(canvas, 300), power = panel.frame(i);
        const top = 1.1 * (fixed.checked ? most : largest(power));
        const box = { left: 58, top: 12, width: width - 66, height: 240 };
        const at = plot(pen, box, { low: 0, high: n + 1, title: "frequency k", whole: true }, { low: 0, high: top, title: "squared norm [1]" });
        const bar = Math.max(1, (box.width / (n + 1)) * 0.82);
        power.forEach((value, k) => {
          if (!Number.isFinite(value)) return;
          pen.fillStyle = keys.has(k + 1) ? ORANGE : GRAY;
          pen.fillRect(at.x(k + 1) - bar / 2, at.y(value), bar, at.y(0) - at.y(value));
          if (keys.has(k + 1)) text(pen, String(k + 1), at.x(k + 1), at.y(value) - 8);
        });
        const order = [...power.keys()].filter((k) => Number.isFinite(power[k])).sort((a, b) => power[b] - power[a]);
        return `strongest frequencies ${order.slice(0, 5).map((k) => k + 1).join(", ")}`;
      };
    },

    neuron_frequency(panel) {
      const n = panel.shape[2], last = Math.round(largest(panel.all()));
      const high = Math.max(last, data.panels.embedding_power ? data.panels.embedding_power.shape[1] : 0) + 1;
      const counts = (values) => {
        const count = new Array(high + 1).fill(0);
        for (let j = 0; j < n; j++) if (values[n + j] > SPECIALIZED) count[Math.round(values[j])] += 1;
        return count;
      };
      const most = Math.max(1, ...data.steps.map((_, i) => Math.max(...counts(panel.frame(i)))));
      return (canvas, i) => {
        const { pen, width } = surface(canvas, 300), values = panel.frame(i), count = counts(values);
        const upper = { left: 58, top: 12, width: width - 66, height: 92 };
        const lower = { left: 58, top: 120, width: width - 66, height: 132 };
        const top = fixed.checked ? most : Math.max(1, ...count);
        const a = plot(pen, upper, { low: 0, high, whole: true, bare: true }, { low: 0, high: top * 1.1, title: "neurons", whole: true, about: 3 });
        const bar = Math.max(1, (upper.width / high) * 0.82);
        count.forEach((value, k) => {
          pen.fillStyle = keys.has(k) ? ORANGE : GRAY;
          if (k > 0) pen.fillRect(a.x(k) - bar / 2, a.y(value), bar, a.y(0) - a.y(value));
        });
        const at = plot(pen, lower, { low: 0, high, title: "neuron's frequency k", whole: true }, { low: 0, high: 1.02, title: "explained [1]" });
        line(pen, lower.left, at.y(SPECIALIZED), lower.left + lower.width, at.y(SPECIALIZED), QUIET, [4, 3]);
        pen.fillStyle = BLUE;
        pen.globalAlpha = 0.4;
        for (let j = 0; j < n; j++) {
          if (!(values[j] >= 1 - 1e-3) || !Number.isFinite(values[n + j])) continue;
          pen.beginPath();
          pen.arc(at.x(Math.round(values[j])), at.y(values[n + j]), 2.4, 0, 2 * Math.PI);
          pen.fill();
        }
        pen.globalAlpha = 1;
        return `${count.reduce((sum, value) => sum + value, 0)} of ${n} neurons specialized`;
      };
    },

    embedding_circle(panel) {
      const [, n, , p] = panel.shape, half = p * 2;
      const all = panel.all(), reaches = Array.from({ length: n }, () => 0);
      all.forEach((value, j) => {
        const key = Math.floor(j / half) % n;
        if (Math.abs(value) > reaches[key]) reaches[key] = Math.abs(value);
      });
      return (canvas, i) => {
        const wide = (canvas.clientWidth || 960) - 62, columns = Math.min(n, Math.max(1, Math.floor(wide / 150)));
        const side = Math.min(wide / columns - 36, 270), rows = Math.ceil(n / columns);
        const { pen } = surface(canvas, rows * (side + 50) + 20), values = panel.frame(i);
        panel.keys.forEach((key, j) => {
          const points = values.subarray(j * half, (j + 1) * half);
          const reach = 1.12 * ((fixed.checked ? reaches[j] : largest(points)) || 1);
          const column = j % columns, row = Math.floor(j / columns);
          const box = { left: 58 + column * (side + 36), top: 24 + row * (side + 50), width: side, height: side };
          const axis = (title) => ({ low: -reach, high: reach, title, about: 5 });
          const at = plot(pen, box, axis(row === rows - 1 ? "cosine direction [1]" : ""), axis(column ? "" : "sine direction [1]"));
          text(pen, `k = ${key}`, box.left, box.top - 12, "left");
          const order = [...Array(p).keys()].sort((s, t) => ((key * s) % p) - ((key * t) % p) || s - t);
          pen.beginPath();
          pen.strokeStyle = "#b4bcc4";
          pen.lineWidth = 0.8;
          [...order, order[0]].forEach((t, m) => pen[m ? "lineTo" : "moveTo"](at.x(points[t]), at.y(points[p + t])));
          pen.stroke();
          for (let t = 0; t < p; t++) {
            pen.beginPath();
            pen.fillStyle = viridis(p > 1 ? t / (p - 1) : 0);
            pen.arc(at.x(points[t]), at.y(points[p + t]), 2.8, 0, 2 * Math.PI);
            pen.fill();
          }
        });
        return `key frequencies ${panel.keys.join(", ")}`;
      };
    },

    attention_to_a(panel) {
      const n = panel.shape[1], p = panel.shape[panel.shape.length - 1];
      const size = panel.separable ? 2 * p : p * p;
      return (canvas, i) => {
        const wide = (canvas.clientWidth || 960) - 150, columns = Math.min(n, Math.max(1, Math.floor(wide / 190)));
        const side = Math.min(wide / columns - 22, 330), rows = Math.ceil(n / columns);
        const { pen, width } = surface(canvas, rows * (side + 50) + 20), values = panel.frame(i);
        for (let head = 0; head < n; head++) {
          const part = values.subarray(head * size, (head + 1) * size);
          const share = panel.separable
            ? (b, a) => 1 / (1 + Math.exp(part[p + b] - part[a]))
            : (b, a) => part[a * p + b];
          const column = head % columns, row = Math.floor(head / columns);
          const box = { left: 58 + column * (side + 22), top: 24 + row * (side + 50), width: side, height: side };
          heatmap(pen, box, share, p, p, maps.sequential);
          plot(pen, box, cells(p, "operand a", false, panel.every), cells(p, column ? "" : "operand b", column > 0, panel.every));
          text(pen, `head ${head}`, box.left, box.top - 12, "left");
        }
        const bar = { left: 58 + columns * (side + 22), top: 24, width: 14, height: side };
        colorBar(pen, bar, 0, 1, "attention to a [1]", maps.sequential);
        return `${n} heads`;
      };
    },

    attention_mean(panel) {
      const [, rows, positions] = panel.shape, height = Math.max(18 * rows, 120), most = largest(panel.all());
      return (canvas, i) => {
        const { pen, width } = surface(canvas, height + 62), values = panel.frame(i);
        const box = { left: 58, top: 12, width: Math.min(width - 150, 80 * positions), height };
        const reach = fixed.checked ? most : largest(values);
        heatmap(pen, box, (row, position) => values[row * positions + position] / reach, rows, positions, maps.sequential);
        const at = plot(pen, box, cells(positions, "position"), cells(rows, "layer.head", true));
        panel.rows.forEach((name, row) => text(pen, name, box.left - 7, at.y(row), "right"));
        colorBar(pen, { left: box.left + box.width + 14, top: 12, width: 14, height }, 0, reach, "attention [1]", maps.sequential);
        return `${rows} heads`;
      };
    },

    losses(curves) {
      const colors = { train: BLUE, test: ORANGE, restricted: "#029e73", excluded: "#cc78bc" };
      const all = curves.flatMap((curve) => curve.values).filter((value) => value !== null).map(Math.log10);
      const low = all.length ? Math.min(...all) - 0.2 : -1, high = all.length ? Math.max(...all) + 0.2 : 1;
      const last = data.steps[data.steps.length - 1], first = data.steps[0];
      const powers = ticks(low, high, 5, true), few = powers.length < 2;
      const fine = [-1, 0, 1].flatMap((k) => [1, 2, 5].map((m) => Math.log10(m) + Math.floor(low) + 1 + k));
      const between = fine.filter((value) => value >= low && value <= high);
      const linear = ticks(10 ** low, 10 ** high, 4).map(Math.log10);
      const marks = few ? (between.length > 2 ? between : linear) : powers;
      const power = (value) => (value === 0 ? "1" : `1e${value}`.replace("-", "−"));
      const name = few ? (value) => label(10 ** value) : power;
      return (canvas, i) => {
        const { pen, width } = surface(canvas, 330);
        const box = { left: 70, top: 34, width: width - 86, height: 240 };
        const x = { low: first, high: Math.max(last, first + 1), title: "optimizer step", whole: true, about: 5 };
        const at = plot(pen, box, x, { low, high, marks, name });
        text(pen, data.words.loss, 10, box.top + box.height / 2, "center", INK, -Math.PI / 2);
        line(pen, at.x(data.steps[i]), box.top, at.x(data.steps[i]), box.top + box.height, QUIET, [4, 3]);
        let left = box.left;
        for (const { label: curve, values } of curves) {
          pen.beginPath();
          pen.strokeStyle = pen.fillStyle = colors[curve];
          pen.lineWidth = 1.6;
          let down = false;
          values.forEach((value, j) => {
            if (value === null) { down = false; return; }
            pen[down ? "lineTo" : "moveTo"](at.x(data.steps[j]), at.y(Math.log10(value)));
            down = true;
          });
          pen.stroke();
          pen.fillRect(left, 13, 14, 3);
          if (values[i] !== null) {
            pen.beginPath();
            pen.arc(at.x(data.steps[i]), at.y(Math.log10(values[i])), 3.6, 0, 2 * Math.PI);
            pen.fill();
          }
          text(pen, curve, left + 19, 14, "left");
          left += pen.measureText(curve).width + 36;
        }
        return curves.map((curve) => `${curve.label} ${curve.values[i] === null ? "not shown" : curve.values[i]}`).join(", ");
      };
    },

    logit_by_label(panel) {
      const p = panel.shape[1], most = Math.max(...panel.reach);
      return (canvas, i) => {
        const side = Math.min((canvas.clientWidth || 480) - 140, 380), shares = panel.frame(i);
        const { pen } = surface(canvas, side + 62);
        const reach = fixed.checked ? most : panel.reach[i], scale = panel.reach[i] / reach;
        const box = { left: 58, top: 12, width: side, height: side };
        heatmap(pen, box, (s, c) => 0.5 + (shares[s * p + c] - 0.5) * scale, p, p, maps.diverging);
        plot(pen, box, cells(p, "class", false, panel.every), cells(p, data.words.label, false, panel.every));
        colorBar(pen, { left: box.left + side + 14, top: 12, width: 14, height: side }, -reach, reach, data.words.logit, maps.diverging);
        return `logits from ${label(-panel.reach[i])} to ${label(panel.reach[i])}`;
      };
    },
  };

  // ---- the page -----------------------------------------------------------------------------------------------
  const views = [...document.querySelectorAll("canvas[data-panel]")].map((canvas) => {
    const name = canvas.dataset.panel, packed = data.panels[name];
    return { canvas, title: canvas.getAttribute("aria-label"), draw: panels[name](packed ? unpack(packed) : data.curves) };
  });
  const readouts = data.readouts.map((readout) => {
    const pair = document.createElement("div");
    pair.append(document.createElement("dt"), document.createElement("dd"));
    pair.firstChild.textContent = readout.label;
    document.getElementById("readouts").append(pair);
    return pair.lastChild;
  });

  function drawStrip() {
    const { pen, width } = surface(document.getElementById("strip"), 7), n = data.steps.length;
    const thumb = 8, inner = width - 2 * thumb;
    data.phases.forEach((phase, i) => {
      pen.fillStyle = data.colors[phase] || "#ffffff";
      const from = thumb + (inner * Math.max(0, i - 0.5)) / Math.max(1, n - 1);
      const to = thumb + (inner * Math.min(n - 1, i + 0.5)) / Math.max(1, n - 1);
      pen.fillRect(from, 0, n > 1 ? to - from + 0.5 : inner, 7);
    });
  }

  function draw() {
    const i = Number(slider.value), step = data.steps[i];
    const where = `step ${step}${data.phases[i] ? `, ${data.phases[i]}` : ""}`;
    document.getElementById("where").textContent = where;
    slider.setAttribute("aria-valuetext", where);
    data.readouts.forEach((readout, j) => { readouts[j].textContent = readout.values[i]; });
    for (const view of views) view.canvas.setAttribute("aria-label", `${view.title} at step ${step}: ${view.draw(view.canvas, i)}`);
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  let timer = 0;
  function pause() {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }
  function advance() {
    if (Number(slider.value) >= data.steps.length - 1) return pause();
    slider.value = String(Number(slider.value) + 1);
    redraw();
  }
  play.addEventListener("click", () => {
    if (timer) return pause();
    if (Number(slider.value) >= data.steps.length - 1) slider.value = "0";
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    redraw();
    timer = setInterval(advance, 120);
  });
  slider.addEventListener("input", redraw);
  slider.addEventListener("keydown", (event) => {
    const jump = { PageUp: 10, PageDown: -10 }[event.key];
    if (!jump) return;
    event.preventDefault();
    slider.value = String(Number(slider.value) + jump);
    redraw();
  });
  fixed.addEventListener("change", redraw);
  window.addEventListener("resize", () => { drawStrip(); redraw(); });
  document.getElementById("explorer").hidden = false;
  drawStrip();
  draw();
})();
