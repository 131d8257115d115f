// JSON as text: parsed only as far as it takes to lay it out. Numbers keep their digits, keys their order, and
// keys that stand twice stand twice.

export type Token = { kind: "key" | "string" | "number" | "literal" | "punctuation"; text: string };

export interface Line {
  indent: number;
  tokens: Token[];
  /** The line on which the bracket opened here closes. */
  closes?: number;
  /** How many items the bracket opened here holds. */
  items?: number;
}

/** Where a text stops being JSON, and what is wrong there. Lines and columns count from 1. */
export interface JSONProblem {
  line: number;
  column: number;
  message: string;
}

export type JSONResult = { lines: Line[] } | { problem: JSONProblem };

/** Deeper than this nobody reads, and the stack has an end. */
const MAX_DEPTH = 400;

class Stop extends Error {
  readonly at: number;

  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// eslint-disable-next-line no-control-regex
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\dA-Fa-f]{4}))*"/y;
const WORD = /[A-Za-z_]+/y;

/** Lays a JSON text out in lines, or says where it is wrong. */
export function layOut(text: string): JSONResult {
  const parser = new Parser(text);
  try {
    return { lines: parser.run() };
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    const before = text.slice(0, error.at);
    const line = before.split("\n").length;
    return { problem: { line, column: error.at - (before.lastIndexOf("\n") + 1) + 1, message: error.message } };
  }
}

/** The problem of a text that should be JSON, in a sentence; null if it has none. */
export function complaint(text: string): string | null {
  const result = layOut(text);
  if ("lines" in result) return null;
  const { line, column, message } = result.problem;
  return `Line ${line}, column ${column}: ${message}`;
}

class Parser {
  private at = 0;
  private readonly lines: Line[] = [];
  private current: Line = { indent: 0, tokens: [] };
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  run(): Line[] {
    this.space();
    this.value(0);
    this.space();
    if (this.at < this.text.length) throw new Stop(this.at, "nothing may follow the value.");
    this.lines.push(this.current);
    return this.lines;
  }

  private space(): void {
    SPACE.lastIndex = this.at;
    SPACE.exec(this.text);
    this.at = SPACE.lastIndex;
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found) this.at += found.length;
    return found;
  }

  private put(kind: Token["kind"], text: string): void {
    this.current.tokens.push({ kind, text });
  }

  private newLine(indent: number): void {
    this.lines.push(this.current);
    this.current = { indent, tokens: [] };
  }

  private value(depth: number): void {
    const c = this.text[this.at];
    if (c === "{" || c === "[") return this.bracket(depth, c);
    if (c === '"') return this.put("string", this.string());
    if (c === "-" || (c !== undefined && c >= "0" && c <= "9")) {
      const found = this.take(NUMBER);
      if (!found) throw new Stop(this.at, "a minus must be followed by a digit.");
      return this.put("number", found);
    }
    const start = this.at;
    const word = this.take(WORD);
    if (word === "true" || word === "false" || word === "null") return this.put("literal", word);
    if (word) throw new Stop(start, `${word} is no JSON; text stands in double quotes.`);
    throw new Stop(this.at, c === undefined ? "the text ends where a value should be." : `a value is missing before ${c}`);
  }

  private string(): string {
    const found = this.take(STRING);
    if (!found) throw new Stop(this.at, "the string does not end, or has a character that needs escaping.");
    return found;
  }

  private bracket(depth: number, open: "{" | "["): void {
    if (depth > MAX_DEPTH) throw new Stop(this.at, `deeper than ${MAX_DEPTH} levels.`);
    const close = open === "{" ? "}" : "]";
    this.at++;
    this.space();
    if (this.text[this.at] === close) {
      this.at++;
      return this.put("punctuation", open + close);
    }
    this.put("punctuation", open);
    const head = this.current;
    let items = 0;
    for (;;) {
      this.newLine(depth + 1);
      if (open === "{") {
        if (this.text[this.at] !== '"') throw new Stop(this.at, items > 0 ? "a key is missing after the comma." : "a key stands in double quotes.");
        this.put("key", this.string());
        this.space();
        if (this.text[this.at] !== ":") throw new Stop(this.at, "a colon is missing after the key.");
        this.at++;
        this.put("punctuation", ": ");
        this.space();
      } else if (items > 0 && this.text[this.at] === "]") {
        throw new Stop(this.at, "a value is missing after the comma.");
      }
      this.value(depth + 1);
      items++;
      this.space();
      const next = this.text[this.at];
      if (next === ",") {
        this.at++;
        this.put("punctuation", ",");
        this.space();
        continue;
      }
      if (next === close) {
        this.at++;
        break;
      }
      throw new Stop(this.at, next === undefined ? `the ${open} is not closed.` : `a comma or ${close} is missing.`);
    }
    this.newLine(depth);
    this.put("punctuation", close);
    head.closes = this.lines.length;
    head.items = items;
  }
}
