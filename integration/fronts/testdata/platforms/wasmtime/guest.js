// A component that knows wasi:keyvalue and nothing of Edgehold: it reads a flag, writes a value, counts, and swaps.
import { open } from "wasi:keyvalue/store@0.2.0-draft2";
import { Cas, increment, swap } from "wasi:keyvalue/atomics@0.2.0-draft2";
import { getMany, setMany, deleteMany } from "wasi:keyvalue/batch@0.2.0-draft2";

const text = (bytes) => bytes && String.fromCharCode(...bytes);
const bytes = (s) => Uint8Array.from(s, (c) => c.charCodeAt(0));

// swapped sets key to value by a compare-and-swap; meanwhile is called between the read and the swap.
function swapped(bucket, key, value, meanwhile) {
  let cas = Cas.new(bucket, key);
  meanwhile();
  for (let tries = 1; ; tries++) {
    const was = cas.current();
    try {
      swap(cas, bytes(value));
      return { was: text(was) ?? null, tries };
    } catch (e) {
      const failed = e.payload ?? e;
      if (failed.tag !== "cas-failed" || tries === 5) throw e;
      cas = failed.val; // of the latest version
    }
  }
}

export function handle(value) {
  const bucket = open("platforms/wasmtime");
  const flag = text(bucket.get("flag"));
  if (value === "") return JSON.stringify({ value: flag });
  bucket.set("seen", bytes(value));
  const exists = bucket.exists("seen") && !bucket.exists("absent");
  bucket.delete("counter");
  increment(bucket, "counter", 2);
  const counter = Number(increment(bucket, "counter", 3));
  setMany(bucket, [["a", bytes("1")], ["b", bytes("2")]]);
  const many = getMany(bucket, ["a", "b", "absent"]).map((e) => e && e[0] + text(e[1]));
  deleteMany(bucket, ["a", "b"]);
  bucket.delete("swapped");
  const cas = swapped(bucket, "swapped", "mine", () => bucket.set("swapped", bytes("another's")));
  const keys = bucket.listKeys(undefined).keys;
  return JSON.stringify({ value: flag, exists, counter, many, cas, keys });
}
