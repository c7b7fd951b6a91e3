// The ways in which a file of a log may be damaged: cut off, flipped, swapped, doubled, mixed.
type Next = () => number;
export type Mangle = (bytes: Uint8Array<ArrayBuffer>, next: Next) => Uint8Array<ArrayBuffer>;

const NEWLINE = 10;
const at = (next: Next, length: number) => Math.floor(next() * length);

function linesIn(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const lines: Uint8Array<ArrayBuffer>[] = [];
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(NEWLINE, from) + 1 || bytes.length;
    lines.push(bytes.subarray(from, end));
    from = end;
  }
  return lines;
}

function joined(parts: Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let from = 0;
  for (const part of parts) {
    whole.set(part, from);
    from += part.length;
  }
  return whole;
}

function onLines(change: (lines: Uint8Array<ArrayBuffer>[], next: Next) => void): Mangle {
  return (bytes, next) => {
    const lines = linesIn(bytes);
    change(lines, next);
    return joined(lines);
  };
}

function onText(change: (text: string, next: Next) => string): Mangle {
  return onLines((lines, next) => {
    const index = at(next, lines.length);
    const text = change(new TextDecoder().decode(lines[index]), next);
    lines[index] = new TextEncoder().encode(text);
  });
}

const INVALID = [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80], [0]];
const NUMBERS = ["0", "-1", "1.5", "1e400", "9007199254740993", '"1"', "null", "007", "+1"];
const FIELDS = ["position", "version", "stream", "type", "data", "meta", "at", "seal"];

export const mangles: Record<string, Mangle> = {
  "cut off": (bytes, next) => bytes.slice(0, at(next, bytes.length)),
  "its beginning gone": (bytes, next) => bytes.slice(at(next, bytes.length)),
  "a bit flipped": (bytes, next) => {
    const changed = bytes.slice();
    const index = at(next, bytes.length);
    changed[index] = (changed[index] ?? 0) ^ (1 << at(next, 8));
    return changed;
  },
  "many bits flipped": (bytes, next) => {
    const changed = bytes.slice();
    for (let n = 0; n < 20; n++) {
      const index = at(next, bytes.length);
      changed[index] = (changed[index] ?? 0) ^ (1 << at(next, 8));
    }
    return changed;
  },
  "invalid UTF-8 in it": (bytes, next) => {
    const index = at(next, bytes.length);
    const rubbish = Uint8Array.from(INVALID[at(next, INVALID.length)] ?? []);
    return joined([bytes.slice(0, index), rubbish, bytes.slice(index)]);
  },
  "two lines swapped": onLines((lines, next) => {
    const [a, b] = [at(next, lines.length), at(next, lines.length)];
    [lines[a], lines[b]] = [lines[b] ?? new Uint8Array(), lines[a] ?? new Uint8Array()];
  }),
  "a line twice": onLines((lines, next) => {
    const index = at(next, lines.length);
    lines.splice(index, 0, lines[index] ?? new Uint8Array());
  }),
  "a line gone": onLines((lines, next) => lines.splice(at(next, lines.length), 1)),
  "a line of another place": onLines((lines, next) => {
    lines[at(next, lines.length)] = lines[at(next, lines.length)] ?? new Uint8Array();
  }),
  "two lines run together": onText((text) => text.trimEnd()),
  "a line broken in two": onText((text, next) => {
    const index = at(next, text.length);
    return `${text.slice(0, index)}\n${text.slice(index)}`;
  }),
  "a wrong number": onText((text, next) =>
    text.replace(/"(position|version)":\d+/, `"$1":${NUMBERS[at(next, NUMBERS.length)]}`)
  ),
  "a field gone": onText((text, next) => {
    const event: unknown = JSON.parse(text);
    const name = FIELDS[at(next, FIELDS.length)];
    const left = Object.entries(event ?? {}).filter(([key]) => key !== name);
    return `${JSON.stringify(Object.fromEntries(left))}\n`;
  }),
  "a field twice": onText((text, next) =>
    text.replace("{", `{"${FIELDS[at(next, FIELDS.length)]}":null,`)
  ),
  "blank lines and Windows ends": onText((text) => `\r\n \n${text.trimEnd()}\r\n\t\n`),
  "a byte order mark": (bytes) => joined([Uint8Array.from([0xef, 0xbb, 0xbf]), bytes]),
  "as UTF-16": (bytes) => joined([...bytes].map((byte) => Uint8Array.from([byte, 0]))),
  "as something else": (bytes, next) => bytes.map(() => at(next, 256)),
};
