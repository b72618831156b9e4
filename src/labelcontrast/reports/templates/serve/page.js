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
const bar = (score, threshold) => make("svg", [
  make("rect", "", { width: 100, height: 10, class: "track" }), make("rect", "", { width: 100 * score, height: 10, class: "fill" }),
  make("line", "", { x1: 100 * threshold, x2: 100 * threshold, y1: 0, y2: 10, class: "mark" }),
], { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
const showScores = (labels) => {
  const views = Object.keys(labels[0].views);
  const heads = ["label", "probability", "", "threshold", "predicted", ...views].map((title) => title ? make("th", title, { scope: "col" }) : make("td"));
  const rows = labels.map((one) => make("tr", [
    make("th", make("a", one.label, { href: `/page/label?${new URLSearchParams({ run, name: one.label })}` }), { scope: "row" }),
    make("td", `${(100 * one.score).toFixed(1)} %`), make("td", bar(one.score, one.threshold), { class: "bar" }),
    make("td", `${(100 * one.threshold).toFixed(1)} %`), make("td", one.predicted ? "✓ yes" : "no"),
    ...views.map((view) => make("td", (one.views[view] < 0 ? "−" : "+") + Math.abs(one.views[view]).toFixed(2))),
  ]));
  document.getElementById("scores").replaceChildren(make("thead", make("tr", heads)), make("tbody", rows));
};
const showNear = (near, predicted) => {
  const cards = near.map((one) => {
    const picture = one.picture ? [make("img", "", { src: one.picture, alt: `Training picture ${one.id}` })] : [];
    const text = one.text ? [make("p", one.text, { dir: "auto" })] : [];
    const labels = one.labels.length ? one.labels.map((label) => make("li", (predicted.has(label) ? "✓ " : "") + label)) : [make("li", "no label", { class: "none" })];
    return make("article", [...picture, ...text, make("ul", labels), make("p", `${one.id}, cosine ${one.similarity.toFixed(3)}`, { class: "soft" })], { class: `example${one.picture ? " pictured" : ""}` });
  });
  document.getElementById("near").hidden = !cards.length;
  document.querySelector("#near .examples").replaceChildren(...cards);
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
  const body = given(document.getElementById("input"));
  say("state", "Computing …");
  try {
    const [{ examples: [found] }, near] = await Promise.all([post("/explain", body), post("/neighbours", body).catch(() => null)]);
    const predicted = found.labels.filter((one) => one.predicted).map((one) => one.label);
    document.getElementById("result").hidden = false;
    showScores(found.labels);
    showNear(near ? near.neighbours[0] : [], new Set(predicted));
    showPlace(found.place, found.labels[0].label);
    say("state", predicted.length ? `Predicted: ${predicted.join(", ")}.` : "No label is predicted.");
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
    const row = rows[slider.value], now = rows[start], threshold = `${(100 * row.threshold).toFixed(1)} %`;
    slider.setAttribute("aria-valuetext", threshold);
    curve.querySelector("circle").setAttribute("cx", row.right + row.missed ? 100 * row.right / (row.right + row.missed) : 0);
    curve.querySelector("circle").setAttribute("cy", 70 - 70 * (row.right + row.wrong ? row.right / (row.right + row.wrong) : 1));
    const percent = (part, whole) => whole ? `${(100 * part / whole).toFixed(1)} %` : "–";
    say("change", `At ${threshold}: ${difference(row.right, now.right)} right, ${difference(row.wrong, now.wrong)} wrong, ${difference(row.missed, now.missed)} missed; precision ${percent(row.right, row.right + row.wrong)}, recall ${percent(row.right, row.right + row.missed)}, F1 ${percent(2 * row.right, 2 * row.right + row.wrong + row.missed)}.`);
  };
  slider.addEventListener("input", show);
  show();
}
