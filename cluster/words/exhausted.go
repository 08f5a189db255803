package words

import "github.com/edgehold/edgehold/api"

// Exhausted is the code with which a group refuses a request that has no tries left. No loop around it tries again. It
// stays between nodes: a client gets CodeUnavailable.
const Exhausted api.Code = "exhausted"
