// Shows openapi.json as a page, without a program from elsewhere.

import { byId, make } from "./dom.js";

async function begin() {
  let api;
  try {
    api = await (await fetch("openapi.json")).json();
  } catch {
    byId("about").textContent = "The description cannot be read; the service may have been stopped.";
    return;
  }
  byId("about").textContent = api.info.description.trim().replaceAll("`", "");
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [verb, call] of Object.entries(verbs)) {
      byId("calls").append(described(api, path, verb, call));
      byId("list").append(make("a", { href: `#${call.operationId}` }, `${verb.toUpperCase()} ${path}`));
    }
  }
}

function described(api, path, verb, call) {
  const sent = call.requestBody?.content ?? {};
  const kind = sent["multipart/form-data"] ?? sent["application/x-www-form-urlencoded"];
  const form = call.requestBody ? resolved(api, kind?.schema ?? {}) : null;
  const inputs = (call.parameters ?? []).map((one) => [one.name, one.schema, one.description ?? one.schema.description, one.required])
    .concat(Object.entries(form?.properties ?? {}).map(([name, schema]) => [name, schema, schema.description, form.required?.includes(name)]));
  const [status, reply] = Object.entries(call.responses)[0];
  const json = reply.content?.["application/json"]?.schema;
  const fields = json ? Object.entries(resolved(api, json).properties ?? {}).map(([name, schema]) => [name, schema, schema.description, false]) : [];
  return make("section", { className: "panel call", id: call.operationId },
    make("h2", {}, make("span", { className: "verb" }, verb.toUpperCase()), path),
    make("p", {}, call.description.replaceAll("`", "")),
    inputs.length ? make("h3", {}, form ? "Form fields" : "Parameters") : null,
    inputs.length ? table(api, inputs) : null,
    make("h3", {}, `Answer ${status}`),
    fields.length ? table(api, fields) : make("p", {}, reply.description || "No content."),
    ...fields.flatMap(([name, schema]) => inner(api, name, schema)),
    make("h3", {}, "Example"),
    make("pre", { tabIndex: 0 }, example(path, verb, inputs)));
}

/** The fields of a field that is an object, or a list of objects. */
function inner(api, name, schema) {
  const reference = schema.$ref ? schema : schema.items;
  if (!reference?.$ref) return [];
  const rows = Object.entries(resolved(api, reference).properties).map(([field, one]) => [field, one, one.description, false]);
  return [make("h3", {}, schema.items ? `Each of ${name}` : `In ${name}`), table(api, rows)];
}

const table = (api, rows) => make("div", { className: "scroll" }, make("table", {}, make("tbody", {},
  ...rows.map(([name, schema, text, required]) => make("tr", {},
    make("th", { scope: "row" }, make("code", {}, name)),
    make("td", {}, typeOf(api, schema) + (required ? ", required" : "")),
    make("td", {}, [text, bounds(schema)].filter(Boolean).join(" ")))))));

function resolved(api, schema) {
  if (schema.$ref) return api.components.schemas[schema.$ref.split("/").pop()];
  return schema;
}

function typeOf(api, schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return String(schema.const);
  if (schema.anyOf) return schema.anyOf.map((one) => typeOf(api, one)).filter((name) => name !== "null").join(" | ");
  if (schema.type === "array") return `list of ${typeOf(api, schema.items)}`;
  if (schema.contentMediaType || schema.format === "binary") return "file";
  return schema.type ?? "any";
}

function bounds(schema) {
  const { minimum, maximum } = schema;
  const range = minimum !== undefined && maximum !== undefined ? `${minimum} to ${maximum}.` : "";
  return schema.default !== undefined && schema.default !== null ? `${range} Default ${schema.default}.`.trim() : range;
}

function example(path, verb, inputs) {
  const address = `${location.origin}${location.pathname.replace(/docs$/, "")}${path.slice(1)}`;
  if (path === "/api/search") return `curl -F image=@person.jpg -F top=10 -F light=visible ${address}`;
  if (path === "/api/same") return `curl -F first=@a.jpg -F second=@b.jpg ${address}`;
  if (path === "/api/draw") return `curl -F image=@person.jpg -F kind=translation ${address}`;
  const given = inputs.filter(([, , , required]) => required).map(([name]) => `-F ${name}=…`).join(" ");
  if (given && verb !== "get" && verb !== "delete") return `curl -X ${verb.toUpperCase()} ${given} ${address}`;
  if (verb === "post") return `curl -X POST -H "Authorization: Bearer $TOKEN" ${address}`;
  return inputs.some(([name]) => name === "row") ? `curl -o row.jpg "${address}?row=ID"` : `curl "${address}"`;
}

begin();
