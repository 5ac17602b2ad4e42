// Tables that sort by their heads and are filtered by a word.

function readCell(row, place, isNumber) {
  const cell = row.cells[place], text = cell.dataset.value ?? cell.textContent.trim();
  if (!isNumber) return text.toLowerCase();
  const number = parseFloat(text.replaceAll(",", ""));
  return Number.isNaN(number) ? null : number;
}

// What has no number comes last, whichever way.
function compareCells(one, other, sign) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "string") return sign * one.localeCompare(other, "en", { numeric: true });
  return sign * (one - other);
}

function sortTable(table, head) {
  const isNumber = head.dataset.sort === "number", before = head.getAttribute("aria-sort");
  const order = (before ?? (isNumber ? "ascending" : "descending")) === "ascending" ? "descending" : "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1, body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [readCell(row, head.cellIndex, isNumber), row]);
  rows.sort(([one], [other]) => compareCells(one, other, sign));
  body.append(...rows.map(([, row]) => row));
}

function filterTable(table, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...table.tBodies[0].rows];
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every((word) => text.includes(word));
  }
  return `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
}

for (const table of document.querySelectorAll("table.sortable"))
  for (const head of table.tHead.querySelectorAll("[data-sort]"))
    head.firstElementChild.addEventListener("click", () => sortTable(table, head));

for (const input of document.querySelectorAll("[data-filter]")) {
  const table = document.getElementById(input.dataset.filter);
  const shown = document.querySelector(`[data-shown="${input.dataset.filter}"]`);
  input.addEventListener("input", () => { shown.textContent = filterTable(table, input.value); });
}
