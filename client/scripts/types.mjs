/**
 * `npm run types` writes src/messages.ts and src/shapes.ts from the server's AsyncAPI document; `npm run types:check` only
 * says whether they are current. `npm run types:check -- https://api.example.com/asyncapi.json` asks a server that runs; a
 * file is understood as well.
 *
 * Without an address the document is that of the repository, which needs a Python that can import it: $PYTHON, or the
 * environment that `make` creates beside this folder. Where there is none, the check is skipped by name, but with
 * CHANGEFEED_TEST_REQUIRE set (as on CI) it fails.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { schemasOf, shapes, types } from "./generator.mjs";

const CLIENT = dirname(dirname(fileURLToPath(import.meta.url)));
/** Where the server is; a test says that it is nowhere. */
const ROOT = process.env.CHANGEFEED_TYPES_ROOT ?? dirname(CLIENT);
const DOCUMENT = "import json; from api.asyncapi import document; print(json.dumps(document()))";

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

/** @param {string | undefined} address @returns {Promise<any>} */
async function published(address) {
  if (address?.match(/^https?:/)) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
    return answer.json();
  }
  if (address) return JSON.parse(readFileSync(address, "utf8"));
  const interpreter = python();
  if (!interpreter) {
    const required = Boolean(process.env.CHANGEFEED_TEST_REQUIRE);
    console.error(
      `${required ? "missing" : "skipped"}: the types can only be generated with Python; run \`make test\` in the repository once, or set PYTHON`,
    );
    process.exit(required ? 1 : 0);
  }
  return JSON.parse(execFileSync(interpreter, ["-c", DOCUMENT], { cwd: ROOT, encoding: "utf8" }));
}

const [address] = process.argv.slice(2).filter((argument) => argument !== "--check");
const schemas = schemasOf(await published(address));
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
      `src/${name} does not fit the server's AsyncAPI document any more; run \`npm run types\` and commit it`,
    );
  } else {
    writeFileSync(path, wanted);
    console.log(`src/${name} written`);
  }
}
process.exit(stale ? 1 : 0);
