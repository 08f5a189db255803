// A viewer-request handler of Lambda@Edge: it lets visitors with a session through, and tells the origin which variant they get.
import { connect } from "edgehold"

const db = connect(process.env.EDGE) // outside of the handler: an instance of the function keeps it

export async function handler(event) {
  const request = event.Records[0].cf.request
  const session = /session=(\w+)/.exec(request.headers.cookie?.[0].value)?.[1]
  const [who, flag] = await db.getMany(["platforms/lambda/session/" + session, "platforms/lambda/flag"])
  if (!session || !who.exists) {
    return { status: "302", statusDescription: "Found", headers: { location: [{ key: "Location", value: "/login" }] } }
  }
  request.headers["x-variant"] = [{ key: "X-Variant", value: flag.text() }]
  if (request.uri === "/count") await db.txn((tx) => tx.add("platforms/lambda/count/" + session, 1))
  return request
}
