// The panels that the slider moves: each takes its unpacked data once and returns a function that draws frame i.
const panelsOf = (data, fixed) => {
  const { add } = page;
  const { room, surface, text, line, target, beside, label, plot, heatmap, colorBar, cells, cellTarget, largest } = drawing;
  const BLUE = "#0173b2", ORANGE = "#de8f05", GRAY = "#949494", SPECIALIZED = 0.85;
  const keys = new Set(data.keys);
  const table = (hex) => hex.match(/../g).map((pair) => parseInt(pair, 16));
  const maps = { sequential: table(data.maps.sequential), diverging: table(data.maps.diverging) };
  const viridis = (share) => {
    const color = 3 * Math.round(255 * share);
    return `rgb(${maps.sequential[color]},${maps.sequential[color + 1]},${maps.sequential[color + 2]})`;
  };
  return {
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
        }, beside(box, n, (i) => (i + 1) / (n + 1)));
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
        }, beside(whole, high - 1, (i) => (i + 1) / high));
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
          }, [[...Array(p).keys()].filter((t) => Number.isFinite(points[t])).map((t) => [at.x(points[t]), at.y(points[p + t])])]);
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
};
