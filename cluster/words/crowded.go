package words

import "github.com/edgehold/edgehold/api"

// Crowded is the code with which a node refuses a request for a key that too many wait for already, or for one whose lease holder
// too many wait for. It says nothing of other keys, so that the caller sends those as before. It stays between nodes: a client
// gets CodeUnavailable, with the time to stay away.
const Crowded api.Code = "crowded"
