/**
 * `npm run types` writes src/messages.ts and src/shapes.ts from the server's Pydantic models and
 * its table of errors; `npm run types:check` only says whether they are current.
 *
 * Needs a Python that can import changefeed: $PYTHON, or the environment that `make` creates beside this folder. Where
 * there is none, the check is skipped by name, but with CHANGEFEED_TEST_REQUIRE set (as on CI) it fails.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { shapes, types } from "./generator.mjs";

const CLIENT = dirname(dirname(fileURLToPath(import.meta.url)));
/** Where the server is; a test says that it is nowhere. */
const ROOT = process.env.CHANGEFEED_TYPES_ROOT ?? dirname(CLIENT);
const SCHEMAS = [
  "import json",
  "from changefeed.messages import server_message",
  "from changefeed.requests import client_message",
  "from api.closing import ERRORS",
  "print(json.dumps({",
  "  'server': server_message.json_schema(),",
  "  'client': client_message.json_schema(),",
  "  'errors': {name: code for name, (code, *_) in ERRORS.items() if code is not None},",
  "}))",
].join("\n");

function python() {
  const candidates = [
    process.env.PYTHON,
    join(ROOT, ".venv/bin/python"),
    join(ROOT, ".venv/Scripts/python.exe"),
  ];
  return candidates.find(
    (candidate) => candidate && (candidate === process.env.PYTHON || existsSync(candidate)),
  );
}

/** @param {string} text as generated @param {string} name */
function formatted(text, name) {
  // The formatter decides the layout, so that the generated files pass the same check as the written ones. It is given a
  // file, because a configuration applies to paths.
  const folder = mkdtempSync(join(tmpdir(), "changefeed-types-"));
  try {
    const path = join(folder, name);
    writeFileSync(path, text);
    const biome = join(CLIENT, "node_modules/@biomejs/biome/bin/biome");
    execFileSync(process.execPath, [biome, "format", "--write", `--config-path=${CLIENT}`, path], {
      stdio: "pipe",
    });
    return readFileSync(path, "utf8");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const interpreter = python();
if (!interpreter) {
  const required = Boolean(process.env.CHANGEFEED_TEST_REQUIRE);
  console.error(
    `${required ? "missing" : "skipped"}: the types can only be generated with Python; run \`make test\` in the repository once, or set PYTHON`,
  );
  process.exit(required ? 1 : 0);
}
const schemas = JSON.parse(execFileSync(interpreter, ["-c", SCHEMAS], { cwd: ROOT, encoding: "utf8" }));
const check = process.argv.includes("--check");
let stale = false;
for (const [name, text] of /** @type {const} */ ([
  ["messages.ts", types(schemas)],
  ["shapes.ts", shapes(schemas)],
])) {
  const path = join(CLIENT, "src", name);
  const wanted = formatted(text, name);
  const current = existsSync(path) ? readFileSync(path, "utf8") : "";
  if (current === wanted) continue;
  if (check) {
    stale = true;
    console.error(
      `src/${name} does not fit the server's models any more; run \`npm run types\` and commit it`,
    );
  } else {
    writeFileSync(path, wanted);
    console.log(`src/${name} written`);
  }
}
process.exit(stale ? 1 : 0);
