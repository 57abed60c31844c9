"use strict";

// Images in, the one in view, and the strip of all. Each keeps its answer.

const MOST = 100; // images in the strip: their files are held in memory
const THUMB = 128; // longest side of a thumbnail, pixels: twice its size on the page, for sharp screens

const EXAMPLE = "demo.jpg";

let loads = 0; // of several lots that are read at once, the newest decides what is in view
let views = 0; // of several images that are decoded at once, the newest is shown

/** Take files or blobs into the strip; the first one comes into view. */
async function addImages(files, name = "") {
  if (!files.length) return;
  const mine = ++loads, room = MOST - images.length, problems = [];
  closeCamera();
  clearError();
  setState("busy");
  let isFirst = true;
  for (const file of Array.from(files).slice(0, Math.max(0, room))) {
    const picture = await readImage(file, name || file.name || "image");
    if (!picture) {
      problems.push(`${name || file.name} cannot be read.`);
      continue;
    }
    images.push(picture);
    addThumb(picture);
    if (isFirst && mine === loads) {
      await view(picture);
      isFirst = false;
    }
  }
  if (files.length > room) problems.push(`${MOST} images at a time: ${counted(files.length - Math.max(0, room), "image")} left out.`);
  if (isFirst && mine === loads && !image) setState("empty");
  askRest();
  if (problems.length) fail(problems.slice(0, 3).join(" "));
}

/** A file as an image of the strip; null if it cannot be read. */
async function readImage(file, name) {
  let blob;
  try { // a copy: the file may change or go between two questions
    blob = new Blob([await file.arrayBuffer()], { type: file.type });
  } catch {
    return null;
  }
  const bitmap = await decode(blob), picture = makePicture(blob, name, bitmap);
  bitmap?.close();
  return picture;
}

/** What `images` consists of. `source` is the decoded image, or null where the browser cannot show it. */
function makePicture(blob, name, source) {
  const { width = 0, height = 0 } = source ?? {};
  const picture = { blob, name, width, height, answer: null, problem: null, asked: null, request: null, abort: null };
  picture.thumb = makeThumb(picture, source);
  return picture;
}

// Browsers cannot show everything that the server reads (TIFF): such an image is sent all the same.
const decode = (blob) => createImageBitmap(blob).catch(() => null);

/** Bring an image of the strip into view. */
async function view(next) {
  const mine = ++views, bitmap = next.width ? await decode(next.blob) : null;
  if (mine === views && !camera && images.includes(next)) {
    if (bitmap) paint(bitmap, bitmap.width, bitmap.height);
    setImage(next);
    setAnswer(next.answer?.model === model?.id ? next.answer : null);
    if (isFresh(next)) present();
    else {
      clearError();
      say("Looking …");
      ask();
    }
  }
  bitmap?.close();
}

/** Show what is known of the image in view. */
function present() {
  if (image.answer !== answer) show(image.answer);
  if (image.problem) return refuse(image.problem);
  clearError();
  setState(isFresh(image) && !timer ? "done" : "busy");
  if (answer && isFresh(image)) say(`${sum(answer)}${isStrange() ? " The example shows drawn shapes: try an image of your own." : ""}`);
}

/** Whether a model of somebody's own finds nothing in the example, which was made for the demo models. */
const isStrange = () => !areDemo && image.name === EXAMPLE && !answer.items.length && !answer.map;

function setImage(next) {
  image = next;
  ui.drop.hidden = Boolean(next);
  ui.frame.hidden = !next;
  ui.image.hidden = !next?.width;
  ui.frame.classList.toggle("blank", Boolean(next) && !next.width);
  setSize(next?.width, next?.height);
  markStrip();
}

function setSize(width, height) {
  ui.frame.style.setProperty("--w", width || 4);
  ui.frame.style.setProperty("--h", height || 3);
  const size = width ? `${width} × ${height}` : "", blank = image && !image.width && "this browser cannot show it";
  ui.caption.textContent = camera ? "Escape stops the webcam." : [image?.name, size, blank].filter(Boolean).join(" · ");
}

/** Paint a bitmap or canvas; large ones reduced, for phones refuse canvases of many megapixels. */
function paint(source, width, height) {
  const scale = Math.min(1, 2560 / Math.max(width, height)), context = ui.image.getContext("2d");
  ui.image.width = Math.ceil(width * scale);
  ui.image.height = Math.ceil(height * scale);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, ui.image.width, ui.image.height);
}

async function addExample() {
  const response = await fetch(`/demo.jpg?model=${encodeURIComponent(model.id)}`).catch(() => null);
  if (!response?.ok) return fail(response ? `There is no example (status ${response.status}).` : silence());
  addImages([await response.blob()], EXAMPLE);
}

// ---- The strip: one thumbnail is in the tab order, the arrow keys go on from there, Delete takes it away

function makeThumb(picture, source) {
  const thumb = make("li"), badge = make("span", "badge");
  thumb.setAttribute("role", "option");
  if (source) {
    const canvas = make("canvas"), scale = THUMB / Math.max(picture.width, picture.height);
    canvas.width = Math.max(1, Math.round(picture.width * Math.min(1, scale)));
    canvas.height = Math.max(1, Math.round(picture.height * Math.min(1, scale)));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    thumb.append(canvas);
  } else {
    thumb.append(make("span", "soft small", picture.name.split(".").at(-1).slice(0, 5).toUpperCase()));
  }
  thumb.append(badge);
  thumb.title = picture.name;
  thumb.addEventListener("click", () => choose(picture));
  return thumb;
}

function addThumb(picture) {
  ui.thumbs.append(picture.thumb);
  markThumb(picture);
  markStrip();
}

/** Tell of a thumbnail what is known of its image. */
function markThumb(picture) {
  const { thumb, problem, answer: own, name } = picture, fresh = isFresh(picture) || Boolean(own && !problem);
  const state = problem ? "problem" : fresh && own ? "done" : picture.request ? "busy" : "waiting";
  thumb.dataset.state = state;
  thumb.lastChild.textContent = { problem: "!", done: own && brief(own), busy: "…", waiting: "" }[state];
  const words = { problem: "not answered", done: own && sum(own), busy: "being asked about", waiting: "not asked about yet" };
  thumb.setAttribute("aria-label", `${name}: ${words[state]}`);
  markProgress();
}

function markStrip() {
  ui.strip.hidden = images.length < 2 || Boolean(camera);
  for (const each of images) {
    each.thumb.tabIndex = each === image ? 0 : -1;
    each.thumb.setAttribute("aria-selected", each === image);
  }
  if (!ui.strip.hidden) image?.thumb.scrollIntoView({ block: "nearest", inline: "nearest" });
  markProgress();
}

function markProgress() {
  const done = images.filter(isFresh).length, all = images.length;
  ui.progresstext.textContent = done < all ? `${done} of ${all} answered` : `${all} images`;
  ui.saveall.hidden = all < 2;
}

function choose(picture) {
  loads++; // whatever is still being read stays out of view
  picture.thumb.focus();
  if (picture !== image) view(picture);
}

function walkStrip(event) {
  const at = images.findIndex(({ thumb }) => thumb === document.activeElement);
  if (at < 0) return;
  if (event.key === "Delete") return removeImage(images[at]);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: images.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(images[Math.min(Math.max(to, 0), images.length - 1)]);
}

/** Take an image away; the one beside it comes into view, and keeps the focus if that was here. */
function removeImage(picture) {
  const at = images.indexOf(picture), hadFocus = ui.strip.contains(document.activeElement);
  if (at < 0) return;
  images.splice(at, 1);
  picture.abort?.abort();
  picture.thumb.remove();
  const next = images[Math.min(at, images.length - 1)];
  if (!next) return removeAll();
  markStrip();
  if (hadFocus) (ui.strip.hidden ? ui.file : next.thumb).focus();
  if (picture === image) view(next);
}

function removeAll() {
  loads++;
  views++;
  for (const { abort, thumb } of images.splice(0)) {
    abort?.abort();
    thumb.remove();
  }
  clearError();
  setImage(null);
  setAnswer(null);
  setState("empty");
  say("Nothing yet.");
  ui.drop.focus();
}
