{% include "sort.js" %}
const run = document.body.dataset.run, kind = document.body.dataset.kind;
const make = (tag, content = "", attributes = {}) => {
  const svg = ["svg", "rect", "line", "path"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...[content].flat());
  return element;
};
const say = (id, message, wrong = false) => {
  const place = document.getElementById(id);
  place.textContent = message;
  place.classList.toggle("error", wrong);
};
const post = async (path, body) => {
  const json = !(body instanceof FormData);
  const answer = await fetch(path, { method: "POST", body: json ? JSON.stringify(body) : body, headers: json ? { "content-type": "application/json" } : {} });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error.message);
  return found;
};
const numbers = (text) => text.split(/[\s,;[\]]+/).filter((one) => one).map(Number);
const given = (input) => {
  if (kind === "text") return { run, texts: [input.value] };
  if (kind === "vector") return { run, vectors: [numbers(input.value)] };
  const form = new FormData();
  form.append("run", run);
  form.append("pictures", input.files[0]);
  return form;
};
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const bar = (score, threshold) => make("svg", [
  make("rect", "", { width: 100, height: 10, class: "track" }), make("rect", "", { width: 100 * score, height: 10, class: "fill" }),
  make("line", "", { x1: 100 * threshold, x2: 100 * threshold, y1: 0, y2: 10, class: "mark" }),
], { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
const showScores = (labels) => {
  const views = Object.keys(labels[0].contributions);
  const heads = ["label", "probability", "", "threshold", "predicted", ...views].map((title) => title ? make("th", title, { scope: "col" }) : make("td"));
  const rows = labels.map((one) => make("tr", [
    make("th", make("a", one.label, { href: `/page/label?${new URLSearchParams({ run, name: one.label })}` }), { scope: "row" }),
    make("td", percent(one.probability)), make("td", bar(one.probability, one.threshold), { class: "bar" }),
    make("td", percent(one.threshold)), make("td", one.predicted ? "✓ yes" : "no"),
    ...views.map((view) => make("td", signed(one.contributions[view]))),
  ]));
  document.getElementById("scores").replaceChildren(make("thead", make("tr", heads)), make("tbody", rows));
};
const showNear = (place, near, predicted) => {
  const cards = near.map((one) => {
    const name = one.id ?? `row ${one.row}`;
    const picture = one.picture ? [make("img", "", { src: one.picture, alt: `Training picture ${name}` })] : [];
    const text = one.text ? [make("p", one.text, { dir: "auto" })] : [];
    const labels = one.labels.length ? one.labels.map((label) => make("li", (predicted.has(label) ? "✓ " : "") + label)) : [make("li", "no label", { class: "none" })];
    return make("article", [...picture, ...text, make("ul", labels), make("p", `${name}, cosine ${one.similarity.toFixed(3)}`, { class: "soft" })], { class: `example${one.picture ? " pictured" : ""}` });
  });
  place.hidden = !cards.length;
  place.querySelector(".examples").replaceChildren(...cards);
};
// A word is what the library takes for one: letters and digits, or a single other character.
const WORD = /[\p{L}\p{N}\p{M}_]+|[^\s]/gu;
const tinted = (tag, content, effect, largest, title) => {
  const element = make(tag, content, { class: effect > 0 ? "raises" : "lowers", title: `${title}${signed(effect)}` });
  element.style.setProperty("--share", `${Math.round(35 * Math.abs(effect) / largest)}%`);
  return element;
};
const marked = (text, effects, largest) => {
  const pieces = [];
  let end = 0;
  for (const found of text.matchAll(WORD)) {
    const effect = effects.get(found[0].toLowerCase());
    if (!effect) continue;
    pieces.push(text.slice(end, found.index), tinted("mark", found[0], effect, largest, ""));
    end = found.index + found[0].length;
  }
  return [...pieces, text.slice(end)];
};
const covered = (file, effects, largest) => {
  const cells = [...effects].map(([name, effect]) => {
    const [row, column] = name.match(/\d+/g).map(Number);
    const cell = tinted("i", "", effect, largest, `${name}: `);
    cell.style.gridArea = `${row + 1} / ${column + 1}`;
    return cell;
  });
  const reader = new FileReader(), picture = make("img", "", { alt: "Your picture" });
  reader.onload = () => { picture.src = reader.result; };
  reader.readAsDataURL(file);
  return [picture, make("div", cells, { "aria-hidden": "true" })];
};
const showWhy = (one, input, predicted) => {
  const largest = Math.max(...one.parts.map((part) => Math.abs(part.effect))), effects = new Map(one.parts.map((part) => [part.name, part.effect]));
  const shown = document.getElementById("parts");
  shown.className = kind;
  if (kind === "text") shown.replaceChildren(...marked(input, effects, largest));
  if (kind === "image") shown.replaceChildren(...covered(input, effects, largest));
  document.getElementById("none").hidden = effects.size > 0;
  document.getElementById("effects").replaceChildren(...one.parts.map((part) => make("li", [part.name, make("b", ` ${signed(part.effect)}`)])));
  showNear(document.getElementById("for"), one.supporting, predicted);
  showNear(document.getElementById("against"), one.opposing, predicted);
};
const showPlace = (place, best) => {
  const map = document.getElementById("map");
  if (!map) return;
  for (const point of map.querySelectorAll("circle")) point.classList.toggle("same", point.dataset.labels.split("\n").includes(best));
  map.querySelector("path")?.remove();
  if (place) map.append(make("path", "", { d: `M${place[0] - 2.5} ${place[1]}h5M${place[0]} ${place[1] - 2.5}v5` }));
};
document.getElementById("try")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = document.getElementById("input"), body = given(field), input = kind === "image" ? field.files[0] : field.value;
  say("state", "Computing …");
  try {
    const [{ examples: [found] }, near] = await Promise.all([post("/explain", body), post("/neighbours", body).catch(() => null)]);
    const predicted = new Set(found.labels.filter((one) => one.predicted).map((one) => one.label));
    const why = document.getElementById("why");
    document.getElementById("result").hidden = false;
    showScores(found.labels);
    why.replaceChildren(...found.labels.map((one) => make("option", one.label)));
    why.onchange = () => showWhy(found.labels[why.selectedIndex], input, predicted);
    why.onchange();
    showNear(document.getElementById("near"), near ? near.neighbours[0] : [], predicted);
    showPlace(found.place, found.labels[0].label);
    say("state", predicted.size ? `Predicted: ${[...predicted].join(", ")}.` : "No label is predicted.");
  } catch (error) { say("state", error.message, true); }
});
const drop = document.querySelector("input[type=file]#input");
if (drop) {
  const form = drop.form;
  for (const name of ["dragover", "dragleave", "drop"]) form.addEventListener(name, (event) => {
    event.preventDefault();
    form.classList.toggle("dropping", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) { drop.files = event.dataTransfer.files; form.requestSubmit(); }
  });
}
document.getElementById("upload")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData();
  form.append("run", run);
  for (const file of document.getElementById("files").files) form.append("files", file);
  say("upload-state", "Computing …");
  const answer = await fetch("/page/upload", { method: "POST", body: form });
  if (!answer.ok) { say("upload-state", (await answer.json()).error.message, true); return; }
  const content = await answer.text(), count = content.trim().split("\n").length;
  const link = make("a", "Save them as JSON Lines.", { href: URL.createObjectURL(new Blob([content], { type: "application/jsonl" })), download: "labelled.jsonl" });
  say("upload-state", `${count} labelled. `);
  document.getElementById("upload-state").append(link);
});
const curve = document.getElementById("curve");
if (curve) {
  const rows = JSON.parse(curve.dataset.curve), slider = document.getElementById("threshold"), start = Number(slider.value);
  const difference = (now, before) => `${now}${now === before ? "" : ` (${now > before ? "+" : "−"}${Math.abs(now - before)})`}`;
  const show = () => {
    const row = rows[slider.value], now = rows[start], threshold = percent(row.threshold);
    slider.setAttribute("aria-valuetext", threshold);
    curve.querySelector("circle").setAttribute("cx", row.right + row.missed ? 100 * row.right / (row.right + row.missed) : 0);
    curve.querySelector("circle").setAttribute("cy", 70 - 70 * (row.right + row.wrong ? row.right / (row.right + row.wrong) : 1));
    const ratio = (part, whole) => whole ? percent(part / whole) : "–";
    say("change", `At ${threshold}: ${difference(row.right, now.right)} right, ${difference(row.wrong, now.wrong)} wrong, ${difference(row.missed, now.missed)} missed; precision ${ratio(row.right, row.right + row.wrong)}, recall ${ratio(row.right, row.right + row.missed)}, F1 ${ratio(2 * row.right, 2 * row.right + row.wrong + row.missed)}.`);
  };
  slider.addEventListener("input", show);
  show();
}
