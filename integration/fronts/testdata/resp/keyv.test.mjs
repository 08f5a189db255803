// The test suite of keyv over its Redis adapter.
import * as vitest from "vitest";
import suite, { keyvIteratorTests } from "@keyv/test-suite";
import Keyv from "keyv";
import KeyvRedis from "@keyv/redis";

const url = `redis://${process.env.RESP_ADDRESS}/3`;
const stores = [];
const store = () => {
  const s = new KeyvRedis(url);
  stores.push(s);
  return s;
};

suite(vitest, Keyv, store);
keyvIteratorTests(vitest, Keyv, store);

vitest.afterEach(async () => {
  await Promise.all(stores.splice(0).map((s) => s.disconnect()));
});
