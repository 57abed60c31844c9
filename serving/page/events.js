"use strict";

// What people do, and the start.

ui.drop.addEventListener("click", () => ui.file.click());
ui.file.addEventListener("change", () => {
  addImages(Array.from(ui.file.files));
  ui.file.value = ""; // or choosing the same file again would be no change
});
ui.demo.addEventListener("click", addExample);
ui.camera.addEventListener("click", openCamera);
ui.stop.addEventListener("click", stopCamera);
ui.use.addEventListener("click", keepFrame);
ui.retry.addEventListener("click", retry);
ui.thumbs.addEventListener("keydown", walkStrip);
ui.remove.addEventListener("click", () => removeImage(image));
ui.removeall.addEventListener("click", removeAll);
ui.model.addEventListener("change", () => {
  chooseModel();
  keepLink();
});
for (const slider of [ui.conf, ui.iou]) {
  slider.addEventListener("input", () => {
    showSettings();
    ask(60);
    keepLink();
  });
}
ui.opacity.addEventListener("input", () => {
  showSettings();
  draw();
});
addEventListener("popstate", restoreLink);
ui.settings.addEventListener("submit", (event) => event.preventDefault());
ui.results.addEventListener("keydown", walkRows);
ui.overlay.addEventListener("pointermove", pointAt);
ui.overlay.addEventListener("pointerleave", () => {
  point(-1);
  ui.readout.hidden = true;
});
ui.answer.addEventListener("toggle", showJson);
ui.savejson.addEventListener("click", saveJson);
ui.saveimage.addEventListener("click", saveImage);
ui.saveall.addEventListener("click", saveAll);
new ResizeObserver(draw).observe(ui.frame);

document.addEventListener("keydown", ({ key }) => { if (key === "Escape") stopCamera(); });
document.addEventListener("paste", (event) => addImages(Array.from(event.clipboardData.files)));
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault(); // or the browser would leave the page and open the file
    document.body.classList.toggle("dragging", event.dataTransfer.types.includes("Files"));
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  addImages(Array.from(event.dataTransfer.files));
});

const COPIES = {
  link: makeLink,
  curl: () => ui.curl.textContent,
  python: () => ui.python.textContent,
  json: () => answer ? pretty(answer.body) : "",
};

for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    const copied = await copy(COPIES[button.dataset.copy](), button);
    button.textContent = ui.toast.textContent = copied ? "Copied" : "Not copied";
    await sleep(1500);
    button.textContent = label;
    ui.toast.textContent = "";
  });
}

/** Copy a text. Over plain http browsers have no clipboard for pages: there the old way, by selecting. */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", "unseen");
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    button.focus();
    return copied;
  }
}

// The key outlives a reload but not the tab. Where the browser forbids storage, it stays in its field only.
ui.key.addEventListener("change", () => {
  try { sessionStorage.setItem("yolean-key", ui.key.value.trim()); } catch { /* see above */ }
  forgetAnswers();
  ask();
});
try { ui.key.value = sessionStorage.getItem("yolean-key") ?? ""; } catch { /* see above */ }

loadModels();
