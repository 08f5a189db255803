package main

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkFormat returns an error if -o is neither table nor json.
func (s *settings) checkFormat() error {
	if s.format != "table" && s.format != "json" {
		return usagef("-o %q: choose table or json", s.format)
	}
	return nil
}

// json reports whether -o asks for JSON.
func (s *settings) json() bool { return s.format == "json" }

// show writes a result in the format of -o: body as JSON, or text.
func (s *settings) show(w io.Writer, body any, text string) error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	if s.json() {
		return printJSON(w, body)
	}
	_, err := io.WriteString(w, text)
	return err
}

// printJSON writes v as one line of JSON, as the HTTP API does.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table is a list of rows of cells. The first row has the titles. String aligns the columns.
type table [][]string

func (t table) String() string {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]+2-utf8.RuneCountInString(cell)))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// readable returns text unchanged if it can be printed in a table, else quoted.
func readable(text string) string {
	plain := utf8.ValidString(text) && text != "" && !strings.HasPrefix(text, `"`) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
	if plain {
		return text
	}
	return strconv.Quote(text)
}

// maxShown is the maximum size of a value in a table, in bytes.
const maxShown = 80

func shorten(v []byte) string {
	if len(v) <= maxShown {
		return string(v)
	}
	cut := maxShown
	for cut > maxShown-utf8.UTFMax && !utf8.RuneStart(v[cut]) {
		cut--
	}
	return string(v[:cut]) + "…"
}
