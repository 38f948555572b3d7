// Whether expressions are PromQL, by the grammar of Prometheus's own editor: JSON texts in, for each where it goes wrong out.
// `node promql.mjs PACKAGES`: the folder `node_modules` that holds the parser.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const packages = createRequire(pathToFileURL(join(process.argv[2], "x.js")));
const { parser } = packages("@prometheus-io/lezer-promql");

let input = "";
for await (const piece of process.stdin) input += piece;

const wrong = JSON.parse(input).map((expression) => {
  const places = [];
  parser.parse(expression).iterate({ enter: (node) => void (node.type.isError && places.push(node.from)) });
  return places;
});
process.stdout.write(JSON.stringify(wrong));
