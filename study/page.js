// Sorts tables by a click on a heading, and filters settings. The page is whole without it.
"use strict";
(() => {
  const NONE = "none", NEXT = { none: "descending", descending: "ascending", ascending: NONE };
  const text = (cell) => cell.textContent.trim().replace(/−/g, "-");
  // what a cell is sorted by: its first number; names by their letters and numbers
  const number = (cell) => parseFloat(text(cell).replace(/^[^\d+-]*(?=[+-]?\d)/, ""));

  function compare(first, second, sign) {
    if (first.matches("th")) return sign * text(first).localeCompare(text(second), undefined, { numeric: true });
    const [a, b] = [number(first), number(second)];
    if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b) || sign * text(first).localeCompare(text(second));
    return sign * (a - b);
  }

  for (const table of document.querySelectorAll("table.rows")) {
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const rows = new Map([...table.tBodies].map((body) => [body, [...body.rows].filter((row) => row.className !== "group")]));
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const order = NEXT[heading.getAttribute("aria-sort") || NONE];
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        if (order !== NONE) heading.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        for (const [body, original] of rows) {
          const sorted = order === NONE ? original : [...original].sort((a, b) => compare(a.cells[column], b.cells[column], sign));
          body.append(...sorted);
        }
      });
    });
  }

  const filter = document.querySelector(".filter");
  if (!filter) return;
  filter.hidden = false;
  const [input, output] = [filter.querySelector("input"), filter.querySelector("output")];
  const plain = (words) => words.toLowerCase().replace(/\s+/g, " ");
  // what is shown or hidden, by the words that it is found by
  const items = [];
  const add = (words, ...elements) => items.push({ words: plain(words), elements });
  for (const finding of document.querySelectorAll(".finding")) add(finding.querySelector("h3").textContent, finding);
  for (const body of document.querySelectorAll("table.rows tbody")) {
    const fold = body.closest("details.fold");
    const group = body.querySelector(".group") || (fold && fold.querySelector("summary"));
    for (const row of body.querySelectorAll("tr:not(.group)")) {
      add(`${group ? group.textContent : ""} ${row.cells[0].textContent}`, row);
    }
  }
  for (const table of document.querySelectorAll("table.settings")) {
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const fold = table.closest("details.fold");
    headings.slice(1).forEach((heading, index) => {
      const cells = [...table.querySelectorAll("tbody tr:not(.group)")].map((row) => row.cells[index + 1]);
      add(`${fold ? fold.querySelector("summary").textContent : ""} ${heading.textContent}`, heading, ...cells);
    });
  }
  const foldOf = (item) => item.elements[0].closest("details.fold");
  const open = new Map(items.map(foldOf).filter(Boolean).map((fold) => [fold, fold.open]));
  input.addEventListener("input", () => {
    const words = plain(input.value).split(" ").filter(Boolean);
    const shown = new Map();
    for (const item of items) {
      const found = words.every((word) => item.words.includes(word));
      item.elements.forEach((element) => (element.hidden = !found));
      if (found) shown.set(foldOf(item), (shown.get(foldOf(item)) || 0) + 1);
    }
    for (const [fold, before] of open) {
      const count = shown.get(fold) || 0;
      fold.hidden = !count;
      fold.open = words.length ? Boolean(count) : before;
      fold.querySelector(".count").textContent = count;
    }
    output.textContent = words.length && !shown.size ? "No setting has these words." : "";
  });
})();
