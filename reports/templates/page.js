"use strict";
// What makes the pages of a report handier. Without it they are complete: nothing is shown by a script alone.
(() => {
  const ROWS_BEFORE_FILTER = 12;
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const EMPTY = /^[\s–-]*$/;

  // The first text of a cell: an interval in small print below a value is no part of it.
  function textOf(cell) {
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (walker.currentNode.data.trim()) return walker.currentNode.data.trim();
    return "";
  }

  const numberOf = (text) => Number.parseFloat(text.replace("−", "-").replace(/(\d),(?=\d{3})/g, "$1"));

  const rowsOf = (table) => [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !row.classList.contains("between"));

  // A section that is named by a row of its own is sorted by itself, below that row.
  function sortBody(body, column, direction, numeric) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("between"));
    rows.forEach((row, index) => (row.dataset.first ??= index));
    const keyed = rows.map((row) => {
      const text = row.cells[column] ? textOf(row.cells[column]) : "";
      return { row, text, number: numberOf(text), first: Number(row.dataset.first) };
    });
    const sign = direction === "descending" ? -1 : 1;
    keyed.sort((a, b) => {
      if (direction === "none") return a.first - b.first;
      const [none, other] = numeric ? [Number.isNaN(a.number), Number.isNaN(b.number)] : [EMPTY.test(a.text), EMPTY.test(b.text)];
      if (none || other) return none - other || a.first - b.first; // what has no value stands last either way
      return sign * (numeric ? a.number - b.number : order.compare(a.text, b.text)) || a.first - b.first;
    });
    body.append(...keyed.map((item) => item.row));
  }

  function makeSortable(table) {
    const head = table.tHead?.rows[table.tHead.rows.length - 1];
    if (!head || rowsOf(table).length < 2 || [...head.cells].some((cell) => cell.colSpan > 1)) return;
    [...head.cells].forEach((cell, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...cell.childNodes);
      cell.append(button);
      cell.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const numeric = cell.classList.contains("n");
        const steps = numeric ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
        const next = steps[(steps.indexOf(cell.getAttribute("aria-sort")) + 1) % 3];
        for (const other of head.cells) other.setAttribute("aria-sort", "none");
        cell.setAttribute("aria-sort", next);
        for (const body of table.tBodies) sortBody(body, column, next, numeric);
      });
    });
  }

  function makeFilter(table) {
    const rows = rowsOf(table);
    if (rows.length <= ROWS_BEFORE_FILTER) return;
    const box = document.createElement("div");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const said = document.createElement("span");
    box.className = "filter";
    input.type = "search";
    said.setAttribute("role", "status");
    label.append("Rows with all of these words: ", input);
    box.append(label, said);
    const texts = new Map();
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
        row.hidden = !words.every((word) => texts.get(row).includes(word));
        shown += !row.hidden;
      }
      said.textContent = words.length ? `${shown} of ${rows.length} rows` : "";
    });
    (table.closest(".scroll") ?? table).before(box);
  }

  // Whatever a link leads to is to be seen: parts that are folded away open on the way.
  function unfold() {
    let target = null;
    try {
      target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    } catch {
      return; // no address of ours
    }
    const folded = [];
    for (let part = target?.closest("details"); part; part = part.parentElement.closest("details")) folded.push(part);
    if (!folded.some((part) => !part.open)) return;
    for (const part of folded) part.open = true;
    target.scrollIntoView();
  }

  // Which part is being read, in the navigation.
  function follow(bar) {
    const links = new Map([...bar.querySelectorAll('a[href^="#"]')].map((link) => [link.getAttribute("href").slice(1), link]));
    const seen = new Map();
    const watcher = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) seen.set(entry.target.id, entry.isIntersecting);
        const current = [...links.keys()].find((id) => seen.get(id));
        for (const [id, link] of links) id === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
      },
      { rootMargin: "-15% 0px -75% 0px" },
    );
    for (const id of links.keys()) {
      const part = document.getElementById(id);
      if (part) watcher.observe(part);
    }
  }

  document.querySelectorAll("table.sortable").forEach((table) => {
    makeFilter(table);
    makeSortable(table);
  });
  document.querySelectorAll("nav.bar").forEach(follow);
  addEventListener("hashchange", unfold);
  unfold();
  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.dataset.folded = "";
      part.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const part of document.querySelectorAll("details[data-folded]")) {
      part.open = false;
      delete part.dataset.folded;
    }
  });
})();
