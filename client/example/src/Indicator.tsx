/** The connection, as a user wants to know it: in a word and a colour, and announced when it changes. */

import { useChangefeed } from "changefeed-client/react";

const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  polling: "Polling",
  offline: "Offline",
} as const;

export function Indicator() {
  const { state } = useChangefeed();
  return (
    <p className="indicator" role="status" data-state={state}>
      {WORDS[state]}
    </p>
  );
}
