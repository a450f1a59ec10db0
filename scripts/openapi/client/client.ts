// A client with the types that openapi-typescript generates from api/openapi.json. It has to compile, and to
// find what it expects when it is run: CHECK_URL and CHECK_TOKEN name an API with one synced connection.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

declare const process: { env: Record<string, string | undefined>; exit(code: number): never };

const api = createClient<paths>({
  baseUrl: process.env["CHECK_URL"] ?? "",
  headers: { Authorization: `Bearer ${process.env["CHECK_TOKEN"] ?? ""}` },
});

function must<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) {
    console.error(answer.error);
    process.exit(1);
  }
  return answer.data;
}

const conditions: components["schemas"]["FilterConditionRequest"][] = [
  { type: "field", field: "currency", operator: "in", value: ["usd", "eur"] },
  { type: "metadata", metadata_source: "charge", metadata_key: "tier", operator: "exists" },
];

// A parameter that is JSON is typed as the text that is sent.
const filter = JSON.stringify({
  operator: "AND",
  conditions,
} satisfies components["schemas"]["FilterPredicateRequest"]);

const connections = must(await api.GET("/v1/connectors", { params: { query: { limit: 1 } } }));
const connection = connections.data[0];
if (!connection) throw new Error("there is no connection");
const path = { id: connection.connection_id };

const preview = must(
  await api.POST("/v1/connectors/{id}/filters/preview", { params: { path }, body: { conditions } }),
);
const report = must(
  await api.GET("/v1/analytics/stripe", {
    params: {
      query: {
        connection_id: connection.connection_id,
        group_by: "metadata:charge.tier",
        filter,
      },
    },
  }),
);
const total = report.totals.reduce((sum, one) => sum + one.charges, 0);
if (total !== preview.matched_charges) {
  throw new Error(`the report counts ${total} charges and the preview ${preview.matched_charges}`);
}

const { error } = await api.PATCH("/v1/connectors/{id}", {
  params: { path },
  body: { sync_interval_minutes: 0 },
});
if (error?.code !== "invalid_request") throw new Error("an invalid interval is refused");
console.log(`the generated client counts ${total} charges in ${connection.connection_id}`);
