package words

import "time"

// Hold says how long the owner keeps a read's turn, by which younger transactions are kept off its keys; at most MaxHold
// after an answer.
type Hold uint8

// From a read of one group to a read on which a transaction is to be committed. Firm is added where single writes that are
// younger are to be kept off as well.
const (
	HoldNone  Hold = 0 // until the answer
	HoldRound Hold = 1 // until an answer that says that nothing has changed since the versions Known
	HoldTxn   Hold = 2 // until the transaction of the same age has been voted on
	HoldFirm  Hold = 4
)

// MaxHold is how long a turn lasts after an answer if nothing more comes of its read.
const MaxHold = time.Second
