// JSON that a person typed goes to the server as it stands: JavaScript's numbers would round it. A variable holds a
// token; the token is replaced by the text in the body of the request.

const texts = new Map<string, string>();

/** A stand-in for a JSON text, to be used as the value of a variable of one request. */
export function jsonVariable(text: string): string {
  const token = `json:${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  texts.set(token, text);
  return token;
}

/** Puts the texts in place of their tokens. */
export function withTexts(body: string): string {
  let out = body;
  for (const [token, text] of texts) {
    const quoted = `"${token}"`;
    if (!out.includes(quoted)) continue;
    out = out.replace(quoted, () => text);
    texts.delete(token);
  }
  return out;
}
