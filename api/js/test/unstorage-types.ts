// The driver, as TypeScript sees it beside unstorage. It is compiled, not run.
import edgehold from "edgehold/unstorage"
import { createStorage, type Driver } from "unstorage"

const driver: Driver = edgehold({ url: "http://127.0.0.1:7400", base: "app/" })
export const storage = createStorage({ driver })
