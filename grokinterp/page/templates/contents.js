// Terms, the contents, and what is folded: notes at terms, the current section, and unfolding for links and for paper.
Object.assign(page, (() => {
  const { make, tell, hush } = page;
  document.querySelectorAll("dfn.term").forEach((term, i) => {
    const about = term.title, described = make("span", "", about);
    term.removeAttribute("title");
    described.id = `term-${i}`;
    described.hidden = true;
    document.body.append(described);
    term.setAttribute("aria-describedby", described.id);
    const show = () => {
      const box = term.getBoundingClientRect();
      tell(box.left - 12, box.bottom - 8, [{ text: about }]);
    };
    for (const kind of ["pointerenter", "focus", "click"]) term.addEventListener(kind, show);
    for (const kind of ["pointerleave", "blur"]) term.addEventListener(kind, hush);
  });

  // a link to something folded unfolds it
  function unfold() {
    const id = decodeURIComponent(location.hash.slice(1)), target = id && document.getElementById(id);
    if (!target) return;
    const folded = target.matches("details") ? target : target.closest("details") || target.querySelector(":scope > details");
    if (folded && !folded.open) { folded.open = true; target.scrollIntoView(); }
  }
  window.addEventListener("hashchange", unfold);
  document.addEventListener("click", (event) => {
    if (event.target.closest("a[href^='#']")) setTimeout(unfold);
  });
  unfold();

  // unfolded by hand or, if the result is short enough to print, for printing
  const folds = [...document.querySelectorAll("details.fold")];
  const isWhole = () => folds.every((fold) => fold.open);
  let name = () => {};
  if (folds.length) {
    const button = make("button", "tool", "Unfold all"), note = make("p", "for-print", "Folded chapters are not printed; “Unfold all” at the top of the page adds them.");
    name = () => { button.textContent = isWhole() ? "Fold all" : "Unfold all"; note.hidden = isWhole(); };
    button.type = "button";
    button.addEventListener("click", () => {
      const open = !isWhole();
      for (const fold of folds) fold.open = open;
      name();
    });
    document.addEventListener("toggle", name, true);
    document.querySelector("nav").append(button);
    document.querySelector("main").append(note);
    name();
  }
  const MOST_PAGES = 15, PAGE = 940e3;  // pixels of the page on the screen that fill a sheet of paper, measured
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = folds.filter((fold) => !fold.open);
    for (const fold of opened) fold.open = true;
    const { scrollHeight, clientWidth } = document.documentElement;
    if (scrollHeight * clientWidth > MOST_PAGES * PAGE) {
      for (const fold of opened) fold.open = false;
      opened = [];
    }
    name();
  });
  window.addEventListener("afterprint", () => { for (const fold of opened) fold.open = false; });

  // the contents mark the section at the top of the window
  const nav = document.querySelector("nav"), links = [...nav.querySelectorAll("a[href^='#']")];
  const sections = links.map((link) => document.getElementById(link.hash.slice(1)));
  let current = null;
  function mark() {
    const line = nav.getBoundingClientRect().bottom + 80, room = document.documentElement;
    const reached = sections.map((section, i) => [section, i]).filter(([section]) => section && section.getBoundingClientRect().top <= line);
    const atEnd = room.scrollHeight - window.scrollY - window.innerHeight < 2 && window.scrollY > 0;
    const found = links[atEnd ? links.length - 1 : reached.length ? reached.at(-1)[1] : 0];
    if (found === current) return;
    if (current) current.removeAttribute("aria-current");
    current = found;
    current.setAttribute("aria-current", "true");
    const { left, right } = current.getBoundingClientRect();
    if (left < 0 || right > nav.clientWidth) nav.scrollLeft += left - nav.clientWidth / 3;
  }
  let waiting = false;
  function later() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }
  if (links.length) {
    for (const kind of ["scroll", "resize", "toggle"]) window.addEventListener(kind, later, { passive: true, capture: true });
    mark();
  }
  return {};
})());
