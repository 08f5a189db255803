// Package codec is the one byte encoding of the application's words. The logs of groups, the rows of their machines and the calls
// between nodes and clients use it; JSON is for people.
//
// Integers are varints in their shortest form, signed ones zigzag. Strings and values have their length before them, lists their
// count. There is one encoding of each value, and a [Reader] refuses every other. Bytes that have been written into a log stay
// readable: what changes in them gets another [Writer.Format].
package codec
