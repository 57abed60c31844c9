"use strict";

// Maps: answers with a value for every pixel, as PNG. Classes are drawn in the colours of objects; depth in the colours
// of `result.plot()`, with a legend in metres. How much of the image shines through is for the slider to say.

/** The map of an answer's image: {kind, width, height, values, ...}, or null if it has none. */
async function readMap({ semantic_mask: semantic, depth }) {
  if (semantic) return { kind: "semantic", ...await readPng(semantic.data) };
  if (!depth) return null;
  const found = await readPng(depth.data), scale = depth.max / (depth.bits === 8 ? 255 : 65535);
  return { kind: "depth", ...found, scale, min: depth.min, max: depth.max, near: Math.max(usualNear(found.values) * scale, 1e-3) };
}

/** The depth from which on colours differ: a single near pixel would take all of them. Like `min`, not in metres but as sent. */
function usualNear(values) {
  const counts = new Uint32Array(65536);
  for (const value of values) counts[value]++;
  let left = 0.01 * (values.length - counts[0]), value = 1; // one pixel in a hundred may be nearer
  while (value < 65535 && (left -= counts[value]) > 0) value++;
  return value;
}

/** The values of a grey PNG of 8 or 16 bits, {width, height, values}. A canvas would give 8 of them, in the screen's colours. */
async function readPng(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)), view = new DataView(bytes.buffer), data = [];
  for (let at = 8; at < bytes.length; at += view.getUint32(at) + 12) { // chunks: length, type, content, checksum
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "IDAT") data.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const width = view.getUint32(16), height = view.getUint32(20), [bits, colour, , , interlaced] = bytes.subarray(24, 29);
  if (colour !== 0 || bits < 8 || interlaced) throw { message: "The server sent a map that this page cannot read." };
  const stream = new Blob(data).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = unfilter(new Uint8Array(await new Response(stream).arrayBuffer()), width * bits / 8, height, bits / 8);
  if (bits === 8) return { width, height, values: rows };
  return { width, height, values: Uint16Array.from({ length: width * height }, (_, at) => rows[2 * at] << 8 | rows[2 * at + 1]) };
}

/** Undo PNG's filters (its specification, section 9): each byte was stored less what its neighbours let expect. */
function unfilter(raw, stride, height, step) {
  const out = new Uint8Array(stride * height);
  for (let y = 0, from = 1; y < height; y++, from += stride + 1) {
    const expect = FILTERS[raw[from - 1]], to = y * stride;
    for (let x = 0; x < stride; x++) {
      const left = x >= step ? out[to + x - step] : 0, above = y ? out[to + x - stride] : 0;
      out[to + x] = raw[from + x] + expect(left, above, y && x >= step ? out[to + x - step - stride] : 0); // modulo 256
    }
  }
  return out;
}

const FILTERS = [() => 0, (left) => left, (_, above) => above, (left, above) => (left + above) >> 1, paeth];

function paeth(left, above, corner) {
  const toLeft = Math.abs(above - corner), toAbove = Math.abs(left - corner), toCorner = Math.abs(left + above - 2 * corner);
  return toLeft <= toAbove && toLeft <= toCorner ? left : toAbove <= toCorner ? above : corner;
}

// ---- Colours

// OpenCV's TURBO from far, blue, to near, red: eighteen of its colours.
const DEPTH_COLOURS = [
  "#30123b", "#3f3e9c", "#4666dd", "#458cfd", "#2fb2f4", "#1ad4d0", "#22ebaa", "#52fa7a", "#8bff4b", "#b7f735",
  "#dbe236", "#f5c53a", "#fea130", "#f9751d", "#e84b0c", "#ce2d04", "#a91601", "#7a0403",
].map(rgbOf);

function rgbOf(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** The colour of a depth as [red, green, blue]. Linear in its inverse: near things, which differ most, differ most in colour. */
function depthColour(metres, { near, max }) {
  const part = Math.min(Math.max((1 / metres - 1 / max) / Math.max(1 / near - 1 / max, 1e-9), 0), 1);
  const at = part * (DEPTH_COLOURS.length - 1), below = Math.min(Math.floor(at), DEPTH_COLOURS.length - 2);
  return DEPTH_COLOURS[below].map((value, channel) => value + (DEPTH_COLOURS[below + 1][channel] - value) * (at - below));
}

/** What a map holds for a class: of one class, 0 is the background. */
const valueOf = (item) => item.class + (Object.keys(model.names).length === 1 ? 1 : 0);

/** RGBA of every value that a map may hold; pixels of no class and without depth are clear. */
function coloursOf(map, items, lit) {
  const rgba = new Uint8ClampedArray(4 * (map.values.BYTES_PER_ELEMENT === 1 ? 256 : 65536));
  if (map.kind === "depth") {
    for (let value = 1; value < rgba.length / 4; value++) rgba.set([...depthColour(value * map.scale, map), 255], 4 * value);
  } else {
    items.forEach((item, index) => rgba.set([...rgbOf(colourOf(item.class)), lit < 0 || lit === index ? 255 : 60], 4 * valueOf(item)));
  }
  return new Uint32Array(rgba.buffer);
}

const tinted = new WeakMap(); // by answer, as sliders and resizing draw the same again: {lit, canvas}

function tint(found, lit) {
  const known = tinted.get(found), { map, items } = found;
  if (known?.lit === lit) return known.canvas;
  const canvas = Object.assign(make("canvas"), { width: map.width, height: map.height });
  const pixels = new ImageData(map.width, map.height), colours = coloursOf(map, items, lit), rgba = new Uint32Array(pixels.data.buffer);
  for (let at = 0; at < rgba.length; at++) rgba[at] = colours[map.values[at]];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  tinted.set(found, { lit, canvas });
  return canvas;
}

function drawMap({ pen, width, height, answer: found, active: lit }) {
  pen.save();
  pen.globalAlpha = Number(ui.opacity.value);
  pen.imageSmoothingEnabled = found.map.kind === "depth"; // there is nothing between two classes
  pen.drawImage(tint(found, lit), 0, 0, width, height);
  pen.restore();
}

// ---- The legend. Classes need none on the page: their rows are one.

/** The ends of the colours and their middle, near to far: part of the way and text. */
function ticksOf({ min, near, max }) {
  const middle = 2 / (1 / near + 1 / max);
  return [[0, `${min < near * 0.99 ? "< " : ""}${inMetres(near)}`], [0.5, inMetres(middle)], [1, inMetres(max)]];
}

function showScale(map) {
  const isDepth = map?.kind === "depth" && map.max > 0;
  ui.scale.hidden = !isDepth;
  ui.readout.hidden = true;
  if (!isDepth) return;
  ui.gradient.style.background = `linear-gradient(to left, ${DEPTH_COLOURS.map((rgb) => `rgb(${rgb})`)})`;
  ui.ticks.replaceChildren(...ticksOf(map).map(([, text]) => make("span", "", text)));
}

/** The legend as part of an image that leaves the page. */
function drawLegend(board) {
  const { pen, width, height, answer: { map, items } } = board;
  const size = width < 480 ? 11 : 13, pad = size * 0.8, inner = Math.min(size * 22, width - 4 * pad);
  setFont(pen, size);
  pen.textBaseline = "middle";
  if (map.kind === "depth") drawDepthScale(board, { size, pad, inner });
  else {
    const shown = items.slice(0, Math.max(1, Math.floor((height - 4 * pad) / (size * 1.7)))), step = size * 1.7;
    const wide = Math.max(...shown.map((item) => pen.measureText(`${nameOf(item)}  ${scoreOf(item)}`).width)) + 2 * size;
    pen.fillStyle = `${INK}c4`;
    pen.fillRect(pad, pad, Math.min(wide, inner) + 2 * pad, shown.length * step + pad);
    shown.forEach((item, index) => {
      const y = 1.5 * pad + (index + 0.5) * step;
      pen.fillStyle = colourOf(item.class);
      pen.fillRect(2 * pad, y - size / 2, size, size);
      pen.fillStyle = "#fff";
      pen.fillText(fit(pen, `${nameOf(item)}  ${scoreOf(item)}`, inner - 2 * size), 2 * pad + 1.6 * size, y);
    });
  }
}

function drawDepthScale({ pen, height, answer: { map } }, { size, pad, inner }) {
  const top = height - 2 * pad - 2.4 * size, left = 2 * pad, gradient = pen.createLinearGradient(left + inner, 0, left, 0);
  pen.fillStyle = `${INK}c4`;
  pen.fillRect(pad, top - pad, inner + 2 * pad, 2 * pad + 2.4 * size);
  DEPTH_COLOURS.forEach((rgb, at) => gradient.addColorStop(at / (DEPTH_COLOURS.length - 1), `rgb(${rgb})`));
  pen.fillStyle = gradient;
  pen.fillRect(left, top, inner, size);
  pen.fillStyle = "#fff";
  for (const [part, text] of ticksOf(map)) {
    pen.textAlign = ["left", "center", "right"][2 * part];
    pen.fillText(text, left + part * inner, top + 1.9 * size);
  }
  pen.textAlign = "left";
}

/** Tell what a map holds at a place, in parts of its sides: the class stands out, the depth is written. */
function pointAtMap(x, y) {
  const { map, items } = answer, limit = (part, side) => Math.min(side - 1, Math.max(0, Math.floor(part * side)));
  const value = map.values[limit(y, map.height) * map.width + limit(x, map.width)];
  if (map.kind === "semantic") return point(items.findIndex((item) => valueOf(item) === value));
  ui.readout.hidden = false;
  ui.readout.textContent = value ? inMetres(value * map.scale) : "no depth";
}
