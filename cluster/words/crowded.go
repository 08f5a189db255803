package words

import "github.com/edgehold/edgehold/api"

// Crowded is the code with which a node refuses a request because too many requests wait already, either for its key or
// for the lease holder of its key. It says nothing about other keys, so the caller sends requests for those as before.
// It stays between nodes: a client gets CodeUnavailable, with the time after which to try again.
const Crowded api.Code = "crowded"
