// What is marked: kept in the browser, undone, exported and imported.
"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const [SAMPLE, ABOUT, PICTURE] = [0, 1, 2];
const items = page.items;
const shown = new Set(items.map((item) => item[SAMPLE]));
const get = (name) => document.getElementById(name);
const gallery = get("gallery");

// -- what is marked: {sample: [quality, artefact]}, also of samples that are not on this page -------------------------
let marks = new Map(Object.entries(page.given));
let steps = []; // for undo: lists of [sample, mark before]
let exported = true;
const family = `phenorep/annotate/${page.run}/${page.place}/${page.set}/`;
const key = family + page.digest;
const optionsKey = "phenorep/annotate/options";

function stored(name) {
  // A browser may forbid even to ask.
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

let keeps = false; // whether the browser keeps marks: known when the page begins
const savedKey = `phenorep/annotate/saved/${key}`; // when they were kept, in milliseconds

function probe() {
  keeps = store(`${family}probe`, 1);
  if (keeps) localStorage.removeItem(`${family}probe`);
}

// Chromium gives a page that is loaded on a busy machine now and then an empty localStorage of its own, in which nothing is
// kept: marks made before are not shown, later ones are lost, and the page cannot tell. So marks are kept twice, also in a
// database, which says whether it is open; of the two, the later is shown. The database alone would be too slow: what is
// written to localStorage is written when a key's handler returns, and other tabs see it.
let database = null;

function opened() {
  return new Promise((done, failed) => {
    const asked = indexedDB.open("phenorep/annotate", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("marks");
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
}

function copied() {
  return new Promise((done, failed) => {
    const asked = database.transaction("marks").objectStore("marks").get(key);
    asked.onsuccess = () => done(asked.result || null);
    asked.onerror = () => failed(asked.error);
  });
}

async function kept() {
  // The marks as they were kept last; null without any. A browser that has no database, or is silent, has no copy.
  const asked = async () => {
    database = await opened();
    return copied();
  };
  const latest = await Promise.race([asked().catch(() => null), new Promise((go) => setTimeout(go, 2000))]);
  const before = stored(key);
  return latest && latest.at > (stored(savedKey) ?? 0) ? latest.marks : before;
}

function copy(at, marks) {
  if (!database) return;
  try {
    const writing = database.transaction("marks", "readwrite");
    writing.objectStore("marks").put({ at, marks }, key);
    writing.commit?.(); // the page may be closed before the browser has answered
  } catch {
    database = null; // the browser has closed it; localStorage goes on
  }
}

function save() {
  const now = Object.fromEntries(marks);
  const at = Math.max(Date.now(), (stored(savedKey) ?? 0) + 1); // a clock may be set back
  const done = store(key, now) && store(savedKey, at);
  copy(at, now);
  if (keeps && !done) notice("The browser has no room left to keep marks: export them before you close this page.");
  keeps = done;
}

const qualityOf = (sample) => (marks.get(sample) || ["open", ""])[0];

function change(pairs, said) {
  // Each pair: a sample and its new mark, or null.
  const before = pairs.map(([sample]) => [sample, marks.get(sample) || null]);
  const differ = before.filter(([, mark], index) => JSON.stringify(mark) !== JSON.stringify(pairs[index][1]));
  if (differ.length) {
    steps.push(differ);
    put(pairs);
  }
  say(said ?? "");
}

function put(pairs) {
  for (const [sample, mark] of pairs) mark ? marks.set(sample, mark) : marks.delete(sample);
  exported = false;
  save();
  redraw();
}

function undo() {
  const step = steps.pop();
  if (!step) return say("Nothing to undo.");
  put(step);
  const index = items.findIndex((item) => item[SAMPLE] === step[0][0]);
  if (index >= 0 && !tiles[index].hidden) choose(index);
  say(step.length > 1 ? `Undone: ${step.length} marks.` : "Undone.");
}

// -- tables -----------------------------------------------------------------------------------------------------------
const HEADER = ["Sample", "Label_Quality", "Label_Artefact"];

function quoted(text) {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function exportTable() {
  const order = [...items.map((item) => item[SAMPLE]), ...[...marks.keys()].filter((sample) => !shown.has(sample))];
  const rows = order.filter((sample) => marks.has(sample)).map((sample) => [sample, ...marks.get(sample)]);
  if (!rows.length) return say("Nothing is marked yet.");
  const text = [HEADER, ...rows].map((row) => row.map(quoted).join(",") + "\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = page.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  exported = true;
  say(`${rows.length} marks exported: ${page.file}`);
}

function parse(text) {
  // Cells by line; a quoted cell may hold commas, quotes written twice, and line ends.
  const rows = [[]];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  text = text.replace(/^\ufeff/, "");
  while (cell.lastIndex < text.length) {
    const found = cell.exec(text);
    if (!found) throw new Error(`line ${rows.length} cannot be read as a line of a CSV table`);
    rows.at(-1).push((found[1]?.replaceAll('""', '"') ?? found[2]).trim());
    if (found[3] !== "," && cell.lastIndex < text.length) rows.push([]);
  }
  return rows;
}

function importTable(text) {
  try {
    const [header, ...lines] = parse(text);
    const [sample, quality, artefact] = HEADER.map((name) => header.indexOf(name));
    if (sample < 0 || quality < 0) throw new Error("it needs the columns Sample and Label_Quality");
    const pairs = new Map();
    lines.forEach((line, number) => {
      const value = (line[quality] || "").toLowerCase();
      if (!["", "normal", "abnormal"].includes(value)) {
        throw new Error(`line ${number + 2}: Label_Quality is "${value}", not normal, abnormal or empty`);
      }
      if (value) pairs.set(line[sample], [value, (artefact >= 0 && line[artefact]) || ""]);
    });
    take([...pairs]);
  } catch (error) {
    say(`Not imported: ${error.message}.`);
  }
}

function take(pairs) {
  const elsewhere = pairs.filter(([sample]) => !shown.has(sample)).length;
  const rest = elsewhere ? `; ${elsewhere} are of images that are not on this page: they are kept, and exported with the others` : "";
  change(pairs, `${pairs.length} marks read${rest}.`);
  show(filter);
}

function offerEarlier() {
  // The page was written anew with other samples: what was marked on the one before is not lost.
  const found = new Map();
  for (const name of Object.keys(localStorage).filter((name) => name.startsWith(family))) {
    for (const [sample, given] of Object.entries(stored(name) || {})) {
      if (JSON.stringify(marks.get(sample)) !== JSON.stringify(given)) found.set(sample, given);
    }
  }
  if (found.size) {
    notice(`This browser holds ${found.size} marks of an earlier page of these samples.`, () => take([...found]));
  }
}
