"use strict";
(() => {
  const form = document.getElementById("filters");
  const grid = document.getElementById("cards");
  const cards = [...grid.querySelectorAll(".card")];
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const search = document.getElementById("search");
  const sort = document.getElementById("sort");
  const ranks = new Map(boxes.filter((box) => box.name === "verdict").map((box, place) => [box.value, place]));

  const number = (text) => (text === "" ? Infinity : Number(text));
  const order = {
    name: (card) => Number(card.dataset.name),
    generalized: (card) => number(card.dataset.generalized),
    verdict: (card) => ranks.get(card.dataset.verdict) ?? 0,
    written: (card) => -Number(card.dataset.written),
  };

  const chosen = () => {
    const found = new Map();
    for (const box of boxes) if (box.checked) found.set(box.name, [...(found.get(box.name) ?? []), box.value]);
    return found;
  };

  const remember = (filters) => {
    const kept = new URLSearchParams();
    for (const [name, values] of filters) for (const value of values) kept.append(name, value);
    if (search.value) kept.set("search", search.value);
    if (sort.value !== "name") kept.set("sort", sort.value);
    const hash = kept.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  };

  const show = () => {
    const filters = chosen();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const card of cards) {
      const fits = [...filters].every(([name, values]) => values.includes(card.dataset[name]));
      card.hidden = !(fits && words.every((word) => card.dataset.text.includes(word)));
      count += card.hidden ? 0 : 1;
    }
    document.getElementById("count").textContent = `${count} of ${cards.length} runs`;
    document.getElementById("nothing").hidden = count > 0;
    const by = order[sort.value];
    const sorted = [...cards].sort((a, b) => by(a) - by(b) || order.name(a) - order.name(b));
    grid.append(...sorted);
    return filters;
  };

  const recall = () => {
    const kept = new URLSearchParams(location.hash.slice(1));
    for (const box of boxes) box.checked = kept.getAll(box.name).includes(box.value);
    search.value = kept.get("search") ?? "";
    sort.value = kept.get("sort") in order ? kept.get("sort") : "name";
  };

  for (const kind of ["input", "change"]) form.addEventListener(kind, () => remember(show()));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    search.value = "";
    sort.value = "name";
    remember(show());
  });
  window.addEventListener("hashchange", () => { recall(); show(); });
  recall();
  form.hidden = false;
  show();
})();
