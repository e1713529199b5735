/**
 * Reads as much WIT as the contract is written in: interfaces with types and functions, and one
 * world. Only to compare versions of the contract (compatibility.ts); jco reads it for real.
 */

/** A definition within an interface. */
export interface Definition {
  kind: "enum" | "variant" | "record" | "type" | "func";
  /** Cases, fields, or the one type; of a function its parameters, then its result. */
  members: string[];
}

export interface Contract {
  /** By interface, then by name. */
  interfaces: Map<string, Map<string, Definition>>;
  /** `import host`, `export plugin`. */
  world: string[];
}

/** Takes a WIT text apart. Throws on what the contract does not use. */
export function readWit(text: string): Contract {
  const reader = new TokenReader(text);
  const contract: Contract = { interfaces: new Map(), world: [] };
  while (!reader.done()) {
    const word = reader.next();
    if (word === "package") reader.until(";");
    else if (word === "interface") {
      contract.interfaces.set(reader.next(), readInterface(reader));
    } else if (word === "world") {
      reader.next();
      contract.world = readWorld(reader);
    } else throw new Error(`Cannot read the WIT: "${word}" is not expected`);
  }
  return contract;
}

function readInterface(reader: TokenReader): Map<string, Definition> {
  const definitions = new Map<string, Definition>();
  reader.expect("{");
  for (let word = reader.next(); word !== "}"; word = reader.next()) {
    if (word === "use") reader.until(";");
    else if (word === "enum" || word === "variant" || word === "record") {
      const name = reader.next();
      reader.expect("{");
      definitions.set(name, { kind: word, members: reader.list("}") });
    } else if (word === "type") {
      const name = reader.next();
      reader.expect("=");
      definitions.set(name, { kind: "type", members: [reader.until(";")] });
    } else {
      reader.expect(":");
      reader.expect("func");
      reader.expect("(");
      const parameters = reader.list(")");
      const result = reader.until(";").replace(/^->/, "");
      definitions.set(word, { kind: "func", members: [...parameters, result] });
    }
  }
  return definitions;
}

function readWorld(reader: TokenReader): string[] {
  const items: string[] = [];
  reader.expect("{");
  for (let word = reader.next(); word !== "}"; word = reader.next()) {
    items.push(`${word} ${reader.until(";")}`);
  }
  return items;
}

class TokenReader {
  readonly #tokens: string[];
  #at = 0;

  constructor(text: string) {
    const plain = text.replaceAll(/\/\/[^\n]*/g, "");
    this.#tokens = plain.match(/->|%?[A-Za-z0-9][\w.-]*|[{}()<>,:;=@/]/g) ?? [];
  }

  done(): boolean {
    return this.#at >= this.#tokens.length;
  }

  next(): string {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new Error("Cannot read the WIT: it ends too early");
    return token;
  }

  expect(token: string): void {
    const found = this.next();
    if (found !== token) throw new Error(`Cannot read the WIT: "${found}" in place of "${token}"`);
  }

  /** Everything before `end`, which is taken too. */
  until(end: string): string {
    let text = "";
    for (let token = this.next(); token !== end; token = this.next()) text += token;
    return text;
  }

  /** What stands between commas before `end`, brackets counted. */
  list(end: string): string[] {
    const items: string[] = [];
    let item = "";
    let depth = 0;
    for (let token = this.next(); depth > 0 || token !== end; token = this.next()) {
      if (token === "(" || token === "<") depth++;
      if (token === ")" || token === ">") depth--;
      if (token === "," && depth === 0) {
        items.push(item);
        item = "";
      } else item += token;
    }
    return item === "" ? items : [...items, item];
  }
}
