// Whether expressions are PromQL, by the grammar of Prometheus's own editor: JSON texts in, for each where it goes wrong out.
// The grammar knows no types. One rule of them is looked at besides: a range stands in a function that takes one, and only there.
// `node promql.mjs PACKAGES`: the folder `node_modules` that holds the parser.
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const packages = createRequire(pathToFileURL(join(process.argv[2], "x.js")));
const { parser } = packages("@prometheus-io/lezer-promql");

const TAKES_A_RANGE = /^(Rate|Irate|Increase|Delta|Idelta|Deriv|PredictLinear|Changes|Resets|\w+OverTime)$/;
const RANGES = ["MatrixSelector", "SubqueryExpr"];
const AROUND = ["OffsetExpr", "StepInvariantExpr", "ParenExpr"];

const takesARange = (call) => TAKES_A_RANGE.test(call.getChild("FunctionIdentifier")?.firstChild?.name ?? "");

/** The call that a range is an argument of, if it is one's. */
function callAround(range) {
  let outer = range.parent;
  while (AROUND.includes(outer?.name)) outer = outer.parent;
  return outer?.name === "FunctionCallBody" && outer.parent.name === "FunctionCall" ? outer.parent : null;
}

function mistakes(expression) {
  const places = [];
  const calls = new Set();
  const fed = new Set();
  parser.parse(expression).iterate({
    enter({ node }) {
      if (node.type.isError) places.push(node.from);
      if (node.name === "FunctionCall" && takesARange(node)) calls.add(node.from);
      if (!RANGES.includes(node.name)) return;
      const call = callAround(node);
      if (call && takesARange(call)) fed.add(call.from);
      else places.push(node.from);
    },
  });
  return [...places, ...[...calls].filter((call) => !fed.has(call))];
}

let input = "";
for await (const piece of process.stdin) input += piece;

process.stdout.write(JSON.stringify(JSON.parse(input).map(mistakes)));
