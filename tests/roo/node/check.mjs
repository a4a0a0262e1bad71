// Reads [[schema, document], …] and prints what the schemas that the client itself uses find wrong with each document.
import * as types from "@roo-code/types";

const texts = [];
for await (const piece of process.stdin) texts.push(piece);
const found = JSON.parse(Buffer.concat(texts).toString()).map(([name, document]) => {
  const parsed = types[name].safeParse(document);
  return parsed.success ? [] : parsed.error.issues.map((issue) => `${name}: ${issue.path.join(".")}: ${issue.message}`);
});
console.log(JSON.stringify(found));
