// Readings of the drawn figures: their values at a place, the places that have a value, and all of them as rows.
Object.assign(page, (() => {
  const { number, whole } = page;
  const inside = ([left, top, width, height], x, y) => x >= left && x <= left + width && y >= top && y <= top + height;
  const scaled = (value, low, high, log) => (log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low));
  const across = (reading, x) => {
    const [left, , width] = reading.box, [low, high] = reading.limits, share = (x - left) / width;
    return reading.log ? low * (high / low) ** share : low + share * (high - low);
  };
  const place = (reading, value) => reading.box[0] + reading.box[2] * scaled(value, ...reading.limits, reading.log);
  const height = (reading, value) => reading.box[1] + reading.box[3] * (1 - scaled(value, ...reading.range, reading.tall));

  // packed numbers are low + level * step; the last level is not finite
  function unpack(packed) {
    const text = atob(packed.data), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const levels = packed.type === "uint8" ? bytes : new Uint16Array(bytes.buffer), absent = packed.type === "uint8" ? 255 : 65535;
    const value = (level) => (level === absent ? NaN : packed.low + level * packed.step);
    const size = packed.shape.slice(1).reduce((product, n) => product * n, 1);
    const frame = (i) => Float64Array.from(levels.subarray(i * size, (i + 1) * size), value);
    return { ...packed, frame, all: () => Float64Array.from(levels, value) };
  }
  // the value of a cell, a word where whole numbers stand for kinds
  function cell(reading, row, column) {
    if (!Array.isArray(reading.cells)) {
      const packed = unpack(reading.cells);
      reading.cells = reading.rows.map((_, i) => Array.from(packed.frame(i)));
    }
    const value = reading.cells[row][column];
    if (reading.kinds) return Number.isFinite(value) ? reading.kinds[value] : "";
    return Number.isFinite(value) ? Number(value.toPrecision(6)) : null;
  }
  const written = (value) => (typeof value === "string" ? value || "not defined" : number(value));

  // ---- values at a place -----------------------------------------------------------------------------------------
  const MOST = 14;
  function closest(values, wanted) {
    let best = -1;
    values.forEach((value, i) => { if (value !== null && (best < 0 || Math.abs(value - wanted) < Math.abs(values[best] - wanted))) best = i; });
    return best;
  }
  function read(reading, x, y) {
    if (reading.names) return readRow(reading, y);
    if (reading.points) return readPoint(reading, x, y) || (reading.curves ? readCurves(reading, x) : null);
    if (reading.curves) return readCurves(reading, x);
    if (reading.spans) {
      const value = across(reading, x), found = reading.spans.find(([, from, to]) => value >= from && value <= to);
      return found ? [{ text: `${found[0]}: from ${number(found[1])} to ${number(found[2])}` }] : null;
    }
    return reading.bars ? readBar(reading, x, y) : readCell(reading, x, y);
  }
  function readCurves(reading, x) {
    const first = reading.curves[0], value = across(reading, x), i = closest(first.at, value);
    const lines = [{ text: `${reading.x || "x"} ${reading.steps ? whole(first.at[i]) : number(first.at[i])}` }];
    for (const curve of reading.curves.slice(0, MOST)) {
      const at = curve.at || first.at, j = curve.at ? closest(at, value) : i;
      if (j < 0) continue;
      const apart = at[j] === first.at[i] ? "" : ` (at ${reading.steps ? whole(at[j]) : number(at[j])})`;
      const ends = curve.low && curve.low[j] !== undefined ? ` (${number(curve.low[j])} to ${number(curve.high[j])})` : "";
      lines.push({ text: `${curve.label ? `${curve.label}: ` : ""}${number(curve.values[j])}${ends}${apart}`, color: curve.color });
    }
    return lines;
  }
  function readRow(reading, y) {
    const row = Math.round(reading.range[0] + (1 - (y - reading.box[1]) / reading.box[3]) * (reading.range[1] - reading.range[0]));
    if (reading.names[row] === undefined) return null;
    const lines = [{ text: reading.names[row] }];
    for (const curve of reading.curves || []) {
      const at = curve.at || reading.curves[0].at, found = at.filter((_, i) => Math.round(curve.values[i]) === row);
      const words = [...new Set(found)].map((value) => (reading.steps ? whole(value) : number(value))).join(", ");
      if (found.length) lines.push({ text: `${curve.label ? `${curve.label}: ` : ""}${words}`, color: curve.color });
    }
    return lines;
  }
  function readPoint(reading, x, y) {
    let least = 400, found = null;
    for (const one of reading.points) {
      one.x.forEach((value, i) => {
        const distance = (place(reading, value) - x) ** 2 + (height(reading, one.y[i]) - y) ** 2;
        if (distance < least) [least, found] = [distance, [one, i]];
      });
    }
    if (!found) return null;
    const [one, i] = found, name = [one.label, one.of ? String(one.of[i]) : ""].filter(Boolean).join(" ");
    return [{ text: `${name ? `${name}: ` : ""}(${number(one.x[i])}, ${number(one.y[i])})`, color: one.of ? "" : one.color }];
  }
  function readBar(reading, x, y) {
    const [left, top, width, high] = reading.box, [from, to] = reading.upright ? reading.limits : reading.range;
    const share = reading.upright ? (x - left) / width : 1 - (y - top) / high, value = from + share * (to - from);
    const bar = reading.bars.reduce((best, one) => (Math.abs(one[2] - value) < Math.abs(best[2] - value) ? one : best));
    return [{ text: `${bar[0]}: ${number(bar[1])}` }];
  }
  function readCell(reading, x, y) {
    const [, top, , high] = reading.box, rows = reading.rows.length, edges = reading.edges;
    const row = Math.max(0, Math.min(rows - 1, Math.floor(((y - top) / high) * rows))), value = across(reading, x);
    let column = edges.length - 2;
    while (column > 0 && edges[column] > value) column -= 1;
    const at = reading.columns[column], where = reading.steps ? `step ${whole(at)}` : `${short(reading.x)} ${at}`;
    return [{ text: `${short(reading.y)} ${reading.rows[row]}, ${where}: ${written(cell(reading, row, column))}`.trim() }];
  }
  const short = (label) => label.replace(/ \[.*\]$/, "");

  // ---- places with a value, in rows ------------------------------------------------------------------------------
  function stops(reading) {
    const [left, top, width, high] = reading.box, middle = top + high / 2;
    const within = ([x]) => x >= left - 0.5 && x <= left + width + 0.5;
    if (reading.names) return Object.keys(reading.names).map((row) => [[left + width / 2, height(reading, Number(row))]]).sort((a, b) => a[0][1] - b[0][1]);
    if (reading.points) return [reading.points.flatMap((one) => one.x.map((x, i) => [place(reading, x), height(reading, one.y[i])])).sort((a, b) => a[0] - b[0])];
    if (reading.curves) return [[...new Set(reading.curves[0].at)].map((x) => [place(reading, x), middle]).filter(within)];
    if (reading.spans) return [reading.spans.map(([, from, to]) => [place(reading, (from + to) / 2), middle])];
    if (reading.bars && reading.upright) return [reading.bars.map(([, , at]) => [place(reading, at), middle])];
    if (reading.bars) return reading.bars.map(([, , at]) => [[left + width / 2, height(reading, at)]]);
    const columns = reading.edges.slice(1).map((edge, i) => place(reading, (edge + reading.edges[i]) / 2));
    return reading.rows.map((_, row) => columns.map((x) => [x, top + (high * (row + 0.5)) / reading.rows.length]));
  }

  // ---- all values: columns and rows ------------------------------------------------------------------------------
  const shared = (names, otherwise) => {
    const found = [...new Set(names.filter(Boolean))];
    return found.length === 1 ? found[0] : otherwise;
  };
  function rowsOf(readings) {
    const flat = (one) => one.bars && !one.upright, maps = readings.filter((one) => one.cells);
    const x = shared(readings.map((one) => (flat(one) ? one.y : one.x)), "x");
    const value = shared(readings.map((one) => (flat(one) ? one.x : one.cells ? one.value : one.y)), "value");
    const series = maps.length === readings.length ? shared(maps.map((one) => one.y), "row") : "series";
    const extra = [
      ...(readings.some((one) => (one.curves || []).some((curve) => curve.low)) ? ["low", "high"] : []),
      ...(readings.some((one) => (one.points || []).some((points) => points.of)) ? ["point"] : []),
    ];
    const rows = [["panel", series, x, value, ...extra]];
    for (const reading of readings) {
      const title = reading.title || reading.y || "", name = (row) => (reading.names ? reading.names[Math.round(row)] ?? row : row);
      for (const curve of reading.curves || []) {
        const at = curve.at || reading.curves[0].at;
        at.forEach((one, i) => {
          const ends = extra.includes("low") ? [curve.low?.[i] ?? null, curve.high?.[i] ?? null] : [];
          rows.push([title, curve.label, one, name(curve.values[i]), ...ends]);
        });
      }
      for (const points of reading.points || []) {
        points.x.forEach((one, i) => rows.push([title, points.label, one, points.y[i], ...extra.map((column) => (column === "point" ? points.of?.[i] ?? null : null))]));
      }
      for (const [bar, size] of reading.bars || []) rows.push([title, "", bar, size]);
      for (const [span, from, to] of reading.spans || []) rows.push([title, span, from, "start"], [title, span, to, "end"]);
      if (reading.cells) reading.rows.forEach((row, i) => reading.columns.forEach((_, j) => {
        rows.push([title, row, reading.columns[j], cell(reading, i, j)]);
      }));
    }
    return rows;
  }
  return { inside, place, read, stops, rowsOf, unpack };
})());
