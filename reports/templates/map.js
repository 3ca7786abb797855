"use strict";
// A map of marks on a canvas. What stands in `map-data` comes from data: it is only ever written as text.
const data = JSON.parse(document.getElementById("map-data").textContent);
const canvas = document.getElementById("canvas");
const panel = document.getElementById("panel");
const legend = document.getElementById("legend");
const finder = document.getElementById("find");
const count = data.x.length;
const EDGE = 14; // pixels between the outermost marks and the canvas' side
const REACH = 18; // pixels within which a mark is meant by a pointer; a finger is thicker
const FINGER = 30;
const ZOOM = { least: 1, most: 60, step: 1.4 };

let column = data.columns.find(({ name }) => name === data.first) || null; // the marks are coloured by it
const hidden = new Set(); // codes of that column
let found = null; // marks that the reader looks for; null: all
let view = { scale: 1, x: 0, y: 0 };
let near = -1; // the mark under the pointer
let chosen = -1; // the mark that was clicked, or reached by keys
let size = { width: 1, height: 1 };

const sheet = data.crops ? Object.assign(new Image(), { src: data.crops.source }) : null;
const cropsOf = Array.from({ length: count }, () => []);
if (data.crops) data.crops.owners.forEach((mark, number) => cropsOf[mark].push(number));

// -- places -----------------------------------------------------------------------------------------------------------------

const side = () => Math.min(size.width, size.height) - 2 * EDGE;

function place(mark) {
  const length = side() * view.scale;
  return [
    size.width / 2 + (data.x[mark] - 0.5) * length + view.x,
    size.height / 2 - (data.y[mark] - 0.5) * length + view.y,
  ];
}

function seen(mark) {
  return !column || !hidden.has(column.codes[mark]);
}

function nearest(x, y, reach) {
  let [best, least] = [-1, reach];
  for (let mark = 0; mark < count; mark++) {
    if (!seen(mark)) continue;
    const [left, top] = place(mark);
    const distance = Math.hypot(left - x, top - y);
    if (distance < least) [best, least] = [mark, distance];
  }
  return best;
}

/** Zoom by a factor around a point of the canvas, which stays where it is. */
function zoom(factor, x = size.width / 2, y = size.height / 2) {
  const scale = Math.min(ZOOM.most, Math.max(ZOOM.least, view.scale * factor));
  const ratio = scale / view.scale;
  const [across, down] = [x - size.width / 2, y - size.height / 2];
  view = { scale, x: across - (across - view.x) * ratio, y: down - (down - view.y) * ratio };
  move(0, 0);
}

/** Shift the view; the middle of the canvas stays over the map. */
function move(x, y) {
  const most = (side() * view.scale) / 2;
  const within = (value) => Math.min(most, Math.max(-most, value));
  view = { ...view, x: within(view.x + x), y: within(view.y + y) };
  draw();
}

function reset() {
  view = { scale: 1, x: 0, y: 0 };
  draw();
}

// -- drawing ----------------------------------------------------------------------------------------------------------------

function colour(mark) {
  return column ? column.colours[column.codes[mark]] : "#2b83c6";
}

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    paint();
  });
}

function paint() {
  const style = getComputedStyle(document.documentElement);
  const dots = window.devicePixelRatio || 1;
  const pen = canvas.getContext("2d");
  pen.setTransform(dots, 0, 0, dots, 0, 0);
  pen.clearRect(0, 0, size.width, size.height);
  const radius = Math.min(7, Math.max(2.2, 60 / Math.sqrt(count)) * Math.min(2, view.scale ** 0.3));
  const named = (mark) => !column || column.names[column.codes[mark]] !== "";
  const order = [...Array(count).keys()].filter(seen);
  // What has no name lies below the colours, and what is looked for above all.
  order.sort((a, b) => rank(a) - rank(b) || a - b);
  function rank(mark) {
    return (found?.has(mark) ? 2 : 0) + (named(mark) ? 1 : 0);
  }
  for (const mark of order) {
    const [x, y] = place(mark);
    if (x < -9 || y < -9 || x > size.width + 9 || y > size.height + 9) continue;
    pen.globalAlpha = found && !found.has(mark) ? 0.15 : 0.85;
    pen.fillStyle = colour(mark);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.globalAlpha = 1;
  for (const [mark, width] of [[near, 1.5], [chosen, 2.5]]) {
    if (mark < 0 || !seen(mark)) continue;
    const [x, y] = place(mark);
    pen.strokeStyle = style.getPropertyValue("--ink").trim() || "#888888";
    pen.lineWidth = width;
    pen.beginPath();
    pen.arc(x, y, radius + 3, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function fit() {
  const box = canvas.getBoundingClientRect();
  const dots = window.devicePixelRatio || 1;
  size = { width: Math.max(1, box.width), height: Math.max(1, box.height) };
  canvas.width = Math.round(size.width * dots);
  canvas.height = Math.round(size.height * dots);
  draw();
}

// -- what a mark is ---------------------------------------------------------------------------------------------------------

function element(tag, text, options = {}) {
  const made = Object.assign(document.createElement(tag), options);
  if (text !== null) made.textContent = text;
  return made;
}

let told = null;
function tell() {
  const mark = near >= 0 ? near : chosen;
  if (mark === told) return;
  told = mark;
  panel.replaceChildren();
  if (mark < 0) {
    panel.append(element("p", "Point at a mark, tap it, or go from mark to mark by the arrow keys."));
    return;
  }
  panel.dataset.mark = mark;
  const facts = document.createElement("dl");
  for (const { name, names, codes } of data.columns) {
    if (names[codes[mark]] !== "") facts.append(element("dt", name), element("dd", names[codes[mark]]));
  }
  panel.append(facts, pictures(mark));
}

function pictures(mark) {
  const all = element("div", null, { className: "crops" });
  for (const number of cropsOf[mark]) {
    const [height, width] = data.crops.shown;
    const [down, across] = [Math.floor(number / data.crops.columns), number % data.crops.columns];
    const crop = element("canvas", null, { width: 2 * width, height: 2 * height });
    crop.setAttribute("role", "img");
    crop.setAttribute("aria-label", data.crops.where[number]);
    const source = [across * data.crops.cell[1], down * data.crops.cell[0], width, height];
    sheet.decode().then(() => crop.getContext("2d").drawImage(sheet, ...source, 0, 0, 2 * width, 2 * height));
    const own = element("figure", null);
    own.append(crop, element("figcaption", data.crops.where[number]));
    all.append(own);
  }
  if (!data.crops) return all;
  if (!cropsOf[mark].length) all.append(element("p", "No picture of this one is in the page."));
  return all;
}

function choose(mark) {
  chosen = mark;
  near = -1;
  tell();
  draw();
}

// -- colours and names ------------------------------------------------------------------------------------------------------

function entitle(name) {
  return name === "" ? "none given" : name;
}

function colourBy(name) {
  column = data.columns.find((one) => one.name === name) || null;
  hidden.clear();
  legend.replaceChildren();
  if (column) {
    const sums = new Array(column.names.length).fill(0);
    for (const code of column.codes) sums[code]++;
    legend.append(...column.names.map((text, code) => key(text, code, sums[code])));
    if (column.names.length > 2) {
      const all = element("button", "Show all", { type: "button", className: "all" });
      all.addEventListener("click", () => show(() => true));
      legend.prepend(all);
    }
  }
  draw();
}

function key(text, code, sum) {
  const button = element("button", null, { type: "button", title: "Hide or show; with Shift: show it alone" });
  const dot = element("span", null, { className: "dot" });
  dot.style.background = column.colours[code];
  button.append(dot, element("span", entitle(text)), element("small", String(sum)));
  button.dataset.code = code;
  button.setAttribute("aria-pressed", "true");
  button.addEventListener("click", (event) => {
    if (event.shiftKey) show((other) => other === code);
    else show((other) => (other === code ? hidden.has(code) : !hidden.has(other)));
  });
  return button;
}

function show(wanted) {
  const codes = column.names.map((_, code) => code);
  const kept = new Set(codes.filter((code) => wanted(code)));
  hidden.clear();
  for (const code of codes) if (!kept.has(code)) hidden.add(code);
  for (const button of legend.querySelectorAll("[data-code]")) {
    button.setAttribute("aria-pressed", String(!hidden.has(Number(button.dataset.code))));
  }
  if (chosen >= 0 && !seen(chosen)) choose(-1);
  draw();
}

function find(text) {
  const sought = text.trim().toLowerCase();
  const said = document.getElementById("found");
  found = null;
  if (sought) {
    const matching = data.columns.map(({ names, codes }) => {
      const wanted = new Set(names.flatMap((name, code) => (name.toLowerCase().includes(sought) ? [code] : [])));
      return (mark) => wanted.has(codes[mark]);
    });
    found = new Set([...Array(count).keys()].filter((mark) => matching.some((matches) => matches(mark))));
  }
  said.textContent = found ? `${found.size} of ${count}` : "";
  draw();
}
