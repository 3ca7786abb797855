"use strict";
// What a well holds, wherever on the page it is drawn: the row of the table is the one place where that stands.
(() => {
  const panel = document.getElementById("well");
  const rows = new Map([...document.querySelectorAll("tr[data-w]")].map((row) => [row.dataset.w, row]));
  const names = [...document.querySelectorAll("#wells thead th")].map((head) => head.dataset.name);
  let kept = null; // the well that was clicked
  let shown; // undefined: nothing stands there yet

  function show(well) {
    if (well === shown) return;
    shown = well;
    for (const mark of document.querySelectorAll("[data-w].on")) mark.classList.remove("on");
    panel.replaceChildren();
    if (well === null) {
      const hint = document.createElement("p");
      hint.textContent = "Point at a well, or tap it: its content stands here. On a plate that has the focus, arrow keys go from well to well.";
      panel.append(hint);
      return;
    }
    for (const mark of document.querySelectorAll(`rect[data-w="${Number(well)}"]`)) mark.classList.add("on");
    const facts = document.createElement("dl");
    [...rows.get(well).cells].forEach((cell, number) => {
      if (cell.textContent.trim() === "") return;
      const [pair, term, text] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      term.textContent = names[number];
      text.textContent = cell.textContent.trim();
      pair.append(term, text);
      facts.append(pair);
    });
    panel.append(facts);
  }

  const wellOf = (target) => target.closest?.("[data-w]")?.dataset.w ?? null;
  document.addEventListener("pointerover", (event) => show(wellOf(event.target) ?? kept));
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.(".panel, tr[data-w]")) return;
    kept = wellOf(event.target);
    show(kept);
  });

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  for (const plate of document.querySelectorAll(".panel")) {
    const wells = [...plate.querySelectorAll("rect[data-w]")];
    if (!wells.length) continue;
    plate.setAttribute("tabindex", "0");
    const at = new Map(wells.map((rect) => [rect.dataset.w, [rect.x.baseVal.value, rect.y.baseVal.value]]));
    plate.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        kept = null;
        show(kept);
      }
      if (!(event.key in ARROWS) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      const [x, y] = ARROWS[event.key];
      const [left, top] = at.get(kept) ?? [-1, -1];
      let [best, least] = [kept ?? wells[0].dataset.w, Infinity];
      for (const [well, [right, down]] of at) {
        const [along, aside] = [(right - left) * x + (down - top) * y, Math.abs((right - left) * y) + Math.abs((down - top) * x)];
        if (kept !== null && along > 0 && aside === 0 && along < least) [best, least] = [well, along];
      }
      kept = best;
      show(kept);
    });
  }
  panel.hidden = false;
  show(null);
})();
