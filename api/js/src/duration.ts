import { invalid } from "./errors.js"

/** A time in milliseconds as the HTTP API takes it. */
export function duration(ms: number, name: string): string {
  if (typeof ms !== "number" || !Number.isFinite(ms) || ms < 0) throw invalid(`${name} is ${ms}; it is a number of milliseconds`)
  return Math.round(ms * 1000) + "us"
}

const units: Record<string, number> = { ns: 1e-6, us: 1e-3, "µs": 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** The milliseconds of a time such as 1h30m0.5s; undefined if it is none. */
export function milliseconds(text: unknown): number | undefined {
  if (typeof text !== "string") return undefined
  let sum = 0
  for (const m of text.matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g)) sum += Number(m[1]) * (units[m[2] as string] as number)
  return Number.isFinite(sum) && sum > 0 ? sum : undefined
}
