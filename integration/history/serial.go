package history

// StrictlySerializable reports whether the transactions could have happened one at a time, each between its call and its
// return. It returns nil or an *[Anomaly]. It is exact as far as it follows the versions: the versions of a key rise with
// its writes, so it is known which write followed which, what each read saw and what then replaced it. Whatever makes two
// transactions come before each other, over any number of others, is a cycle; of these it shows a shortest one, under its
// usual name:
//
//   - G0 (dirty write): writes alone; G1c (circular information flow): writes and reads of them;
//   - G-single (read skew), with lost update as a special case: a read was replaced once on the way; G2, with write skew
//     and long fork: several times;
//   - stale read, real time: an answer had come before the other was asked for.
//
// Without a cycle it finds: G1a, a value that no transaction or a failed one wrote; G1b, a value that its own transaction
// overwrote; internal, a transaction that does not see its own writes; taken twice; duplicate version, two states;
// half.
//
// A transaction with an unknown outcome has happened if something that it wrote was seen, else it is left out. If it has,
// all its writes have: half is a write that cannot: whatever its place among the versions of a key, a transaction after it saw
// an older one. Values that unknown Puts wrote to one key, and elements that Appends did, should differ, else it is not
// known which was seen, and less follows from it.
func StrictlySerializable(txns []Txn) error {
	keys, a := collect(txns)
	if a != nil {
		return a
	}
	for _, k := range keys {
		if a := k.arrange(); a != nil {
			return a
		}
	}
	g := newGraph(txns, keys)
	if a := g.cycle(); a != nil {
		return a
	}
	if a := g.half(); a != nil {
		return a
	}
	return nil
}
