/** Who is told, and who is not. */

import { expect, test, vi } from "vitest";
import { Listeners } from "../src/listeners.js";

interface Told {
  word: string;
}

test("a listener that throws is logged, and the others are told all the same", () => {
  const log = vi.fn();
  const listeners = new Listeners<Told>(log);
  const heard: string[] = [];
  listeners.on("word", () => {
    throw new Error("no");
  });
  listeners.on("word", (word) => heard.push(word));
  listeners.tell("word", "yes");
  expect(heard).toEqual(["yes"]);
  expect(log).toHaveBeenCalledOnce();
});

test("a listener that another one removes is not told any more", () => {
  const listeners = new Listeners<Told>(vi.fn());
  const second = vi.fn();
  listeners.on("word", () => remove());
  const remove = listeners.on("word", second);
  listeners.tell("word", "yes");
  expect(second).not.toHaveBeenCalled();
});

test("the same function may listen twice, and each of the two is removed by itself", () => {
  const listeners = new Listeners<Told>(vi.fn());
  const heard = vi.fn();
  const remove = listeners.on("word", heard);
  listeners.on("word", heard);
  remove();
  remove();
  listeners.tell("word", "yes");
  expect(heard).toHaveBeenCalledOnce();
  expect(listeners.size).toBe(1);
});
