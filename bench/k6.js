// The load that bench/k6.py has k6 send: a page an iteration, a write every tenth one.
//
// A connection each: on a kept one Go's client would send a GET a second time by itself.
import http from "k6/http";
import exec from "k6/execution";
import { SharedArray } from "k6/data";
import { Counter } from "k6/metrics";

const { URL, RATE, SECONDS, TOKEN, PAGES } = __ENV;
const paths = new SharedArray("paths", () => JSON.parse(open(PAGES)));
const names = ["reads_kept", "reads_lost", "writes_kept", "writes_lost"];
const counters = Object.fromEntries(names.map((name) => [name, new Counter(name)]));

export const options = {
  discardResponseBodies: true,
  noConnectionReuse: true,
  scenarios: {
    load: {
      executor: "constant-arrival-rate",
      rate: Number(RATE),
      timeUnit: "1s",
      duration: `${SECONDS}s`,
      preAllocatedVUs: 2 * RATE,
      maxVUs: 15 * RATE,
      gracefulStop: "20s",
    },
  },
};

function count(kind, answer, isKept) {
  counters[`${kind}_${isKept ? "kept" : "lost"}`].add(1);
  if (!isKept) console.error(`${kind}: ${answer.status} ${answer.error}`);
}

export default function () {
  const number = exec.scenario.iterationInTest;
  if (number % 10 === 0) {
    const answer = http.put(
      `${URL}/api/notes/bench/${number}.md`,
      `# Write ${number}\n\nNumber ${number} of the load.\n`,
      { headers: { Authorization: `Bearer ${TOKEN}` }, timeout: "15s" },
    );
    count("writes", answer, [200, 201].includes(answer.status));
  }
  const answer = http.get(URL + paths[number % paths.length], { timeout: "15s" });
  count("reads", answer, answer.status === 200);
}

export function handleSummary(data) {
  const sum = (name) => data.metrics[name]?.values.count ?? 0;
  const counted = Object.fromEntries(names.map((name) => [name, sum(name)]));
  counted.not_sent = sum("dropped_iterations");
  return { stdout: JSON.stringify(counted) };
}
