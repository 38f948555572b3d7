// The page that shows /asyncapi.json: every message with its members, and the tables of codes and errors.
// Text goes into the page as text, never as markup.

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function table(caption, headings, rows) {
  const made = element("table");
  made.append(element("caption", caption));
  const head = made.createTHead().insertRow();
  for (const heading of headings) {
    const cell = element("th", heading);
    cell.scope = "col";
    head.append(cell);
  }
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    row.forEach((value, place) => {
      const cell = line.insertCell();
      cell.append(place === 0 ? element("code", value) : document.createTextNode(value));
    });
  }
  const scroll = element("div");
  scroll.className = "scroll";
  scroll.append(made);
  return scroll;
}

const nameOf = (reference) => reference.split("/").at(-1);

function typeOf(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" | ");
  if (schema.type === "array") return `${typeOf(schema.items ?? {})}[]`;
  if (schema.type === "object" && schema.additionalProperties) return `{string: ${typeOf(schema.additionalProperties)}}`;
  return schema.type ?? "any";
}

function members(schema, schemas, seen) {
  const made = [];
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, member]) => [
    name,
    typeOf(member),
    required.has(name) ? "always" : "where it applies",
  ]);
  made.push(table(schema.title ?? "", ["member", "type", "there"], rows));
  for (const member of Object.values(schema.properties ?? {})) {
    for (const reference of [member.$ref, member.items?.$ref, ...(member.anyOf ?? []).map((each) => each.$ref)]) {
      if (reference && !seen.has(reference)) {
        seen.add(reference);
        made.push(...members(schemas[nameOf(reference)], schemas, seen));
      }
    }
  }
  return made;
}

function messages(target, operation, description) {
  const { messages: known, schemas } = description.components;
  for (const { $ref } of operation.messages) {
    const message = known[nameOf($ref)];
    const details = element("details");
    details.append(element("summary", message.name));
    details.append(...members(schemas[nameOf(message.payload.$ref)], schemas, new Set()));
    target.append(details);
  }
}

const find = (id) => document.getElementById(id);
const description = await (await fetch("/asyncapi.json")).json();
find("description").textContent = description.info.description;
const parameters = description.channels.dashboard.bindings.ws.query.properties;
find("parameters").append(
  table("Query parameters, the same on all transports", ["name", "type", "meaning"],
    Object.entries(parameters).map(([name, schema]) => [name, typeOf(schema), schema.description])),
);
messages(find("sent"), description.operations.receive, description);
messages(find("heard"), description.operations.send, description);
find("codes").append(
  table("Close codes of the WebSocket", ["code", "why", "the client"],
    description["x-close-codes"].map(({ code, why, client }) => [String(code), why, client])),
);
find("errors").append(
  table("Codes of error messages and of problem documents", ["code", "closes with", "retry", "meaning"],
    description["x-errors"].map(({ code, closes, retry, meaning }) => [
      code, closes === null ? "stays open" : String(closes), retry ? "yes" : "no", meaning,
    ])),
);
document.body.dataset.ready = "true";
