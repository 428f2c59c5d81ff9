// What is shown: reviews with their verdicts and words, histograms.

export const at = (id) => document.getElementById(id);
const SHOWN = 6; // words of a review that are marked, at most
const BINS = 20;

export function add(parent, tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

export const percent = (value) => `${(100 * value).toFixed(1)} %`;

// The class whose probability is shown: the second of two, or that of the label.
export const watched = (result, classes) => (classes.length === 2 ? classes[1] : result.label);

function words(parent, text, moved) {
  // Offsets count code points, which JavaScript's own do not.
  const points = Array.from(text);
  const cut = (first, last) => points.slice(first, last).join("");
  const strongest = [...moved].sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, SHOWN).filter((word) => Math.abs(word.effect) >= 0.002);
  const most = Math.max(0.01, ...strongest.map((word) => Math.abs(word.effect)));
  let place = 0;
  for (const word of strongest.sort((a, b) => a.start - b.start)) {
    parent.append(cut(place, word.start));
    const mark = add(parent, "mark", word.effect > 0 ? "up" : "down", cut(word.start, word.end));
    mark.style.setProperty("--strength", (0.1 + 0.3 * Math.abs(word.effect) / most).toFixed(2));
    mark.title = `${word.effect > 0 ? "+" : ""}${(100 * word.effect).toFixed(1)} points`;
    place = word.end;
  }
  parent.append(cut(place, points.length));
}

// One review in a list: what each answer ({model, classes, result}) says of it.
export function review(list, text, answers) {
  const item = add(list, "li");
  const beside = answers.length > 1;
  const columns = add(item, "div", beside ? "beside" : "");
  for (const { model, classes, result } of answers) {
    const column = add(columns, "div");
    if (beside) add(column, "h3", "", model);
    const line = add(column, "div", "verdict");
    add(line, "span", "label", result.label);
    const name = watched(result, classes);
    const meter = add(line, "meter");
    if (classes.length === 2) [meter.low, meter.high, meter.optimum] = [0.4, 0.6, 1];
    meter.value = result.probabilities[name];
    meter.setAttribute("aria-label", `probability of ${name}${beside ? ` by ${model}` : ""}`);
    add(line, "span", "", `${percent(result.probabilities[name])} ${name}`);
    words(add(column, "p", "text"), text, result.words ?? []);
    if (result.n_words === 0) add(column, "p", "note", "There is no word in it.");
    if (result.n_cut) {
      add(column, "p", "note", `${result.n_cut} words of it are not read: it is too long.`);
    }
  }
}

// A figure of how many reviews have which probability, and a table of the labels.
export function histogram(parent, model, classes, results) {
  const figure = add(parent, "figure");
  const counts = classes.map((name) => results.filter((one) => one.label === name).length);
  const bins = new Array(BINS).fill(0);
  for (const result of results) {
    const value = result.probabilities[watched(result, classes)];
    bins[Math.min(BINS - 1, Math.floor(value * BINS))] += 1;
  }
  const name = classes.length === 2 ? classes[1] : "the label";
  add(figure, "figcaption", "", `Probability of ${name}, ${model}`);
  const most = Math.max(1, ...bins);
  const bars = add(figure, "div", "bars");
  bars.setAttribute("role", "img");
  bars.setAttribute("aria-label", `Histogram of ${results.length} reviews: ` + bins.map(
    (n, i) => [n, i]).filter(([n]) => n).map(
    ([n, i]) => `${n} from ${100 * i / BINS} to ${100 * (i + 1) / BINS} %`).join(", "));
  bins.forEach((n, i) => {
    const bar = add(bars, "div", "bar");
    bar.style.setProperty("--height", n / most);
    bar.style.setProperty("--raised", `${Math.round(100 * (i + 0.5) / BINS)}%`);
    if (n) bar.classList.add("some");
    bar.title = `${n.toLocaleString("en")} from ${100 * i / BINS} to ${100 * (i + 1) / BINS} %`;
  });
  const axis = add(figure, "div", "axis");
  axis.setAttribute("aria-hidden", "true");
  ["0 %", "50 %", "100 %"].forEach((mark) => add(axis, "span", "", mark));
  const table = add(figure, "table");
  classes.forEach((label, number) => {
    const row = add(table, "tr");
    add(row, "th", "", label).scope = "row";
    add(row, "td", "", counts[number].toLocaleString("en"));
    add(row, "td", "", percent(counts[number] / Math.max(1, results.length)));
  });
}
