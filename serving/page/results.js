"use strict";

// An answer in words, rows, JSON and times.

/** What the page keeps of an answer. `map` is there for the tasks that answer with a map of all pixels. */
async function readAnswer(body, { total, timing, model: asked }) {
  const { results, shape, speed } = body.images[0], map = await readMap(body.images[0]);
  // Classes of a semantic map are rows like objects, with their share of the image in place of a score.
  const items = map?.kind === "semantic" ? [...results].sort((a, b) => b.pixel_ratio - a.pixel_ratio) : results;
  return { body, items, shape, speed, total, timing, map, model: asked };
}

/** Show an answer, of the image in view or of a frame of the webcam. */
function show(found) {
  setAnswer(found);
  if (!found) return;
  setSize(found.shape[1], found.shape[0]);
  showTiming(found);
}

const nameOf = (item) => item.name ?? `class ${item.class}`;
const inParts = (part) => part >= 0.9995 || part < 0.0005 ? `${Math.round(100 * part)}%` : `${(100 * part).toFixed(1)}%`;
const partOf = (item) => item.confidence ?? item.pixel_ratio;
const scoreOf = (item) => item.confidence === undefined ? inParts(item.pixel_ratio) : item.confidence.toFixed(2);
const inMetres = (metres) => `${metres.toFixed(metres < 10 ? 2 : 1)} m`;

/** What was found, in one line. */
function sum({ items, map, body }) {
  if (map?.kind === "depth") return map.max > 0 ? `Depth from ${inMetres(map.min)} to ${inMetres(map.max)}.` : "No depth anywhere.";
  if (map) return `${counted(items.length, "class")}: ${list(items.map((item) => `${nameOf(item)} ${scoreOf(item)}`))}`;
  if (!items.length) {
    const names = Object.values(model.names), more = names.length - 8;
    const known = names.slice(0, 8).join(", ") + (more > 0 ? ` and ${more} more` : "");
    const conf = body.metadata?.conf ?? Number(ui.conf.value);
    return `Nothing at ${conf.toFixed(2)} or above. The model knows ${known}.`;
  }
  if (!items[0].box) return `${nameOf(items[0])}, ${scoreOf(items[0])}`;
  const counts = new Map();
  for (const item of items) counts.set(nameOf(item), (counts.get(nameOf(item)) ?? 0) + 1);
  const kinds = Array.from(counts).sort((a, b) => b[1] - a[1]);
  return `${counted(items.length, "object")}: ${list(kinds.map(([name, count]) => counted(count, name)))}`;
}

function list(parts) {
  return (parts.length > 6 ? [...parts.slice(0, 5), `${parts.length - 5} kinds more`] : parts).join(", ");
}

/** What was found, in a word: the badge of a thumbnail. */
function brief({ items, map }) {
  if (map?.kind === "depth") return map.max > 0 ? `${map.min.toFixed(0)}–${map.max.toFixed(0)} m` : "–";
  return items.length && !items[0].box && !map ? nameOf(items[0]) : String(items.length);
}

function setAnswer(next) {
  answer = next;
  ui.save.hidden = !next;
  showRows();
  showScale(next?.map);
  draw();
  showJson();
  ui.overlay.setAttribute("aria-label", next ? sum(next) : "Nothing found yet");
  if (!next) ui.timing.hidden = true;
}

/** An answer as JSON for people: with a line for every number an outline would be pages long. */
function pretty(body, limit = Infinity) {
  const cut = (_, value) => typeof value === "string" && value.length > limit ? `${value.slice(0, 40)}… (${value.length} characters)` : value;
  // No JSON string holds a line break, so this is safe.
  const join = (lines) => lines.replace(/\n\s*/g, " ").replace(/^\[ | \]$/g, (end) => end.trim());
  return JSON.stringify(body, cut, 2)
    .replace(/\[\n[^\][{}"]*\n\s*\]/g, join).replace(/\{\n\s*"x1":[^\][{}]*\n\s*\}/g, join);
}

function showJson() {
  if (camera && !ui.answer.open) return; // long texts many times a second, for nobody
  ui.json.textContent = answer ? pretty(answer.body, 1000) : "No answer yet.";
}

// The rows are used again, so that focus and pointer stay where they are while sliders or the webcam change them.
const rows = [];
let active = -1; // the object that is pointed at

function showRows() {
  const items = answer?.items ?? [];
  while (rows.length > items.length) rows.pop().remove();
  items.forEach((item, index) => {
    rows[index] ??= ui.results.appendChild(makeRow(index));
    const [tint, name, gauge, score] = rows[index].children, bar = gauge.firstChild;
    tint.style.background = bar.style.background = colourOf(item.class);
    bar.style.width = `${100 * partOf(item)}%`;
    name.textContent = name.title = nameOf(item);
    score.textContent = scoreOf(item);
  });
  active = rows.findIndex((row) => row === document.activeElement || row.matches(":hover"));
  markRows();
}

function makeRow(index) {
  const row = make("li"), gauge = make("span", "gauge");
  row.setAttribute("role", "option");
  gauge.append(make("div"));
  row.append(make("span", "tint"), make("span", "name"), gauge, make("span", "score"));
  row.addEventListener("pointerenter", () => point(index));
  row.addEventListener("pointerleave", () => point(rows.indexOf(document.activeElement)));
  row.addEventListener("focus", () => point(index));
  row.addEventListener("blur", () => point(-1));
  return row;
}

function point(index) {
  if (index === active) return;
  active = index;
  markRows();
  draw();
}

/** One row is in the tab order; the arrow keys go on from there. */
function markRows() {
  rows.forEach((row, index) => {
    row.tabIndex = index === Math.max(active, 0) ? 0 : -1;
    row.setAttribute("aria-selected", index === active);
  });
}

function walkRows(event) {
  const at = rows.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  rows[Math.min(Math.max(to, 0), rows.length - 1)].focus();
}

const STAGES = ["decode", "queue", "preprocess", "inference", "postprocess", "transfer"];
const inMs = (ms) => `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;

/** The stages as a bar and in numbers. An answer without Server-Timing still tells the model's three. */
function showTiming({ total, speed, timing }) {
  const spent = { ...speed };
  for (const [, name, ms] of timing.matchAll(/([\w-]+)[^,]*?;\s*dur=([\d.]+)/g)) spent[name] = Number(ms);
  const known = STAGES.filter((name) => name in spent);
  spent.transfer = Math.max(0, total - known.reduce((ms, name) => ms + spent[name], 0)); // the network, and all the rest
  ui.timing.hidden = false;
  ui.total.textContent = `${inMs(total)} round trip`;
  ui.stages.replaceChildren();
  ui.legend.replaceChildren();
  for (const name of [...known, "transfer"]) {
    const part = make("i"), entry = make("div");
    part.style.background = `var(--${name})`;
    part.style.flex = `${spent[name]} 0 1px`;
    ui.stages.append(part);
    entry.append(part.cloneNode(), make("dt", "soft", name), make("dd", "", inMs(spent[name])));
    entry.firstChild.style.flex = "none";
    ui.legend.append(entry);
  }
}
