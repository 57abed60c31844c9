"use strict";

// What the page is about, and how it says so. The scripts share one scope, in the order in which index.html names them.

const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (element) => [element.id, element]));

/** @typedef {object} Picture An image of the strip.
 * @property {Blob} blob
 * @property {string} name
 * @property {number} width  0 where the browser cannot show it; then height is 0, too
 * @property {number} height
 * @property {?object} answer  the newest answer of the chosen model, see `readAnswer`
 * @property {?object} problem  why there is none: {message, status}
 * @property {?string} asked  the settings that answer or problem belong to; null if it has to be asked about
 * @property {?Promise} request  what is under way */

let models = null; // as the server lists them
let areDemo = false; // whether these are the demo models
let model = null; // the chosen one
let images = []; // in the strip
let image = null; // the one in view
let camera = null; // the webcam while it runs, see `openCamera`
let answer = null; // what is drawn
let epoch = 0; // counts the changes that make older answers worthless

const setState = (name) => { document.body.dataset.state = name; };
const say = (text) => { if (ui.status.textContent !== text) ui.status.textContent = text; };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const make = (tag, className = "", text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : /([sxz]|[cs]h)$/.test(noun) ? "es" : "s"}`;

/** Show what went wrong; `detail` are the server's own words, `stale` dims what is still shown, `again` offers to repeat. */
function fail(message, { detail = "", stale = false, again = false } = {}) {
  ui.problem.hidden = false;
  ui.retry.hidden = !again;
  ui.error.textContent = message;
  ui.detail.textContent = detail;
  document.body.classList.toggle("stale", stale);
  setState("error");
}

function clearError() {
  ui.problem.hidden = true;
  ui.error.textContent = ui.detail.textContent = "";
  document.body.classList.remove("stale");
}
