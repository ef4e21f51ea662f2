// The slider of a report: it shows the packed checkpoints of the page, and moves every figure over the steps.
(() => {
  const frames = document.getElementById("frames");
  if (!frames) return;
  const data = JSON.parse(frames.textContent);
  const { add } = page;
  const slider = document.getElementById("slider"), fixed = document.getElementById("fixed");
  const play = document.getElementById("play"), logSteps = document.getElementById("log-steps");
  const panels = panelsOf(data, fixed), rowsOf = panelRows(data);
  const views = [...document.querySelectorAll("svg[data-panel]")].map((svg) => {
    const name = svg.dataset.panel, figure = svg.closest("figure"), title = svg.getAttribute("aria-label");
    const panel = page.unpack(data.panels[name]);
    drawing.pointed(svg);
    page.tools(figure, title, () => rowsOf(name, panel, Number(slider.value)));
    return { svg, title, draw: panels[name](panel) };
  });
  const lead = document.getElementById("lead");
  const curves = lead && data.lead ? leadOf(lead, data.lead, logSteps) : null;
  if (curves) {
    drawing.pointed(lead, seek);
    lead.addEventListener("click", (event) => seek(new DOMPoint(event.clientX, event.clientY).matrixTransform(lead.getScreenCTM().inverse()).x));
    page.tools(lead.closest("figure"), lead.getAttribute("aria-label"), curves.rows);
    document.getElementById("lead-figure").hidden = false;
  }
  function seek(x) {
    slider.value = String(page.nearest(data.steps, lead.stepAt(x)));
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
    if (curves) curves.draw();
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
  if (curves) curves.draw();
  draw();
})();
