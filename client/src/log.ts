/** Log: where the client says what it ignores. Never a token, and never a message's contents. */

export type Log = (level: "debug" | "warn", text: string, detail?: unknown) => void;

export const consoleLog: Log = (level, text, detail) => {
  if (level === "debug") return;
  // biome-ignore lint/suspicious/noConsole: this is the one place that does, and an application may pass its own.
  console.warn(`changefeed: ${text}`, ...(detail === undefined ? [] : [detail]));
};
