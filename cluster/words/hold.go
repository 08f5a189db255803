package words

import "time"

// Hold is how long the owner keeps a read's place in the wait queue, which keeps younger transactions off the read's
// keys. The place lasts at most MaxHold after an answer.
type Hold uint8

// The values go from a read of one group to a read on which a transaction is to be committed. HoldFirm is added if
// younger single writes are to be kept off as well.
const (
	HoldNone  Hold = 0 // until the answer
	HoldRound Hold = 1 // until an answer that reports no change since the versions Known
	HoldTxn   Hold = 2 // until the vote on the transaction of the same age
	HoldFirm  Hold = 4
)

// MaxHold is how long a place lasts after an answer if nothing more follows the read.
const MaxHold = time.Second
