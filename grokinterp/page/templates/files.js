// Files to save: drawings as SVG, and numbers as CSV and JSON. Nothing is sent.
Object.assign(page, (() => {
  const { add, make } = page;
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
    copy.removeAttribute("tabindex");
    copy.removeAttribute("aria-describedby");
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    copy.setAttribute("font-family", "system-ui, DejaVu Sans, sans-serif");
    const ground = { width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor };
    copy.prepend(add(copy, "rect", ground));
    return copy.outerHTML;
  }
  const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value ?? ""));
  const csv = (rows) => `${rows.map((row) => row.map(cell).join(",")).join("\n")}\n`;
  const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_|_$/g, "").slice(0, 60) || "figure";

  // a cell of a table has its number in full beside its text
  function cellsOf(table) {
    const rows = [...table.rows].map((row) => [...row.cells].map((one) => one.dataset.value ?? one.textContent.trim()));
    return table.tHead || !rows.length ? rows : [["name", "value", ...rows[0].slice(2).map(() => "")], ...rows];
  }
  const titleOf = (table) => (table.caption ? table.caption.textContent.trim() : table.closest("[aria-label]")?.getAttribute("aria-label") || "table");

  function tool(words, about, act) {
    const button = make("button", "tool", words);
    button.type = "button";
    button.setAttribute("aria-label", `${words}: ${about}`);
    button.addEventListener("click", act);
    return button;
  }
  const figures = [];
  function filesOf(name, svg, rows) {
    if (rows) figures.push({ name, rows });
    return [
      tool("SVG", name, () => save(`${slug(name)}.svg`, image(svg()), "image/svg+xml")),
      ...(rows ? [tool("CSV", name, () => save(`${slug(name)}.csv`, csv(rows()), "text/csv"))] : []),
    ];
  }
  for (const table of document.querySelectorAll("table")) {
    const name = titleOf(table), line = make("div", "tools");
    line.append(tool("CSV", name, () => save(`${slug(name)}.csv`, csv(cellsOf(table)), "text/csv")));
    (table.closest(".scroll") || table).after(line);
  }
  const everything = document.getElementById("everything");
  if (everything) {
    everything.hidden = false;
    everything.addEventListener("click", () => {
      const drawn = figures.map(({ name, rows }) => {
        const [columns, ...values] = rows();
        return { figure: name, columns, rows: values };
      });
      const tables = [...document.querySelectorAll("table")].map((table) => ({ table: titleOf(table), rows: cellsOf(table) }));
      save("page.json", JSON.stringify({ figures: drawn, tables }), "application/json");
    });
  }
  return { tool, filesOf };
})());
