for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent.trim();
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const numbers = column > 0;
    const next = { ascending: "descending", descending: "ascending" }[head.getAttribute("aria-sort")] || (numbers ? "descending" : "ascending");
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", next);
    const sign = next === "ascending" ? 1 : -1;
    const compare = (left, right) => {
      const a = value(left, column), b = value(right, column);
      if (!numbers) return sign * a.localeCompare(b);
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return sign * (a - b);
    };
    body.append(...[...body.rows].sort(compare));
  }));
}
