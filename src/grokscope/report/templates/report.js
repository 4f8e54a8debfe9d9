(() => {
"use strict";
// The page is complete without this: it sorts and filters the table of runs, and shows values under the pointer.

const make = (tag, attributes, text) => {
  const element = Object.assign(document.createElement(tag), attributes);
  if (text !== undefined) element.textContent = text;
  return element;
};

// -- sorting and filtering ----------------------------------------------------------------------------------------

const key = (row, column) => {
  // a cell that spans several columns says why there are no numbers: such rows come last
  const cell = row.cells[column];
  if (!cell || cell.colSpan > 1) return null;
  if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
  return cell.classList.contains("num") ? null : cell.textContent.trim();
};

const compare = (a, b, down) => {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
  return down ? -order : order;
};

const interactive = table => {
  const bodies = [...table.tBodies];
  const groups = bodies.map(body => ({
    body,
    head: body.querySelector("tr.group"),
    rows: [...body.rows].filter(row => !row.classList.contains("group")),
  }));
  const rows = groups.flatMap(group => group.rows);
  for (const { head, rows } of groups) {
    const name = head ? head.firstElementChild.firstChild.textContent : "";
    for (const row of rows) row.cells[0].dataset.group = name;
  }

  const heads = [...table.tHead.rows[0].cells];
  const sort = (column, state) => {
    // no state: as the page came, by group; else all runs in one order, each with its group's name
    heads.forEach(head => head.removeAttribute("aria-sort"));
    table.classList.toggle("sorted", Boolean(state));
    for (const { body, head, rows } of groups) body.append(...(head ? [head] : []), ...rows);
    if (!state) return;
    heads[column].setAttribute("aria-sort", state);
    const order = rows.map((row, i) => [key(row, column), i, row]);
    order.sort((a, b) => compare(a[0], b[0], state === "descending") || a[1] - b[1]);
    bodies[0].append(...order.map(entry => entry[2]));
  };
  const next = { null: "ascending", ascending: "descending", descending: "" };
  heads.forEach((head, column) => {
    if (head.textContent.trim() === "Curve") return;
    const button = make("button", { type: "button", title: "Sort by this column" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(column, next[head.getAttribute("aria-sort")]));
  });

  const count = make("span", { className: "small muted" });
  count.setAttribute("aria-live", "polite");
  const field = make("input", { type: "search", placeholder: "grokked, seed 3" });
  const filter = () => {
    const wanted = field.value.toLowerCase().split(",").map(part => part.trim()).filter(Boolean);
    let seen = 0;
    for (const row of rows) {
      const text = `${row.cells[0].dataset.group} ${row.textContent}`.toLowerCase();
      row.hidden = !wanted.every(word => text.includes(word));
      seen += !row.hidden;
    }
    for (const { head, rows } of groups) if (head) head.hidden = rows.every(row => row.hidden);
    count.textContent = wanted.length ? `${seen} of ${rows.length} runs` : "";
  };
  field.addEventListener("input", filter);
  const label = make("label", { className: "filter noprint" }, "Filter runs ");
  label.append(field, count);
  table.closest(".scroll").before(label);
};

document.querySelectorAll("table.runs").forEach(interactive);

// a link to a run, or to its details, opens the parts that it lies in
const open = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
open();

// tables say that they scroll only where they do
const sideways = () => document.querySelectorAll(".sideways").forEach(note => {
  let table = note.nextElementSibling;
  while (table && !table.classList.contains("scroll")) table = table.nextElementSibling;
  const fits = !table || table.scrollWidth <= table.clientWidth + 1;
  note.classList.toggle("needless", fits);
  note.classList.toggle("needed", !fits);
});
addEventListener("resize", sideways);
sideways();

// -- values under the pointer -------------------------------------------------------------------------------------

const tip = make("div", { className: "tip", hidden: true });
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);

const number = value => Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : String(value);

const nearest = (places, share) => {
  let low = 0, high = places.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (places[middle] < share) low = middle; else high = middle;
  }
  return share - places[low] < places[high] - share ? low : high;
};

document.querySelectorAll("figure[data-hover]").forEach(figure => {
  let data;
  const show = event => {
    const svg = [...figure.querySelectorAll("svg.plot")].find(plot => plot.getBoundingClientRect().width);
    if (!svg) return;
    data = data || JSON.parse(figure.dataset.hover);
    const box = svg.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const linear = Boolean(svg.closest(".linear"));
    const points = data.curves.map(([name, steps, values, log, plain]) => {
      const places = linear ? plain : log;
      const i = nearest(places, share);
      return { name, step: steps[i], value: values[i], away: Math.abs(places[i] - share) };
    }).filter(point => point.away < 0.03);
    if (!points.length) { tip.hidden = true; return; }
    tip.replaceChildren(...points.map(point => {
      const line = make("div", {}, `${point.name} ${number(point.value)}`);
      line.append(make("span", { className: "muted" }, ` at ${data.unit} ${number(point.step)}`));
      return line;
    }));
    tip.hidden = false;
    const left = Math.min(event.pageX + 14, scrollX + document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.transform = `translate(${Math.max(left, 4)}px, ${event.pageY + 16}px)`;
  };
  figure.addEventListener("pointermove", show);
  figure.addEventListener("pointerdown", show);
  figure.addEventListener("pointerleave", () => { tip.hidden = true; });
});
})();
