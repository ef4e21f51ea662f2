// The figures of a page: values under the pointer and by keyboard, a larger view, and files to save.
Object.assign(page, (() => {
  const { add, make, tool, filesOf, inside, place, read, rowsOf, stops, values, keys } = page;
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
  const visible = (figure) => [...figure.querySelectorAll("svg")].find((svg) => svg.getBoundingClientRect().width) || figure.querySelector("svg");
  function tools(figure, name, rows) {
    const line = make("div", "tools");
    line.append(tool("Enlarge", name, () => enlarge(figure)), ...filesOf(name, () => visible(figure), rows));
    figure.append(line);
  }

  // a short name: the title of a plot, or the beginning of the description of a figure
  function nameOf(figure) {
    const title = figure.matches(".plot, .bars") && figure.querySelector("figcaption");
    return title ? title.textContent : figure.querySelector("svg").getAttribute("aria-label").split(/\. |: | over training/)[0];
  }

  // a line in every figure over the steps follows the step that the page shows
  const linked = [];
  function link(svg, readings) {
    for (const reading of readings.filter((one) => one.steps)) {
      const [left, top, width, height] = reading.box;
      const now = add(svg, "line", { class: "now", y1: top, y2: top + height, visibility: "hidden" });
      linked.push((step) => {
        const x = place(reading, step);
        now.setAttribute("visibility", x >= left - 0.5 && x <= left + width + 0.5 ? "visible" : "hidden");
        now.setAttribute("x1", x);
        now.setAttribute("x2", x);
      });
    }
  }
  const follow = (step) => linked.forEach((move) => move(step));

  for (const figure of document.querySelectorAll("figure[data-readings]")) {
    const readings = JSON.parse(figure.dataset.readings);
    for (const svg of figure.querySelectorAll("svg")) {
      const find = (x, y) => {
        const found = readings.find((reading) => inside(reading.box, x, y));
        const lines = found ? read(found, x, y) : null;
        return lines && readings.length > 1 && found.title ? [{ text: found.title }, ...lines] : lines;
      };
      if (readings.every((reading) => reading.box)) {
        values(svg, find);
        keys(svg, find, () => readings.map(stops));
        link(svg, readings);
      }
    }
    const scroll = figure.querySelector(".scroll[tabindex]");
    if (scroll) scroll.removeAttribute("tabindex");  // the drawing itself takes the focus
    tools(figure, nameOf(figure), () => rowsOf(readings));
  }
  return { tools, enlarge, follow };
})());
