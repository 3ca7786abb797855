// The gallery: pictures, the chosen one, filters, and marking what is chosen.

// -- pictures: the channels of a sample lie below one another in one grey image; they are coloured and added here -----
const [width, height] = page.size;
const paint = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
let channel = page.channels.length; // the number of one that is shown alone, in grey; their number: all, in colour

async function draw(tile, index) {
  const image = new Image();
  image.src = `data:image/png;base64,${items[index][PICTURE]}`;
  await image.decode();
  const context = tile.firstChild.getContext("2d");
  const part = (number) => [image, 0, number * height, width, height, 0, 0, width, height];
  context.globalCompositeOperation = "source-over";
  tile.dataset.channel = channel;
  if (channel < page.channels.length) return context.drawImage(...part(channel));
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "lighter";
  page.channels.forEach(([, colour], number) => {
    paint.globalCompositeOperation = "source-over";
    paint.drawImage(...part(number));
    paint.globalCompositeOperation = "multiply";
    paint.fillStyle = colour;
    paint.fillRect(0, 0, width, height);
    context.drawImage(paint.canvas, 0, 0);
  });
}

const near = new Set(); // tiles in view or nearly so: only these are decoded
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      isIntersecting ? near.add(target) : near.delete(target);
      if (isIntersecting && target.dataset.channel !== String(channel)) draw(target, tiles.indexOf(target));
    }
  },
  { rootMargin: "600px" },
);

// -- the gallery ------------------------------------------------------------------------------------------------------
const tiles = items.map((item, index) => {
  const tile = document.createElement("div");
  tile.className = "tile";
  tile.tabIndex = -1;
  tile.setAttribute("role", "option");
  tile.append(Object.assign(document.createElement("canvas"), { width, height }), document.createElement("span"));
  tile.dataset.index = index;
  return tile;
});
gallery.append(...tiles);
tiles.forEach((tile) => watcher.observe(tile));
let current = 0;
let filter = "all";

function describe(index) {
  const [sample, about] = items[index];
  const [quality, artefact] = marks.get(sample) || ["open", ""];
  const facts = page.columns.map((name, column) => `${name}: ${about[column]}`);
  return [sample, ...facts, artefact ? `${quality}, ${artefact}` : quality].join(" · ");
}

function redraw() {
  const counts = { normal: 0, abnormal: 0, open: 0 };
  items.forEach(([sample], index) => {
    const [quality, artefact] = marks.get(sample) || ["open", ""];
    counts[quality] += 1;
    tiles[index].dataset.mark = quality;
    tiles[index].lastChild.textContent = quality === "open" ? "" : artefact || quality;
    tiles[index].setAttribute("aria-label", describe(index));
  });
  for (const [name, count] of Object.entries(counts)) document.querySelector(`[data-count="${name}"]`).textContent = count;
  get("progress").max = items.length || 1;
  get("progress").value = items.length - counts.open;
  get("current").textContent = items.length ? describe(current) : "";
  const [quality, artefact] = (items.length && marks.get(items[current][SAMPLE])) || ["", ""];
  for (const button of get("marks").children) {
    const { quality: own, artefact: kind } = button.dataset;
    button.setAttribute("aria-pressed", String(own !== "" && own === quality && kind === artefact));
  }
  document.querySelector('[data-do="undo"]').disabled = !steps.length;
}

function choose(index, focus = true) {
  tiles[current]?.setAttribute("aria-selected", "false");
  if (tiles[current]) tiles[current].tabIndex = -1;
  current = index;
  tiles[current].setAttribute("aria-selected", "true");
  tiles[current].tabIndex = 0;
  if (focus) tiles[current].focus({ preventScroll: true });
  tiles[current].scrollIntoView({ block: "nearest" });
  redraw();
}

const visible = () => tiles.flatMap((tile, index) => (tile.hidden ? [] : [index]));

function move(step) {
  const order = visible();
  if (!order.length) return;
  const at = order.indexOf(current);
  choose(order[Math.min(order.length - 1, Math.max(0, at + step))]);
}

function columns() {
  const order = visible();
  const first = order.findIndex((index) => tiles[index].offsetTop !== tiles[order[0]].offsetTop);
  return first < 0 ? order.length : first;
}

function nextOpen() {
  const open = visible().filter((index) => qualityOf(items[index][SAMPLE]) === "open");
  if (!open.length) return say("No image in view is open.");
  choose(open.find((index) => index > current) ?? open[0]);
}

function show(name) {
  filter = name;
  tiles.forEach((tile, index) => (tile.hidden = name !== "all" && qualityOf(items[index][SAMPLE]) !== name));
  for (const button of document.querySelectorAll("[data-filter]")) {
    button.setAttribute("aria-pressed", String(button.dataset.filter === name));
  }
  const order = visible();
  get("none").hidden = order.length > 0;
  if (order.length) choose(order.includes(current) ? current : order[0], false);
}

function say(text) {
  get("said").textContent = text;
}

function notice(text, taking = null) {
  get("notice").hidden = false;
  get("notice").firstChild.textContent = text;
  get("take").hidden = !taking;
  get("take").onclick = () => {
    get("notice").hidden = true;
    taking();
  };
}

// -- marking ----------------------------------------------------------------------------------------------------------
function mark(quality, artefact = "") {
  if (!items.length || tiles[current].hidden) return;
  const sample = items[current][SAMPLE];
  change([[sample, quality ? [quality, artefact] : null]], `${sample}: ${artefact || quality || "open"}`);
}

function markKind(number) {
  const kind = page.artefacts[number];
  if (!kind || !items.length) return;
  const [, artefact] = marks.get(items[current][SAMPLE]) || ["", ""];
  mark("abnormal", artefact === kind ? "" : kind);
}

function markAbnormal() {
  // A kind that was given stays.
  if (items.length && qualityOf(items[current][SAMPLE]) !== "abnormal") mark("abnormal");
}

function cycle(index) {
  choose(index);
  mark({ open: "abnormal", abnormal: "normal", normal: "" }[qualityOf(items[index][SAMPLE])]);
}

function markRange(index) {
  const given = marks.get(items[current][SAMPLE]);
  if (!given) return say("Mark the first image of a range before you click on its last one.");
  const [from, to] = [Math.min(current, index), Math.max(current, index)];
  const open = visible().filter((at) => at >= from && at <= to && qualityOf(items[at][SAMPLE]) === "open");
  choose(index);
  change(open.map((at) => [items[at][SAMPLE], given]), `${open.length} marked: ${given[1] || given[0]}`);
}

function markRest() {
  const open = visible().filter((index) => qualityOf(items[index][SAMPLE]) === "open");
  change(open.map((index) => [items[index][SAMPLE], ["normal", ""]]), `${open.length} marked: normal`);
}
