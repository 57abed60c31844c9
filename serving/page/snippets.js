"use strict";

// Requests for one's own code, in each of the server's dialects. They run as they stand, beside an image.jpg.

/** In a path, ids may have slashes, as paths have. */
const inPath = (id) => id.split("/").map(encodeURIComponent).join("/");

/** By dialect: the path, the names of the fields, and whether it has maps (see `isMap`). */
const DIALECTS = {
  v1: { title: "HUB v1", path: (id) => `/v1/predict/${inPath(id)}`, file: "image", conf: "confidence", key: "x-api-key: ", maps: false },
  v2: { title: "HUB v2", path: (id) => `/v1/predict/${inPath(id)}`, file: "file", conf: "conf", key: "x-api-key: ", maps: false },
  platform: {
    title: "Platform", path: (id) => `/api/models/${inPath(id)}/predict`, file: "file", conf: "conf", key: "Authorization: Bearer ", maps: true,
  },
};

let dialect = "v1"; // the chosen one

const choices = Object.entries(DIALECTS).map(([name, { title }]) => {
  const label = make("label"), choice = Object.assign(make("input"), { type: "radio", name: "dialect", value: name, autocomplete: "off" });
  choice.addEventListener("change", () => {
    dialect = name;
    showSnippets();
  });
  label.append(choice, make("span", "", title));
  ui.dialects.append(label);
  return choice;
});

function showSnippets() {
  const maps = isMap(model?.task), used = maps && !DIALECTS[dialect].maps ? "platform" : dialect;
  for (const choice of choices) {
    choice.disabled = maps && !DIALECTS[choice.value].maps;
    choice.checked = choice.value === used;
  }
  ui.dialectnote.textContent = maps ? "HUB had no such task: only the Platform's API answers it." : "";
  const request = { ...DIALECTS[used], address: location.origin + DIALECTS[used].path(model?.id ?? "MODEL") };
  const fields = maps ? [] : [[request.conf, Number(ui.conf.value)], ["iou", Number(ui.iou.value)]];
  ui.curl.textContent = curlOf(request, fields);
  ui.python.textContent = pythonOf(request, fields);
}

// Snippets are passed on, so they never hold the key itself.
const wantsKey = () => !ui.keyrow.hidden;

function curlOf({ address, file, key }, fields) {
  const lines = [`curl -X POST "${address}"`];
  if (wantsKey()) lines.push(`-H "${key}API_KEY"`);
  lines.push(`-F "${file}=@image.jpg"`, ...fields.map(([name, value]) => `-F "${name}=${value}"`));
  return lines.join(" \\\n  ");
}

function pythonOf({ address, file, key }, fields) {
  const [name, prefix = ""] = key.split(": "), lines = [`"${address}",`];
  if (wantsKey()) lines.push(`headers={"${name}": "${prefix}API_KEY"},`);
  if (fields.length) lines.push(`data={${fields.map(([field, value]) => `"${field}": ${value}`).join(", ")}},`);
  lines.push(`files={"${file}": image},`);
  return `import requests

with open("image.jpg", "rb") as image:
    response = requests.post(
        ${lines.join("\n        ")}
    )
print(response.json())`;
}
