"use strict";

// Asking the server. The image in view comes first and is never asked about twice at a time; the other images follow
// once it is answered and the settings rest, a few side by side, so that the server is never flooded.

const BESIDE = 2; // images out of view that are asked about at the same time
const PATIENCE = 6; // how often a busy server is asked again about one of them
const LONGEST = 120000; // ms that an answer may take

let timer = 0, asking = false; // of the image in view
let restTimer = 0, beside = 0, halted = false; // of the others; halted: the server answers nobody at present

const isMap = (task) => task === "semantic" || task === "depth";
const settingsNow = () => JSON.stringify([model?.id, ui.conf.value, ui.iou.value]);
const isFresh = (picture) => picture.asked === settingsNow();

/** Ask about the image in view after `delay` ms. A pending wait is kept, so that a long drag is followed, too. */
function ask(delay = 0) {
  if (camera || !image) return; // the webcam's loop reads the settings anew for every frame
  if (!model) return models ? fail(NO_MODEL, { again: true }) : loadModels(); // which asks
  setState("busy");
  halted = false;
  clearTimeout(restTimer);
  if (timer && delay) return;
  clearTimeout(timer);
  timer = setTimeout(() => {
    timer = 0;
    askInView();
  }, delay);
}

async function askInView() {
  if (asking) return;
  asking = true;
  while (image && model && !camera && !timer && !isFresh(image)) await (image.request ?? askAbout(image));
  asking = false;
  if (image && !camera) present();
  restTimer = setTimeout(askRest, 200);
}

function askRest() {
  while (beside < BESIDE && image && model && !camera && !timer && !halted && isFresh(image)) {
    const next = images.find((each) => !each.request && !isFresh(each));
    if (!next) return;
    beside++;
    askAbout(next).finally(() => {
      beside--;
      askRest();
    });
  }
}

/** Whatever was answered or is being asked is worthless: another model is chosen, or the key is another. */
function forgetAnswers() {
  epoch++;
  for (const each of images) {
    each.abort?.abort();
    if (each !== image || camera) each.answer = null; // that of the image in view is shown until there is another
    each.asked = each.problem = null;
    markThumb(each);
  }
}

/** Ask about an image again that has not been answered. */
function retry() {
  for (const each of images) if (each.problem) each.asked = each.problem = null;
  if (models?.length) ask(); else loadModels();
}

function askAbout(picture) {
  picture.request = settle(picture).finally(() => {
    picture.request = null;
    markThumb(picture);
  });
  markThumb(picture);
  return picture.request;
}

/** Ask about an image, and keep the answer or the problem with it. */
async function settle(picture) {
  const asked = epoch, settings = settingsNow();
  const isWanted = () => asked === epoch && images.includes(picture);
  picture.abort = new AbortController();
  try {
    const found = await predict(picture, { isWanted, patience: picture === image ? 1 : PATIENCE, signal: picture.abort.signal });
    if (found && isWanted()) Object.assign(picture, { answer: found, problem: null, asked: settings });
  } catch (problem) {
    if (!isWanted()) return;
    if (isOfAll(problem)) halted = true;
    if (picture !== image && isOfAll(problem)) return refuse(problem); // the image itself may be fine
    Object.assign(picture, { problem, asked: settings });
  }
  if (picture === image && !camera) present();
}

/** One question to the server, repeated if it is busy. Gives null if it is not wanted any more; throws {message, status}. */
async function predict(picture, { isWanted, patience = 1, signal }) {
  const key = ui.key.value.trim();
  if (/[^!-~]/.test(key)) throw { message: "The API key holds characters that no key has.", status: 401 };
  for (let attempt = 0; ; attempt++) {
    const form = new FormData(), began = performance.now();
    form.append("file", picture.blob, picture.name);
    if (!isMap(model.task)) {
      form.append("conf", ui.conf.value);
      form.append("iou", ui.iou.value);
    } else if (model.task === "depth") form.append("bits", 16);
    const response = await fetch(addressOf(model), {
      method: "POST", body: form, headers: key ? { "x-api-key": key } : {},
      signal: AbortSignal.any([AbortSignal.timeout(LONGEST), ...(signal ? [signal] : [])]),
    }).catch(() => null);
    const body = await response?.json().catch(() => null);
    const total = performance.now() - began;
    if (!isWanted()) return null;
    if (!response) throw { message: await whySilent(picture) };
    if (response.ok && body?.images) {
      return readAnswer(body, { total, timing: response.headers.get("Server-Timing") ?? "", model: model.id });
    }
    const { status } = response;
    if (!isBusy(status) || attempt >= patience) throw { message: body?.message, status };
    const seconds = Math.min(Math.max(Number(response.headers.get("Retry-After")) || 1, 0.2), 30);
    if (picture === image || camera) say(`The server is busy: asking again in ${seconds} s.`);
    await sleep(seconds * 1000);
    if (!isWanted()) return null;
  }
}

/** Where a model is asked: HUB's API has no maps, that of the Platform has every task. */
const addressOf = ({ id, task }) => DIALECTS[isMap(task) ? "platform" : "v2"].path(id);

// ---- What went wrong, in words for whoever does not know HTTP; the server's own line stands below them

const isBusy = (status) => status === 429 || status === 503;

/** Whether a problem is not of one image but of whatever is asked now. */
const isOfAll = ({ status }) => !status || isBusy(status) || [401, 403, 404, 500, 502].includes(status);

const silence = () => navigator.onLine ? "The server does not answer. Is it still running?" : "You are offline: there is no network.";

/** A server that breaks an upload off, because it is too large, looks like one that is gone: ask it for a sign of life. */
async function whySilent({ blob }) {
  const alive = await fetch("/livez", { cache: "no-store" }).then(({ ok }) => ok, () => false);
  if (!alive) return silence();
  return `The server broke the upload off: ${(blob.size / 2 ** 20).toFixed(1)} MB may be too large for it.`;
}

const WORDS = {
  400: "The server cannot answer this.",
  401: "The server does not take this API key.",
  403: "The server does not take this API key.",
  404: "The server does not have this model any more. Reload the page to see those that it has.",
  408: "The upload was too slow, and the server gave up.",
  413: "The image is too large for this server.",
  415: "The server cannot read this file as an image.",
  429: "The server is busy. Try again in a moment.",
  500: "Something went wrong in the server.",
  502: "The server behind this address does not answer.",
  503: "The server is busy. Try again in a moment.",
  504: "The server was too busy to answer in time. Try again in a moment.",
};

function explain({ status, message }) {
  if (!status) return { message };
  if (status === 401 && !ui.key.value.trim()) return { message: "The server needs an API key: type it into “API key”.", detail: message };
  return { message: WORDS[status] ?? `The server answered with status ${status}.`, detail: message };
}

/** Show why an image was not answered; of a wrong key, go where it is typed. */
function refuse(problem) {
  const { message, detail } = explain(problem);
  const isStale = Boolean(answer) && Boolean(image?.problem);
  fail(message, { detail, stale: isStale, again: Boolean(image) });
  if (!answer || isStale) say(answer ? "What is shown is from before." : "");
  if (problem.status !== 401) return;
  ui.keyrow.hidden = false;
  showSettings();
  ui.key.focus();
  ui.key.select();
}
