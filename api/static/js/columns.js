/** What the boards show of an execution and of an agent task. */

import { element, setText } from "./element.js";
import { brief, compact, dollars, NOTHING } from "./format.js";

function statusParts(cell) {
  const status = element("span", { class: "status" });
  cell.append(status);
  return status;
}

function showStatus(status, text) {
  setText(status, text);
  status.dataset.status = text;
}

function progressParts(cell) {
  // The number beside it says the same to those who hear the page.
  const bar = element("progress", { max: 100, value: 0, "aria-hidden": "true" });
  const number = element("span", { class: "number" });
  cell.append(bar, number);
  return { bar, number };
}

function showProgress({ bar, number }, text, row) {
  bar.value = row === null ? 0 : (row.progress ?? 0);
  setText(number, text);
}

function showWhole(cell, text) {
  setText(cell, text);
  cell.title = text;
}

const identity = (label, key) => ({
  label,
  name: "id",
  text: (row) => brief(row[key]),
  show: (cell, text, row) => {
    setText(cell, text);
    cell.title = row === null ? "" : row[key];
  },
});

const status = {
  label: "Status",
  name: "status",
  make: statusParts,
  text: (row) => row.status ?? NOTHING,
  show: showStatus,
};

const progress = {
  label: "Progress",
  name: "progress",
  make: progressParts,
  text: (row) => (row.progress === null ? NOTHING : `${row.progress} %`),
  show: showProgress,
};

export const EXECUTION = [
  identity("Execution", "execution_id"),
  status,
  progress,
  {
    label: "Step, error",
    name: "step",
    text: (row) => row.current_node ?? row.error_message ?? NOTHING,
    show: showWhole,
  },
  { label: "Cost", name: "cost", text: (row) => dollars(row.cost_usd) },
];

export const TASK = [
  { label: "Agent", name: "agent", text: (row) => row.agent ?? NOTHING, show: showWhole },
  status,
  progress,
  { label: "For", name: "step", text: (row) => brief(row.execution_id) },
  { label: "Tokens", name: "cost", text: (row) => (row.tokens === null ? NOTHING : compact(row.tokens)) },
];
