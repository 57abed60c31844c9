"use strict";

// The model and the thresholds: chosen by hand or named by the page's address, so that links keep them.

const NO_MODEL = "No model is loaded: start the server with at least one.";

async function loadModels() {
  const response = await fetch("/v1/models").catch(() => null);
  const listed = await response?.json().catch(() => null);
  if (!listed?.models) {
    return fail(response ? `The models cannot be listed (status ${response.status}).` : silence(), { detail: listed?.message, again: true });
  }
  models = listed.models;
  areDemo = listed.demo;
  ui.model.replaceChildren(...models.map(({ id, task }) => new Option(`${id} (${task})`, id)));
  ui.keyrow.hidden = !listed.key_required;
  ui.demo.hidden = !models.length;
  clearError();
  setState("empty");
  readLink();
  chooseModel();
  if (!models.length) fail(NO_MODEL, { again: true });
}

function chooseModel() {
  const next = models.find(({ id }) => id === ui.model.value) ?? null;
  if (next !== model) forgetAnswers();
  model = next;
  ui.iou.disabled = model?.task === "classify";
  ui.iouhint.textContent = ui.iou.disabled ? "A classifier has no boxes." : "Of boxes that overlap more, the best stays.";
  ui.confrow.hidden = ui.iourow.hidden = isMap(model?.task); // every pixel has an answer
  ui.opacityrow.hidden = !isMap(model?.task);
  const { task, names = {}, imgsz, dynamic, device, provider } = model ?? {}, count = Object.keys(names).length;
  const parts = [
    task, task !== "depth" && counted(count, "class"), imgsz && `${imgsz[1]} × ${imgsz[0]}`, dynamic && "dynamic", device ?? provider,
  ];
  ui.about.textContent = model ? parts.filter(Boolean).join(" · ") : "";
  showSettings();
  ask();
}

/** The values beside the sliders, and the snippets, which hold them. */
function showSettings() {
  ui.confvalue.value = Number(ui.conf.value).toFixed(2);
  ui.iouvalue.value = Number(ui.iou.value).toFixed(2);
  ui.opacityvalue.value = `${Math.round(100 * ui.opacity.value)}%`;
  showSnippets();
}

// ---- Links: /?model=ID&conf=0.25&iou=0.45. What is missing or makes no sense is as without a link.

function readLink() {
  const given = new URLSearchParams(location.search), id = given.get("model");
  const known = models.some((each) => each.id === id);
  if (models.length) ui.model.value = known ? id : models[0].id;
  ui.linknote.textContent = known || id === null || !models.length ? "" :
    `The link names the model “${id}”, which this server does not have. This is ${models[0].id}.`;
  for (const slider of [ui.conf, ui.iou]) {
    const value = given.get(slider.id)?.trim();
    slider.value = value && Number.isFinite(Number(value)) ? value : slider.defaultValue; // the browser keeps to its range
  }
}

function makeLink() {
  const query = new URLSearchParams({ model: model?.id ?? "", conf: ui.conf.value, iou: ui.iou.value });
  return `${location.origin}${location.pathname}?${query}`;
}

let linkTimer = 0;

/** Put model and thresholds into the address once they rest: one step of the history for a drag, not a hundred. */
function keepLink() {
  clearTimeout(linkTimer);
  linkTimer = setTimeout(() => {
    ui.linknote.textContent = "";
    if (model && makeLink() !== location.href) history.pushState(null, "", makeLink());
  }, 400);
}

/** Back and forward. */
function restoreLink() {
  clearTimeout(linkTimer);
  if (!models) return;
  readLink();
  chooseModel();
}
