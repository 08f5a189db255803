package kvconnect

import (
	"fmt"
	"strings"
	"testing"
)

// TestLimitsOfWrites: what is over a limit, or is no mutation, is refused for good, and nothing is written. What is at a limit is not.
func TestLimitsOfWrites(t *testing.T) {
	c := newClient(t)
	many := func(n, size int) (all []change) {
		for i := range n {
			all = append(all, put(k(fmt.Sprint(i)), strings.Repeat("x", size)))
		}
		return all
	}
	checks := func(n int) (all []chk) {
		for i := range n {
			all = append(all, chk{k("absent", fmt.Sprint(i)), ""})
		}
		return all
	}
	long := "\x02" + strings.Repeat("x", maxKeyBytes-1)
	enqueue := appendMessage(writeMessage(nil, put(k("a"), "x")), 3, func(b []byte) []byte { return appendBytes(b, 1, []byte("job")) })
	for _, q := range []struct {
		name    string
		message []byte
		says    string
	}{
		{"a long key", writeMessage(nil, put(long+"x", "x")), "2049 bytes is over the limit of 2048 bytes"},
		{"an empty key", writeMessage(nil, put("", "x")), "a key is empty"},
		{"a key of no type", writeMessage(nil, put("plain", "x")), "0x70"},
		{"a sibling", writeMessage(nil, put(".meta/\x02a\x00", "u64")), "0x2e"},
		{"a long value", writeMessage(nil, put(k("a"), strings.Repeat("x", maxValueBytes+1))), "65537 bytes is over the limit"},
		{"many bytes", writeMessage(nil, many(13, maxValueBytes)...), "over the limit of 819200 bytes"},
		{"many mutations", writeMessage(nil, many(maxMutations+1, 1)...), "more than 1000 mutations"},
		{"many checks", writeMessage(checks(maxChecks+1), put(k("a"), "x")), "more than 100 checks"},
		{"a long key in a check", writeMessage([]chk{{long + "xx", ""}}, put(k("a"), "x")), "over the limit"},
		{"a short stamp", writeMessage([]chk{{k("a"), "123"}}, put(k("a"), "x")), "a versionstamp has 3 bytes"},
		{"no kind", writeMessage(nil, change{key: k("a"), value: "x", encoding: encodingV8}), "0 is not the kind of a mutation"},
		{"a strange kind", writeMessage(nil, change{kind: 8, key: k("a")}), "8 is not the kind of a mutation"},
		{"a versionstamped key", writeMessage(nil, change{kind: kindSetSuffix, key: k("a"), value: "x", encoding: encodingV8}), "suffix are not served"},
		{"no value", writeMessage(nil, change{kind: kindSet, key: k("a")}), "a set has no value"},
		{"a strange encoding", writeMessage(nil, change{kind: kindSet, key: k("a"), value: "x", encoding: 4}), "4 is not the number of an encoding"},
		{"half an integer", writeMessage(nil, change{kind: kindSet, key: k("a"), value: "1234", encoding: encodingLE64}), "an integer has 4 bytes"},
		{"a sum of no integer", writeMessage(nil, change{kind: kindSum, key: k("a"), value: "12345678", encoding: encodingV8}), "non-U64 operand"},
		{"a sum of nothing", writeMessage(nil, change{kind: kindMin, key: k("a")}), "non-U64 operand"},
		{"a negative time", writeMessage(nil, change{kind: kindSet, key: k("a"), value: "x", encoding: encodingV8, expireAt: -1}), "negative"},
		{"a queue", enqueue, "queues are not served"},
		{"no protobuf", []byte("\xff\xff"), "no AtomicWrite"},
		{"a string for a number", appendMessage(nil, 2, func(b []byte) []byte { return appendBytes(b, 3, []byte("1")) }), "no AtomicWrite"},
		{"a number for a message", appendVarint(nil, 1, 5), "no AtomicWrite"},
		{"a large body", make([]byte, maxBodyBytes+1), "over the limit"},
	} {
		status, text := c.refused(q.message)
		if status < 400 || status >= 500 || !strings.Contains(text, q.says) {
			t.Errorf("%s: %d %s", q.name, status, text)
		}
	}
	c.do(put(long, strings.Repeat("x", maxValueBytes)))
	c.do(many(maxMutations, 1)...)
	if _, failed := c.commit(checks(maxChecks), many(maxMutations, 1)...); failed != nil {
		t.Errorf("failed %v", failed)
	}
	var sums []change
	for i := range 799 {
		sums = append(sums, sum(k("n", fmt.Sprint(i)), 1))
	}
	for range 2 {
		if _, failed := c.commit(checks(maxChecks), sums...); failed != nil {
			t.Errorf("failed %v", failed)
		}
	}
	if g, _ := c.get(k("n", "798")); g.value != le64(2) {
		t.Errorf("the last sum is %q", g)
	}
}

// TestLimitsOfReads: likewise for reads and watches.
func TestLimitsOfReads(t *testing.T) {
	c := newClient(t)
	ranges := make([]rng, maxRanges+1)
	for i := range ranges {
		ranges[i] = rng{start: k(fmt.Sprint(i))}
	}
	long := "\x02" + strings.Repeat("x", maxKeyBytes)
	var watched []byte
	for i := range maxWatched + 1 {
		watched = appendMessage(watched, 1, func(b []byte) []byte { return appendBytes(b, 1, []byte(k(fmt.Sprint(i)))) })
	}
	for _, q := range []struct {
		name, route string
		message     []byte
		says        string
	}{
		{"many ranges", routeRead, readMessage(ranges...), "more than 10 ranges"},
		{"a long key", routeRead, readMessage(rng{long + "x", "\xff", 1, false}), "over the limit"},
		{"no limit", routeRead, readMessage(rng{"\x02", "\xff", 0, false}), "the limit of a range is 0"},
		{"a negative limit", routeRead, readMessage(rng{"\x02", "\xff", -1, false}), "the limit of a range is -1"},
		{"many entries", routeRead, readMessage(rng{"\x02", "\xff", 999, false}, rng{"\x02", "\xff", 2, false}), "more than 1000 entries"},
		{"no protobuf", routeRead, []byte{0x0a, 0x7f}, "no SnapshotRead"},
		{"many watched keys", routeWatch, watched, "more than 10 keys"},
		{"nothing watched", routeWatch, nil, "names no key"},
		{"no protobuf of a watch", routeWatch, []byte{0xff}, "no Watch"},
		{"a long watched key", routeWatch, appendMessage(nil, 1, func(b []byte) []byte { return appendBytes(b, 1, []byte(long+"x")) }), "over the limit"},
	} {
		if status, body := c.call(q.route, q.message); status != 400 || !strings.Contains(string(body), q.says) {
			t.Errorf("%s: %d %s", q.name, status, body)
		}
	}
	if got := c.read(); len(got) != 0 {
		t.Errorf("a read of nothing: %q", got)
	}
	c.read(ranges[:maxRanges]...)
	c.read(rng{long[:maxKeyBytes], "\xff", 1000, false})
}

// TestTooMuchToList: entries over the bytes of one read are refused, since an answer that is cut off would look whole.
func TestTooMuchToList(t *testing.T) {
	c := newClient(t)
	for i := range 140 {
		c.do(put(k(fmt.Sprintf("%03d", i)), strings.Repeat("x", maxValueBytes)))
	}
	if status, body := c.call(routeRead, readMessage(rng{"\x02", "\xff", 140, false})); status != 400 || !strings.Contains(string(body), "smaller batchSize") {
		t.Errorf("%d %.200s", status, body)
	}
	if got := c.read(rng{"\x02", "\xff", 100, false})[0]; len(got) != 100 {
		t.Errorf("%d entries", len(got))
	}
}
