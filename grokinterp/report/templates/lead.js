// The lead figure: curves over all steps, drawn once for the width of the window; the slider moves its line.
const leadOf = (svg, lead, logSteps) => {
  const { add } = page;
  const { room, surface, text, line, target, ticks, label, plot } = drawing;
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
  // the share of their usual height at which the panels fit above the slider in the first window; 1 in narrow windows
  function fitting(fixed) {
    const controls = document.querySelector(".controls"), above = svg.getBoundingClientRect().top + window.scrollY;
    if (room(svg) < 600 || svg.closest(".zoomed")) return 1;
    const free = window.innerHeight - above - controls.offsetHeight - 6 - fixed;
    return Math.max(0.55, Math.min(1, free / lead.panels.reduce((sum, panel) => sum + (panel.log ? 116 : 74), 0)));
  }
  function draw() {
    const narrow = room(svg) < 600;
    const wide = svg.parentElement.clientWidth || 960;
    const legends = lead.panels.map((panel) => legend(panel, wide - 72));
    const gap = 30, top = 34, share = fitting(legends.reduce((sum, one) => sum + 16 * (one.rows - 1) + gap, top + 18));
    const heights = lead.panels.map((panel, j) => share * (panel.log ? 116 : 74) + 16 * (legends[j].rows - 1));
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
      }, [panel.curves[0].at.filter((step) => step >= lead.first).map((step) => [place(step), y + height / 2])]);
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
  function rows() {
    const found = [["panel", "series", "optimizer step", "value"]];
    for (const panel of lead.panels) for (const curve of panel.curves) curve.at.forEach((x, i) => found.push([panel.title, curve.label, x, curve.values[i]]));
    return found;
  }
  return { draw, rows };
};
