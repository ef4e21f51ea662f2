// The slider of a report: it draws the packed checkpoints of the page, and moves every figure over the steps.
(() => {
  const frames = document.getElementById("frames");
  if (!frames) return;
  const data = JSON.parse(frames.textContent);
  const { add } = page;
  const slider = document.getElementById("slider"), fixed = document.getElementById("fixed");
  const play = document.getElementById("play"), logSteps = document.getElementById("log-steps");
  const BLUE = "#0173b2", ORANGE = "#de8f05", GRAY = "#949494";
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
  const target = (svg, box, find) => svg.targets.push({ box, find });

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

  const viridis = (share) => {
    const color = 3 * Math.round(255 * share);
    return `rgb(${maps.sequential[color]},${maps.sequential[color + 1]},${maps.sequential[color + 2]})`;
  };
  // an axis of n cells, each of which represents `every` values
  const cells = (n, title, bare, every = 1) =>
    ({ low: -0.5 * every, high: (n - 0.5) * every, title, whole: true, about: 4, bare });
  function cellTarget(svg, box, rows, columns, every, say) {
    target(svg, box, (x, y) => {
      const column = Math.min(columns - 1, Math.floor(((x - box.left) / box.width) * columns));
      const row = Math.min(rows - 1, Math.floor((1 - (y - box.top) / box.height) * rows));
      return [{ text: say(row, column, row * every, column * every) }];
    });
  }

  // ---- panels: each takes its unpacked data once and returns a function that draws frame i and returns its description ----
  const panels = {
    embedding_power(panel) {
      const n = panel.shape[1], most = largest(panel.all());
      return (svg, i) => {
        const { width } = surface(svg, 300), power = panel.frame(i);
        const top = 1.1 * (fixed.checked ? most : largest(power));
        const box = { left: 58, top: 12, width: width - 66, height: 240 };
        const at = plot(svg, box, { low: 0, high: n + 1, title: "frequency k", whole: true }, { low: 0, high: top, title: "squared norm [1]" });
        const bar = Math.max(1, (box.width / (n + 1)) * 0.82);
        power.forEach((value, k) => {
          if (!Number.isFinite(value)) return;
          const key = keys.has(k + 1), height = Math.max(0, at.y(0) - at.y(value));
          add(svg, "rect", { x: at.x(k + 1) - bar / 2, y: at.y(value), width: bar, height, fill: key ? ORANGE : GRAY });
          if (key) text(svg, String(k + 1), at.x(k + 1), at.y(value) - 9);
        });
        target(svg, box, (x) => {
          const k = Math.max(1, Math.min(n, Math.round(((x - box.left) / box.width) * (n + 1))));
          return [{ text: `frequency ${k}: ${page.number(power[k - 1])}` }];
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
      return (svg, i) => {
        const { width } = surface(svg, 300), values = panel.frame(i), count = counts(values);
        const upper = { left: 58, top: 12, width: width - 66, height: 92 };
        const lower = { left: 58, top: 120, width: width - 66, height: 132 };
        const top = fixed.checked ? most : Math.max(1, ...count);
        const a = plot(svg, upper, { low: 0, high, whole: true, bare: true }, { low: 0, high: top * 1.1, title: "neurons", whole: true, about: 3 });
        const bar = Math.max(1, (upper.width / high) * 0.82);
        count.forEach((value, k) => {
          if (k > 0 && value > 0) add(svg, "rect", { x: a.x(k) - bar / 2, y: a.y(value), width: bar, height: a.y(0) - a.y(value), fill: keys.has(k) ? ORANGE : GRAY });
        });
        const at = plot(svg, lower, { low: 0, high, title: "neuron's frequency k", whole: true }, { low: 0, high: 1.02, title: "explained [1]" });
        line(svg, lower.left, at.y(SPECIALIZED), lower.left + lower.width, at.y(SPECIALIZED), "guide");
        const dots = [];
        for (let j = 0; j < n; j++) {
          if (!(values[j] >= 1 - 1e-3) || !Number.isFinite(values[n + j])) continue;
          dots.push(`M${at.x(Math.round(values[j])).toFixed(1)} ${at.y(values[n + j]).toFixed(1)}h0`);
        }
        add(svg, "path", { d: dots.join(""), stroke: BLUE, class: "dots" });
        const whole = { left: 58, top: 12, width: width - 66, height: 240 };
        target(svg, whole, (x) => {
          const k = Math.max(1, Math.min(high, Math.round(((x - whole.left) / whole.width) * high)));
          return [{ text: `frequency ${k}: ${count[k] || 0} specialized neurons` }];
        });
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
      return (svg, i) => {
        const wide = room(svg) - 62, columns = Math.min(n, Math.max(1, Math.floor(wide / 150)));
        const side = Math.min(wide / columns - 36, 270), rows = Math.ceil(n / columns);
        surface(svg, rows * (side + 50) + 20);
        const values = panel.frame(i);
        panel.keys.forEach((key, j) => {
          const points = values.subarray(j * half, (j + 1) * half);
          const reach = 1.12 * ((fixed.checked ? reaches[j] : largest(points)) || 1);
          const column = j % columns, row = Math.floor(j / columns);
          const box = { left: 58 + column * (side + 36), top: 24 + row * (side + 50), width: side, height: side };
          const axis = (title) => ({ low: -reach, high: reach, title, about: 4 });
          const at = plot(svg, box, axis(row === rows - 1 ? "cosine [1]" : ""), axis(column ? "" : "sine [1]"));
          text(svg, `k = ${key}`, box.left, box.top - 12, "start");
          const order = [...Array(p).keys()].sort((s, t) => ((key * s) % p) - ((key * t) % p) || s - t);
          const joined = [...order, order[0]].map((t) => `${at.x(points[t]).toFixed(1)} ${at.y(points[p + t]).toFixed(1)}`);
          if (!joined.join().includes("NaN")) add(svg, "path", { d: `M${joined.join("L")}`, class: "thread" });
          for (let t = 0; t < p; t++) {
            if (!Number.isFinite(points[t])) continue;
            add(svg, "circle", { cx: at.x(points[t]), cy: at.y(points[p + t]), r: 2.8, fill: viridis(p > 1 ? t / (p - 1) : 0) });
          }
          target(svg, box, (x, y) => {
            let best = 0, least = Infinity;
            for (let t = 0; t < p; t++) {
              const distance = (at.x(points[t]) - x) ** 2 + (at.y(points[p + t]) - y) ** 2;
              if (distance < least) [best, least] = [t, distance];
            }
            return least < 150 ? [{ text: `${data.words.token} ${best}: (${page.number(points[best])}, ${page.number(points[p + best])})` }] : null;
          });
        });
        return `key frequencies ${panel.keys.join(", ")}`;
      };
    },

    attention_to_a(panel) {
      const n = panel.shape[1], p = panel.shape[panel.shape.length - 1];
      const size = panel.separable ? 2 * p : p * p;
      return (svg, i) => {
        const wide = room(svg) - 150, columns = Math.min(n, Math.max(1, Math.floor(wide / 190)));
        const side = Math.min(wide / columns - 22, 330), rows = Math.ceil(n / columns);
        surface(svg, rows * (side + 50) + 20);
        const values = panel.frame(i);
        for (let head = 0; head < n; head++) {
          const part = values.subarray(head * size, (head + 1) * size);
          const share = panel.separable
            ? (b, a) => 1 / (1 + Math.exp(part[p + b] - part[a]))
            : (b, a) => part[a * p + b];
          const column = head % columns, row = Math.floor(head / columns);
          const box = { left: 58 + column * (side + 22), top: 24 + row * (side + 50), width: side, height: side };
          heatmap(svg, box, share, p, p, maps.sequential);
          plot(svg, box, cells(p, data.words.a, false, panel.every), cells(p, column ? "" : data.words.b, column > 0, panel.every));
          text(svg, `head ${head}`, box.left, box.top - 12, "start");
          cellTarget(svg, box, p, p, panel.every, (b, a, atB, atA) => `head ${head}, a ${atA}, b ${atB}: ${page.number(share(b, a))}`);
        }
        const bar = { left: 58 + columns * (side + 22), top: 24, width: 14, height: side };
        colorBar(svg, bar, 0, 1, "attention to a [1]", maps.sequential);
        return `${n} heads`;
      };
    },

    attention_mean(panel) {
      const [, rows, positions] = panel.shape, height = Math.max(18 * rows, 120), most = largest(panel.all());
      return (svg, i) => {
        const { width } = surface(svg, height + 62), values = panel.frame(i);
        const box = { left: 58, top: 12, width: Math.min(width - 150, 80 * positions), height };
        const reach = fixed.checked ? most : largest(values);
        heatmap(svg, box, (row, position) => values[row * positions + position] / reach, rows, positions, maps.sequential);
        const at = plot(svg, box, cells(positions, "position"), cells(rows, "layer.head", true));
        panel.rows.forEach((name, row) => text(svg, name, box.left - 7, at.y(row), "end"));
        colorBar(svg, { left: box.left + box.width + 14, top: 12, width: 14, height }, 0, reach, "attention [1]", maps.sequential);
        cellTarget(svg, box, rows, positions, 1, (row, position) => `${panel.rows[row]}, position ${position}: ${page.number(values[row * positions + position])}`);
        return `${rows} heads`;
      };
    },

    logit_by_label(panel) {
      const p = panel.shape[1], most = Math.max(...panel.reach);
      return (svg, i) => {
        const side = Math.min(room(svg) - 140, 380), shares = panel.frame(i);
        surface(svg, side + 62);
        const reach = fixed.checked ? most : panel.reach[i], scale = panel.reach[i] / reach;
        const box = { left: 58, top: 12, width: side, height: side };
        heatmap(svg, box, (s, c) => 0.5 + (shares[s * p + c] - 0.5) * scale, p, p, maps.diverging);
        plot(svg, box, cells(p, data.words.class, false, panel.every), cells(p, data.words.label, false, panel.every));
        colorBar(svg, { left: box.left + side + 14, top: 12, width: 14, height: side }, -reach, reach, data.words.logit, maps.diverging);
        cellTarget(svg, box, p, p, panel.every, (s, c, atS, atC) =>
          `label ${atS}, class ${atC}: ${page.number((2 * shares[s * p + c] - 1) * panel.reach[i])}`);
        return `logits from ${label(-panel.reach[i])} to ${label(panel.reach[i])}`;
      };
    },
  };

  // ---- the lead figure: curves over all steps, drawn once; the slider moves its line -------------------------------
  const power = (value) => (value === 0 ? "1" : `1e${page.minus(String(value))}`);
  function logarithmic(low, high) {
    const powers = ticks(low, high, 4, true);
    if (powers.length > 1) return { low, high, marks: powers, name: power };
    return { low, high, marks: ticks(10 ** low, 10 ** high, 3).filter((value) => value > 0).map(Math.log10), name: (value) => label(10 ** value) };
  }
  // where the names of the curves go, beside the title and in as many rows as they need
  function legend(panel, width) {
    let x = 7.6 * panel.title.length + 12, row = 0;
    const places = panel.curves.map((curve) => {
      const needed = 34 + 6.9 * curve.label.length;
      if (x > 0 && x + needed - 14 > width) [x, row] = [0, row + 1];
      x += needed;
      return [x - needed, row];
    });
    return { rows: row + 1, places };
  }
  function drawLead(svg) {
    const lead = data.lead, narrow = room(svg) < 600;
    const wide = svg.parentElement.clientWidth || 960;
    const legends = lead.panels.map((panel) => legend(panel, wide - 72));
    const heights = lead.panels.map((panel, j) => (panel.log ? 116 : 74) + 16 * (legends[j].rows - 1)), gap = 30, top = 34;
    const { width } = surface(svg, top + heights.reduce((sum, height) => sum + height + gap, 0) + 18);
    const turn = logSteps.checked ? (step) => Math.log10(step + 1) : (step) => step;
    const first = turn(Math.max(lead.first, logSteps.checked ? 0 : lead.first)), last = turn(Math.max(lead.last, lead.first + 1));
    const x = { low: first, high: last };
    if (logSteps.checked) {
      x.marks = [0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6].filter((step) => step >= lead.first && step <= lead.last).map(turn);
      x.name = (value) => page.whole(Math.round(10 ** value - 1));
    } else {
      Object.assign(x, { whole: true, about: narrow ? 4 : 8, name: (value) => page.whole(Math.round(value)) });
    }
    const left = 62, inner = width - left - 10;
    const place = (step) => left + ((turn(step) - first) / (last - first)) * inner;
    let y = top;
    const names = [];
    lead.phases.forEach((phase) => {
      const from = Math.max(left, place(Math.max(phase.start, lead.first))), to = Math.min(left + inner, place(Math.min(phase.stop, lead.last)));
      const bottom = top + heights.reduce((sum, height) => sum + height + gap, -gap);
      add(svg, "rect", { x: from, y: top - 14, width: Math.max(0, to - from), height: bottom - top + 14, class: `band p-${phase.name.replace(/ /g, "-")}` });
      const needed = 7 * phase.name.length, fits = to - from >= needed;
      names.push({ name: phase.name, fits, needed, from: fits ? (from + to - needed) / 2 : from });
    });
    names.forEach(({ name, fits, needed, from }, j) => {
      const before = names[j - 1], next = names[j + 1];
      const free = (!before || before.from + before.needed <= from) && (!next || from + needed <= next.from) && from + needed <= width;
      if (fits || free) text(svg, name, from, top - 24, "start");
    });
    for (const step of lead.events) line(svg, place(step), top - 14, place(step), y + heights.reduce((sum, height) => sum + height + gap, -gap), "event");
    const now = line(svg, 0, top - 14, 0, top, "now");
    lead.panels.forEach((panel, j) => {
      const height = heights[j], rows = 16 * (legends[j].rows - 1);
      const box = { left, top: y + 4 + rows, width: inner, height: height - 4 - rows };
      const shown = panel.curves.flatMap((curve) => curve.values).filter((value) => value !== null && (!panel.log || value > 0)).map((value) => (panel.log ? Math.log10(value) : value));
      const low = panel.limits ? panel.limits[0] : Math.min(...shown) - 0.2, high = panel.limits ? panel.limits[1] : Math.max(...shown) + 0.2;
      const bottomAxis = j === lead.panels.length - 1;
      const at = plot(svg, box, { ...x, bare: !bottomAxis, title: bottomAxis ? (logSteps.checked ? "optimizer step (logarithmic)" : "optimizer step") : "" },
        panel.log ? logarithmic(low, high) : { low, high, marks: [0, 0.5, 1], name: label });
      add(svg, "text", { x: left, y: y - 2, class: "title" }, panel.title);
      panel.curves.forEach((curve, k) => {
        const [right, row] = legends[j].places[k], x1 = left + right, height = y - 2 + 16 * row;
        add(svg, "text", { x: x1 + 20, y: height }, curve.label);
        add(svg, "line", { x1, x2: x1 + 15, y1: height - 4, y2: height - 4, stroke: curve.color, "stroke-dasharray": curve.dash, class: "curve" });
      });
      for (const curve of panel.curves) {
        let path = "", down = false;
        curve.values.forEach((value, i) => {
          const usable = value !== null && (!panel.log || value > 0) && curve.at[i] >= lead.first;
          if (usable) path += `${down ? "L" : "M"}${place(curve.at[i]).toFixed(1)} ${at.y(panel.log ? Math.log10(value) : value).toFixed(1)}`;
          down = usable;
        });
        add(svg, "path", { d: path, stroke: curve.color, "stroke-dasharray": curve.dash, class: "curve" });
      }
      target(svg, { left, top: y - 8, width: inner, height: height + 12 }, (px) => {
        const value = first + ((px - left) / inner) * (last - first), step = logSteps.checked ? 10 ** value - 1 : value;
        const found = panel.curves.map((curve) => ({ curve, i: page.nearest(curve.at, step) }));
        return [{ text: `step ${page.whole(found[0].curve.at[found[0].i])}` },
          ...found.map(({ curve, i }) => ({ text: `${curve.label}: ${page.number(curve.values[i])}`, color: curve.color }))];
      });
      y += height + gap;
    });
    svg.stepAt = (px) => {
      const value = first + Math.min(1, Math.max(0, (px - left) / inner)) * (last - first);
      return logSteps.checked ? 10 ** value - 1 : value;
    };
    svg.now = (step) => {
      const at = place(Math.max(step, lead.first));
      now.setAttribute("x1", at);
      now.setAttribute("x2", at);
      now.setAttribute("y2", y - gap);
    };
    svg.append(now);
  }

  // ---- the page -----------------------------------------------------------------------------------------------
  const pointed = (svg) => page.values(svg, (x, y) => {
    const found = (svg.targets || []).find(({ box }) => x >= box.left && x <= box.left + box.width && y >= box.top && y <= box.top + box.height);
    return found ? found.find(x, y) : null;
  });
  const views = [...document.querySelectorAll("svg[data-panel]")].map((svg) => {
    const name = svg.dataset.panel, figure = svg.closest("figure"), title = svg.getAttribute("aria-label");
    const panel = unpack(data.panels[name]);
    pointed(svg);
    page.tools(figure, title, () => rowsOf(name, panel, Number(slider.value)));
    return { svg, title, draw: panels[name](panel) };
  });
  // the numbers of a panel at one checkpoint, a row for each
  const AXES = {
    embedding_power: ["frequency"], neuron_frequency: ["quantity", "neuron"], embedding_circle: ["key", "axis", "exponent"],
    attention_to_a: ["head", "a", "b"], attention_mean: ["head", "position"], logit_by_label: ["label", "class"],
  };
  const NAMES = {
    frequency: (k) => k + 1, quantity: (q) => ["frequency", "explained"][q], axis: (q) => ["cosine", "sine"][q],
  };
  function rowsOf(name, panel, i) {
    const axes = AXES[name], frame = panel.frame(i), p = panel.shape[panel.shape.length - 1];
    const shape = panel.separable ? [panel.shape[1], p, p] : panel.shape.slice(1), every = panel.every || 1;
    const rows = [["step", ...axes, "value"]], count = shape.reduce((product, n) => product * n, 1);
    for (let j = 0; j < count; j++) {
      let rest = j;
      const at = shape.map((n, d) => {
        const size = shape.slice(d + 1).reduce((product, m) => product * m, 1), index = Math.floor(rest / size);
        rest -= index * size;
        return index;
      });
      let value = frame[j];
      if (panel.separable) value = 1 / (1 + Math.exp(frame[(2 * at[0] + 1) * p + at[2]] - frame[2 * at[0] * p + at[1]]));
      if (panel.reach) value = (2 * value - 1) * panel.reach[i];
      const thinned = ["a", "b", "label", "class"], named = at.map((index, d) => {
        if (axes[d] === "key") return panel.keys[index];
        if (NAMES[axes[d]]) return NAMES[axes[d]](index);
        return thinned.includes(axes[d]) ? index * every : index;
      });
      rows.push([data.steps[i], ...named, Number.isFinite(value) ? Number(value.toPrecision(5)) : ""]);
    }
    return rows;
  }
  const lead = document.getElementById("lead");
  function curvesOf() {
    const rows = [["panel", "series", "x", "value"]];
    for (const panel of data.lead.panels) for (const curve of panel.curves) curve.at.forEach((x, i) => rows.push([panel.title, curve.label, x, curve.values[i]]));
    return rows;
  }
  if (lead && data.lead) {
    pointed(lead);
    lead.addEventListener("click", (event) => seek(event));
    page.tools(lead.closest("figure"), lead.getAttribute("aria-label"), curvesOf);
    document.getElementById("lead-figure").hidden = false;
  }
  function seek(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(lead.getScreenCTM().inverse());
    const step = lead.stepAt(at.x);
    slider.value = String(page.nearest(data.steps, step));
    moved();
  }
  const readouts = data.readouts.map((readout) => {
    const pair = document.createElement("div");
    pair.append(document.createElement("dt"), document.createElement("dd"));
    pair.firstChild.textContent = readout.label;
    document.getElementById("readouts").append(pair);
    return pair.lastChild;
  });

  function drawStrip() {
    const strip = document.getElementById("strip"), n = data.steps.length;
    strip.replaceChildren();
    strip.setAttribute("viewBox", "0 0 1000 7");
    data.phases.forEach((phase, i) => {
      const from = (1000 * Math.max(0, i - 0.5)) / Math.max(1, n - 1), to = (1000 * Math.min(n - 1, i + 0.5)) / Math.max(1, n - 1);
      if (phase) add(strip, "rect", { x: n > 1 ? from : 0, y: 0, width: n > 1 ? to - from + 0.5 : 1000, height: 7, class: `band p-${phase.replace(/ /g, "-")}` });
    });
  }

  function draw() {
    const i = Number(slider.value), step = data.steps[i];
    const where = `step ${page.whole(step)}${data.phases[i] ? `, ${data.phases[i]}` : ""}`;
    document.getElementById("where").textContent = where;
    slider.setAttribute("aria-valuetext", where);
    data.readouts.forEach((readout, j) => { readouts[j].textContent = readout.values[i]; });
    for (const view of views) view.svg.setAttribute("aria-label", `${view.title} at step ${step}: ${view.draw(view.svg, i)}`);
    if (lead && lead.now) lead.now(step);
    page.follow(step);
  }

  let waiting = false;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }
  function moved() {
    try { history.replaceState(null, "", `#step=${data.steps[Number(slider.value)]}`); } catch { /* some viewers keep no history */ }
    redraw();
  }

  let timer = 0;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
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
    if (timer) { moved(); return pause(); }
    if (Number(slider.value) >= data.steps.length - 1) slider.value = "0";
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    redraw();
    timer = setInterval(advance, calm ? 1000 : 120);
  });
  slider.addEventListener("input", moved);
  slider.addEventListener("keydown", (event) => {
    const jump = { PageUp: 10, PageDown: -10 }[event.key];
    if (!jump) return;
    event.preventDefault();
    slider.value = String(Number(slider.value) + jump);
    moved();
  });
  if (fixed) fixed.addEventListener("change", redraw);
  function layout() {
    if (lead && data.lead) drawLead(lead);
    redraw();
  }
  if (logSteps) logSteps.addEventListener("change", layout);
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    slider.value = String(Number(slider.value) + by);
    moved();
  });
  window.addEventListener("resize", layout);
  document.addEventListener("layout", layout);
  function asked() {
    const found = /^#step=(\d+)$/.exec(location.hash);
    if (found) slider.value = String(page.nearest(data.steps, Number(found[1])));
  }
  window.addEventListener("hashchange", () => { asked(); redraw(); });
  for (const part of document.querySelectorAll(".needs-script")) part.hidden = false;
  asked();
  drawStrip();
  if (lead && data.lead) drawLead(lead);
  draw();
})();
