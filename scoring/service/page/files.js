// A file of reviews: read here, scored piece by piece, and given back with its new columns.

import { bodyOf, models, post } from "./server.js";
import { add, at, histogram, review } from "./show.js";
import { readTable, textColumn } from "./table.js";

const MOST_BYTES = 64 << 20, CALL_BYTES = 1000000, CALL_TEXTS = 200, CALLS = 2;
const EXAMPLES = 3; // reviews of a list
const encoder = new TextEncoder();
let table = null, name = "", running = null;

export function listen(fail) {
  at("file").addEventListener("change", () => {
    if (at("file").files.length) take(at("file").files[0], fail);
    at("file").value = "";
  });
  const drop = at("drop");
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    take(event.dataTransfer.files[0], fail);
  });
  at("columns").addEventListener("submit", (event) => {
    event.preventDefault();
    score(Number(at("column").value), fail);
  });
  at("header").addEventListener("change", () => {
    table.named(at("header").checked);
    showColumns(Number(at("column").value));
  });
  at("stop").addEventListener("click", () => running?.abort());
}

async function take(file, fail) {
  fail("");
  running?.abort();
  running = null;
  at("working").hidden = at("columns").hidden = true;
  at("scored").replaceChildren();
  at("file-state").textContent = "";
  try {
    if (file.size > MOST_BYTES) {
      throw new Error("It has more than 64 MB; `reviewmill score` takes files of any size.");
    }
    table = readTable(decoded(await file.arrayBuffer()));
  } catch (error) {
    fail(`${file.name}: ${error.message}`);
    return;
  }
  name = file.name;
  const column = textColumn(table);
  showColumns(column);
  await score(column, fail);
}

function decoded(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("It is not text in UTF-8.");
  }
}

function showColumns(chosen) {
  const select = at("column");
  select.replaceChildren();
  table.columns.forEach((label, number) => {
    const option = add(select, "option", "", label);
    option.value = number;
    option.selected = number === chosen;
  });
  at("header-label").hidden = table.json;
  at("header").checked = table.header;
  at("columns").hidden = false;
}

// Pieces of the rows that have a text: numbers of rows, each piece small enough for a call.
function pieces(texts) {
  const found = [];
  let piece = [], bytes = 0;
  texts.forEach((text, number) => {
    if (text === null) return;
    const size = encoder.encode(JSON.stringify(text)).length + 1;
    if (size > CALL_BYTES) return;
    if (piece.length === CALL_TEXTS || bytes + size > CALL_BYTES) {
      found.push(piece);
      piece = [];
      bytes = 0;
    }
    piece.push(number);
    bytes += size;
  });
  if (piece.length) found.push(piece);
  return found;
}

async function score(column, fail) {
  running?.abort();
  const mine = running = new AbortController();
  fail("");
  at("scored").replaceChildren();
  // What no server could read as UTF-8 is replaced.
  const texts = table.texts(column).map((text) => text && text.toWellFormed());
  const todo = pieces(texts), all = todo.flat().length;
  const from = table, started = performance.now();
  at("working").hidden = false;
  at("progress").value = 0;
  at("file-state").textContent = `Scoring ${all.toLocaleString("en")} reviews of ${name}`;
  try {
    const served = await models();
    mine.signal.throwIfAborted();
    const results = served.map(() => new Array(texts.length).fill(null));
    let next = 0, done = 0;
    const worker = async () => {
      while (next < todo.length) {
        const rows = todo[next++];
        for (const [number, { name: model }] of served.entries()) {
          const answer = await post(
            "v1/score", bodyOf(rows.map((row) => texts[row]), model), mine.signal);
          answer.results.forEach((result, i) => { results[number][rows[i]] = result; });
        }
        done += rows.length;
        at("progress").value = done / all;
      }
    };
    await Promise.all(Array.from({ length: CALLS }, worker));
    if (mine !== running) return;
    const seconds = (performance.now() - started) / 1000;
    const left = texts.length - all;
    at("file-state").textContent = `${all.toLocaleString("en")} reviews of ${name} scored in ` +
      `${seconds.toFixed(1)} s` + (left ? `; ${left.toLocaleString("en")} rows without a text, ` +
      "or with one of more than 1 MB, are as they were" : "");
    at("working").hidden = true;
    show(from, texts, served, results);
    await explain(served, mine.signal);
  } catch (error) {
    mine.abort();
    if (mine !== running) return;
    if (error.name === "AbortError") {
      at("file-state").textContent = "Stopped.";
    } else {
      if (!at("scored").hasChildNodes()) at("file-state").textContent = "";
      fail(error.message, error.status, () => score(column, fail));
    }
  } finally {
    if (mine === running) at("working").hidden = true;
  }
}

function columnsOf(served, taken) {
  const names = served.flatMap(({ name: model, classes }) => {
    const end = served.length > 1 ? `_${model}` : "";
    return ["label", ...classes.map((one) => `probability_${one}`), "n_words", "n_cut"].map(
      (column) => column + end);
  });
  const again = names.some((column) => taken.includes(column));
  return again ? names.map((column) => `reviewmill_${column}`) : names;
}

let examples = []; // of the file that is shown: [list, rows of {text, answers}]

function show(from, texts, served, results) {
  const scored = at("scored");
  const rows = texts.map((_, number) => number).filter((number) => results[0][number]);
  if (!rows.length) return;
  const values = texts.map((_, number) => results[0][number] && served.flatMap(
    ({ classes }, model) => {
      const result = results[model][number];
      return [result.label, ...classes.map((one) => result.probabilities[one]),
        result.n_words, result.n_cut];
    }));
  download(scored, from.write(columnsOf(served, from.columns), values));
  const figures = add(scored, "div", "beside");
  served.forEach(({ name: model, classes }, number) => histogram(
    figures, model, classes, rows.map((row) => results[number][row])));
  examples = [];
  const of = (row) => ({ text: texts[row], answers: served.map(({ name: model, classes }, number) =>
    ({ model, classes, result: results[number][row] })) });
  const list = (title, value) => {
    const chosen = rows.map((row) => [value(row), row]).sort(([a], [b]) => b - a)
      .slice(0, EXAMPLES).map(([, row]) => of(row));
    add(scored, "h3", "", title);
    const element = add(scored, "ol", "reviews");
    element.setAttribute("aria-label", title);
    chosen.forEach(({ text, answers }) => review(element, text, answers));
    examples.push([element, chosen]);
  };
  const first = results[0], classes = served[0].classes;
  const by = served.length > 1 ? `, by ${served[0].name}` : "";
  const margin = ({ probabilities }) => {
    const [best, second] = Object.values(probabilities).sort((a, b) => b - a);
    return best - second;
  };
  if (served.length > 1 && served[1].classes.join() === classes.join()) {
    list("Most different", (row) => Math.max(...classes.map((one) =>
      Math.abs(first[row].probabilities[one] - results[1][row].probabilities[one]))));
  }
  list(`Most doubtful${by}`, (row) => -margin(first[row]));
  for (const one of [...classes].reverse()) {
    list(`Clearest ${one}${by}`, (row) => first[row].probabilities[one]);
  }
}

function download(parent, parts) {
  const dot = name.lastIndexOf(".");
  const link = add(parent, "a", "button", "Download the scored file");
  URL.revokeObjectURL(at("scored").dataset.url ?? "");
  link.href = at("scored").dataset.url = URL.createObjectURL(new Blob(parts));
  link.download = dot > 0 ? `${name.slice(0, dot)}.scored${name.slice(dot)}` : `${name}.scored`;
}

// Mark the words of the reviews that are shown.
async function explain(served, signal) {
  for (const [list, chosen] of examples) {
    const answers = await Promise.all(served.map(({ name: model }) => post(
      "v1/explain", bodyOf(chosen.map(({ text }) => text), model), signal).catch((error) => {
      if (error.status === 413) return null; // too long: without marks
      throw error;
    })));
    if (answers.includes(null)) continue;
    list.replaceChildren();
    chosen.forEach(({ text }, number) => review(list, text, answers.map((answer) => ({
      model: answer.model, classes: answer.classes, result: answer.results[number] }))));
  }
}
