// A Worker with the same namespace three times: with a token that may do everything, with one that may read, and without one.
import { equal, throws } from "check.mjs";

export default {
  async test(_, { ALL, READ, NONE }) {
    await ALL.put("k", "v", { metadata: 1 });
    equal((await READ.getWithMetadata("k")).value, "v", "a token that may read");
    equal((await READ.list()).keys, [{ name: "k", metadata: 1 }], "a list");
    await throws(() => READ.put("k", "x"), "KV PUT failed: 403 Forbidden", "a put without the right");
    await throws(() => READ.delete("k"), "KV DELETE failed: 403 Forbidden", "a delete without the right");
    await throws(() => NONE.get("k"), "KV GET failed: 401 Unauthorized", "no token");
    await throws(() => NONE.put("k", "x"), "KV PUT failed: 401 Unauthorized", "a put without a token");
    equal(await ALL.get("k"), "v", "what was refused");
  },
};
