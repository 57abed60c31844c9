"use strict";

// Results as files: what the server answered, and the image with what was found drawn on it.

const stemOf = ({ name }) => name.replace(/\.[^.]*$/, "") || "image";
const MOST_PIXELS = 2 ** 24; // of a canvas: phones refuse larger ones

function save(blob, name) {
  const link = make("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const saveText = (value, name) => save(new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }), name);

/** Save the answer about the image in view, or about the frame of the webcam. */
function saveJson() {
  const { name } = camera?.shown ?? image;
  saveText(answer.body, `${stemOf({ name })}-${answer.model}.json`);
}

/** Save what is known of all images of the strip: a list with an answer or the reason why there is none. */
function saveAll() {
  const about = (each) => {
    if (each.problem) return { file: each.name, error: Object.values(explain(each.problem)).filter(Boolean).join(" ") };
    return isFresh(each) ? { file: each.name, answer: each.answer.body } : { file: each.name, error: "not answered yet" };
  };
  saveText({ model: model.id, images: images.map(about) }, `images-${model.id}.json`);
}

/** Save the image in view with its results, at its own size, as PNG. */
async function saveImage() {
  const { blob, name } = camera?.shown ?? image, drawn = answer;
  const source = await decode(blob) ?? (ui.image.hidden ? null : ui.image);
  if (!source) return fail("This browser cannot show the image, so it cannot draw on it. The JSON holds all results.");
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (source.width * source.height))), canvas = make("canvas");
  canvas.width = Math.round(source.width * scale);
  canvas.height = Math.round(source.height * scale);
  const pen = canvas.getContext("2d");
  pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  source.close?.();
  // Lines and text as on a page on which the image is 1000 pixels long.
  const zoom = Math.max(1, Math.max(canvas.width, canvas.height) / 1000);
  pen.scale(zoom, zoom);
  const board = { pen, width: canvas.width / zoom, height: canvas.height / zoom, answer: drawn, active: -1 };
  drawAnswer(board);
  if (drawn.map && (drawn.items.length || drawn.map.max > 0)) drawLegend(board);
  const png = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!png) return fail("The image is too large for this browser to draw on.");
  save(png, `${stemOf({ name })}-${drawn.model}.png`);
}
