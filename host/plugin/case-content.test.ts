import { describe, expect, test } from "vitest";
import { caseSchema } from "../../runtime/contract/case.ts";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import type { CaseBody } from "../../runtime/contract/records.ts";
import { caseContent } from "./case-content.ts";

const base64 = (text: string): string => Buffer.from(text, "latin1").toString("base64");

const MANIFEST: Manifest = {
  ...{ name: "acme", version: "1.0.0", contract: "imker:l7@1.0.0", description: "" },
  ...{ status: "alpha", securityPosture: "", flow: "generic", capabilities: ["emit"] },
  rules: { fields: {} },
  records: {
    request: { fields: ["command", "password"], sensitive: ["password"] },
    response: { fields: ["status"] },
  },
  limits: { memoryPagesMax: 1, fuelBase: 1000, fuelPerByte: 1 },
};

function told(
  sent: string[],
  fields: [number, string][],
  change: Partial<CaseBody> = {},
): CaseBody {
  return {
    open: {
      ...{ source: "10.0.0.1", destination: "10.0.0.2", sourcePort: 4000, destinationPort: 80 },
      ...{ sourceIdentity: 1000, destinationIdentity: 2000 },
      stages: [{ point: "ingress", endpoint: 2, ruleSet: 5, cookie: 7 }],
      plugin: { name: "acme", version: "1.0.0", digest: `sha256:${"ab".repeat(32)}` },
    },
    cause: "denied",
    steps: sent.map((text) => ({
      ...{ direction: "request", bytes: base64(text), end: "open", now: "1" },
    })),
    records: [
      {
        ...{ kind: 0, verdict: 1, stage: 0, exchange: 3 },
        fields: fields.map(([key, value]) => ({ key, value: base64(value) })),
      },
    ],
    missing: [],
    ...change,
  };
}

const RULES = [
  [
    { key: "command", value: "GET" },
    { key: "header", value: "a" },
    { key: "header", value: "b" },
  ],
];

function made(body: CaseBody, manifest: Manifest | undefined = MANIFEST) {
  const one = caseContent(body, { rulesOf: (id) => (id === 5 ? RULES : undefined), manifest });
  expect(caseSchema.parse(one)).toEqual(one);
  const sent = one.steps.map(({ bytes }) => Buffer.from(bytes, "base64").toString("latin1"));
  return { one, sent };
}

describe("a case", () => {
  test("holds everything, and is exact", () => {
    const { one, sent } = made(told(["SET x\n"], [[0, "SET"]]));
    expect(sent).toEqual(["SET x\n"]);
    expect(one).toMatchObject({
      stages: [{ point: "ingress", rules: [{ command: "GET", header: "a", "header#2": "b" }] }],
      facts: { source: "10.0.0.1", destinationIdentity: 2000 },
      observed: { records: ["request 3 denied by stage 0 command=SET"] },
      ...{ exact: true, partial: [] },
    });
  });

  test.each<[string, string[], string, string[]]>([
    ["in one piece", ["AUTH hunter2 x"], "hunter2", ["AUTH ******* x"]],
    ["across pieces", ["AUTH hun", "ter2 x"], "hunter2", ["AUTH ***", "**** x"]],
    ["encoded: all bytes go", ["AUTH aHVudGVyMg=="], "hunter2", ["*".repeat(17)]],
    ["empty: nothing to hide", ["AUTH "], "", ["AUTH "]],
  ])("a secret %s", (_what, given, secret, kept) => {
    const { one, sent } = made(told(given, [[1, secret]]));
    expect(sent).toEqual(kept);
    expect(one.observed.records).toEqual(["request 3 denied by stage 0 password=*"]);
    expect(one.partial).toEqual(secret === "" ? [] : ["masked"]);
  });

  test("without the manifest shows nothing", () => {
    const body = told(["AUTH x"], [[1, "x"]]);
    const one = caseContent(body, { rulesOf: () => RULES, manifest: undefined });
    expect(one.steps[0]?.bytes).toBe(base64("******"));
    expect(one.partial).toEqual(["its plugin is not installed any more", "masked"]);
  });

  test("says what is missing, of the connection and of the rules", () => {
    const { one } = made(told(["a"], [], { missing: ["the rest"], fault: "trap: x" }));
    expect(one).toMatchObject({ exact: false, partial: ["the rest"] });
    expect(one.observed.fault).toBe("trap: x");
    const gone = caseContent(told(["a"], []), { rulesOf: () => undefined, manifest: MANIFEST });
    expect(gone.partial).toEqual(["rule set 5 is gone"]);
  });
});
