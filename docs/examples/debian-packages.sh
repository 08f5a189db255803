#!/bin/sh
# Turns this machine's Debian package index into JSON Lines for `edgehold import`, a record for each version of a package:
#
#   {"key":"us-east/packages/bash/5.2.15-2+b2","value":"Package: bash\nVersion: ..."}
#
# Usage: debian-packages.sh [REGION...] > packages.jsonl
#
# The value is the whole paragraph of the index. A hash of the package's name chooses its region (of us-east, eu-west and
# ap-south unless others are named), so that a package keeps its keys when the index changes. Run `apt-get update` first:
# Debian's main archive gives more than 60,000 records. It needs apt-cache and any awk, writes nothing but its output, and
# gives the same output for the same index.
set -eu
export LC_ALL=C

[ $# -gt 0 ] || set -- us-east eu-west ap-south
command -v apt-cache >/dev/null || { echo "debian-packages.sh: apt-cache is missing: this needs Debian or a descendant" >&2; exit 1; }

apt-cache dumpavail | awk -v regions="$*" '
BEGIN {
	places = split(regions, place, " ")
	RS = ""; FS = "\n" # a paragraph is a record, a line a field
	for (i = 1; i < 256; i++) number[sprintf("%c", i)] = i
	for (i = 1; i < 32; i++) code[sprintf("%c", i)] = sprintf("\\u%04x", i)
	code[sprintf("%c", 127)] = "\\u007f"
}

# escape renders s as it stands between the quotes of a JSON string. "\\\\&" is a backslash and what was found.
function escape(s,    i, c, out) {
	gsub(/[\\"]/, "\\\\&", s)
	gsub(/\n/, "\\n", s)
	gsub(/\t/, "\\t", s)
	if (s !~ /[\001-\037\177]/) return s
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		out = out (c in code ? code[c] : c)
	}
	return out
}

function region(name,    i, hash) {
	for (i = 1; i <= length(name); i++) hash = (hash * 31 + number[substr(name, i, 1)]) % 1000003
	return place[hash % places + 1]
}

{
	name = ""; version = ""
	for (i = 1; i <= NF; i++) {
		if ($i ~ /^Package: /) name = substr($i, 10)
		else if ($i ~ /^Version: /) version = substr($i, 10)
	}
	id = name "/" version
	if (name == "" || version == "" || id in seen) next
	seen[id]
	n++
	printf "{\"key\":\"%s\",\"value\":\"%s\"}\n", escape(region(name) "/packages/" id), escape($0)
}

END {
	if (n == 0) { print "debian-packages.sh: the index is empty; run apt-get update first" > "/dev/stderr"; exit 1 }
	print "debian-packages.sh: " n " records" > "/dev/stderr"
}'
