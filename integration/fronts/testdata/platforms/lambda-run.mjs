// Calls the handler as CloudFront does. What it prints first is the time from the start of the process to the handler's first answer.
import { connect } from "edgehold"
import { handler } from "./lambda.mjs"
import { steps } from "./steps.mjs"

const [home, value] = process.argv.slice(2)
const event = (uri, session) => ({
  Records: [{ cf: { config: { eventType: "viewer-request" }, request: { method: "GET", uri, querystring: "", headers: session ? { cookie: [{ key: "Cookie", value: "session=" + session }] } : {} } } }],
})
const away = await handler(event("/", ""))
const cold = performance.now()
if (away.status !== "302") throw new Error("a visitor without a session gets in: " + JSON.stringify(away))
const seen = await steps({
  read: async () => (await handler(event("/", value))).headers["x-variant"][0].value,
  write: () => handler(event("/count", value)),
  elsewhere: async () => (await connect(home).get("platforms/lambda/count/" + value)).text(),
})
console.log(JSON.stringify({ ...seen, cold_ms: cold }))
