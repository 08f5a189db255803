# workerd serve refresh.capnp: the Worker refresh.mjs on port 8080. 7411 is the edge in ap-south of `edgehold dev`.

using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .refresh),
    (name = "edgehold", external = (address = "127.0.0.1:7411", http = ())),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "main")],
);

const refresh :Workerd.Worker = (
  modules = [(name = "refresh.mjs", esModule = embed "refresh.mjs")],
  compatibilityDate = "2026-04-01",
  bindings = [(name = "STORE", service = "edgehold")],
);
