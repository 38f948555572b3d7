/** Removes what building has made, so that no module that is gone stays in the package. */
import { rmSync } from "node:fs";

rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });
