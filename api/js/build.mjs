// Builds what the package has: one module, the driver of unstorage that imports it, and the types.
import { execFileSync } from "node:child_process"
import { copyFileSync, existsSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { build } from "esbuild"

process.chdir(import.meta.dirname)
rmSync("dist", { recursive: true, force: true })
execFileSync(process.execPath, [createRequire(import.meta.url).resolve("typescript/bin/tsc"), "-p", "."], { stdio: "inherit" })
const options = { outdir: "dist", bundle: true, format: "esm", target: "es2022", platform: "neutral" }
await build({ ...options, entryPoints: ["src/edgehold.ts"] })
await build({ ...options, entryPoints: ["src/unstorage.ts"], external: ["./edgehold.js"] })
if (existsSync("../../LICENSE")) copyFileSync("../../LICENSE", "LICENSE")
