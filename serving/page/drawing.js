"use strict";

// Drawing: colours, skeleton and order as in `result.plot()`; the lowest score first, so that the best lies on top.
// A board is what is drawn on: {pen, width, height, answer, active}. Lines and text are in its units, pixels of the page.

const PALETTE = [
  "#248cf8", "#ace81c", "#e83c00", "#fcb0f8", "#089c74", "#2cecf4", "#ac5cbc", "#fcc468", "#a87800", "#a0a4fc",
  "#00b4d4", "#24dc90", "#b0b014", "#f454ac", "#f88400", "#34b000", "#fc8c98", "#e478fc", "#8064f8", "#c05c74",
];
const INK = "#121418";
// COCO's seventeen points by body part: palette index (cold left, warm right), points, limbs.
const BODY = [
  [1, [], [[5, 6], [5, 11], [6, 12], [11, 12]]],
  [3, [0, 1, 2, 3, 4], [[0, 1], [0, 2], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6]]],
  [0, [11, 13, 15], [[11, 13], [13, 15]]],
  [2, [12, 14, 16], [[12, 14], [14, 16]]],
  [5, [5, 7, 9], [[5, 7], [7, 9]]],
  [14, [6, 8, 10], [[6, 8], [8, 10]]],
];
const screen = ui.overlay.getContext("2d");
let spots = []; // path and size of each object, for finding the one under the pointer

const colourOf = (id) => PALETTE[id % PALETTE.length];

/** Dark or white, whichever reads better on a colour: by relative luminance, with gamma taken as 2. */
function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.27 ? INK : "#fff";
}

/** Draw the answer over the image in view. */
function draw() {
  const { clientWidth: width, clientHeight: height } = ui.overlay, density = window.devicePixelRatio || 1;
  ui.overlay.width = Math.round(width * density); // this clears it, too
  ui.overlay.height = Math.round(height * density);
  ui.overlay.dataset.count = answer?.items.length ?? 0;
  spots = [];
  if (!answer || !width) return;
  screen.scale(density, density);
  spots = drawAnswer({ pen: screen, width, height, answer, active });
}

/** Draw an answer on a board; gives the path and size of each object. */
function drawAnswer(board) {
  const { pen, answer: { items, map } } = board;
  pen.lineJoin = pen.lineCap = "round";
  if (map) drawMap(board);
  else if (items.length && !items[0].box) drawClasses(board);
  else if (items.length) return drawObjects(board);
  return [];
}

function drawObjects(board) {
  const { pen, width, height, active: lit, answer: { items, shape } } = board;
  // Coordinates are pixels of the upright image, whose size the server tells.
  const sx = width / shape[1], sy = height / shape[0];
  const boxes = items.map(({ box: { x1, y1, x2, y2, x3, y3, x4, y4 } }) =>
    (x3 === undefined ? [[x1, y1], [x2, y1], [x2, y2], [x1, y2]] : [[x1, y1], [x2, y2], [x3, y3], [x4, y4]])
      .map(([x, y]) => [x * sx, y * sy]));
  const found = boxes.map((box) => ({ path: polygon(box), size: length(box[0], box[1]) * length(box[1], box[2]) }));
  const order = items.map((_, index) => index), line = items.length > 40 ? 1.5 : 2;
  if (lit >= 0) order.unshift(...order.splice(lit, 1)); // on top of all
  for (const index of [...order].reverse()) {
    const { class: id, segments, keypoints } = items[index];
    pen.globalAlpha = lit < 0 || lit === index ? 1 : 0.2;
    pen.strokeStyle = pen.fillStyle = colourOf(id);
    if (segments) drawOutline(pen, polygon(segments.x.map((x, at) => [x * sx, segments.y[at] * sy])), lit === index);
    pen.lineWidth = lit === index ? line + 1.5 : line;
    pen.stroke(found[index].path);
    if (keypoints) drawKeypoints(pen, keypoints, sx, sy, boxes[index]);
  }
  drawTags(board, order, boxes);
  return found;
}

const length = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

function polygon(points) {
  const path = new Path2D();
  for (const point of points) path.lineTo(...point); // the first one moves
  path.closePath();
  return path;
}

function drawOutline(pen, path, lit) {
  const alpha = pen.globalAlpha;
  pen.globalAlpha = alpha * (lit ? 0.55 : 0.4);
  pen.fill(path);
  pen.globalAlpha = alpha;
  pen.lineWidth = 1.5;
  pen.stroke(path);
}

/** Points, and limbs where they are COCO's seventeen: no other skeleton is known. */
function drawKeypoints(pen, { x, y, visible }, sx, sy, box) {
  const seen = (k) => !visible || visible[k] >= 0.5, at = (k) => [x[k] * sx, y[k] * sy];
  const body = x.length === 17 ? BODY : x.map((_, k) => [k, [k], []]);
  // Far people get finer lines than near ones, or they would vanish below their own joints.
  const radius = Math.min(4, Math.max(1.5, length(box[0], box[2]) / 45));
  for (const [part, , limbs] of body) {
    pen.strokeStyle = colourOf(part);
    pen.lineWidth = radius * 0.75;
    for (const limb of limbs.filter((ends) => ends.every(seen))) pen.stroke(polygon(limb.map(at)));
  }
  for (const [part, points] of body) {
    for (const k of points.filter(seen)) {
      pen.beginPath();
      pen.arc(...at(k), radius, 0, 2 * Math.PI);
      pen.fillStyle = colourOf(part);
      pen.strokeStyle = INK; // the dark rim keeps a dot legible on its own limb and on bright ground
      pen.lineWidth = 1.5;
      pen.stroke();
      pen.fill();
    }
  }
}

/** Write each object's name where no other name is, best score first; in a crowd the last may find no place. */
function drawTags({ pen, width, height, answer: { items }, active: lit }, order, boxes) {
  const size = width < 480 ? 11 : 12.5, high = size + 6, taken = [];
  setFont(pen, size);
  pen.textBaseline = "middle";
  for (const index of order) {
    const item = items[index], text = `${fit(pen, nameOf(item), Math.min(160, width / 2))} ${scoreOf(item)}`;
    const wide = pen.measureText(text).width + 10, box = boxes[index];
    const xs = box.map(([x]) => x), ys = box.map(([, y]) => y), top = Math.min(...ys) - 1, bottom = Math.max(...ys) + 1;
    const left = Math.min(...xs) - 1, right = Math.max(...xs) + 1, last = right - wide;
    if (order.length > 60 && wide > 1.5 * (right - left) && index !== lit) continue; // or tags would hide the crowd
    // A turned box carries its tag at its highest corner.
    const start = box[0][1] === box[1][1] ? left : Math.max(left, Math.min(xs[ys.indexOf(top + 1)] - wide / 2, last));
    const free = [ // above, inside, below, beside: in that order
      [start, top - high], [start, top], [last, top - high], [left, bottom], [last, bottom], [right, top], [left - wide, top],
      [last, top], [left, bottom - high],
    ].map(([x, y]) => [Math.max(0, Math.min(x, width - wide)), Math.max(0, Math.min(y, height - high))])
      .find(([x, y]) => taken.every(([tx, ty, tw]) => x >= tx + tw || tx >= x + wide || Math.abs(y - ty) >= high));
    if (!free) continue;
    taken.push([...free, wide]);
    pen.globalAlpha = lit < 0 || index === lit ? 1 : 0.2;
    pen.fillStyle = colourOf(item.class);
    pen.fillRect(...free, wide, high);
    pen.fillStyle = inkOn(colourOf(item.class));
    pen.fillText(text, free[0] + 5, free[1] + high / 2 + 0.5);
  }
}

function setFont(pen, size) {
  pen.font = `600 ${size}px ${getComputedStyle(document.body).fontFamily}`;
}

function fit(pen, text, room) {
  let cut = text;
  for (let size = text.length - 1; size > 0 && pen.measureText(cut).width > room; size--) cut = `${text.slice(0, size)}…`;
  return cut;
}

/** The best classes with their bars, on a panel in the image's corner. */
function drawClasses({ pen, width, height, answer: { items }, active: lit }) {
  const size = width < 480 ? 12 : 14, step = size * 2.1, left = size * 2, inner = Math.min(size * 17, width - 4 * size);
  const fitting = items.slice(0, Math.max(1, Math.floor((height - 3 * size) / step)));
  pen.fillStyle = `${INK}c4`;
  pen.fillRect(size, size, inner + 2 * size, fitting.length * step + size * 1.4);
  setFont(pen, size);
  pen.textBaseline = "middle";
  fitting.forEach((item, index) => {
    const y = size * 2.5 + index * step;
    pen.globalAlpha = lit < 0 || index === lit ? 1 : 0.45;
    pen.fillStyle = "#fff";
    pen.textAlign = "right";
    pen.fillText(scoreOf(item), left + inner, y);
    pen.textAlign = "left";
    pen.fillText(fit(pen, nameOf(item), inner - 4 * size), left, y);
    pen.fillStyle = "#ffffff40";
    pen.fillRect(left, y + size * 0.4, inner, size * 0.3);
    pen.fillStyle = colourOf(item.class);
    pen.fillRect(left, y + size * 0.4, Math.max(1, inner * item.confidence), size * 0.3);
  });
}

/** Point at the smallest object under the pointer: larger ones can be reached around it. */
function pointAt({ offsetX, offsetY }) {
  if (answer?.map) return pointAtMap(offsetX / ui.overlay.clientWidth, offsetY / ui.overlay.clientHeight);
  const density = ui.overlay.width / ui.overlay.clientWidth;
  const hits = spots.filter(({ path }) => screen.isPointInPath(path, offsetX * density, offsetY * density));
  point(spots.indexOf(hits.sort((a, b) => a.size - b.size)[0]));
}
