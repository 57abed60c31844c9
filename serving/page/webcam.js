"use strict";

// The webcam: the frame that is shown is the one that was asked about, so boxes fit, however slow the model.

const FRAME = 960; // longest side of a frame, pixels

async function openCamera() {
  clearError();
  if (!model) return fail(NO_MODEL, { again: true });
  if (!navigator.mediaDevices) return fail("Browsers lend the webcam to pages on https or localhost only.");
  const { video } = ui;
  let stream, stop;
  ui.camera.disabled = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: FRAME }, facingMode: "environment" } });
    video.srcObject = stream;
    await video.play();
  } catch (error) {
    stream?.getTracks().forEach((track) => track.stop());
    const known = { NotAllowedError: "This page may not use the webcam.", NotFoundError: "There is no webcam." };
    return fail(known[error.name] ?? `The webcam cannot be used: ${error.message}`);
  } finally {
    ui.camera.disabled = false;
  }
  const stopped = new Promise((resolve) => { stop = resolve; });
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");

  /** The next frame as {blob, name}; null once the webcam is stopped. */
  async function grab() {
    // Called once a frame, so that none is counted twice, and not while the tab is hidden.
    await Promise.race([new Promise((resolve) => video.requestVideoFrameCallback(resolve)), stopped]);
    if (camera !== mine) return null;
    const scale = Math.min(1, FRAME / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
    return blob && { blob, name: "webcam.jpg" };
  }

  const mine = camera = { stream, stop, grab, canvas, shown: null, times: [] };
  stream.getVideoTracks()[0].addEventListener("ended", () => {
    if (camera === mine) endCamera(mine.shown, { message: "The webcam is gone." });
  });
  epoch++;
  loads++;
  views++;
  clearError();
  setAnswer(null);
  setState("live");
  setSize(video.videoWidth, video.videoHeight);
  ui.drop.hidden = ui.image.hidden = true; // the video itself shows until the first answer
  ui.frame.hidden = video.hidden = false;
  ui.frame.classList.remove("blank");
  ui.use.disabled = true;
  ui.fps.textContent = "";
  markStrip();
  ui.stop.focus();
  runCamera(mine);
}

/** Ask about one frame after the other. */
async function runCamera(mine) {
  while (camera === mine) {
    const frame = await mine.grab(), asked = epoch, settings = settingsNow();
    const isWanted = () => camera === mine && asked === epoch;
    if (!frame) continue;
    try {
      const found = await predict(frame, { isWanted });
      if (!found || !isWanted()) continue;
      paint(mine.canvas, mine.canvas.width, mine.canvas.height);
      ui.image.hidden = false;
      mine.shown = { ...frame, answer: found, asked: settings };
      ui.use.disabled = false;
      countFrame(mine);
      clearError();
      show(found);
      say("The webcam is running."); // news twenty times a second would drown whoever listens
    } catch (problem) {
      if (!isWanted()) continue;
      paint(mine.canvas, mine.canvas.width, mine.canvas.height);
      endCamera(frame, problem);
    }
  }
}

/** Let the webcam go; what is shown stays. */
function closeCamera() {
  if (!camera) return;
  camera.stream.getTracks().forEach((track) => track.stop());
  camera.stop();
  camera = null;
  epoch++;
  ui.video.srcObject = null;
  ui.video.hidden = ui.fps.hidden = true;
  const lost = [ui.stop, ui.use].includes(document.activeElement); // they vanish, and focus would with them
  setState("empty");
  markStrip();
  if (lost) ui.camera.focus();
}

/** Back to the image from before the webcam, if there was one. */
function stopCamera() {
  if (!camera) return;
  closeCamera();
  if (image) return view(image);
  setAnswer(null);
  setImage(null);
  say("The webcam is off.");
}

/** Take the frame that is shown into the strip. */
function keepFrame() {
  const { shown } = camera;
  closeCamera();
  takeFrame(shown);
  if (isFresh(image)) {
    setAnswer(image.answer);
    present();
  } else ask();
}

/** End the webcam with a problem: the frame that is painted stays, so that it can be asked about again. */
function endCamera(frame, problem) {
  closeCamera();
  setAnswer(null);
  if (frame) {
    takeFrame(frame);
    Object.assign(image, { answer: null, problem, asked: settingsNow() });
    markThumb(image);
  } else setImage(image);
  refuse(problem);
}

/** Take the painted frame into the strip and into view. */
function takeFrame({ blob, name, answer: own = null, asked = null }) {
  const picture = Object.assign(makePicture(blob, name, ui.image), { answer: own, asked });
  if (images.length === MOST) removeImage(images[0]);
  images.push(picture);
  addThumb(picture);
  setImage(picture);
}

function countFrame({ times }) {
  times.push(performance.now());
  while (times.length > 2 && times.at(-1) - times[0] > 2000) times.shift();
  ui.fps.hidden = times.length < 2;
  ui.fps.textContent = `${((times.length - 1) * 1000 / (times.at(-1) - times[0])).toFixed(1)} fps`;
}
