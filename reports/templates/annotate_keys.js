// Keys, mouse and buttons; the page begins here.

// -- keys, mouse and buttons ------------------------------------------------------------------------------------------
function showChannel(number) {
  channel = number;
  [...get("channels").children].forEach((button, at) => button.setAttribute("aria-pressed", String(at === number)));
  for (const tile of near) draw(tile, tiles.indexOf(tile));
}

const options = { zoom: 1, onward: false };
let begun = false; // before, nothing can be marked: it would take the place of what is stored

function resize(factor) {
  options.zoom = Math.min(8, Math.max(0.25, options.zoom * factor));
  const longer = page.shown * options.zoom;
  document.documentElement.style.setProperty("--tile", `${Math.round((longer * width) / Math.max(width, height))}px`);
  store(optionsKey, options);
}

const actions = {
  smaller: () => resize(0.8),
  larger: () => resize(1.25),
  rest: markRest,
  undo,
  export: exportTable,
  import: () => get("file").click(),
  help: () => get("help").showModal(),
};

const keys = {
  arrowright: () => move(1),
  arrowleft: () => move(-1),
  arrowdown: () => move(columns()),
  arrowup: () => move(-columns()),
  home: () => move(-items.length),
  end: () => move(items.length),
  " ": nextOpen,
  n: () => mark("normal"),
  a: markAbnormal,
  x: () => mark(""),
  delete: () => mark(""),
  u: undo,
  c: () => showChannel((channel + 1) % (page.channels.length + 1)),
  "+": () => resize(1.25),
  "-": () => resize(0.8),
  "?": actions.help,
};
page.artefacts.forEach((_, number) => (keys[number + 1] = () => markKind(number)));

document.addEventListener("keydown", (event) => {
  if (!begun) return;
  const name = event.key.toLowerCase();
  if (get("help").open) {
    if (name === "?") get("help").close();
    return;
  }
  const again = (event.ctrlKey || event.metaKey) && name === "z";
  if (!again && (event.ctrlKey || event.metaKey || event.altKey)) return;
  // Buttons keep the keys by which they are pressed.
  if (event.target.closest("button, input, a") && [" ", "enter"].includes(name)) return;
  const act = again ? undo : name === "enter" ? () => cycle(current) : keys[name];
  if (!act) return;
  event.preventDefault();
  act();
  if (options.onward && /^[na1-9]$/.test(name)) nextOpen();
});

gallery.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile || !begun) return;
  event.shiftKey ? markRange(Number(tile.dataset.index)) : cycle(Number(tile.dataset.index));
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button || !begun || button.closest("dialog")) return;
  const { do: name, filter: chosen, channel: number, quality, artefact } = button.dataset;
  if (name) actions[name]();
  else if (chosen) show(chosen);
  else if (number) showChannel(Number(number));
  else if (artefact) markKind(page.artefacts.indexOf(artefact));
  else if (quality !== undefined) quality === "abnormal" ? markAbnormal() : mark(quality);
  // After a click of the mouse, the keys are for the gallery again.
  if (event.detail && tiles[current] && !get("help").open) tiles[current].focus({ preventScroll: true });
});

get("file").addEventListener("change", async ({ target }) => {
  importTable(await target.files[0].text());
  target.value = "";
});

get("onward").addEventListener("change", ({ target }) => {
  options.onward = target.checked;
  store(optionsKey, options);
  tiles[current]?.focus({ preventScroll: true });
});

addEventListener("storage", (event) => {
  // The same page in another tab.
  if (event.key !== key || !begun) return;
  marks = new Map(Object.entries(stored(key) || {}));
  steps = [];
  redraw();
});

addEventListener("beforeunload", (event) => {
  if (!keeps && !exported) event.preventDefault();
});

// -- the page begins --------------------------------------------------------------------------------------------------
function button(text, data, letter = "") {
  const made = Object.assign(document.createElement("button"), { type: "button" });
  if (letter) made.append(Object.assign(document.createElement("kbd"), { textContent: letter }), " ");
  made.append(text);
  Object.assign(made.dataset, data);
  made.setAttribute("aria-pressed", "false");
  return made;
}

get("marks").append(
  button("normal", { quality: "normal", artefact: "" }, "n"),
  button("abnormal", { quality: "abnormal", artefact: "" }, "a"),
  ...page.artefacts.map((kind, number) => {
    return button(kind.replaceAll("_", " "), { quality: "abnormal", artefact: kind }, String(number + 1));
  }),
  button("open", { quality: "", artefact: "" }, "x"),
);
get("channels").append(
  ...page.channels.map(([name], number) => button(name, { channel: number })),
  ...(page.channels.length > 1 ? [button("colour", { channel: page.channels.length })] : []),
);
if (page.channels.length === 1) channel = 0;

async function begin() {
  const before = await kept();
  probe();
  Object.assign(options, stored(optionsKey));
  get("onward").checked = options.onward;
  resize(1);
  showChannel(channel);
  if (before) marks = new Map(Object.entries(before));
  else if (keeps) offerEarlier();
  if (!keeps) {
    notice("This browser keeps no marks for this page (localStorage is not available): export them before you close it.");
  }
  if (items.length) {
    const open = items.findIndex((item) => qualityOf(item[SAMPLE]) === "open");
    choose(open > 0 ? open : 0, false);
  }
  redraw();
  begun = true;
  gallery.removeAttribute("aria-busy");
}

begin();
