// Mouse, fingers and keys on the map.

/** The next mark in a direction (x to the right, y down): near, and not far to the side. */
function beside(mark, x, y) {
  if (mark < 0) return nearest(size.width / 2, size.height / 2, Infinity);
  const [left, top] = place(mark);
  let [best, least] = [mark, Infinity];
  for (let other = 0; other < count; other++) {
    if (other === mark || !seen(other) || (found && !found.has(other))) continue;
    const [across, down] = [place(other)[0] - left, place(other)[1] - top];
    const along = across * x + down * y;
    const aside = Math.abs(across * y) + Math.abs(down * x);
    if (along > 0.01 && along + 2 * aside < least && aside <= 2 * along) [best, least] = [other, along + 2 * aside];
  }
  return best;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key: pressed } = event;
  if (pressed in ARROWS && event.shiftKey) move(...ARROWS[pressed].map((step) => -step * 60));
  else if (pressed in ARROWS) {
    choose(beside(chosen, ...ARROWS[pressed]));
    bring(chosen);
  } else if (pressed === "+" || pressed === "=") zoom(ZOOM.step, ...(chosen < 0 ? [] : place(chosen)));
  else if (pressed === "-") zoom(1 / ZOOM.step);
  else if (pressed === "0") reset();
  else if (pressed === "Escape") choose(-1);
  else return;
  event.preventDefault();
});

/** Shift the view until a mark is in it. */
function bring(mark) {
  if (mark < 0) return;
  const [x, y] = place(mark);
  const off = (at, length) => (at < EDGE ? EDGE - at : at > length - EDGE ? length - EDGE - at : 0);
  move(off(x, size.width), off(y, size.height));
}

const pointers = new Map(); // fingers and buttons that are down: where they are
let dragged = 0; // pixels since the first went down

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function between() {
  const [[x, y], [left, top]] = [...pointers.values()];
  return { middle: [(x + left) / 2, (y + top) / 2], distance: Math.hypot(x - left, y - top) || 1 };
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button > 0) return;
  if (!pointers.size) dragged = 0;
  pointers.set(event.pointerId, at(event));
  canvas.setPointerCapture(event.pointerId);
});

canvas.addEventListener("pointermove", (event) => {
  const [x, y] = at(event);
  const before = pointers.get(event.pointerId);
  if (!before) {
    const mark = nearest(x, y, REACH);
    if (mark === near) return;
    near = mark;
    canvas.style.cursor = mark < 0 ? "grab" : "pointer";
    tell();
    draw();
    return;
  }
  const pair = pointers.size === 2 ? between() : null;
  pointers.set(event.pointerId, [x, y]);
  dragged += Math.hypot(x - before[0], y - before[1]);
  if (pair) {
    const now = between();
    zoom(now.distance / pair.distance, ...pair.middle);
    move(now.middle[0] - pair.middle[0], now.middle[1] - pair.middle[1]);
  } else if (pointers.size === 1) move(x - before[0], y - before[1]);
});

function lift(event) {
  if (!pointers.delete(event.pointerId) || pointers.size || event.type === "pointercancel") return;
  // A finger never keeps quite still.
  if (dragged > (event.pointerType === "mouse" ? 4 : 12)) return;
  const [x, y] = at(event);
  choose(nearest(x, y, event.pointerType === "mouse" ? REACH : FINGER));
}
canvas.addEventListener("pointerup", lift);
canvas.addEventListener("pointercancel", lift);

canvas.addEventListener("pointerleave", () => {
  if (near < 0) return;
  near = -1;
  tell();
  draw();
});

canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), ...at(event));
  },
  { passive: false },
);

for (const [name, act] of Object.entries({ in: () => zoom(ZOOM.step), out: () => zoom(1 / ZOOM.step), reset })) {
  document.querySelector(`[data-zoom="${name}"]`).addEventListener("click", act);
}

const select = document.getElementById("colour-by");
for (const { name, colours } of data.columns) if (colours) select.append(element("option", name, { value: name }));
select.closest("label").hidden = !select.options.length;
if (column) select.value = column.name;
select.addEventListener("change", () => colourBy(select.value));
finder.addEventListener("input", () => find(finder.value));
document.addEventListener("colours", draw); // light or dark

document.getElementById("static").hidden = true;
document.getElementById("app").hidden = false;
new ResizeObserver(fit).observe(canvas);
colourBy(column?.name);
tell();
