/** What an HTTP answer means that is not the one hoped for. */

import { expect, test } from "vitest";
import { closingOf, retryAfterOf } from "../src/transports/http.js";

const NOW = Date.parse("2026-01-01T00:00:00Z");

function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ title: "t", status, code, detail: "why" }), {
    status,
    headers: { "Content-Type": "application/problem+json", ...headers },
  });
}

test("a problem's code decides, more exactly than its status could", async () => {
  expect(await closingOf(problem(401, "token-expired"), NOW)).toMatchObject({ kind: "closed", code: 4410 });
  expect(await closingOf(problem(401, "token-missing"), NOW)).toMatchObject({ kind: "closed", code: 4401 });
  expect(await closingOf(problem(403, "kicked"), NOW)).toMatchObject({ code: 4403, reason: "why" });
});

test("where the problem's code is not known, the status decides", async () => {
  expect(await closingOf(problem(400, "from-the-future"), NOW)).toMatchObject({ kind: "closed", code: 4400 });
  expect(await closingOf(problem(503, "from-the-future"), NOW)).toMatchObject({ kind: "closed", code: 4500 });
});

test("Retry-After is taken along, in seconds or as a date", async () => {
  const closing = await closingOf(problem(429, "too-many-connections", { "Retry-After": "5" }), NOW);
  expect(closing).toMatchObject({ code: 4409, retryAfter: 5_000 });
  expect(retryAfterOf("Thu, 01 Jan 2026 00:00:07 GMT", NOW)).toBe(7_000);
  expect(retryAfterOf("Wed, 31 Dec 2025 00:00:00 GMT", NOW)).toBe(0);
  expect(retryAfterOf("soon", NOW)).toBeNull();
  expect(retryAfterOf(null, NOW)).toBeNull();
});

test("a gateway's page about a server that is away is a loss, not a refusal", async () => {
  for (const status of [500, 502, 503, 504])
    expect((await closingOf(new Response("<html>", { status }), NOW)).kind, String(status)).toBe("lost");
});

test("what a proxy says about rights or addresses is about this transport, not about the user", async () => {
  for (const status of [400, 403, 404, 405, 407])
    expect((await closingOf(new Response("<html>", { status }), NOW)).kind, String(status)).toBe(
      "unavailable",
    );
});

test("a gateway that wants another token is believed", async () => {
  expect(await closingOf(new Response("", { status: 401 }), NOW)).toMatchObject({
    kind: "closed",
    code: 4401,
  });
});
