// Files of reviews, CSV or JSON lines: the texts in them, and the same file with more columns.
// Rows are written back as they came, byte for byte, with the new values behind them.

const TEXTS = ["reviewtext", "text", "review_text", "review_body", "reviewbody", "content",
  "review", "body", "comment", "sentence"];
const LOOKED_AT = 200; // rows that columns are judged by

// {json, columns, rows, header, texts(column, header), write(column names, values, header)}
export function readTable(text) {
  if (/^\s*\[\s*\{/.test(text)) {
    throw new Error("It is one JSON array; JSON lines have an object in each line.");
  }
  return /^\s*\{/.test(text) ? jsonLines(text) : csv(text);
}

// The number of the column that looks like the reviews' text.
export function textColumn(table) {
  const names = table.columns.map((name) => name.toLowerCase());
  const named = TEXTS.map((name) => names.indexOf(name)).find((number) => number >= 0);
  if (named !== undefined) return named;
  const lengths = table.columns.map((_, number) => table.texts(number).slice(0, LOOKED_AT)
    .reduce((sum, text) => sum + (text ? text.length : 0), 0));
  return lengths.indexOf(Math.max(...lengths));
}

function jsonLines(text) {
  const lines = text.split("\n").map((line) => line.replace(/\r$/, ""))
    .filter((line) => line.trim());
  const rows = lines.map((line) => {
    try {
      const value = JSON.parse(line);
      return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
    } catch {
      return null;
    }
  });
  const columns = [...new Set(rows.slice(0, LOOKED_AT).flatMap((row) => Object.keys(row ?? {})))];
  if (!columns.length) throw new Error("There is no JSON object in its first lines.");
  return {
    json: true, columns, header: false,
    texts: (column) => rows.map((row) => {
      const found = row && Object.hasOwn(row, columns[column]) ? row[columns[column]] : null;
      return typeof found === "string" ? found : null;
    }),
    // Lines that are no object stay as they are.
    write: (names, values) => lines.map((line, number) => {
      if (!rows[number]) return line + "\n";
      const more = names.map((name, i) => `${JSON.stringify(name)}:` +
        JSON.stringify(values[number] ? values[number][i] : null)).join(",");
      const open = line.trimEnd().slice(0, -1);
      return `${open}${Object.keys(rows[number]).length ? "," : ""}${more}}\n`;
    }),
  };
}

function csv(text) {
  const delimiter = delimiterOf(text);
  const rows = records(text, delimiter);
  if (!rows.length) throw new Error("There is no row in it.");
  const first = rows[0].fields;
  const header = rows.length > 1 && new Set(first).size === first.length && first.every(
    (cell) => cell.trim() && cell.length <= 40 && Number.isNaN(Number(cell)));
  const width = first.length;
  const table = {
    json: false, header, columns: [],
    texts(column) {
      return rows.slice(table.header ? 1 : 0).map(({ fields }) => fields[column]?.trim()
        ? fields[column] : null);
    },
    write(names, values) {
      return rows.map(({ raw, fields }, number) => {
        const scored = table.header ? values[number - 1] : values[number];
        const more = table.header && !number ? names : scored ?? names.map(() => "");
        // Short rows are filled, so that the new columns stand below one another.
        const filled = delimiter.repeat(Math.max(0, width - fields.length));
        return raw + filled + more.map((cell) => delimiter + quoted(cell, delimiter)).join("") +
          "\n";
      });
    },
    // Names of the columns, where the first row is one (or is none).
    named(withHeader) {
      table.header = withHeader;
      table.columns = first.map((cell, number) => withHeader ? cell : `column ${number + 1}`);
      return table;
    },
  };
  return table.named(header);
}

function quoted(value, delimiter) {
  const cell = String(value);
  return cell.includes(delimiter) || /["\n\r]/.test(cell)
    ? `"${cell.replaceAll('"', '""')}"` : cell;
}

// The one of , ; tab | that is most often in the first row, outside of quotes.
function delimiterOf(text) {
  const row = text.slice(0, text.search(/\r?\n/) + 1 || undefined).replace(/"[^"]*"/g, "");
  const counts = [",", ";", "\t", "|"].map((one) => [row.split(one).length, one]);
  return counts.reduce((best, one) => (one[0] > best[0] ? one : best))[1];
}

// Rows as {raw, fields}. A quote that does not begin a field stands for itself.
function records(text, delimiter) {
  const rows = [];
  let place = 0, line = 1;
  while (place < text.length) {
    const start = place, fields = [];
    for (;;) {
      if (text[place] === '"') {
        let cell = "", from = place + 1;
        for (;;) {
          const end = text.indexOf('"', from);
          if (end < 0) {
            throw new Error(`The quote that opens in the row at line ${line} is not closed.`);
          }
          cell += text.slice(from, end);
          from = end + 1;
          if (text[from] !== '"') break;
          cell += '"';
          from += 1;
        }
        place = from;
        const rest = endOfField(text, place, delimiter);
        fields.push(cell + text.slice(place, rest));
        place = rest;
      } else {
        const end = endOfField(text, place, delimiter);
        fields.push(text.slice(place, end));
        place = end;
      }
      if (text[place] !== delimiter) break;
      place += 1;
    }
    const raw = text.slice(start, place);
    if (text[place] === "\r" && text[place + 1] === "\n") place += 1;
    place += 1;
    line += raw.split("\n").length;
    if (raw) rows.push({ raw, fields });
  }
  return rows;
}

function endOfField(text, place, delimiter) {
  while (place < text.length && text[place] !== delimiter && text[place] !== "\n" &&
    text[place] !== "\r") place += 1;
  return place;
}
