// What a test of a Worker needs: equal, throws and until.

export function equal(got, want, what) {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)];
  if (g !== w) throw new Error(`${what}: got ${g}, want ${w}`);
}

export async function throws(f, want, what) {
  let got = "no error";
  try {
    await f();
  } catch (e) {
    got = e.message;
  }
  equal(got, want, what);
}

// until asks every 50 ms until f returns true, for at most 30 s.
export async function until(f, what) {
  for (const end = Date.now() + 30_000; Date.now() < end; ) {
    if (await f()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what}: not within 30 s`);
}
